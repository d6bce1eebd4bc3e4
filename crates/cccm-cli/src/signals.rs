//! Ctrl-C, SIGTERM and a terminal that closes: the first asks to stop, the second ends the program at once.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cccm::Stop;
#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Shells report the exit code N plus this for a process that was killed by signal N.
const EXIT_CODE_BASE: i32 = 128;

/// Remembers that somebody wants the program to stop.
#[derive(Clone)]
pub(crate) struct Interrupt {
    stop: Stop,
}

impl Interrupt {
    /// From now on the first Ctrl-C, SIGTERM or SIGHUP is remembered, and a second one ends the program.
    pub(crate) fn listen() -> io::Result<Self> {
        let stop = Stop::new();
        let armed = Arc::new(AtomicBool::new(false));
        for number in signals() {
            // The order matters: the first signal finds the flag unset, so it does not exit but sets the
            // flag.
            flag::register_conditional_shutdown(number, EXIT_CODE_BASE + number, Arc::clone(&armed))?;
            flag::register(number, Arc::clone(&armed))?;
            flag::register_usize(number, stop.flag(), number as usize)?;
        }
        Ok(Self { stop })
    }

    /// What asks long work to stop, once a signal came.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Whether to stop.
    pub(crate) fn is_raised(&self) -> bool {
        self.stop.is_asked()
    }

    /// The exit code that tells what stopped the program: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.stop.flag().load(Ordering::Relaxed) {
            0 => ExitCode::SUCCESS,
            signal => ExitCode::from((EXIT_CODE_BASE as usize + signal) as u8),
        }
    }
}

#[cfg(unix)]
fn signals() -> Vec<i32> {
    let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    [SIGINT, SIGTERM].into_iter().chain(hang_up).collect()
}

#[cfg(not(unix))]
fn signals() -> Vec<i32> {
    vec![SIGINT, SIGTERM]
}

/// Whether this process was started to ignore a signal, as `nohup` does; yes where that cannot be known.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}
