//! What is there, the command that fails, what a user finds afterwards, and how it goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use cccm_tests::hub::HubStandIn;

use crate::tree::Tree;

/// A command that is made to fail.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Makes what is there before, in an empty folder.
    pub(crate) before: fn(&Scenario, &Path),
    /// The command.
    pub(crate) line: String,
    /// What it replaces.
    pub(crate) things: Vec<Thing>,
    /// How its user goes on, where the command itself says that something is there already.
    pub(crate) resume: Option<Resume>,
    pub(crate) hub: Option<HubStandIn>,
}

/// Files that mean something only together, or one of its own.
pub(crate) struct Thing {
    pub(crate) files: Vec<&'static str>,
    /// A command that has to refuse a mixture of old and new; without one there must be none.
    pub(crate) opened_by: Option<&'static str>,
    /// What it has to name.
    pub(crate) name: &'static str,
    /// Whether it is only kept to save work, and may be gone.
    pub(crate) is_kept: bool,
}

/// How to go on with a run.
pub(crate) struct Resume {
    pub(crate) line: String,
    /// What may be deleted if the program says so.
    pub(crate) folder: &'static str,
}

/// What a user finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    New,
    Old,
    Refused,
}

impl Thing {
    /// A file of its own.
    pub(crate) fn file(name: &'static str) -> Self {
        Self { files: vec![name], opened_by: None, name, is_kept: false }
    }
}

impl Scenario {
    /// A command line of the program in a folder, with an environment of the folder's own.
    pub(crate) fn command(&self, dir: &Path, line: &str) -> Command {
        let mut command = Command::new(cargo_bin("cccm"));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
        }
        for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        if let Some(hub) = &self.hub {
            command.env("HF_ENDPOINT", hub.endpoint());
        }
        command.env("XDG_CACHE_HOME", dir.join("cache")).env("HF_HOME", dir.join("hf"));
        command.current_dir(dir).args(line.split_whitespace()).stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, dir: &Path, line: &str) -> Output {
        self.command(dir, line).output().unwrap()
    }

    /// Runs a command that has to succeed.
    pub(crate) fn run(&self, dir: &Path, line: &str) {
        let output = self.output(dir, line);
        assert!(output.status.success(), "{line}: {}", said(&output));
    }

    /// What a user finds in a folder, and why it breaks the promise if it does.
    pub(crate) fn state(&self, dir: &Path, old: &Tree, new: &Tree) -> Result<State, String> {
        let now = Tree::of(dir);
        let mut states = self.things.iter().map(|thing| self.state_of(thing, dir, [old, new, &now]));
        // The worst of all; without any, the next run tells.
        states.try_fold(State::New, |worst, state| Ok(worst.max(state?)))
    }

    fn state_of(&self, thing: &Thing, dir: &Path, [old, new, now]: [&Tree; 3]) -> Result<State, String> {
        let is = |tree: &Tree| thing.files.iter().all(|file| now.get(file) == tree.get(file));
        if is(new) {
            return Ok(State::New);
        }
        if is(old) || (thing.is_kept && is(&Tree::default())) {
            return Ok(State::Old);
        }
        let Some(line) = thing.opened_by else {
            return Err(format!("{} is neither old nor new", thing.name));
        };
        let output = self.output(dir, line);
        let said = said(&output);
        let probe = dir.join("probe.png");
        if probe.exists() {
            fs::remove_file(probe).unwrap();
        }
        match output.status.code() {
            Some(1) if said.contains(thing.name) => Ok(State::Refused),
            _ => Err(format!("{} is of old and new, and `{line}` says: {said}", thing.name)),
        }
    }

    /// Goes on as a user would.
    pub(crate) fn go_on(&self, dir: &Path) -> Result<(), String> {
        let mut output = self.output(dir, &self.line);
        if let Some(resume) = self.resume.as_ref().filter(|_| !output.status.success()) {
            output = self.output(dir, &resume.line);
            if said(&output).contains("deleted and started anew") {
                fs::remove_dir_all(dir.join(resume.folder)).unwrap();
                output = self.output(dir, &self.line);
            }
        }
        if output.status.success() { Ok(()) } else { Err(format!("the next run fails: {}", said(&output))) }
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
