//! The Hugging Face Hub as the program uses it: flags over the environment, progress on the terminal.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use cccm_hub::{Fetched, Hub, HubConfig, HubFile, Progress, Token};
use indicatif::{ProgressBar, ProgressStyle};

/// Time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How to reach the Hub.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Hub")]
pub(crate) struct HubArgs {
    /// Address of the Hub, or of a mirror [default: HF_ENDPOINT, else the public one]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,

    /// Access token; unlike HF_TOKEN, it can be seen by other users of this machine in the list of processes
    /// [default: HF_TOKEN, else what `hf auth login` stored]
    #[arg(long, value_name = "TOKEN")]
    token: Option<Token>,

    /// Send the token even to an address without https, where others on the network can read it
    #[arg(long)]
    token_over_http: bool,
}

impl HubArgs {
    /// The Hub under these flags and the environment's `HF_` and proxy variables.
    pub(crate) fn connect(&self) -> Result<Hub> {
        let mut config = HubConfig::from_variables(|name| std::env::var_os(name))?;
        if let Some(endpoint) = &self.endpoint {
            config.endpoint.clone_from(endpoint);
        }
        if let Some(token) = &self.token {
            config.token = Some(token.clone());
        }
        config.token_over_http = self.token_over_http;
        Ok(Hub::new(config)?)
    }
}

/// Downloads a file, unless it is in the cache, and shows how far it is.
pub(crate) fn fetch(hub: &Hub, file: &HubFile) -> Result<Fetched> {
    let mut transfer = Transfer::new();
    Ok(hub.fetch(file, &mut |progress| transfer.show(progress))?)
}

/// Shows transfers: a bar on a terminal, else a line now and then.
pub(crate) struct Transfer {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Transfer {
    pub(crate) fn new() -> Self {
        let style = "{msg}  {bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {elapsed} < {eta}";
        let style = ProgressStyle::with_template(style).ok().filter(|_| std::io::stderr().is_terminal());
        let bar = style.map(|style| ProgressBar::new(0).with_style(style));
        Self { bar, last_line: Instant::now() }
    }

    pub(crate) fn show(&mut self, progress: Progress<'_>) {
        if let Some(bar) = &self.bar {
            bar.set_message(progress.file.to_owned());
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        } else if self.last_line.elapsed() > LINE_EVERY {
            let percent = 100 * progress.done / progress.total.max(1);
            tracing::info!("{}: {percent} % of {} bytes", progress.file, progress.total);
            self.last_line = Instant::now();
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
