//! Says whether what is linked in or shipped has a licence that `deny.toml` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::tidy::Finding;

/// The part of `cargo metadata` that is looked at.
#[derive(Deserialize)]
pub struct Crates {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    workspace_root: String,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

impl Crates {
    /// Reads what `cargo metadata --format-version 1` gave.
    pub fn from_json(metadata: &Value) -> Result<Self> {
        Self::deserialize(metadata).context("read the output of cargo metadata")
    }

    /// Gives each crate of ours: name, manifest, names of what it needs outside of tests.
    pub fn ours(&self) -> impl Iterator<Item = (String, String, Vec<String>)> {
        let is_ours = |package: &&Package| self.workspace_members.contains(&package.id);
        self.packages.iter().filter(is_ours).map(|package| {
            let root = format!("{}/", self.workspace_root);
            let manifest = package.manifest_path.trim_start_matches(&root).to_owned();
            let is_for_tests = |d: &&Dependency| d.kind.as_deref() == Some("dev");
            let needed = package.dependencies.iter().filter(|d| !is_for_tests(d));
            (package.name.clone(), manifest, needed.map(|d| d.name.clone()).collect())
        })
    }
}

/// Asks cargo about the crates that are built on Linux.
pub fn crates(root: &Path) -> Result<Crates> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .context("start cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {said}");
    Crates::from_json(&serde_json::from_slice(&output.stdout)?)
}

/// What `deny.toml` says.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    #[serde(default)]
    npm: Npm,
}

/// What npm packages say somewhere else than in their package.json.
#[derive(Default, Deserialize)]
struct Npm {
    licences: Vec<SaidElsewhere>,
}

#[derive(Deserialize)]
struct SaidElsewhere {
    name: String,
    expression: String,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    name: String,
    allow: BTreeSet<String>,
}

impl Licences {
    fn is_allowed(&self, name: &str, expression: &str) -> bool {
        let is_excepted = |licence: &str| {
            self.exceptions.iter().any(|e| e.name == name && e.allow.contains(licence))
        };
        is_satisfied(expression, &|licence| self.allow.contains(licence) || is_excepted(licence))
    }
}

/// Checks crates and npm packages.
pub fn check(root: &Path, crates: &Crates) -> Result<Vec<Finding>> {
    let text = fs::read_to_string(root.join("deny.toml")).context("read deny.toml")?;
    let rules: Rules = toml::from_str(&text).context("read deny.toml")?;
    let mut findings = check_crates(crates, &rules.licenses);
    let lock = root.join("web-ui/package-lock.json");
    let text = fs::read_to_string(&lock).context("read web-ui/package-lock.json")?;
    let packages = serde_json::from_str(&text).context("read web-ui/package-lock.json")?;
    findings.extend(check_npm(&packages, &rules, &root.join("web-ui")));
    Ok(findings)
}

fn check_crates(crates: &Crates, rules: &Licences) -> Vec<Finding> {
    let built: BTreeSet<_> = crates.resolve.nodes.iter().map(|node| &node.id).collect();
    let foreign = crates.packages.iter().filter(|package| {
        built.contains(&package.id) && !crates.workspace_members.contains(&package.id)
    });
    let mut findings = Vec::new();
    for package in foreign {
        let licence = package.license.as_deref().unwrap_or("none");
        if !rules.is_allowed(&package.name, licence) {
            let what = format!("{} {}: licence {licence}", package.name, package.version);
            findings.push(Finding::new("Cargo.lock", 0, what + " (see deny.toml)"));
        }
    }
    findings
}

fn check_npm(lock: &Value, rules: &Rules, web_ui: &Path) -> Vec<Finding> {
    let packages: BTreeMap<String, Value> = lock["packages"]
        .as_object()
        .map(|packages| packages.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
        .unwrap_or_default();
    let mut findings = Vec::new();
    let mut find = |what: String| findings.push(Finding::new("web-ui/package-lock.json", 0, what));
    if packages.is_empty() {
        find("has no packages (npm install writes it)".into());
    }
    for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
        let name = path.rsplit("node_modules/").next().unwrap_or(path);
        let elsewhere = rules.npm.licences.iter().find(|said| said.name == name);
        let licence = licence_of(package)
            .or_else(|| installed_licence(&web_ui.join(path)))
            .or_else(|| elsewhere.map(|said| said.expression.clone()))
            .unwrap_or_else(|| "none".into());
        if !rules.licenses.is_allowed(name, &licence) {
            find(format!("{name}: licence {licence} (see deny.toml)"));
        }
        if package["resolved"].is_string() {
            find(format!("{name}: names a registry host (npm's omit-lockfile-registry-resolved)"));
        }
    }
    findings
}

fn licence_of(package: &Value) -> Option<String> {
    package["license"].as_str().map(Into::into)
}

/// Old packages say it in their own file only.
fn installed_licence(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("package.json")).ok()?;
    licence_of(&serde_json::from_str(&text).ok()?)
}

/// Evaluates an SPDX licence expression (SPDX 2.3, annex D); `/` is cargo's old `OR`.
fn is_satisfied(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let result = any_of(&mut words, is_allowed);
    result && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut result = all_of(words, is_allowed);
    while words.next_if_eq(&"OR").is_some() {
        result |= all_of(words, is_allowed);
    }
    result
}

fn all_of(words: &mut Words<'_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut result = one(words, is_allowed);
    while words.next_if_eq(&"AND").is_some() {
        result &= one(words, is_allowed);
    }
    result
}

fn one(words: &mut Words<'_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    match words.next() {
        Some("(") => any_of(words, is_allowed) & (words.next() == Some(")")),
        Some(licence) if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next().unwrap_or_default();
            is_allowed(&format!("{licence} WITH {exception}"))
        }
        Some(licence) => is_allowed(licence),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let text = r#"
            [npm]
            licences = [{ name = "shy", expression = "MIT" }]
            [licenses]
            allow = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]
            exceptions = [{ name = "table", allow = ["CC-BY-4.0"] }]"#;
        toml::from_str(text).unwrap()
    }

    #[test]
    fn expressions_are_read_as_spdx_says() {
        let allowed = |expression| rules().licenses.is_allowed("x", expression);
        assert!(allowed("MIT"));
        assert!(allowed("GPL-3.0-only OR MIT"));
        assert!(allowed("GPL-3.0-only/MIT"));
        assert!(allowed("(MIT OR GPL-2.0-only) AND Unicode-3.0"));
        assert!(allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(!allowed("GPL-3.0-only"));
        assert!(!allowed("MIT AND GPL-3.0-only"));
        assert!(!allowed("MIT WITH Odd-exception"));
        assert!(!allowed("(MIT"));
        assert!(!allowed("MIT MIT"));
        assert!(!allowed(""));
    }

    #[test]
    fn an_exception_is_for_one_name_only() {
        assert!(rules().licenses.is_allowed("table", "CC-BY-4.0"));
        assert!(!rules().licenses.is_allowed("other", "CC-BY-4.0"));
    }

    #[test]
    fn a_crate_and_an_npm_package_with_a_strange_licence_are_found() {
        let package = |id, licence| {
            serde_json::json!({
                "id": id, "name": id, "version": "1.0.0", "manifest_path": "/m",
                "license": licence, "dependencies": [],
            })
        };
        let gnu = "AGPL-3.0-only";
        let crates = Crates::from_json(&serde_json::json!({
            "workspace_members": [], "workspace_root": "/r",
            "resolve": { "nodes": [{ "id": "a" }, { "id": "b" }] },
            "packages": [package("a", "MIT"), package("b", gnu), package("unused", gnu)],
        }))
        .unwrap();
        let found = check_crates(&crates, &rules().licenses);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.starts_with("b 1.0.0: licence AGPL-3.0-only"));

        let lock = serde_json::json!({ "packages": {
            "": { "license": "none of this one's business" },
            "node_modules/good": { "license": "MIT" },
            "node_modules/a/node_modules/bad": { "license": "SSPL-1.0" },
            "node_modules/unknown": {},
            "node_modules/shy": {},
            "node_modules/far": { "license": "MIT", "resolved": "https://registry.example/far" },
        }});
        let found = check_npm(&lock, &rules(), Path::new("/nowhere"));
        let names: Vec<_> = found.iter().map(|f| f.what.split(':').next().unwrap()).collect();
        assert_eq!(names, ["bad", "far", "unknown"]);
    }
}
