//! Samples a distribution of two images, whose perfect denoiser is a formula: `cargo run --example two_blobs`.
//! One step can only give their mean; more steps decide for one or the other.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use candle_core::{Device, Result, Tensor};
use cccm_sample::{FewStepConfig, FewStepSampler, GridConfig, Sampler, SeededNoise, grid, to_unit_range};
use cccm_sched::{Conditions, NoiseSchedule, PredictionType, ScheduleConfig, Streams, StudentConfig};

const SIZE: usize = 12;
const SHADES: &[u8] = b" .:-=+*#%@";

/// A disc around a pixel, 1 in its middle, -1 far outside.
fn blob(row: f64, column: f64) -> Result<Tensor> {
    let pixel = |i: usize| {
        let distance = (row - (i / SIZE) as f64).hypot(column - (i % SIZE) as f64);
        (3.0 - distance).clamp(-1.0, 1.0) as f32
    };
    Tensor::from_iter((0..SIZE * SIZE).map(pixel), &Device::Cpu)?.reshape((1, 1, SIZE, SIZE))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let cfg = ScheduleConfig { prediction_type: PredictionType::Sample, ..Default::default() };
    let schedule = NoiseSchedule::new(&cfg)?;
    let (a, b) = (blob(3.5, 3.5)?, blob(7.5, 7.5)?);

    // The mean of x_0 given x_t: each blob weighted by how likely it would have become x_t.
    let network = |x_t: &Tensor, t: &Tensor, _: &Conditions| {
        let alpha_bar = f64::from(schedule.alpha_bar()[t.to_vec1::<u32>()?[0] as usize]);
        let distance = |blob: &Tensor| {
            x_t.broadcast_sub(&(blob * alpha_bar.sqrt())?)?.sqr()?.flatten_from(1)?.sum_keepdim(1)
        };
        let log_odds = ((distance(&a)? - distance(&b)?)? / (2.0 * (1.0 - alpha_bar)))?;
        let share_of_a = (log_odds.exp()? + 1.0)?.recip()?.reshape(((), 1, 1, 1))?;
        b.broadcast_add(&(&a - &b)?.broadcast_mul(&share_of_a)?)
    };

    let student = StudentConfig::default();
    let noise = SeededNoise::new(Streams::new(2), 0..6, [1, SIZE, SIZE], &Device::Cpu);
    for steps in [1, 2, 8] {
        let sampler = FewStepSampler::new(
            &cfg,
            &student,
            &FewStepConfig { steps, ..FewStepConfig::for_student(&student) },
        )?;
        let images = to_unit_range(&sampler.sample(&network, &[], &noise, &mut ())?)?;
        println!("{} network evaluations per image", sampler.evaluations());
        for row in
            grid(&images, 6, &GridConfig { gap_px: 1, background: 0.0 })?.squeeze(0)?.to_vec2::<f32>()?
        {
            let shade = |value: &f32| SHADES[(value * 9.0).round() as usize] as char;
            println!("{}", row.iter().map(shade).collect::<String>());
        }
    }
    Ok(())
}
