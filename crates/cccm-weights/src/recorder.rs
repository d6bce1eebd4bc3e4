//! What a network asks a [`VarBuilder`] for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

/// Shape of one parameter, and the distribution that its layer asks initial values from.
#[derive(Clone, Debug)]
pub struct ParameterSpec {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// The hint that came with `get_with_hints`; zero where the layer gave none.
    pub init: Init,
}

/// Every parameter that something asks for while it is built, by name.
///
/// # Errors
/// What `build` returns.
pub(crate) fn record<T, E>(
    build: impl FnOnce(VarBuilder<'_>) -> Result<T, E>,
) -> Result<BTreeMap<String, ParameterSpec>, E> {
    let recorder = Recorder::default();
    build(VarBuilder::from_backend(Box::new(&recorder), DType::F32, Device::Cpu))?;
    Ok(recorder.specs.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Notes what a network asks for instead of providing it.
#[derive(Default)]
struct Recorder {
    specs: Mutex<BTreeMap<String, ParameterSpec>>,
}

impl SimpleBackend for &Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        dev: &Device,
    ) -> candle_core::Result<Tensor> {
        let spec = ParameterSpec { shape: shape.dims().to_vec(), init };
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        specs.insert(name.to_owned(), spec);
        // One zero, seen from everywhere: no memory for millions of them.
        Tensor::zeros((), dtype, dev)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("parameter `{name}` was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
