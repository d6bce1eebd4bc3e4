//! Every call by which a command changes files fails, or is the last one: afterwards everything is old, new, or refused by name, and
//! the next run goes on.
//!
//! A sample of the points in every run of the tests; all of them by `cargo xtask faults`, minutes each.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::print_stdout, reason = "a table for whoever asked for it")]

mod commands;
mod points;
mod scenario;
mod tree;
mod tries;

use crate::scenario::Scenario;

/// Tries of a scenario in every run of the tests.
const SAMPLE: usize = 4;

#[test]
fn train() {
    check(&commands::train());
}

#[test]
fn train_longer() {
    check(&commands::train_longer());
}

#[test]
fn convert() {
    check(&commands::convert());
}

#[test]
#[cfg(feature = "hub")]
fn fetch_teacher() {
    check(&commands::fetch_teacher());
}

#[test]
fn eval() {
    check(&commands::eval());
}

#[test]
fn search_steps() {
    check(&commands::search_steps());
}

/// Tries a sample of the points, all of them, or the one that is asked for; fails if one breaks a promise.
fn check(scenario: &Scenario) {
    if let Some(one) = std::env::var_os("CCCM_FAULT") {
        let violations = tries::one(scenario, &one.into_string().unwrap());
        assert!(violations.is_empty(), "{}", violations.join("\n"));
        return;
    }
    let most = std::env::var_os("CCCM_SLOW_TESTS").is_none().then_some(SAMPLE);
    let tally = tries::all(scenario, most);
    println!("{tally}");
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n"));
    assert!(tally.tries >= SAMPLE, "{}: too few points", scenario.name);
}
