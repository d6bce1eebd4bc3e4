//! Asking long work to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Asks long work to stop, from any thread or signal handler. Clones ask together.
///
/// Training ends with a checkpoint of the step at hand, sampling after the network evaluation at hand.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Nobody asks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks from now on.
    pub fn ask(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// What a signal handler stores to ask: any number but 0, such as that of the signal.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0)
    }
}
