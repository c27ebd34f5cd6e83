//! The chapters that a file names, as they may stand in a lesson's document.

use super::Chapter;
use crate::probe::ChapterMark;

/// The most chapters: a day of ten lessons with ten parts each.
const CHAPTERS_MAX: usize = 100;
/// The longest titles to try, in characters, until all fit into [`JSON_BYTES_MAX`].
const TITLE_CHARS: [usize; 3] = [120, 60, 25];
/// The most that all chapters have as JSON, in bytes (what a lesson's document may hold).
const JSON_BYTES_MAX: usize = 16 << 10;
/// The bytes of `{"at_ms":36000000,"title":""},` around a title.
const AROUND_TITLE_BYTES: usize = 30;

/// Orders and bounds the chapters; `duration_ms` is the lesson's. One nameless chapter over the
/// whole file is none.
pub(super) fn clean(marks: &[ChapterMark], duration_ms: u64) -> Vec<Chapter> {
    let mut marks: Vec<&ChapterMark> = marks.iter().filter(|m| m.at_ms < duration_ms).collect();
    marks.sort_by_key(|mark| mark.at_ms);
    marks.dedup_by_key(|mark| mark.at_ms);
    marks.truncate(CHAPTERS_MAX);
    let titles: Vec<String> = marks.iter().map(|mark| plain(&mark.title)).collect();
    if matches!(&titles[..], [only] if only.is_empty()) {
        return Vec::new();
    }
    let longest = TITLE_CHARS.into_iter().find(|chars| fits(&titles, *chars)).unwrap_or(0);
    let chapter = |(n, (mark, title)): (usize, (&&ChapterMark, &String))| Chapter {
        at_ms: mark.at_ms,
        title: match shorten(title, longest) {
            "" => (n + 1).to_string(),
            title => title.to_owned(),
        },
    };
    marks.iter().zip(&titles).enumerate().map(chapter).collect()
}

/// Without control characters, and with single spaces.
fn plain(title: &str) -> String {
    let visible = title.chars().map(|c| if c.is_control() { ' ' } else { c });
    // Far longer than any title: what is looked at has a bound.
    let visible: String = visible.take(4 * TITLE_CHARS[0]).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(title: &str, chars: usize) -> &str {
    let end = title.char_indices().nth(chars).map_or(title.len(), |(at, _)| at);
    title[..end].trim_end()
}

fn fits(titles: &[String], chars: usize) -> bool {
    let json_bytes = |title: &String| {
        let escaped = serde_json::to_string(shorten(title, chars)).map_or(0, |json| json.len());
        escaped + AROUND_TITLE_BYTES
    };
    titles.iter().map(json_bytes).sum::<usize>() <= JSON_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at_ms: u64, title: &str) -> ChapterMark {
        ChapterMark { at_ms, title: title.into() }
    }

    #[test]
    fn chapters_are_ordered_named_and_within_the_lesson() {
        let marks = [
            mark(5000, " 第二\u{7}部分\n讲解 "),
            mark(0, ""),
            mark(5000, "twice"),
            mark(9000, "behind the end"),
        ];
        let found = clean(&marks, 9000);
        let expected = [(0, "1"), (5000, "第二 部分 讲解")];
        let expected = expected.map(|(at_ms, title)| Chapter { at_ms, title: title.into() });
        assert_eq!(found, expected);
    }

    #[test]
    fn one_nameless_chapter_is_none() {
        assert_eq!(clean(&[mark(0, " ")], 9000), []);
        assert_eq!(clean(&[mark(0, "all")], 9000).len(), 1);
    }

    #[test]
    fn many_long_titles_become_shorter_until_they_fit() {
        let marks: Vec<_> = (0..500).map(|n| mark(n, &"\"字".repeat(90))).collect();
        let found = clean(&marks, 9000);
        assert_eq!(found.len(), CHAPTERS_MAX);
        let bytes: usize = found.iter().map(|c| c.title.len() + c.title.len() / 4).sum();
        assert!(bytes + 100 * AROUND_TITLE_BYTES <= JSON_BYTES_MAX, "{bytes}");
        assert!(found[0].title.chars().count() >= 25);
        assert_eq!(clean(&[mark(0, &"字".repeat(200))], 9)[0].title.chars().count(), 120);
    }
}
