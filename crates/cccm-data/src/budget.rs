//! Memory for images in the making, over all threads of the process.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes that are handed out, and waited for.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    used: Mutex<u64>,
    returned: Condvar,
}

/// Bytes of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) const fn new(total: u64) -> Self {
        Self { total, used: Mutex::new(0), returned: Condvar::new() }
    }

    /// Waits until so many bytes are free. A request for more than the whole budget waits until nothing else
    /// is in use. A thread must not hold two shares.
    pub(crate) fn share(&self, bytes: u64) -> Share<'_> {
        let bytes = bytes.min(self.total);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + bytes > self.total {
            used = self.returned.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Share { budget: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_more_is_out_than_there_is_and_everybody_gets_a_turn() {
        let budget = Budget::new(100);
        let (out, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (budget, out, most) = (&budget, &out, &most);
                scope.spawn(move || {
                    for turn in 0..50 {
                        // Some of more than all, which are alone then.
                        let bytes = (thread * 37 + turn * 11) % 130;
                        let share = budget.share(bytes);
                        let now = out.fetch_add(share.bytes, Ordering::SeqCst) + share.bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        out.fetch_sub(share.bytes, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!((30..=100).contains(&most), "{most} at once");
        assert_eq!(*budget.used.lock().unwrap(), 0);
    }
}
