//! Ctrl-C and SIGTERM: the first asks to stop, the second ends the program at once.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Shells call a process that died of signal N by this much more than N.
const EXIT_CODE_BASE: i32 = 128;

/// Remembers that somebody wants the program to stop.
#[derive(Clone)]
pub(crate) struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on the first Ctrl-C or SIGTERM is remembered, and a second one ends the program.
    pub(crate) fn listen() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        let armed = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down, and raises it.
            flag::register_conditional_shutdown(number, EXIT_CODE_BASE + number, Arc::clone(&armed))?;
            flag::register(number, Arc::clone(&armed))?;
            flag::register_usize(number, Arc::clone(&signal), number as usize)?;
        }
        Ok(Self { signal })
    }

    /// Whether to stop.
    pub(crate) fn is_raised(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// The exit code that tells what stopped the program: 130 for Ctrl-C, 143 for SIGTERM.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.signal.load(Ordering::Relaxed) {
            0 => ExitCode::SUCCESS,
            signal => ExitCode::from((EXIT_CODE_BASE as usize + signal) as u8),
        }
    }
}
