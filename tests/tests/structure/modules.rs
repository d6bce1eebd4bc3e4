//! The modules of a crate, and which imports from which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use crate::uses::{Use, test_modules, uses};

/// The root of a crate, as a module.
const ROOT: &str = "crate";
/// Re-exports of re-exports that are followed.
const MOST_HOPS: usize = 8;

/// The modules of a crate, each a file, by path: `crate`, `crate::pth`, `crate::pth::view`.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    uses: BTreeMap<String, Vec<Use>>,
}

impl Modules {
    /// Reads the sources of a crate.
    pub(crate) fn read(src: &Path) -> anyhow::Result<Self> {
        let mut sources = BTreeMap::new();
        let mut folders = vec![(src.to_owned(), ROOT.to_owned())];
        while let Some((folder, module)) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push((path, format!("{module}::{name}")));
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let is_folder = ["lib", "main", "mod"].contains(&name.as_str());
                    let of = if is_folder { module.clone() } else { format!("{module}::{name}") };
                    let source = std::fs::read_to_string(&path)?;
                    sources.entry(of).or_insert_with(String::new).push_str(&source);
                }
            }
        }
        Ok(Self::of(sources))
    }

    /// Modules by path, with their sources.
    pub(crate) fn of(sources: BTreeMap<String, String>) -> Self {
        let of_tests: BTreeSet<String> = sources
            .iter()
            .flat_map(|(module, source)| {
                test_modules(source).into_iter().map(move |name| format!("{module}::{name}"))
            })
            .collect();
        let product = sources.iter().filter(|(module, _)| !of_tests.contains(*module));
        Self { uses: product.map(|(module, source)| (module.clone(), uses(source))).collect() }
    }

    /// The modules that a module imports from. What it only passes on of the modules below it does not count: they need not
    /// know.
    pub(crate) fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let of = |(module, uses): (&'_ String, &'_ Vec<Use>)| {
            let used = uses.iter().filter_map(|found| {
                let target = self.owner(module, &found.path)?;
                let passes_on = found.is_public && target.starts_with(&format!("{module}::"));
                (target != module && !passes_on).then_some(target)
            });
            used.collect()
        };
        self.uses.iter().map(|entry| (entry.0.as_str(), of(entry))).collect()
    }

    /// The module that defines what a path leads to from `module`; none outside this crate.
    fn owner(&self, module: &str, path: &[String]) -> Option<&str> {
        let (mut at, mut path) = (module.to_owned(), path.to_vec());
        for _ in 0..MOST_HOPS {
            let (found, rest) = self.descend(&at, &path)?;
            let passed_on = |name: &String| self.uses[found].iter().find(|u| u.is_public && u.name == *name);
            match rest.first().and_then(passed_on) {
                // Of another crate, or defined here.
                Some(next) if self.descend(found, &next.path).is_none() => return Some(found),
                Some(next) => {
                    path = [&next.path[..], &rest[1..]].concat();
                    found.clone_into(&mut at);
                }
                None => return Some(found),
            }
        }
        None
    }

    /// The module deepest along a path, and what of the path is left.
    fn descend<'p>(&self, module: &str, path: &'p [String]) -> Option<(&str, &'p [String])> {
        let (mut at, mut rest) = (module.to_owned(), path);
        match rest.first()?.as_str() {
            "crate" => (at, rest) = (ROOT.to_owned(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    at = at.rsplit_once("::")?.0.to_owned();
                    rest = &rest[1..];
                }
            }
            child if self.uses.contains_key(&format!("{at}::{child}")) => (),
            _ => return None,
        }
        while let Some(child) = rest.first().map(|part| format!("{at}::{part}")) {
            if !self.uses.contains_key(&child) {
                break;
            }
            (at, rest) = (child, &rest[1..]);
        }
        Some((self.uses.get_key_value(&at)?.0, rest))
    }

    /// For each module in a circle the shortest one, from it back to it.
    pub(crate) fn circles(&self) -> BTreeMap<String, Vec<String>> {
        let imports = self.imports();
        let circle = |start: &'_ str| {
            let mut ways = VecDeque::from([vec![start]]);
            let mut seen = BTreeSet::new();
            while let Some(way) = ways.pop_front() {
                for next in imports.get(way.last()?).into_iter().flatten() {
                    let longer = [&way[..], &[*next]].concat();
                    if *next == start {
                        return Some(longer.into_iter().map(str::to_owned).collect());
                    }
                    if seen.insert(*next) {
                        ways.push_back(longer);
                    }
                }
            }
            None
        };
        self.uses.keys().filter_map(|module| Some((module.clone(), circle(module)?))).collect()
    }
}
