//! `cccm doctor`: what this program can use here, and whether it computes right.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use cccm_runtime::DeviceChoice;

use crate::doctor::examine;
use cccm::use_threads;

/// Look this machine over: devices, libraries, memory, disks; whether operations compute right, and how fast
///
/// Compares every operation of a network on each device with plain code on the CPU. Exits with 1 when
/// something that was asked for does not work: a missing device, a wrong result, a missing library, a folder
/// that cannot be written to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Device to look at: cpu, cuda, cuda:1 for the second GPU, or auto, for all of them
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,

    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    /// Examines, and says what it found.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        use_threads(self.threads)?;
        let report = examine(self.device);
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        } else {
            write!(out, "{report}")?;
        }
        Ok(if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
