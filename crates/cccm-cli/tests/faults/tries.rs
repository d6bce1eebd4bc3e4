//! Trying points, several at a time.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::points::{Fault, Log, Try, tries};
use crate::scenario::{Scenario, State, said};
use cccm_tests::copy_folder;

use crate::tree::Tree;

/// What came of the tries of a scenario.
pub(crate) struct Tally {
    name: &'static str,
    points: usize,
    pub(crate) tries: usize,
    new: usize,
    old: usize,
    refused: usize,
    missed: usize,
    secs: f64,
    pub(crate) violations: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, points, tries, new, old, refused, missed, secs, violations } = self;
        write!(
            f,
            "{name}: {points} points, {tries} tries: {new} new, {old} old, {refused} refused, {missed} not met, {} violations; \
             {secs:.0} s",
            violations.len()
        )
    }
}

/// What is there before, and what may be there in the end.
struct Bench<'a> {
    scenario: &'a Scenario,
    temp: tempfile::TempDir,
    old: Tree,
    new: Tree,
    /// After the command alone, and after a second one.
    ends: [Tree; 2],
    log: String,
}

impl<'a> Bench<'a> {
    /// Prepares a scenario, and lets its command run undisturbed.
    fn new(scenario: &'a Scenario) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let [before, after] = ["before", "after"].map(|name| temp.path().join(name));
        fs::create_dir(&before).unwrap();
        (scenario.before)(scenario, &before);
        let old = Tree::of(&before);
        copy_folder(&before, &after).unwrap();
        let mut command = scenario.command(&after, &scenario.line);
        let log = Log::watch(&mut command, &after, None);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", scenario.name, said(&output));
        let new = Tree::of(&after);
        scenario.go_on(&after).unwrap();
        let again = Tree::of(&after);
        Self { scenario, temp, old, new: new.clone(), ends: [new, again], log: log.text() }
    }

    /// What a fault leaves; none if its point is not met.
    fn attempt(&self, number: usize, fault: &Try) -> Result<Option<State>, String> {
        let dir = self.temp.path().join(format!("try-{number}"));
        copy_folder(&self.temp.path().join("before"), &dir).unwrap();
        let outcome = self.attempt_in(&dir, fault);
        fs::remove_dir_all(&dir).unwrap();
        outcome
    }

    fn attempt_in(&self, dir: &Path, fault: &Try) -> Result<Option<State>, String> {
        let scenario = self.scenario;
        let mut command = scenario.command(dir, &scenario.line);
        let log = Log::watch(&mut command, dir, Some(fault));
        let output = command.output().unwrap();
        if !log.was_hit() {
            return Ok(None);
        }
        let (code, said) = (output.status.code(), said(&output));
        let is_fair = match code {
            None => fault.fault == Fault::Kill,
            Some(0) => fault.fault != Fault::Kill,
            Some(1) => said.contains("ERROR") && !said.contains("panicked"),
            Some(_) => false,
        };
        if !is_fair {
            return Err(format!("it ended with {code:?}: {said}"));
        }
        let state = scenario.state(dir, &self.old, &self.new)?;
        if code == Some(0) && state != State::New {
            return Err(format!("it succeeded, but left what is {state:?}: {said}"));
        }
        scenario.go_on(dir)?;
        let end = Tree::of(dir);
        let differences = self.ends.each_ref().map(|undisturbed| undisturbed.difference(&end));
        match differences {
            [Some(first), Some(_)] => {
                Err(format!("after the next run these differ: {first}; it had said: {said}"))
            }
            _ => Ok(Some(state)),
        }
    }
}

/// Tries one fault; says all about it.
pub(crate) fn one(scenario: &Scenario, text: &str) -> Vec<String> {
    let bench = Bench::new(scenario);
    match bench.attempt(0, &text.parse().unwrap()) {
        Ok(state) => {
            println!("{}: {text}: {state:?}", scenario.name);
            Vec::new()
        }
        Err(problem) => vec![problem],
    }
}

/// Tries every fault at every point, or as many of them, evenly spread.
pub(crate) fn all(scenario: &Scenario, most: Option<usize>) -> Tally {
    let started = Instant::now();
    let bench = Bench::new(scenario);
    let every = tries(&bench.log);
    let points = every.len() / Fault::ALL.len();
    let chosen = sample(&every, most.unwrap_or(every.len()));
    let next = Mutex::new(chosen.iter().enumerate());
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((number, fault)) = next.lock().unwrap().next() else { return };
            let result = bench.attempt(number, fault);
            results.lock().unwrap().push((number, result));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(number, _)| *number);
    let count = |state: Option<State>| results.iter().filter(|(_, result)| *result == Ok(state)).count();
    let violation = |(number, result): &(usize, Result<_, String>)| {
        let problem = result.as_ref().err()?;
        let (name, fault) = (scenario.name, chosen[*number]);
        Some(format!("cargo xtask faults {name} \"{fault}\"\n  {}", problem.trim_end()))
    };
    Tally {
        name: scenario.name,
        points,
        tries: chosen.len(),
        new: count(Some(State::New)),
        old: count(Some(State::Old)),
        refused: count(Some(State::Refused)),
        missed: count(None),
        secs: started.elapsed().as_secs_f64(),
        violations: results.iter().filter_map(violation).collect(),
    }
}

/// So many, evenly spread, and with them all kinds of faults.
fn sample(every: &[Try], count: usize) -> Vec<&Try> {
    let count = count.min(every.len());
    (0..count).map(|index| &every[(2 * index + 1) * every.len() / (2 * count)]).collect()
}
