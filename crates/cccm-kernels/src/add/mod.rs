//! Sum of two tensors of one shape.

#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use crate::buffer::par_chunks;
use crate::storage::as_f32;

/// Values of a task.
const CHUNK: usize = 1 << 14;

/// `a + b`, on the threads of the rayon pool the call runs in: candle's own sum has a pool of its own, whose threads get
/// into the way of these.
/// - `a`, `b`, result: the same shape
///
/// `f32` on the CPU runs on this crate's kernels, any other dtype or device on candle's operations.
///
/// # Errors
/// When shapes, dtypes or devices differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.shape() != b.shape() {
        bail!("add: shapes {:?} and {:?} differ", a.shape(), b.shape());
    }
    if [a, b].into_iter().any(|t| t.dtype() != DType::F32 || !t.device().is_cpu()) {
        return a + b;
    }
    a.contiguous()?.apply_op2(&b.contiguous()?, Add)
}

/// The operation in candle's graph.
struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "cccm_add"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (as_f32(a, a_layout)?, as_f32(b, b_layout)?);
        let (sum, _) = par_chunks(a.len(), CHUNK, |i, sum| {
            let range = i * CHUNK..i * CHUNK + sum.capacity();
            sum.extend(a[range.clone()].iter().zip(&b[range]).map(|(a, b)| a + b));
        });
        Ok((CpuStorage::F32(sum), a_layout.shape().clone()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _sum: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = |arg: &Tensor| arg.track_op().then(|| dy.clone());
        Ok((grad(a), grad(b)))
    }
}
