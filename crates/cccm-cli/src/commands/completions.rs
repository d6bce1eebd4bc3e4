//! `cccm completions` and `cccm manual`: what shells and `man` want to know about the program.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Print completions for a shell
///
/// For bash, for example: cccm completions bash > ~/.local/share/bash-completion/completions/cccm
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page of the program, or of one of its commands, for man
///
/// To read one: cccm manual train | man -l -
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ManualArgs {
    /// The command [default: the program as a whole]
    command: Option<String>,
}

impl CompletionsArgs {
    /// Prints.
    /// - `program`: the whole command line
    pub(crate) fn run(self, mut program: Command, out: &mut dyn Write) -> Result<()> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "cccm", &mut text);
        Ok(out.write_all(&text)?)
    }
}

impl ManualArgs {
    /// Prints.
    /// - `program`: the whole command line
    pub(crate) fn run(self, mut program: Command, out: &mut dyn Write) -> Result<()> {
        // Names of commands within the program, and what all of them have.
        program.build();
        let page = match &self.command {
            None => program,
            Some(name) => {
                let known: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
                let known = known.join(", ");
                let found = program.find_subcommand(name);
                let found = found.with_context(|| format!("no command `{name}`; there are {known}"))?.clone();
                found.name(format!("cccm-{name}"))
            }
        };
        let mut text = Vec::new();
        Man::new(page).render(&mut text)?;
        Ok(out.write_all(&text)?)
    }
}
