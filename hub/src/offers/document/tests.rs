use proptest::prelude::*;

use super::*;

fn item(key: &str, title: &str) -> Item {
    Item {
        key: key.to_owned(),
        lesson_id: None,
        title: title.to_owned(),
        date: None,
        is_withdrawn: false,
    }
}

#[test]
fn lessons_that_are_wrong_do_not_cost_the_others() {
    let json = r#"[{"key": "a", "title": "一"}, 7, {"key": "A", "title": "x"},
        {"key": "a", "title": "again"}, {"key": "b", "title": ""}, {"key": "c", "title": "三",
        "lesson_id": "zz"}, {"key": "d", "title": "四", "date": "2026-99-01"},
        {"key": "e", "title": "五", "lesson_id": "05050505050505050505050505050505"}]"#;
    let items = read_items(json);
    let titles: Vec<&str> = items.iter().map(|item| item.title.as_str()).collect();
    assert_eq!(titles, ["一", "五"]);
    assert_eq!(read_items(&"[".repeat(9_000)), []);
    assert_eq!(read_items(&format!("[{}]", " ".repeat(ITEMS_BYTES_MAX))), []);
}

#[test]
fn the_largest_plan_fits_one_value_and_more_is_cut() {
    let title = "课".repeat(100);
    let items: Vec<Item> = (0..ITEMS_MAX).map(|n| item(&format!("{n:016x}"), &title)).collect();
    assert!(is_short(&items));
    assert!(to_json(&items).len() <= yingxue_sync_core::doc::VALUE_BYTES_MAX);
    let more: Vec<Item> = (0..ITEMS_MAX + 5).map(|n| item(&n.to_string(), "课")).collect();
    assert_eq!(read_items(&to_json(&more)).len(), ITEMS_MAX);
}

proptest! {
    #[test]
    fn whatever_a_document_says_gives_lessons_within_the_bounds(json in ".{0,200}") {
        prop_assert!(read_items(&json).iter().all(is_item));
    }
}
