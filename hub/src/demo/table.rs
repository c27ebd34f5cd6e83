//! What a newcomer reads when the demo is ready.

use super::hubs::Hub;
use super::{LOGINS, SCHOOLS};

/// Prints addresses, logins, and what to do first.
pub(super) fn print(plans: &[Hub]) {
    let mut schools = vec![["School 学校".into(), "Role".into(), "Open in a browser".into()]];
    let role = |hub: &Hub| {
        if hub.is_lead { "lead 主讲" } else { "rural 辅导" }
    };
    schools.extend(plans.iter().map(|hub| [hub.school.clone(), role(hub).into(), hub.url()]));
    let mut logins = vec![["Login 用户名".into(), "Password 密码".into(), "Role".into()]];
    logins.extend(
        LOGINS.map(|(login, password, role)| [login, password, role.as_str()].map(Into::into)),
    );
    println!("\n{}\n{}", drawn(&schools), drawn(&logins));
    let rural = &plans[1];
    println!("Open {}/ and log in as teacher: the lesson of {}", rural.url(), SCHOOLS[0]);
    println!("arrives there. {}/demo cuts the link. Ctrl-C ends all.", rural.url());
}

fn drawn(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            text += &format!("  {cell}{}", " ".repeat(width - columns(cell)));
        }
        text.truncate(text.trim_end().len());
        text += "\n";
        if i == 0 {
            text += &format!("  {}\n", "─".repeat(widths.iter().sum::<usize>() + 4));
        }
    }
    text
}

/// Counts a terminal's columns: Chinese characters take two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if ('\u{2e80}'..='\u{ffee}').contains(&c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_with_chinese_in_them() {
        let rows = [["学校", "b", "c"], ["a", "bb", "c"]].map(|row| row.map(String::from));
        let text = drawn(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "  学校  b   c");
        assert_eq!(lines[2], "  a     bb  c");
    }
}
