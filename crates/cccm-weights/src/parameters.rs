//! The named parameters of a network: their storage, and whether they fit it.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;

use crate::problems::listed;
use crate::recorder::record;
use crate::{Error, ParameterSpec, Result, StateDict};

/// Every parameter of a network by its name, `f32`. The network's constructor tells which parameters there
/// are ([`Self::specs`]); it may be any function that builds something over a [`VarBuilder`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_nn::{Linear, VarBuilder};
/// use cccm_weights::{ParameterSpec, Parameters};
///
/// let network = |vb: VarBuilder<'_>| candle_nn::linear(3, 2, vb.pp("head"));
/// let specs = Parameters::specs(network)?;
/// let half = |_: &str, spec: &ParameterSpec| Tensor::full(0.5f32, spec.shape.as_slice(), &Device::Cpu);
/// let parameters = Parameters::init(&specs, half, &Device::Cpu)?;
/// assert_eq!(parameters.count(), 3 * 2 + 2);
///
/// let trained = network(parameters.tracked())?;
/// let averaged: Linear = network(parameters.deep_copy()?.detached())?;
/// # Ok::<(), cccm_weights::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
    device: Device,
}

impl Parameters {
    /// Name, shape and initial distribution of every parameter that a network asks for while it is built. `build` is called
    /// once, with a builder whose tensors are zeros that take no memory.
    ///
    /// # Errors
    /// What `build` returns.
    pub fn specs<T, E>(
        build: impl FnOnce(VarBuilder<'_>) -> Result<T, E>,
    ) -> Result<BTreeMap<String, ParameterSpec>, E> {
        record(build)
    }

    /// Initial values, each of which `initial` gives from its name and spec.
    ///
    /// # Errors
    /// [`Error::Candle`] for what `initial` returns; [`Error::Parameters`] when it gives another shape than the spec's.
    pub fn init(
        specs: &BTreeMap<String, ParameterSpec>,
        mut initial: impl FnMut(&str, &ParameterSpec) -> candle_core::Result<Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let values = specs.iter().map(|(name, spec)| Ok((name.clone(), initial(name, spec)?)));
        let values = values.collect::<candle_core::Result<_>>()?;
        Self::from_tensors(specs, values, "the initial values", device)
    }

    /// Given values, in storage of their own; `origin` says in errors where they come from.
    ///
    /// # Errors
    /// [`Error::Parameters`] naming every parameter that is missing, unknown or misshapen.
    pub fn from_tensors(
        specs: &BTreeMap<String, ParameterSpec>,
        tensors: BTreeMap<String, Tensor>,
        origin: &str,
        device: &Device,
    ) -> Result<Self> {
        let shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect();
        check_shapes(specs, &shapes, origin)?;
        Self::from_values(tensors, device)
    }

    /// The values of a file, each read straight into storage of its own: nothing holds the file beside them.
    ///
    /// # Errors
    /// [`Error::Parameters`] as [`Self::from_tensors`], before any value is read; [`Error::NotFinite`] for the first tensor that
    /// holds infinities or NaN; [`Error::Pth`], [`Error::Io`] for the first that cannot be read.
    pub fn read<R: Read + Seek>(
        specs: &BTreeMap<String, ParameterSpec>,
        state: StateDict<R>,
        device: &Device,
    ) -> Result<Self> {
        check_shapes(specs, &state.shapes(), &state.origin())?;
        Ok(Self { vars: state.vars(device)?, device: device.clone() })
    }

    /// The same values in storage of their own.
    ///
    /// # Errors
    /// [`Error::Candle`] when memory runs out.
    pub fn deep_copy(&self) -> Result<Self> {
        Self::from_values(self.tensors(), &self.device)
    }

    /// The variables, by name; updating them in place updates every network over them.
    pub fn vars(&self) -> &BTreeMap<String, Var> {
        &self.vars
    }

    /// The values, by name, sharing the variables' storage; no gradient flows to them.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Number of values in all parameters.
    pub fn count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    /// Where they lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// For a network that is trained: its parameters get gradients.
    pub fn tracked(&self) -> VarBuilder<'static> {
        self.var_builder(|var| var.as_tensor().clone())
    }

    /// For a network that records no graph. It shares the variables' storage, so that it follows their updates in place.
    pub fn detached(&self) -> VarBuilder<'static> {
        self.var_builder(Var::as_detached_tensor)
    }

    fn var_builder(&self, tensor: impl Fn(&Var) -> Tensor) -> VarBuilder<'static> {
        let tensors: HashMap<_, _> =
            self.vars.iter().map(|(name, var)| (name.clone(), tensor(var))).collect();
        VarBuilder::from_tensors(tensors, DType::F32, &self.device)
    }

    fn from_values(values: BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        let var = |value: Tensor| -> candle_core::Result<Var> {
            // A variable that is made of a tensor has a copy of its values, and of a variable its storage.
            Var::from_tensor(&value.detach().to_dtype(DType::F32)?.to_device(device)?)
        };
        let vars = values
            .into_iter()
            .map(|(name, value)| Ok((name, var(value)?)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self { vars, device: device.clone() })
    }
}

/// Checks names and shapes, before any value is read; `origin` says in errors where they come from.
///
/// # Errors
/// As [`Parameters::from_tensors`].
pub fn check_shapes(
    specs: &BTreeMap<String, ParameterSpec>,
    shapes: &BTreeMap<String, Vec<usize>>,
    origin: &str,
) -> Result<()> {
    let problems = mismatches(specs, shapes);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Parameters { origin: origin.to_owned(), problems })
}

fn mismatches(specs: &BTreeMap<String, ParameterSpec>, shapes: &BTreeMap<String, Vec<usize>>) -> Vec<String> {
    let missing: Vec<_> = specs.keys().filter(|name| !shapes.contains_key(*name)).collect();
    let extra: Vec<_> = shapes.keys().filter(|name| !specs.contains_key(*name)).collect();
    let both = specs.iter().filter_map(|(name, spec)| Some((name, &spec.shape, shapes.get(name)?)));
    let misshapen: Vec<_> = both
        .filter(|(_, want, got)| want != got)
        .map(|(name, want, got)| format!("`{name}` is {got:?} instead of {want:?}"))
        .collect();
    let quoted = |names: Vec<&String>| names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    [("missing", quoted(missing)), ("unknown", quoted(extra)), ("misshapen", misshapen)]
        .into_iter()
        .filter_map(|(problem, names)| listed(problem, &names))
        .collect()
}
