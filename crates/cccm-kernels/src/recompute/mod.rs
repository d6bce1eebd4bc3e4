//! Activation checkpointing.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, DType, Device, Layout, Result, Shape, Storage, Tensor, Var, bail,
};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage};

use crate::backward::{backward, hand_over};
use crate::isa::{is_portable, portably};

/// `f(inputs)`, of which only the result is kept for the backward pass: `backward()` runs `f` once more to
/// get its activations (Chen et al. 2016, *Training Deep Nets with Sublinear Memory Cost*). A network whose
/// blocks are computed this way needs memory for their results and for the activations of one block, and
/// takes one more forward pass.
///
/// - `f`: must give the same result each time; its randomness must come from what it captures
/// - `inputs`: handed to `f`
/// - `parameters`: the variables that `f` uses beside its inputs, each of which gets its gradient. One that is missing
///   here gets none.
/// - result: `f`'s, `f32`, `f64` or `bf16`
///
/// Where neither inputs nor parameters track gradients, it is `f(inputs)`. On the CPU, and with feature `cuda` on NVIDIA
/// GPUs.
///
/// # Errors
/// Those of `f`. When a gradient is wanted: for a tensor on another device, a result of another dtype, or a parameter
/// that is computed from variables instead of being one; pass such a tensor to `f` as an input.
pub fn recompute<F>(f: F, inputs: &[Tensor], parameters: &[Tensor]) -> Result<Tensor>
where
    F: Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
{
    let mut sources = inputs.to_vec();
    for parameter in parameters {
        // Once is enough for a parameter that two layers share.
        if !sources[inputs.len()..].iter().any(|known| known.id() == parameter.id()) {
            sources.push(parameter.clone());
        }
    }
    if !sources.iter().any(Tensor::track_op) {
        return f(inputs);
    }
    let is_known = |device: &Device| device.is_cpu() || (cfg!(feature = "cuda") && device.is_cuda());
    if let Some(elsewhere) = sources.iter().find(|source| !is_known(source.device())) {
        bail!("recompute: does not work on {:?}", elsewhere.device().location());
    }
    if let Some(computed) =
        parameters.iter().find(|parameter| parameter.track_op() && !parameter.is_variable())
    {
        bail!("recompute: a parameter of shape {:?} is no variable; make it an input", computed.shape());
    }
    let detached: Vec<_> = inputs.iter().map(Tensor::detach).collect();
    let result = f(&detached)?.detach().contiguous()?;
    if !matches!(result.dtype(), DType::F32 | DType::F64 | DType::BF16) {
        bail!("recompute: the result must be f32, f64 or bf16, got {:?}", result.dtype());
    }
    let gradients = Arc::new(Gradients::default());
    let mut anchor = Tensor::zeros((), result.dtype(), result.device())?;
    // The inputs come last, so that the path from block to block in the graph, which candle walks
    // recursively, is short.
    for (index, source) in sources.iter().enumerate().rev() {
        anchor = source.apply_op2(&anchor, HandOut { gradients: Arc::clone(&gradients), index })?;
    }
    let portable = is_portable();
    let op =
        Recomputed { f, inputs: detached, sources, result: Mutex::new(Some(result)), gradients, portable };
    anchor.apply_op1(op)
}

/// Passes gradients from [`Recomputed`], which computes them all at once, to the [`HandOut`] operations that
/// return them to candle. These are needed because an operation of candle has at most three arguments.
#[derive(Default)]
struct Gradients(Mutex<Vec<Option<Tensor>>>);

impl Gradients {
    fn put(&self, all: Vec<Option<Tensor>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }

    fn take(&self, i: usize) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(i).and_then(Option::take)
    }
}

/// The result, as a function of an anchor that stands for all sources.
struct Recomputed<F> {
    f: F,
    inputs: Vec<Tensor>,
    sources: Vec<Tensor>,
    /// Taken by candle's forward pass.
    result: Mutex<Option<Tensor>>,
    gradients: Arc<Gradients>,
    /// Whether it was computed within [`portably`].
    portable: bool,
}

impl<F> Recomputed<F> {
    fn take_result(&self) -> Result<Tensor> {
        match self.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(result) => Ok(result),
            None => bail!("recompute: the result was taken twice"),
        }
    }
}

impl<F: Fn(&[Tensor]) -> Result<Tensor> + Send + Sync> CustomOp1 for Recomputed<F> {
    fn name(&self) -> &'static str {
        "cccm_recompute"
    }

    fn cpu_fwd(&self, _anchor: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let result = self.take_result()?;
        let (storage, layout) = result.storage_and_layout();
        // The result may be a view of a part.
        let storage = match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => {
                CpuStorage::F32(values[start..end].to_vec())
            }
            (Storage::Cpu(CpuStorage::F64(values)), Some((start, end))) => {
                CpuStorage::F64(values[start..end].to_vec())
            }
            (Storage::Cpu(CpuStorage::BF16(values)), Some((start, end))) => {
                CpuStorage::BF16(values[start..end].to_vec())
            }
            _ => bail!("recompute: the result must be contiguous, on the CPU, f32, f64 or bf16"),
        };
        Ok((storage, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, _anchor: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        // A copy: what may be a view of a part becomes the whole.
        let result = self.take_result()?.copy()?;
        let (storage, layout) = result.storage_and_layout();
        Ok((crate::cuda::cuda_storage(&storage)?.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(&self, anchor: &Tensor, _result: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (input, source) in self.inputs.iter().zip(&self.sources) {
            let leaf = if source.track_op() { Var::from_tensor(input)?.into_inner() } else { input.clone() };
            inputs.push(leaf);
        }
        let again = || (self.f)(&inputs);
        let result = if self.portable { portably(again) } else { again() }?;
        let store = backward(&result.apply_op2(&dy.detach(), Seed)?)?;
        let gradient = |(i, source): (usize, &Tensor)| {
            let leaf = inputs.get(i).unwrap_or(source);
            // Without the graph that some of candle's gradients carry along.
            let gradient = || store.get(leaf).map_or_else(|| source.zeros_like(), |grad| Ok(grad.detach()));
            source.track_op().then(gradient).transpose()
        };
        self.gradients.put(self.sources.iter().enumerate().map(gradient).collect::<Result<_>>()?);
        anchor.zeros_like().map(Some)
    }
}

/// A place in the graph at which a source is given its gradient. Its value does not depend on the source.
struct HandOut {
    gradients: Arc<Gradients>,
    index: usize,
}

impl CustomOp2 for HandOut {
    fn name(&self) -> &'static str {
        "cccm_hand_out"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        anchor: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((anchor.clone(), Shape::from(())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        anchor: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((anchor.try_clone(layout)?, Shape::from(())))
    }

    fn bwd(
        &self,
        source: &Tensor,
        anchor: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // The anchor before this one needs no gradient, but candle expects one.
        let onward = anchor.track_op().then(|| dy.clone());
        if !source.track_op() {
            return Ok((None, onward));
        }
        match self.gradients.take(self.index) {
            Some(gradient) => Ok((hand_over(source, gradient)?, onward)),
            None => bail!("recompute: no gradient was found; does another thread go through the same graph?"),
        }
    }
}

/// A scalar of `(y, dy)` whose gradient by `y` is `dy`.
struct Seed;

impl CustomOp2 for Seed {
    fn name(&self) -> &'static str {
        "cccm_seed"
    }

    fn cpu_fwd(&self, y: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let scalar = match y {
            CpuStorage::F64(_) => CpuStorage::F64(vec![0.0]),
            CpuStorage::F32(_) => CpuStorage::F32(vec![0.0]),
            _ => CpuStorage::BF16(vec![half::bf16::ZERO]),
        };
        Ok((scalar, Shape::from(())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        y: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let scalar = Tensor::zeros((), y.dtype(), &Device::Cuda(y.device.clone()))?;
        let (storage, layout) = scalar.storage_and_layout();
        Ok((crate::cuda::cuda_storage(&storage)?.try_clone(layout)?, Shape::from(())))
    }

    fn bwd(
        &self,
        _y: &Tensor,
        dy: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(dy.clone()), None))
    }
}
