//! The kernels for GPUs, run on the CPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{Device, Result, Tensor};

use super::gpu::{Bias, Transposition, add_bias, channel_sums};
use crate::gpu::shim::{Shim, Values};
use crate::gpu::{Elements, Images};
use crate::testing::{assert_close, values};

const IMAGES: [Images; 4] = [
    Images { batch: 1, pixels: 1, channels: 1 },
    Images { batch: 3, pixels: 300, channels: 8 },
    Images { batch: 2, pixels: 35, channels: 3 },
    Images { batch: 2, pixels: 4, channels: 2056 },
];

/// Of `(batch, pixels, channels)`.
fn values_of(images: Images, seed: u32) -> Result<Tensor> {
    values(&[images.batch, images.pixels, images.channels], seed)
}

fn tensor(got: &Values, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(got.to_f32(), like.shape(), &Device::Cpu)
}

fn flat(t: &Tensor) -> Result<Vec<f32>> {
    t.flatten_all()?.to_vec1()
}

#[test]
fn biases_and_their_gradients() -> Result<()> {
    let Some(shim) = Shim::new() else { return Ok(()) };
    for images in IMAGES {
        for (elements, tolerance) in [(Elements::F32, 1e-6), (Elements::Bf16, 2e-2)] {
            for which in [Bias::OfAll, Bias::PerSample] {
                let x = values_of(images, 1)?;
                let rows = if which == Bias::OfAll { 1 } else { images.batch };
                let bias = values(&[rows, 1, images.channels], 2)?;
                let (mut y, mut of_bias) = (Values::new(elements, &flat(&x)?), Values::F32(flat(&bias)?));
                let mut sums = Values::unwritten(Elements::F32, rows * images.channels);
                // SAFETY: all of the images' lengths.
                unsafe {
                    channel_sums(&shim, images, elements, y.pointer(), sums.pointer(), which)?;
                    add_bias(&shim, images, elements, y.pointer(), of_bias.pointer(), which)?;
                }
                let what = format!("{images:?}, {elements:?}, {which:?}");
                assert_close(&what, &tensor(&y, &x)?, &x.broadcast_add(&bias)?, tolerance);
                let want = x.sum_keepdim(1)?;
                let want = if which == Bias::OfAll { want.sum_keepdim(0)? } else { want };
                assert_close(&what, &tensor(&sums, &want)?, &want, tolerance);
            }
        }
    }
    Ok(())
}

#[test]
fn transpositions() -> Result<()> {
    let Some(shim) = Shim::new() else { return Ok(()) };
    for shape in [[1, 1, 1], [3, 9, 40], [2, 70, 33]] {
        let [count, rows, columns] = shape;
        let x = values(&shape, 1)?;
        let want = x.transpose(1, 2)?.contiguous()?;
        for from in [Elements::F32, Elements::Bf16] {
            for to in [Elements::F32, Elements::Bf16] {
                let mut of = Values::new(from, &flat(&x)?);
                let mut got = Values::unwritten(to, x.elem_count());
                let turn = Transposition { count, rows, columns };
                // SAFETY: both of so many numbers.
                unsafe { turn.launch(&shim, (of.pointer(), from), (got.pointer(), to))? };
                let exact = from == Elements::F32 && to == Elements::F32;
                let tolerance = if exact { 0.0 } else { 4e-3 };
                assert_close(
                    &format!("{shape:?}, {from:?} to {to:?}"),
                    &tensor(&got, &want)?,
                    &want,
                    tolerance,
                );
            }
        }
    }
    Ok(())
}
