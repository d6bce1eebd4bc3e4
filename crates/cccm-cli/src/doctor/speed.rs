//! How fast a device computes.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use cccm_kernels::{Conv2dConfig, conv2d};
use serde::Serialize;

/// A measured rate.
#[derive(Serialize)]
pub(super) struct Rate {
    pub(super) work: &'static str,
    pub(super) dtype: &'static str,
    pub(super) gflops: f64,
}

/// Long enough for clocks to settle, short enough to wait for.
const SECS: f64 = 0.2;

/// Rates of a typical convolution, and of a matrix product, which is about the highest rate to expect.
pub(super) fn rates(device: &Device, dtype: DType) -> Result<Vec<Rate>> {
    let (batch, channels, px, side) = if device.is_cpu() { (4, 128, 32, 768) } else { (64, 256, 64, 4096) };
    let values =
        |shape: &[usize]| Tensor::ones(shape, DType::F32, device)?.affine(1e-2, 0.0)?.to_dtype(dtype);
    let (x, weight) = (values(&[batch, channels, px, px])?, values(&[channels, channels, 3, 3])?);
    let cfg = Conv2dConfig::new(1, 1);
    let convolution = gflops(device, 2 * 9 * batch * px * px * channels * channels, || {
        conv2d(&x, &weight, None, cfg).map(drop)
    })?;
    let (a, b) = (values(&[side, side])?, values(&[side, side])?);
    let product = gflops(device, 2 * side * side * side, || a.matmul(&b).map(drop))?;
    let rate = |work, gflops| Rate { work, dtype: dtype.as_str(), gflops };
    Ok(vec![rate("convolution 3×3", convolution), rate("matrix product", product)])
}

/// Billions of operations per second.
fn gflops(device: &Device, flops: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut rounds = 1;
    // What is compiled, allocated or chosen on first use is not measured.
    work()?;
    work()?;
    loop {
        device.synchronize()?;
        let started = Instant::now();
        for _ in 0..rounds {
            work()?;
        }
        device.synchronize()?;
        let secs = started.elapsed().as_secs_f64();
        if secs >= SECS {
            return Ok((flops * rounds) as f64 / secs / 1e9);
        }
        rounds *= 2;
    }
}
