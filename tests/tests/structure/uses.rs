//! The `use` lines of a source file.

/// A path that a file imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// Its parts, such as `crate`, `pth`, `Part`. A trailing `self` is left out.
    pub(crate) path: Vec<String>,
    /// The name it gets here.
    pub(crate) name: String,
    /// Whether others can import it from here.
    pub(crate) is_public: bool,
}

/// What a file imports outside its tests.
pub(crate) fn uses(source: &str) -> Vec<Use> {
    let product = without_tests(source);
    let mut found = Vec::new();
    let mut lines = product.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let is_public = line.starts_with("pub");
        let after_visibility = match line.strip_prefix("pub") {
            Some(rest) => rest.find("use ").map_or("", |at| &rest[at..]),
            None => line,
        };
        let Some(start) = after_visibility.strip_prefix("use ") else { continue };
        let mut tree = start.to_owned();
        while !tree.contains(';') {
            let Some(next) = lines.next() else { break };
            tree.push_str(next.trim());
        }
        let tree = tree.split(';').next().unwrap_or_default();
        expand(&[], tree, &mut |path, name| found.push(Use { path, name, is_public }));
    }
    found
}

/// The modules that a file declares for its tests alone, each in a file of its own.
pub(crate) fn test_modules(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let module = |pair: &[&str]| Some(pair[1].split("mod ").nth(1)?.strip_suffix(';')?.to_owned());
    pairs.filter_map(module).collect()
}

/// Everything before the tests, which end a file.
fn without_tests(source: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let is_tests = |at: usize| {
        let next = lines.get(at + 1).map_or("", |line| line.trim());
        lines[at] == "#[cfg(test)]" && next.contains("mod ") && next.ends_with('{')
    };
    let end = (0..lines.len()).find(|at| is_tests(*at)).unwrap_or(lines.len());
    lines[..end].join("\n")
}

/// Each path of a tree such as `a::{b, c::{self, d as e}}`, with the name it gets.
fn expand(before: &[String], tree: &str, each: &mut dyn FnMut(Vec<String>, String)) {
    let tree = tree.trim();
    if let Some((head, rest)) = tree.split_once('{') {
        let mut path = before.to_vec();
        path.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        let inside = rest.strip_suffix('}').unwrap_or(rest);
        for branch in branches(inside) {
            expand(&path, branch, each);
        }
        return;
    }
    let (path_text, alias) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
    let mut path = before.to_vec();
    path.extend(path_text.split("::").map(|part| part.trim().to_owned()));
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.map(|name| name.trim().to_owned()).or_else(|| path.last().cloned());
    each(path, name.unwrap_or_default());
}

/// The parts between commas that are within no braces.
fn branches(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_i32, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&inside[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    found.push(&inside[start..]);
    found.retain(|branch| !branch.trim().is_empty());
    found
}

#[test]
fn trees_of_imports_are_read() {
    let source = "use std::fs;\npub(crate) use view::View;\nuse super::{\n    A,\n    b::{self, C as D},\n};\n\
                  #[cfg(test)]\nmod tests {\n    use crate::E;\n}\n";
    let read: Vec<_> =
        uses(source).into_iter().map(|found| (found.path.join("::"), found.name, found.is_public)).collect();
    let want = [
        ("std::fs", "fs", false),
        ("view::View", "View", true),
        ("super::A", "A", false),
        ("super::b", "b", false),
        ("super::b::C", "D", false),
    ];
    assert_eq!(read, want.map(|(path, name, public)| (path.to_owned(), name.to_owned(), public)));
    assert_eq!(test_modules("mod a;\n#[cfg(test)]\nmod tests;\n"), ["tests"]);
}
