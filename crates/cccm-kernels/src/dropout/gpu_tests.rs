//! The kernel for GPUs, run on the CPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{Device, Result, Tensor};

use super::{Dropout, dropout, gpu};
use crate::ImageLayout::{ChannelsFirst, ChannelsLast};
use crate::gpu::Elements;
use crate::gpu::shim::{Shim, Values};
use crate::testing::{assert_close, values};

/// Masks are those of the CPU to the bit, where blocks of the stream fit into channels and where they do not.
#[test]
fn kernels_have_the_masks_of_the_cpu() -> Result<()> {
    let Some(shim) = Shim::new() else { return Ok(()) };
    let keys = [[5, u64::MAX, 3, 9], [5, u64::MAX, 3, 10]];
    for shape in [[2, 1, 1, 1], [2, 3, 5, 7], [2, 6, 8, 12], [2, 300, 2, 2]] {
        for (elements, tolerance) in [(Elements::F32, 0.0), (Elements::Bf16, 1e-2)] {
            let x = (values(&shape, 1)? + 2.0)?;
            let want = dropout(&x, &keys, 0.15, ChannelsFirst)?;
            let last = ChannelsFirst.convert(&x, ChannelsLast)?;
            let mut from = Values::new(elements, &last.flatten_all()?.to_vec1()?);
            let mut to = Values::unwritten(elements, x.elem_count());
            let (op, sizes) = (Dropout::new(&keys, 0.15), ChannelsFirst.sizes("test", &x)?);
            // SAFETY: both of these sizes.
            unsafe { gpu::launch(&shim, &op, sizes, elements, from.pointer(), to.pointer())? };
            let got = Tensor::from_vec(to.to_f32(), last.shape(), &Device::Cpu)?;
            let got = ChannelsLast.convert(&got, ChannelsFirst)?;
            assert_close(&format!("{shape:?}, {elements:?}"), &got, &want, tolerance);
            let dropped = |t: &Tensor| t.eq(0f32)?.flatten_all()?.to_vec1::<u8>();
            assert_eq!(dropped(&got)?, dropped(&want)?, "{shape:?}, {elements:?}");
        }
    }
    Ok(())
}
