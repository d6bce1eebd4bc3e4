//! The `cccm` command: train, distil and sample compositional consistency models.

mod args;
mod batches;
mod commands;
mod device;
mod files;
#[cfg(feature = "hub")]
mod hub;
mod model;
mod model_card;
mod pictures;
mod report;
mod run_dir;
mod source;
mod training;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use commands::convert::ConvertArgs;
#[cfg(feature = "hub")]
use commands::fetch_teacher::FetchTeacherArgs;
#[cfg(feature = "hub")]
use commands::push::PushArgs;
use commands::sample::SampleArgs;
use commands::train::TrainArgs;
use commands::train_teacher::TrainTeacherArgs;

/// Compositional consistency models: distil a diffusion teacher, draw label pairs in a few steps.
#[derive(Parser)]
#[command(name = "cccm", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<TrainArgs>),
    Sample(SampleArgs),
    TrainTeacher(Box<TrainTeacherArgs>),
    Convert(Box<ConvertArgs>),
    #[cfg(feature = "hub")]
    FetchTeacher(Box<FetchTeacherArgs>),
    #[cfg(feature = "hub")]
    Push(PushArgs),
}

fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_env("CCCM_LOG").unwrap_or_else(|_| EnvFilter::new("info,cccm_distill=warn"));
    let on_terminal = std::io::stderr().is_terminal();
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if on_terminal {
        log.without_time().init();
    } else {
        log.with_ansi(false).init();
    }
    let matches = with_underscores(Cli::command()).get_matches();
    let outcome = match Cli::from_arg_matches(&matches) {
        Ok(cli) => run(cli),
        Err(error) => error.exit(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Train(args) => args.run(),
        Command::Sample(args) => args.run(&mut std::io::stdout().lock()),
        Command::TrainTeacher(args) => args.run(),
        Command::Convert(args) => args.run(&mut std::io::stdout().lock()),
        #[cfg(feature = "hub")]
        Command::FetchTeacher(args) => args.run(&mut std::io::stdout().lock()),
        #[cfg(feature = "hub")]
        Command::Push(args) => args.run(&mut std::io::stdout().lock()),
    }
}

/// Lets every `--some-flag` be written `--some_flag`, as the published scripts have it.
fn with_underscores(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_long().filter(|long| long.contains('-')) {
        Some(long) => {
            let alias = long.replace('-', "_");
            arg.alias(alias)
        }
        None => arg,
    });
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_underscores))
}
