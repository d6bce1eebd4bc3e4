//! What a process needs before it computes on a CPU: environment variables, allocator, threads.

#![expect(unsafe_code, reason = "environment variables are the only way to tell candle")]

use std::env;
use std::ffi::c_long;
use std::num::NonZero;
use std::thread::available_parallelism;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How often the threads of candle's own pool look for work before they sleep.
const CANDLE_SPINS: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
/// How many threads rayon's default pool, candle's own and candle's matrix products have.
const RAYON_THREADS: &str = "RAYON_NUM_THREADS";

/// mimalloc's `mi_option_purge_delay`, which its bindings have no name for: after how many milliseconds it gives unused
/// memory back.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Longer than most steps of training; the default, 10 milliseconds, is not.
const PURGE_DELAY_MS: c_long = 10_000;

/// Sets the environment variables that candle reads, unless they are set: `CANDLE_BARRIER_POOL_SPIN_LIMIT` to 100
/// instead of 25,000, and `RAYON_NUM_THREADS` to the number of threads that the machine runs at once. Lets the allocator keep unused memory for
/// 10 seconds or more, unless `MIMALLOC_PURGE_DELAY` says otherwise.
///
/// # Safety
/// No other thread may be running: call it first of all in `main`.
pub unsafe fn prepare() {
    // SAFETY: the option exists, as a test makes sure.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
    let cores = available_parallelism().map_or(1, NonZero::get);
    for (name, count) in [(CANDLE_SPINS, 100), (RAYON_THREADS, cores)] {
        if env::var_os(name).is_none() {
            // SAFETY: by this function's contract nobody else reads or writes the environment now.
            unsafe { env::set_var(name, count.to_string()) };
        }
    }
}

/// Creates the global rayon pool with so many threads, including the calling one. Without a number there are
/// as many as `RAYON_NUM_THREADS` says, or as the machine runs at once.
///
/// Other threads must not use the pool while the calling thread does not: if it is the only thread, nobody
/// does their work.
///
/// # Errors
/// When the pool is there already, or a thread cannot be started.
pub fn use_threads(threads: Option<NonZero<usize>>) -> Result<(), rayon::ThreadPoolBuildError> {
    let count = threads.map_or(0, NonZero::get);
    rayon::ThreadPoolBuilder::new().num_threads(count).use_current_thread().build_global()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_purge_delay() {
        // SAFETY: reads a number.
        assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, 10, "what it is by default");
    }

    #[test]
    fn the_calling_thread_is_one_of_the_pool() {
        use_threads(NonZero::new(1)).unwrap();
        assert_eq!(rayon::current_num_threads(), 1);
        let here = std::thread::current().id();
        assert_eq!(rayon::join(|| std::thread::current().id(), || ()).0, here);
        assert!(use_threads(None).is_err(), "there is one pool");
    }
}
