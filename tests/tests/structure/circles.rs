//! No two modules of a crate import from each other, however long the way round.

use std::collections::BTreeMap;

use crate::modules::Modules;
use crate::{Published, published};

#[test]
fn no_circles_of_modules() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for Published { name, folder, .. } in published()? {
        let circles = Modules::read(&folder.join("src"))?.circles();
        problems.extend(circles.values().map(|circle| format!("{name}: a circle: {}", circle.join(" → "))));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    Ok(())
}

fn circles(sources: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    let sources = sources.iter().map(|(module, source)| ((*module).to_owned(), (*source).to_owned()));
    Modules::of(sources.collect()).circles()
}

#[test]
fn a_circle_is_seen_through_re_exports() {
    let root = ("crate", "mod a;\nmod b;\npub use a::A;\npub use b::{B, inner::C};");
    let in_circle =
        |a: &str| circles(&[root, ("crate::a", a), ("crate::b", ""), ("crate::b::inner", "use crate::A;")]);
    assert!(in_circle("use crate::B;").is_empty());
    let found = in_circle("use crate::C;");
    assert_eq!(found["crate::a"], ["crate::a", "crate::b::inner", "crate::a"]);
    assert_eq!(found.len(), 2);
}

#[test]
fn a_module_and_the_ones_below_it() {
    let found = |parent: &str, child: &str| {
        !circles(&[("crate", ""), ("crate::p", parent), ("crate::p::c", child)]).is_empty()
    };
    assert!(found("use c::X;", "use super::Y;"));
    assert!(!found("pub use c::X;", "use super::Y;"), "what is only passed on");
    assert!(!found("use c::X;\npub use c::Y;", "use super::Y;"), "one's own, the long way");
    assert!(!found("use c::X;", "#[cfg(test)]\nmod tests {\n    use super::super::Y;\n}"));
}
