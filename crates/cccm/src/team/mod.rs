//! Several processes that train one model, one for each of `--devices`.
//!
//! The process that a user starts is number 0. Once all checks have passed, it starts the others with its own
//! command line. Only process 0 writes files. The others are linked to it by their standard input and output,
//! and an end of file means that the process on the other side has ended.

mod gpus;
mod others;
mod rank;

use std::cell::RefCell;
use std::io::{Stdin, Stdout, stdin, stdout};
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use cccm_data::Shard;
use cccm_distill::{AllReduce, Alone, Error, Link, Pipe, Star, Trainer};
use cccm_run::RunSettings;

use crate::device;
use gpus::{Gpus, Lifeline};
use others::Others;
use rank::RANK;

pub use rank::rank_of_member;

/// This process among those that train one model.
pub(crate) struct Team {
    rank: usize,
    /// One for each process; none where `--devices` is not given.
    devices: Vec<String>,
    device: Device,
    /// Of number 0, once they are started.
    others: RefCell<Option<Others>>,
    /// Of the others on GPUs.
    lifeline: RefCell<Option<Lifeline>>,
}

/// Whether another process is at fault, and says so itself.
pub fn is_fault_of_another(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cause = cause.downcast_ref::<Error>();
        cause.is_some_and(|cause| {
            matches!(cause, Error::OtherWorker { .. } | Error::AllReduce { .. } | Error::WorkerGone { .. })
        })
    })
}

impl Team {
    /// Reads `--devices` or `--device`, sizes the thread pool and opens the device of this process.
    pub(crate) fn open(run: &RunSettings) -> Result<Self> {
        let devices = run.devices.as_deref().map(parse).transpose()?.unwrap_or_default();
        let rank = rank_of_member().unwrap_or(0);
        let processes = devices.len().max(1);
        if rank >= processes {
            bail!(
                "{RANK} is {rank}, but there are {processes} devices; {RANK} is set by cccm alone: unset it"
            );
        }
        let share = || available_parallelism().map_or(1, NonZero::get).div_ceil(processes);
        device::use_threads(run.threads.or_else(|| (processes > 1).then(share)))?;
        let device = device::open(devices.get(rank).or(run.device.as_ref()).map(String::as_str))?;
        if processes > 1 && !device.is_cpu() {
            Gpus::check()?;
        }
        Ok(Self { rank, devices, device, others: RefCell::default(), lifeline: RefCell::default() })
    }

    /// The device of this process.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Whether this process writes what there is to write.
    pub(crate) fn leads(&self) -> bool {
        self.rank == 0
    }

    /// The part of every batch that this process takes.
    pub(crate) fn shard(&self) -> Shard {
        Shard { index: self.rank, count: self.devices.len().max(1) }
    }

    /// Waits until all processes are ready to train; number 0 starts the others.
    pub(crate) fn assemble(&self) -> Result<Box<dyn AllReduce>> {
        let processes = self.shard().count;
        if processes == 1 {
            return Ok(Box::new(Alone));
        }
        if self.leads() {
            let mut others = Others::start(&self.devices)?;
            others.wait_until_ready()?;
            let sums: Box<dyn AllReduce> = if self.device.is_cpu() {
                Box::new(Star::centre(std::mem::take(&mut others.links)))
            } else {
                let supervise = others.supervisor();
                Box::new(Gpus::lead(&self.device, &mut others.links, supervise)?)
            };
            self.others.replace(Some(others));
            return Ok(sums);
        }
        let mut link: Pipe<Stdin, Stdout> = Pipe::new(stdin(), stdout());
        let gone = |source| Error::WorkerGone { rank: 0, source };
        link.send(&[self.rank as f32]).map_err(gone)?;
        if self.device.is_cpu() {
            return Ok(Box::new(Star::ray(self.rank, processes, link)));
        }
        let id = Gpus::receive_id(&mut link).map_err(gone)?;
        self.lifeline.replace(Some(Lifeline::watch().context("cannot start a thread")?));
        Ok(Box::new(Gpus::follow(&self.device, self.rank, processes, id)?))
    }

    /// The end of training: process 0 lets the others end and waits for them, the others wait for process 0.
    pub(crate) fn dismiss(&self, trainer: &mut Trainer<'_>) {
        if self.device.is_cpu() {
            // This drops the links to the other processes. GPUs may still read from each other.
            trainer.leave();
        }
        self.others.take();
        if let Some(lifeline) = self.lifeline.take() {
            lifeline.wait();
        }
    }
}

/// Names of devices, as [`device::open`] takes them.
fn parse(devices: &[String]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for device in devices {
        let name = match device.as_str() {
            "cpu" => device.clone(),
            number if number.parse::<u32>().is_ok() => format!("cuda:{number}"),
            _ => bail!(
                "no device `{device}` in --devices: it takes numbers of GPUs, as in --devices 0,1, or `cpu` once for each \
                 process"
            ),
        };
        if name != "cpu" && names.contains(&name) {
            bail!("--devices names GPU {device} twice; every process needs its own");
        }
        names.push(name);
    }
    if names.iter().any(|name| name == "cpu") && names.iter().any(|name| name != "cpu") {
        bail!("--devices names GPUs and `cpu`; all processes need the same kind of device");
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_gpus_or_cpus() {
        let parse = |text: &str| parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse("0,3").unwrap(), ["cuda:0", "cuda:3"]);
        assert_eq!(parse("cpu,cpu").unwrap(), ["cpu", "cpu"]);
        for (bad, word) in
            [("0,1,0", "twice"), ("0,cpu", "same kind"), ("cuda:0", "no device `cuda:0`"), ("", "no device")]
        {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
