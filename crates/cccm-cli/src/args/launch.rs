//! How a training run starts: anew, from a file of settings, or where another run stopped.

use std::path::PathBuf;

/// How a training run starts. None of it is a setting of the run.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct LaunchArgs {
    /// Settings from a TOML file, such as the config.toml of a run; flags override it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) config: Option<PathBuf>,

    /// Go on with a run that was stopped: its directory, or `latest`
    #[arg(long, value_name = "RUN", alias = "resume-pth", conflicts_with = "save_path")]
    pub(crate) resume: Option<String>,

    /// With --resume, accept changed settings or data, with which the result differs from that of an
    /// uninterrupted run
    #[arg(long, requires = "resume")]
    pub(crate) allow_change: bool,
}
