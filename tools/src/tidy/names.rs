//! Names of files, what may lie at the root, and words that mean unfinished work.

use super::{Finding, Source};

/// STYLE §2: names that say nothing.
const EMPTY_NAMES: [&str; 11] = [
    "common", "util", "utils", "helper", "helpers", "manager", "managers", "misc", "data", "info",
    "mod",
];
/// DESIGN §2: all that lies at the root (git's and cargo's own files besides).
const ROOT_ALLOWED: [&str; 19] = [
    "rustfmt.toml",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "clippy.toml",
    "deny.toml",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    ".ci",
    ".cargo",
    ".gitignore",
    "sync",
    "codec",
    "hub",
    "scenarios",
    "tools",
    "web-ui",
];
const ROOT_NEEDED: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"];
/// Joined here, so that this file does not find itself.
const UNFINISHED: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("X", "XX")];

/// Checks paths.
pub fn check(paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in paths {
        let top = path.split('/').next().expect("split gives at least one part");
        if !ROOT_ALLOWED.contains(&top) {
            findings.push(Finding::new(path, 0, format!("{top} may not lie at the root")));
        }
        if let Some(name) = empty_name(path) {
            findings.push(Finding::new(path, 0, format!("the name `{name}` says nothing")));
        }
    }
    for needed in ROOT_NEEDED {
        if !paths.iter().any(|path| path == needed) {
            findings.push(Finding::new(needed, 0, "is missing"));
        }
    }
    findings
}

/// Checks for words that mean unfinished work.
pub fn check_words(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        if let Some(word) = words.find(|word| UNFINISHED.contains(word)) {
            findings.push(Finding::new(&source.path, i + 1, format!("{word}: finish it")));
        }
    }
    findings
}

fn empty_name(path: &str) -> Option<&str> {
    let is_code = [".rs", ".ts", ".js", ".svelte"].iter().any(|ending| path.ends_with(ending));
    if !is_code {
        return None;
    }
    let stem = |part: &'_ str| EMPTY_NAMES.iter().position(|name| *name == part);
    let parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    parts.filter_map(stem).map(|i| EMPTY_NAMES[i]).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_say_nothing_and_strays_at_the_root_are_found() {
        let mut paths: Vec<String> = ROOT_NEEDED.map(Into::into).into();
        assert!(check(&paths).is_empty());
        paths.extend(["hub/src/util.rs", "codec/src/cmaf/mod.rs", "notes.txt"].map(Into::into));
        paths.push("web-ui/src/lib/helpers/time.ts".into());
        paths.push("web-ui/static/data/a.json".into());
        assert_eq!(
            whats(check(&paths)),
            [
                "hub/src/util.rs:1: the name `util` says nothing",
                "codec/src/cmaf/mod.rs:1: the name `mod` says nothing",
                "notes.txt:1: notes.txt may not lie at the root",
                "web-ui/src/lib/helpers/time.ts:1: the name `helpers` says nothing",
            ]
        );
    }

    #[test]
    fn a_missing_changelog_is_found() {
        let paths = ["README.md", "LICENSE", "ARCHITECTURE.md"].map(String::from);
        assert_eq!(whats(check(&paths)), ["CHANGELOG.md:1: is missing"]);
    }

    #[test]
    fn unfinished_work_is_found_as_a_whole_word_only() {
        let text = format!("a\n// {}: later\nTODOLIST", UNFINISHED[1]);
        let source = Source { path: "a.rs".into(), text };
        assert_eq!(check_words(&source).len(), 1);
        assert_eq!(check_words(&source)[0].line, 2);
    }
}
