//! The other processes, as number 0 sees them.

use std::env;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cccm_distill::{Link, Pipe};

use super::rank::RANK;

/// Numbers to and from one other process.
pub(super) type ToOther = Pipe<ChildStdout, ChildStdin>;

/// How often to look whether a process has ended.
const POLL: Duration = Duration::from_millis(20);
/// How long processes may take to end by themselves once they are let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long this process may take to notice by itself that another one failed, and to write a checkpoint.
const GRACE: Duration = Duration::from_mins(2);

/// The other processes. Dropping it lets them go, and waits for their end.
pub(super) struct Others {
    /// Number 1 first. Empty once they are let go.
    processes: Arc<Mutex<Vec<Child>>>,
    /// A link to each of them, in the same order. Closing it tells the process that it may end.
    pub(super) links: Vec<ToOther>,
}

impl Others {
    /// Starts a process for every device but the first, by this one's command line.
    pub(super) fn start(devices: &[String]) -> Result<Self> {
        let program =
            env::current_exe().context("cannot find this program, to start it for the other devices")?;
        let mut others = Self { processes: Arc::default(), links: Vec::new() };
        for rank in 1..devices.len() {
            let mut command = Command::new(&program);
            command.args(env::args_os().skip(1)).env(RANK, rank.to_string());
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            // Ctrl-C is for this process, which tells the others.
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            let mut process = command.spawn().with_context(|| format!("cannot start worker {rank}"))?;
            if let (Some(from), Some(to)) = (process.stdout.take(), process.stdin.take()) {
                others.links.push(Pipe::new(from, to));
            }
            others.processes().push(process);
        }
        Ok(others)
    }

    /// Waits until all have said that they are ready.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        for (index, link) in self.links.iter_mut().enumerate() {
            if link.receive(1).is_err() {
                bail!("worker {} ended before training began; its own message says why", index + 1);
            }
        }
        Ok(())
    }

    /// Starts a thread that ends this process when another one fails: a GPU whose partner is gone waits for
    /// ever, and this process would wait for it.
    pub(super) fn supervisor(&self) -> impl FnOnce() -> std::io::Result<()> + use<> {
        let processes = Arc::clone(&self.processes);
        let supervise = move || {
            let Some(failed) = wait_for_failure(&processes) else { return };
            let since = Instant::now();
            while since.elapsed() < GRACE {
                if lock(&processes).is_empty() {
                    return;
                }
                thread::sleep(POLL);
            }
            tracing::error!("worker {failed} ended in the middle of training, and the GPUs wait for it");
            // Not `exit`, which would wait for the GPU too.
            signal_hook::low_level::exit(1);
        };
        || thread::Builder::new().name("cccm-supervisor".to_owned()).spawn(supervise).map(drop)
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Child>> {
        lock(&self.processes)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.links.clear();
        let since = Instant::now();
        for mut process in self.processes().drain(..) {
            while since.elapsed() < PATIENCE && matches!(process.try_wait(), Ok(None)) {
                thread::sleep(POLL);
            }
            // Has no effect on one that has ended.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The number of a process that failed, or none once they are let go.
fn wait_for_failure(processes: &Mutex<Vec<Child>>) -> Option<usize> {
    loop {
        {
            let mut processes = lock(processes);
            if processes.is_empty() {
                return None;
            }
            let has_failed =
                |process: &mut Child| matches!(process.try_wait(), Ok(Some(status)) if !status.success());
            if let Some(index) = processes.iter_mut().position(has_failed) {
                return Some(index + 1);
            }
        }
        thread::sleep(POLL);
    }
}

fn lock(processes: &Mutex<Vec<Child>>) -> MutexGuard<'_, Vec<Child>> {
    // A list of processes is whole after any panic.
    processes.lock().unwrap_or_else(PoisonError::into_inner)
}
