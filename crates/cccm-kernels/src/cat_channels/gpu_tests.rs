//! The kernel for GPUs, run on the CPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{Device, Result, Tensor};

use super::gpu::{Channels, copy};
use crate::gpu::Elements;
use crate::gpu::shim::{Shim, Values};
use crate::testing::{assert_close, values};

/// Both parts into one tensor, and one of them out of it.
#[test]
fn channels_are_copied_in_and_out() -> Result<()> {
    let Some(shim) = Shim::new() else { return Ok(()) };
    for (pixels, of_a, of_b) in [(1, 1, 1), (35, 8, 16), (9, 8, 3), (300, 12, 4)] {
        for elements in [Elements::F32, Elements::Bf16] {
            let (a, b) = (values(&[pixels, of_a], 1)?, values(&[pixels, of_b], 2)?);
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let [mut from_a, mut from_b] = [&a, &b].map(|t| Values::new(elements, &flat(t)));
            let of = of_a + of_b;
            let mut both = Values::unwritten(elements, pixels * of);
            let mut back = Values::unwritten(elements, pixels * of_b);
            let first = |images, of| Channels { images, of, first: 0 };
            let at = |images, first| Channels { images, of, first };
            let to = both.pointer();
            // SAFETY: all of so many pixels and channels.
            unsafe {
                copy(&shim, elements, pixels, of_a, first(from_a.pointer(), of_a), at(to, 0))?;
                copy(&shim, elements, pixels, of_b, first(from_b.pointer(), of_b), at(to, of_a))?;
                copy(&shim, elements, pixels, of_b, at(to, of_a), first(back.pointer(), of_b))?;
            }
            let what = format!("{pixels} pixels, {of_a} and {of_b} channels, {elements:?}");
            let tolerance = if elements == Elements::F32 { 0.0 } else { 4e-3 };
            let tensor = |got: &Values, of| Tensor::from_vec(got.to_f32(), (pixels, of), &Device::Cpu);
            assert_close(&what, &tensor(&both, of)?, &Tensor::cat(&[&a, &b], 1)?, tolerance);
            assert_close(&what, &tensor(&back, of_b)?, &b, tolerance);
        }
    }
    Ok(())
}
