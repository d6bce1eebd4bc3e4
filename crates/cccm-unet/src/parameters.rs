//! The named parameters of a network: their shapes, initial values and storage.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use cccm_sched::Streams;

use crate::embed::sinusoid_table;
use crate::names::{GUIDANCE_PROJECTION, TIME_TABLE};
use crate::{Error, Result, Tables, UNet, UNetConfig};

/// How a student's guidance projection starts; everything else starts as the teacher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuidanceInit {
    /// PyTorch's default for a linear layer, as in the published runs.
    #[default]
    Random,
    /// Zero, so that the student equals its teacher at the first step.
    Zero,
}

/// Shape and initial distribution of one parameter.
#[derive(Clone, Debug)]
pub struct ParameterSpec {
    /// Dimensions.
    pub shape: Vec<usize>,
    init: Init,
}

/// Every parameter of a network under its published name, `f32`.
#[derive(Clone, Debug)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
    device: Device,
}

impl Parameters {
    /// Name and shape of every parameter the network has.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when a value is out of range.
    pub fn specs(cfg: &UNetConfig, tables: Tables) -> Result<BTreeMap<String, ParameterSpec>> {
        let recorder = Recorder::default();
        let vb = VarBuilder::from_backend(Box::new(&recorder), DType::F32, Device::Cpu);
        UNet::new(cfg, tables, vb)?;
        Ok(recorder.specs.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Initial values as PyTorch has them by default: convolutions and linear layers uniform on ±1/√`fan_in`, label
    /// tables standard normal, norms 1 and 0, the timestep table sinusoidal. Each parameter is drawn from the
    /// stream of its own name.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when a value is out of range.
    pub fn init(cfg: &UNetConfig, tables: Tables, streams: &Streams, device: &Device) -> Result<Self> {
        let values = Self::specs(cfg, tables)?
            .into_iter()
            .map(|(name, spec)| Ok((name.clone(), initial(&name, &spec, streams)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        Self::from_values(values, device)
    }

    /// Given values; `origin` says in errors where they come from.
    ///
    /// # Errors
    /// [`Error::Parameters`] naming every parameter that is missing, unknown or misshapen.
    pub fn from_tensors(
        cfg: &UNetConfig,
        tables: Tables,
        tensors: BTreeMap<String, Tensor>,
        origin: &str,
        device: &Device,
    ) -> Result<Self> {
        let shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect();
        check_shapes(cfg, tables, &shapes, origin)?;
        Self::from_values(tensors, device)
    }

    /// A student that starts as its teacher; `cfg` is the student's.
    ///
    /// # Errors
    /// [`Error::Parameters`] when `cfg` is not the teacher's but for the guidance input.
    pub fn student_of(
        &self,
        cfg: &UNetConfig,
        tables: Tables,
        guidance: GuidanceInit,
        streams: &Streams,
    ) -> Result<Self> {
        let mut tensors = self.tensors();
        for (name, spec) in Self::specs(cfg, tables)? {
            if name == GUIDANCE_PROJECTION {
                let value = match guidance {
                    GuidanceInit::Random => initial(&name, &spec, streams)?,
                    GuidanceInit::Zero => Tensor::zeros(spec.shape, DType::F32, &Device::Cpu)?,
                };
                tensors.insert(name, value);
            }
        }
        Self::from_tensors(cfg, tables, tensors, "the teacher", &self.device)
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

    pub(crate) fn tracked(&self) -> VarBuilder<'static> {
        self.var_builder(|var| var.as_tensor().clone())
    }

    pub(crate) fn detached(&self) -> VarBuilder<'static> {
        self.var_builder(Var::as_detached_tensor)
    }

    fn var_builder(&self, tensor: impl Fn(&Var) -> Tensor) -> VarBuilder<'static> {
        let tensors: HashMap<_, _> =
            self.vars.iter().map(|(name, var)| (name.clone(), tensor(var))).collect();
        VarBuilder::from_tensors(tensors, DType::F32, &self.device)
    }

    fn from_values(values: BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        let var = |value: Tensor| -> candle_core::Result<Var> {
            // `copy`, since a variable made of a tensor shares its storage.
            Var::from_tensor(&value.to_dtype(DType::F32)?.to_device(device)?.contiguous()?.copy()?)
        };
        let vars = values
            .into_iter()
            .map(|(name, value)| Ok((name, var(value)?)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self { vars, device: device.clone() })
    }
}

fn initial(name: &str, spec: &ParameterSpec, streams: &Streams) -> candle_core::Result<Tensor> {
    if let (TIME_TABLE, &[timesteps, channels]) = (name, spec.shape.as_slice()) {
        return Tensor::from_vec(sinusoid_table(timesteps, channels), (timesteps, channels), &Device::Cpu);
    }
    let draws = streams.draws(0, 0..1);
    match spec.init {
        Init::Uniform { lo, up } => draws.uniform(name, &spec.shape, (lo, up))?.squeeze(0),
        Init::Randn { mean, stdev } => draws.normal(name, &spec.shape)?.squeeze(0)?.affine(stdev, mean),
        Init::Const(value) => Tensor::full(value as f32, spec.shape.as_slice(), &Device::Cpu),
        Init::Kaiming { .. } => candle_core::bail!("parameter `{name}` has no initial distribution"),
    }
}

/// Checks names and shapes before anything is read.
///
/// # Errors
/// As [`Parameters::from_tensors`].
pub(crate) fn check_shapes(
    cfg: &UNetConfig,
    tables: Tables,
    shapes: &BTreeMap<String, Vec<usize>>,
    origin: &str,
) -> Result<()> {
    let problems = mismatches(&Parameters::specs(cfg, tables)?, shapes);
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

/// One problem and the names that have it, if any.
pub(crate) fn listed(problem: &str, names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| format!("{} {problem}: {}", names.len(), shortened(names)))
}

/// The first few, and how many more.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let list = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
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
        let mut specs = self.specs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        specs.insert(name.to_owned(), spec);
        // One zero, seen from everywhere: no memory for 107 million of them.
        Tensor::zeros((), dtype, dev)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("parameter `{name}` was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init() -> Parameters {
        let cfg = UNetConfig::colored_mnist_32();
        Parameters::init(&cfg, Tables::new([5, 10]), &Streams::new(1), &Device::Cpu).unwrap()
    }

    #[test]
    fn published_sizes() {
        let count = |cfg: &UNetConfig, labels| -> usize {
            let specs = Parameters::specs(cfg, Tables::new(labels)).unwrap();
            specs.values().map(|spec| spec.shape.iter().product::<usize>()).sum()
        };
        assert_eq!(count(&UNetConfig::celeba_128(), [4, 2]), CELEBA_PARAMETERS);
        assert_eq!(count(&UNetConfig::colored_mnist_32(), [5, 10]), SMALL_PARAMETERS);
        assert_eq!(count(&UNetConfig::celeba_128().student(128), [4, 2]), CELEBA_PARAMETERS + 128 * 128);
    }
    /// Counted by the PyTorch oracle.
    const CELEBA_PARAMETERS: usize = 106_853_891;
    const SMALL_PARAMETERS: usize = 1_271_619;

    #[test]
    fn initial_values_follow_pytorch() {
        let parameters = init();
        let values = |name: &str| parameters.vars()[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let head = values("head.weight");
        let bound = 1.0 / 27f32.sqrt();
        assert!(head.iter().all(|v| v.abs() <= bound) && head.iter().any(|v| v.abs() > 0.9 * bound));
        assert!(values("head.bias").iter().any(|v| *v != 0.0));
        assert!(values("tail.0.weight").iter().all(|v| *v == 1.0));
        assert!(values("atr_embedding.embedding_table.weight").iter().any(|v| v.abs() > 1.0));
        let table = values("time_embedding.emb_layer.weight");
        assert_eq!(table[..4], [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(table[32..34], [1f32.sin(), 1f32.cos()]);
    }

    #[test]
    fn mismatches_are_all_named() {
        let cfg = UNetConfig::colored_mnist_32();
        let mut tensors = init().tensors();
        let head = tensors.remove("head.weight").unwrap();
        tensors.insert("heat.weight".into(), head.clone());
        tensors.insert("tail.0.bias".into(), head);
        let error =
            Parameters::from_tensors(&cfg, Tables::new([5, 10]), tensors, "x.safetensors", &Device::Cpu);
        let text = error.unwrap_err().to_string();
        for part in [
            "x.safetensors",
            "missing: `head.weight`",
            "unknown: `heat.weight`",
            "`tail.0.bias` is [32, 3, 3, 3]",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_student_starts_as_its_teacher_in_storage_of_its_own() -> anyhow::Result<()> {
        let teacher = init();
        let cfg = UNetConfig::colored_mnist_32().student(64);
        let tables = Tables::new([5, 10]);
        let student = teacher.student_of(&cfg, tables, GuidanceInit::Zero, &Streams::new(2))?;
        assert_eq!(student.vars().len(), teacher.vars().len() + 1);
        let projection = student.vars()[GUIDANCE_PROJECTION].abs()?.sum_all()?.to_scalar::<f32>()?;
        assert_eq!(projection, 0.0);
        student.vars()["head.bias"].set(&Tensor::zeros(32, DType::F32, &Device::Cpu)?)?;
        assert_ne!(teacher.vars()["head.bias"].abs()?.sum_all()?.to_scalar::<f32>()?, 0.0);
        let random = teacher.student_of(&cfg, tables, GuidanceInit::Random, &Streams::new(2))?;
        assert_ne!(random.vars()[GUIDANCE_PROJECTION].abs()?.sum_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }
}
