//! Who may know whom: between crates by cargo's own account, inside them by reading paths.

use syn::visit::{self, Visit};

use super::Finding;
use crate::licences::Crates;

/// DESIGN §2: which of our crates each may depend on.
const ARROWS: [(&str, &[&str]); 6] = [
    ("yingxue-sync-core", &[]),
    ("yingxue-sync-io", &["yingxue-sync-core"]),
    ("yingxue-codec", &[]),
    ("yingxue-hub", &["yingxue-sync-core", "yingxue-sync-io", "yingxue-codec"]),
    ("yingxue-scenarios", &["yingxue-sync-core"]),
    (
        "yingxue-tools",
        &[
            "yingxue-hub",
            "yingxue-codec",
            "yingxue-sync-io",
            "yingxue-sync-core",
            "yingxue-scenarios",
        ],
    ),
];
/// DESIGN §2, "must not": these have neither a runtime nor a network.
const NO_RUNTIME: [&str; 3] = ["yingxue-sync-core", "yingxue-codec", "yingxue-scenarios"];
const RUNTIMES: [&str; 5] = ["tokio", "libp2p", "rusqlite", "axum", "ureq"];
/// DESIGN §14, invariant 1: paths that `sync/core` may not name.
const CORE_BANNED: [&[&str]; 11] = [
    &["std", "time"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "thread"],
    &["std", "env"],
    &["std", "process"],
    &["HashMap"],
    &["HashSet"],
    &["Instant"],
    &["SystemTime"],
    &["getrandom"],
];
/// DESIGN §14, invariant 2.
const CORE_SIBLINGS: [&str; 3] = ["doc", "blob", "live"];

/// Checks the dependencies of our crates.
pub fn check_arrows(crates: &Crates) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, manifest, dependencies) in crates.ours() {
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            findings.push(Finding::new(&manifest, 0, format!("{name} is not in DESIGN §2")));
            continue;
        };
        for dependency in dependencies {
            let is_foreign_ours = dependency.starts_with("yingxue-");
            let is_runtime = RUNTIMES.contains(&dependency.as_str());
            if is_foreign_ours && !allowed.contains(&dependency.as_str())
                || is_runtime && NO_RUNTIME.contains(&name.as_str())
            {
                let what = format!("{name} may not depend on {dependency}");
                findings.push(Finding::new(&manifest, 0, what));
            }
        }
    }
    findings
}

/// Checks the paths that one file names.
pub fn check(path: &str, file: &syn::File) -> Vec<Finding> {
    let mut reader = Paths::default();
    reader.visit_file(file);
    let mut findings = Vec::new();
    let mut find = |line, what: String| findings.push(Finding::new(path, line, what));
    for (names, line) in &reader.found {
        if let Some(in_core) = path.strip_prefix("sync/core/src/") {
            if let Some(banned) = CORE_BANNED.iter().find(|banned| contains(names, banned)) {
                find(*line, format!("sync/core may not use {} (invariant 1)", banned.join("::")));
            }
            if let Some(other) = foreign_sibling(in_core, names) {
                find(*line, format!("doc, blob and live never import {other} (invariant 2)"));
            }
        } else if names_node(names) && !may_touch_node(path) {
            find(*line, "only hub/src/driver and scenarios touch Node (invariant 11)".into());
        }
    }
    findings
}

fn contains(names: &[String], banned: &[&str]) -> bool {
    names.windows(banned.len()).any(|part| part.iter().zip(banned).all(|(a, b)| a == b))
}

fn foreign_sibling<'a>(in_core: &str, names: &'a [String]) -> Option<&'a str> {
    let own = in_core.split(['/', '.']).next()?;
    let depth = in_core.matches('/').count();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let other = match *names.as_slice() {
        ["crate", other, ..] => other,
        ["super", other, ..] if depth == 0 => other,
        ["super", "super", other, ..] if depth == 1 => other,
        _ => return None,
    };
    let are_siblings = CORE_SIBLINGS.contains(&own) && CORE_SIBLINGS.contains(&other);
    (are_siblings && own != other).then_some(other)
}

fn names_node(names: &[String]) -> bool {
    names.first().is_some_and(|first| first == "yingxue_sync_core")
        && names.iter().any(|name| name == "Node")
}

fn may_touch_node(path: &str) -> bool {
    let allowed = ["hub/src/driver.rs", "hub/src/driver/", "scenarios/"];
    allowed.iter().any(|allowed| path.starts_with(allowed))
}

/// Every path of a file, imports unfolded, with its line.
#[derive(Default)]
struct Paths {
    found: Vec<(Vec<String>, usize)>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments[0].ident.span().start().line;
        self.found.push((names, line));
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        unfold(&item.tree, &mut Vec::new(), &mut self.found);
    }
}

fn unfold(tree: &syn::UseTree, prefix: &mut Vec<String>, found: &mut Vec<(Vec<String>, usize)>) {
    let mut leaf = |ident: &syn::Ident, prefix: &[String]| {
        let mut names = prefix.to_vec();
        names.push(ident.to_string());
        found.push((names, ident.span().start().line));
    };
    match tree {
        syn::UseTree::Name(name) => leaf(&name.ident, prefix),
        syn::UseTree::Rename(rename) => leaf(&rename.ident, prefix),
        syn::UseTree::Glob(glob) => found.push((prefix.clone(), glob.star_token.span.start().line)),
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| unfold(tree, prefix, found));
        }
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            unfold(&path.tree, prefix, found);
            prefix.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = syn::parse_file(text).unwrap();
        check(path, &file).iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
    }

    #[test]
    fn the_core_may_not_look_at_a_clock_or_a_file() {
        let path = "sync/core/src/plan.rs";
        assert_eq!(found(path, "use std::{fmt, time::Instant};").len(), 1);
        assert_eq!(found(path, "fn f() { std::fs::read(p); }").len(), 1);
        assert_eq!(found(path, "use std::collections::{BTreeMap, HashMap};").len(), 1);
        assert!(found(path, "use std::collections::BTreeMap;").is_empty());
        assert!(found("hub/src/a.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn documents_blobs_and_live_tracks_are_strangers() {
        let text = "\nuse crate::{blob::Manifest, id};";
        let what = "2: doc, blob and live never import blob (invariant 2)";
        assert_eq!(found("sync/core/src/doc.rs", text), [what]);
        assert_eq!(found("sync/core/src/live/window.rs", "use super::super::blob;").len(), 1);
        assert_eq!(found("sync/core/src/live.rs", "fn f() -> super::doc::Doc {}").len(), 1);
        assert!(found("sync/core/src/blob/fetch.rs", text).is_empty());
        assert!(found("sync/core/src/node.rs", text).is_empty());
    }

    #[test]
    fn only_drivers_touch_the_node() {
        let text = "use yingxue_sync_core::{Node, id::HubId};";
        assert_eq!(found("hub/src/catalog.rs", text).len(), 1);
        assert!(found("hub/src/driver.rs", text).is_empty());
        assert!(found("scenarios/src/world.rs", text).is_empty());
        assert!(found("hub/src/web.rs", "use tree::Node;").is_empty());
    }

    #[test]
    fn an_arrow_that_points_the_wrong_way_is_found() {
        let crates = |name: &str, dependency: &str| {
            Crates::from_json(&serde_json::json!({ "workspace_members": ["a"], "packages": [{
                "id": "a", "name": name, "manifest_path": "/r/x/Cargo.toml", "license": "MIT",
                "version": "1.0.0",
                "dependencies": [{ "name": dependency, "kind": null }],
            }], "resolve": { "nodes": [] }, "workspace_root": "/r" }))
            .unwrap()
        };
        assert_eq!(check_arrows(&crates("yingxue-codec", "yingxue-hub")).len(), 1);
        assert_eq!(check_arrows(&crates("yingxue-codec", "tokio")).len(), 1);
        assert_eq!(check_arrows(&crates("yingxue-extras", "serde")).len(), 1);
        assert!(check_arrows(&crates("yingxue-hub", "yingxue-codec")).is_empty());
    }
}
