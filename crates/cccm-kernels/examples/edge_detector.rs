//! Learns a 3x3 filter from what it does to images: plain gradient descent through `conv2d`.
//!
//! `cargo run --release -p cccm-kernels --example edge_detector`

#![expect(clippy::print_stdout, reason = "an example shows its results")]

use candle_core::{DType, Device, Result, Tensor, Var};
use cccm_kernels::{Conv2dConfig, conv2d};

const SAME: Conv2dConfig = Conv2dConfig::new(1, 1);
const STEPS: usize = 60;
const LEARNING_RATE: f64 = 0.3;

fn main() -> Result<()> {
    let device = Device::Cpu;
    let images = Tensor::randn(0f32, 1.0, (8, 1, 32, 32), &device)?;
    let sobel =
        Tensor::new(&[[-1f32, 0., 1.], [-2., 0., 2.], [-1., 0., 1.]], &device)?.reshape((1, 1, 3, 3))?;
    let edges = conv2d(&images, &sobel, None, SAME)?;

    let weight = Var::zeros((1, 1, 3, 3), DType::F32, &device)?;
    for step in 0..=STEPS {
        let loss = (conv2d(&images, &weight, None, SAME)? - &edges)?.sqr()?.mean_all()?;
        if step % 20 == 0 {
            println!("step {step:2}: loss {:.6}", loss.to_scalar::<f32>()?);
        }
        if let Some(grad) = loss.backward()?.get(&weight) {
            weight.set(&(weight.as_tensor() - (grad * LEARNING_RATE)?)?)?;
        }
    }

    println!("learned filter:");
    for row in weight.squeeze(0)?.squeeze(0)?.to_vec2::<f32>()? {
        println!("{:5.2} {:5.2} {:5.2}", row[0], row[1], row[2]);
    }
    Ok(())
}
