//! Fits `y = 3 x - 1` to noisy points: cosine schedule with warmup, clipping, moving average.
//!
//! `cargo run -p cccm-optim --example fit_line`

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use cccm_optim::{
    AdamW, AdamWConfig, Ema, LrSchedule, LrScheduleConfig, clip_factor, global_norm, gradients,
};

const STEPS: u64 = 300;

fn line() -> candle_core::Result<BTreeMap<String, Var>> {
    let zero = || Var::zeros((), DType::F32, &Device::Cpu);
    Ok(BTreeMap::from([("slope".to_owned(), zero()?), ("offset".to_owned(), zero()?)]))
}

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let x = Tensor::arange(0f32, 64.0, &Device::Cpu)?.affine(1.0 / 32.0, -1.0)?;
    let noise = (&x * 57.0)?.sin()?.affine(0.1, 0.0)?;
    let y = (x.affine(3.0, -1.0)? + noise)?;

    let (params, average) = (line()?, line()?);
    let mut optimizer = AdamW::new(params.clone(), AdamWConfig::default())?;
    let ema = Ema::new(0.9)?;
    let schedule = LrScheduleConfig {
        schedule: LrSchedule::Cosine,
        lr: 0.1,
        warmup_steps: 20,
        total_steps: STEPS,
        ..LrScheduleConfig::default()
    };
    schedule.validate()?;

    for step in 0..STEPS {
        let prediction = x.broadcast_mul(&params["slope"])?.broadcast_add(&params["offset"])?;
        let loss = (prediction - &y)?.sqr()?.mean_all()?;
        let grads = gradients(&params, &loss.backward()?)?;
        let norm = global_norm(&grads)?;
        optimizer.step(&grads, schedule.lr_at(step), clip_factor(norm, 1.0))?;
        ema.update(&average, &params)?;
        if step % 50 == 0 {
            println!("step {step:3}: loss {:.4}, gradient norm {norm:.4}", loss.to_scalar::<f32>()?);
        }
    }
    for (name, value) in &average {
        println!("{name}: {:.3}", value.to_scalar::<f32>()?);
    }
    Ok(())
}
