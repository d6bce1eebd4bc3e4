//! Scores of features and of pictures, 32×32, and how long each takes.
//!
//! ```console
//! $ cargo run --release -p cccm-eval --example scores -- 5000 128
//! ```

use std::time::Instant;

use cccm_eval::{
    DEFAULT_NEIGHBOURS, GaussianStats, KernelDistanceConfig, PixelReference, diversity,
    frechet_standard_error, kernel_distance, precision_recall,
};
use cccm_sched::Streams;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let (n, dim) = (args.next().transpose()?.unwrap_or(1000), args.next().transpose()?.unwrap_or(32));
    let streams = Streams::new(1);
    let features = |name| streams.draws(0, 0..n as u64).normal(name, &[dim]);
    let (generated, real) = ((features("generated")? * 0.9)?, features("real")?);
    let groups: Vec<usize> = (0..n).map(|row| row % 50).collect();

    let start = Instant::now();
    let stats = GaussianStats::new(&real)?;
    let distance = GaussianStats::new(&generated)?.frechet_distance(&stats)?;
    say("Fréchet distance", format!("{distance:.4}"), start);

    let start = Instant::now();
    let error = frechet_standard_error(&generated, &groups, &stats, 100, &streams)?;
    say("its standard error", format!("{error:.4}"), start);

    let start = Instant::now();
    let cfg = KernelDistanceConfig { subset_size: n.min(1000), ..KernelDistanceConfig::default() };
    let kernel = kernel_distance(&generated, &real, cfg, &streams)?;
    say("kernel distance", format!("{:.6} ± {:.6}", kernel.mean, kernel.std), start);

    let start = Instant::now();
    let manifolds = precision_recall(&generated, &real, DEFAULT_NEIGHBOURS)?;
    say("precision, recall", format!("{:.3}, {:.3}", manifolds.precision, manifolds.recall), start);

    let start = Instant::now();
    let diversity = diversity(&generated, &groups, &real, &groups)?;
    say("diversity", format!("{:.3}", diversity.overall), start);

    let pictures = |name| streams.draws(0, 0..n as u64).normal(name, &[3, 32, 32]);
    let (generated, real) = ((pictures("drawn pictures")? * 0.9)?, pictures("real pictures")?);
    let start = Instant::now();
    let reference = PixelReference::new(&real, &streams)?;
    say("real pixels", String::new(), start);

    let start = Instant::now();
    let distances = reference.distances(&generated, &groups)?;
    let swd: Vec<String> = distances.patches.iter().map(|level| format!("{:.1}", level.value)).collect();
    say("pixels, patches", format!("{:.4}, {}", distances.pixels.value, swd.join(" ")), start);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows its results")]
fn say(name: &str, score: String, start: Instant) {
    println!("{name:<20}{score:<24}{:.2} s", start.elapsed().as_secs_f64());
}
