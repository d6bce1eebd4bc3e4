//! The `cccm` command: train, distil and sample compositional consistency models.

#![expect(unsafe_code, reason = "the process is prepared before anything else runs")]

mod args;
mod commands;
mod display;
mod doctor;
#[cfg(feature = "hub")]
mod hub;
mod running;
mod signals;

use std::io::{ErrorKind, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use commands::completions::{CompletionsArgs, ManualArgs};
use commands::convert::ConvertArgs;
use commands::dataset::DatasetArgs;
use commands::doctor::DoctorArgs;
use commands::eval::EvalArgs;
#[cfg(feature = "hub")]
use commands::fetch_teacher::FetchTeacherArgs;
#[cfg(feature = "hub")]
use commands::push::PushArgs;
use commands::report::ReportArgs;
use commands::sample::SampleArgs;
use commands::search_steps::SearchStepsArgs;
use commands::train::TrainArgs;
use commands::train_teacher::TrainTeacherArgs;

/// Compositional consistency models: distil a diffusion teacher, draw label pairs in a few steps.
#[derive(Parser)]
#[command(name = "cccm", version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<TrainArgs>),
    Sample(SampleArgs),
    Eval(Box<EvalArgs>),
    SearchSteps(Box<SearchStepsArgs>),
    Report(ReportArgs),
    TrainTeacher(Box<TrainTeacherArgs>),
    Dataset(DatasetArgs),
    Convert(Box<ConvertArgs>),
    Doctor(DoctorArgs),
    #[cfg(feature = "hub")]
    FetchTeacher(Box<FetchTeacherArgs>),
    #[cfg(feature = "hub")]
    Push(PushArgs),
    Completions(CompletionsArgs),
    Manual(ManualArgs),
}

fn main() -> ExitCode {
    // SAFETY: the first statement of `main`: no other thread runs yet.
    unsafe { cccm_runtime::prepare() };
    let rank = cccm::rank_of_member();
    // Only the first process of a team logs what all of them would say.
    let usual = if rank.is_some() { "error,cccm_data=warn" } else { "info,cccm_distill=warn" };
    let filter = EnvFilter::try_from_env("CCCM_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let on_terminal = std::io::stderr().is_terminal();
    // If stderr is closed, an error message about the failed log line would panic and end the run.
    let log = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter);
    let log = log.with_writer(std::io::stderr).with_target(false);
    if on_terminal {
        log.without_time().init();
    } else {
        log.with_ansi(false).init();
    }
    let _worker = rank.map(|rank| tracing::error_span!("worker", rank).entered());
    let matches = with_underscores(Cli::command()).try_get_matches();
    let outcome = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => run(cli),
        Err(error) => {
            let hint = args::python::hint(&error);
            // Help and version end up here, too. If nobody can read the output any more, that is no error.
            let _ = error.print();
            if let Some(hint) = hint {
                tracing::info!("hint: {hint}");
            }
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match outcome {
        Ok(code) => code,
        // The reader of the output, such as `head`, has closed it.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if rank.is_some() && cccm::is_fault_of_another(&error) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let out = &mut std::io::stdout().lock();
    match cli.command {
        Command::Train(args) => return args.run(),
        Command::TrainTeacher(args) => return args.run(),
        Command::Sample(args) => return args.run(out),
        Command::Eval(args) => return args.run(out),
        Command::SearchSteps(args) => return args.run(out),
        Command::Report(args) => args.run(out)?,
        Command::Dataset(args) => args.run(out)?,
        Command::Convert(args) => args.run(out)?,
        Command::Doctor(args) => return args.run(out),
        #[cfg(feature = "hub")]
        Command::FetchTeacher(args) => args.run(out)?,
        #[cfg(feature = "hub")]
        Command::Push(args) => args.run(out)?,
        Command::Completions(args) => args.run(Cli::command(), out)?,
        Command::Manual(args) => args.run(Cli::command(), out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether standard output was closed. Errors of files and connections come with a context that names them.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().len() == 1
        && error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Lets every `--some-flag` be written `--some_flag`, as the published scripts have it.
fn with_underscores(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let names = arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default());
        let written: Vec<String> =
            names.filter(|name| name.contains('-')).map(|name| name.replace('-', "_")).collect();
        arg.aliases(written)
    });
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_underscores))
}
