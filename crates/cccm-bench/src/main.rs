//! Times the work of a user: a network's forward pass, a sampler, a training step. Prints one line of JSON.
//!
//! `bench_torch.py` beside it does the same work in PyTorch, takes the same flags and prints the same line;
//! `cargo xtask bench` runs both alternately.

#![expect(unsafe_code, reason = "the process is prepared before anything else runs")]
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod memory;
mod work;

use std::num::NonZero;
use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Device};
use cccm_runtime::{DeviceChoice, F32Products, best_gpu, gpu_peak_bytes, open_gpu};
use clap::{Parser, ValueEnum};
use serde_json::json;

use work::{Bench, Round};

/// Time a piece of work and print one line of JSON
#[derive(Parser)]
struct Args {
    /// Network and image size
    #[arg(long, value_enum, ignore_case = true, default_value = "S")]
    size: Size,
    /// What to time
    #[arg(long, value_enum, default_value = "step")]
    work: Work,
    /// Images at a time
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Threads; 0 for one per core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Device: cpu, or cuda, or cuda:1 for the second GPU, or auto
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Numbers to compute with; f32 products are TF32 on a GPU
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Numbers,
    /// Keep only the results of blocks while training, and compute the blocks twice
    #[arg(long)]
    recompute: bool,
    /// Timed calls, after 3 that warm up
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Network and image size.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Size {
    /// 32 channels, multiples 1-2-2, 1 block, 32×32
    #[value(name = "S")]
    Small,
    /// The published network for 128×128, on 64×64
    #[value(name = "L64")]
    Large64,
    /// The published network for 128×128
    #[value(name = "L128", alias = "celeba")]
    Large128,
}

/// What is timed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Work {
    /// One forward pass of a student
    Forward,
    /// Few-step sampling with 1 evaluation per image
    Sample1,
    /// Few-step sampling with 2 evaluations
    Sample2,
    /// Few-step sampling with 4 evaluations
    Sample4,
    /// Sampling a teacher in 50 guided steps, 100 evaluations
    Ddim50,
    /// Forward and backward pass of a student
    Backward,
    /// A distillation step: `LossFuse` at `c_t` 0.5, `AdamW`, clipping, moving average
    Step,
}

/// What features and the weights of convolutions are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Numbers {
    F32,
    Bf16,
}

const WARM_UP: usize = 3;

fn main() -> Result<()> {
    // SAFETY: the first statement of `main`: no other thread runs yet.
    unsafe { cccm_runtime::prepare() };
    let args = Args::parse();
    cccm_runtime::use_threads(NonZero::new(args.threads))?;
    let device = open(args.device)?;
    let dtype = match args.dtype {
        Numbers::F32 => DType::F32,
        Numbers::Bf16 => DType::BF16,
    };
    let bench = Bench::new(args.size, args.batch, &device, dtype)?;
    let bench = if args.recompute { bench.recomputing() } else { bench };
    let mut secs = bench.measure(args.work, |round| {
        for _ in 0..WARM_UP {
            round()?;
        }
        (0..args.rounds.max(1)).map(|_| timed(&mut *round, &device)).collect::<Result<Vec<_>>>()
    })?;
    secs.sort_by(f64::total_cmp);
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|v| v.get_name().to_owned());
    let line = json!({
        "size": name(args.size.to_possible_value()),
        "work": name(args.work.to_possible_value()),
        "mode": if args.recompute { "recompute" } else { "cccm" },
        "batch": args.batch,
        "device": if device.is_cpu() { "cpu" } else { "cuda" },
        "dtype": name(args.dtype.to_possible_value()),
        "threads": rayon::current_num_threads(),
        "median_s": median(&secs),
        "min_s": secs[0],
        "max_s": secs[secs.len() - 1],
        "flops": bench.flops(args.work),
        "peak_bytes": if device.is_cpu() { memory::peak_bytes() } else { Some(gpu_peak_bytes(&device)?) },
    });
    println!("{line}");
    Ok(())
}

/// Products of `f32` are rounded to TF32 on a GPU, as `cccm` has it.
fn open(choice: DeviceChoice) -> Result<Device> {
    Ok(match choice {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::Cuda(ordinal) => open_gpu(ordinal, F32Products::Tf32)?,
        DeviceChoice::Auto => open_gpu(best_gpu()?.ordinal, F32Products::Tf32)?,
    })
}

/// Seconds of one round, from an idle device to an idle device.
fn timed(round: Round<'_>, device: &Device) -> Result<f64> {
    device.synchronize()?;
    let started = Instant::now();
    round()?;
    device.synchronize()?;
    Ok(started.elapsed().as_secs_f64())
}

/// Of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}
