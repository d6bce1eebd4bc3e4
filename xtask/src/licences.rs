//! `cargo xtask licences`: whether every dependency has a licence that `deny.toml` allows, and whether the
//! program's `NOTICE` names the dependencies whose licences ask for more than permissive ones. It uses
//! cargo's metadata, so it works without a network. `cargo deny` checks the same policy, and advisories as
//! well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The policy.
const POLICY: &str = "deny.toml";
/// The package whose program is given to others, and what it says about its parts.
const PROGRAM: &str = "cccm-cli";
const NOTICE: &str = "crates/cccm-cli/NOTICE";

#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}

/// Checks; gives 0, or fails with all that is wrong.
pub(crate) fn check() -> Result<u8> {
    let read =
        |file: &str| fs::read_to_string(crate::root().join(file)).with_context(|| format!("reading {file}"));
    let policy: Policy = toml::from_str(&read(POLICY)?).with_context(|| format!("reading {POLICY}"))?;
    let metadata = metadata()?;
    let problems = problems(&policy.licenses, &metadata, &read(NOTICE)?)?;
    ensure!(problems.is_empty(), "licences:\n  {}", problems.join("\n  "));
    eprintln!("ok: {} packages have licences that {POLICY} allows", metadata.resolve.nodes.len());
    Ok(0)
}

/// The packages that a build on this machine needs; those for other platforms may not be downloaded.
fn metadata() -> Result<Metadata> {
    let host = std::process::Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let host = String::from_utf8(host.stdout)?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let mut cargo = crate::cargo_command();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host]);
    let output = cargo.current_dir(crate::root()).output().context("starting `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn problems(policy: &Licenses, metadata: &Metadata, notice: &str) -> Result<Vec<String>> {
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let in_program = in_program(metadata);
    let mut problems = Vec::new();
    for node in &metadata.resolve.nodes {
        let Package { name, version, license, .. } =
            packages.get(node.id.as_str()).context("an unknown package")?;
        let Some(license) = license else {
            problems.push(format!("{name} {version} says no licence"));
            continue;
        };
        let is_permissive = |one: &str| policy.allow.contains(one);
        if is_met(license, &is_permissive)? {
            continue;
        }
        let exception = policy.exceptions.iter().find(|exception| exception.name == *name);
        let is_excepted = |one: &str| exception.is_some_and(|exception| exception.allow.contains(one));
        if !is_met(license, &|one| is_permissive(one) || is_excepted(one))? {
            problems.push(format!("{name} {version} is under {license}, which {POLICY} does not allow"));
            continue;
        }
        let terms = exception.iter().flat_map(|exception| &exception.allow);
        let unnamed = terms.filter(|term| !notice.contains(name.as_str()) || !notice.contains(term.as_str()));
        if in_program.contains(node.id.as_str()) {
            problems.extend(unnamed.map(|term| format!("{NOTICE} does not name {name} and {term}")));
        }
    }
    Ok(problems)
}

/// What is compiled into the program, itself included: dependencies but those of tests and of builds.
fn in_program(metadata: &Metadata) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let program = metadata.packages.iter().filter(|package| package.name == PROGRAM);
    let mut open: Vec<&str> = program.map(|package| package.id.as_str()).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id)
            && let Some(node) = nodes.get(id)
        {
            let linked = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            open.extend(linked.map(|dep| dep.pkg.as_str()));
        }
    }
    found
}

/// Whether an SPDX expression can be met with licences that are `allowed`. `/` is an older `OR`.
fn is_met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let met = parser.any();
    match met {
        Some(met) if parser.words.is_empty() => Ok(met),
        _ => bail!("`{expression}` is no SPDX expression"),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any()?;
            return self.take(")").then_some(met);
        }
        let (first, rest) = self.words.split_first()?;
        if ["AND", "OR", "WITH", ")"].contains(first) {
            return None;
        }
        self.words = rest;
        if self.take("WITH") {
            let (exception, rest) = self.words.split_first()?;
            self.words = rest;
            return Some((self.allowed)(&format!("{first} WITH {exception}")));
        }
        Some((self.allowed)(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let met = |expression: &str| {
            is_met(expression, &|one| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&one))
                .unwrap()
        };
        for yes in [
            "MIT",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "(GPL-3.0 OR MIT) AND ISC",
            "GPL-3.0 AND X OR MIT",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(met(yes), "{yes}");
        }
        for no in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "Apache-2.0", "MIT WITH X"] {
            assert!(!met(no), "{no}");
        }
        for broken in ["", "MIT OR", "(MIT", "MIT ISC", "AND MIT", "MIT)"] {
            assert!(is_met(broken, &|_| true).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_is_linked_must_be_allowed_and_named() {
        let package = |name: &str, license: &str| serde_json::json!({ "id": name, "name": name, "version": "1.0.0", "license": license });
        let dep = |name: &str, kind: Option<&str>| serde_json::json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = serde_json::json!({
            "packages": [package(PROGRAM, "MIT"), package("weak", "MPL-2.0"), package("bad", "GPL-3.0"), package("dev", "MPL-2.0")],
            "resolve": { "nodes": [
                { "id": PROGRAM, "deps": [dep("weak", None), dep("dev", Some("dev"))] },
                { "id": "weak", "deps": [] },
                { "id": "bad", "deps": [] },
                { "id": "dev", "deps": [] },
            ] },
        });
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let allowed = |name: &str| Exception { name: name.into(), allow: ["MPL-2.0".to_owned()].into() };
        let policy =
            Licenses { allow: ["MIT".to_owned()].into(), exceptions: vec![allowed("weak"), allowed("dev")] };
        let found = problems(&policy, &metadata, "").unwrap();
        assert!(found.len() == 2 && found[0].contains("weak") && found[1].contains("GPL-3.0"), "{found:?}");
        assert_eq!(problems(&policy, &metadata, "weak is under MPL-2.0").unwrap().len(), 1);
    }
}
