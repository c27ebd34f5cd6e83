//! Sizes of Svelte components, TypeScript and style sheets.

use super::{COLUMNS_MAX, FILE_LINES_MAX, Finding, Source};

/// STYLE §1: longest Svelte component.
const COMPONENT_LINES_MAX: usize = 250;

/// Checks one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    let is_component = source.path.ends_with(".svelte");
    let is_test = source.path.contains(".test.") || source.path.contains("/e2e/");
    let max = if is_component { COMPONENT_LINES_MAX } else { FILE_LINES_MAX };
    if lines > max && !is_test {
        findings.push(Finding::new(&source.path, 0, format!("{lines} lines (limit {max})")));
    }
    for (i, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !is_unbreakable(line) {
            let what = format!("{columns} columns (limit {COLUMNS_MAX})");
            findings.push(Finding::new(&source.path, i + 1, what));
        }
    }
    findings
}

/// Addresses and the outlines of icons cannot be broken.
fn is_unbreakable(line: &str) -> bool {
    let begins_outline = |text: &str| {
        text.starts_with(['M', 'm']) && text[1..].starts_with(|c: char| c.is_ascii_digit())
    };
    line.contains("://") || line.contains("data:") || line.split(['"', '\'']).any(begins_outline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_component_and_a_long_line_are_found() {
        let text = "<p>\n".repeat(251) + &"y".repeat(101);
        let source = Source { path: "web-ui/src/routes/+page.svelte".into(), text };
        let found: Vec<_> = check(&source).iter().map(ToString::to_string).collect();
        assert_eq!(found[0], "web-ui/src/routes/+page.svelte:1: 252 lines (limit 250)");
        assert_eq!(found[1], "web-ui/src/routes/+page.svelte:252: 101 columns (limit 100)");
    }

    #[test]
    fn an_icon_may_be_long() {
        let text = format!("<path d=\"{}\" />", "M0 0 ".repeat(40));
        assert!(check(&Source { path: "a.svelte".into(), text }).is_empty());
    }
}
