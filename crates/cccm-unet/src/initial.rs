//! The parameters of a network before it is trained: as PyTorch draws them, or as its teacher's.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use cccm_sched::Streams;
use cccm_weights::{ParameterSpec, Parameters};

use crate::embed::sinusoid_table;
use crate::names::{GUIDANCE_PROJECTION, TIME_TABLE};
use crate::{Result, Tables, UNet, UNetConfig};

/// How a student's guidance projection starts; everything else starts as the teacher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuidanceInit {
    /// PyTorch's default for a linear layer, as in the published runs.
    #[default]
    Random,
    /// Zero, so that the student equals its teacher at the first step.
    Zero,
}

impl UNet {
    /// Name and shape of every parameter the network has.
    ///
    /// # Errors
    /// [`crate::Error::InvalidConfig`] when a value is out of range.
    pub fn specs(cfg: &UNetConfig, tables: Tables) -> Result<BTreeMap<String, ParameterSpec>> {
        Parameters::specs(|vb| Self::new(cfg, tables, vb))
    }

    /// Initial values as PyTorch has them by default: convolutions and linear layers uniform on ±1/√`fan_in`, label
    /// tables standard normal, norms 1 and 0, the timestep table sinusoidal. Each parameter is drawn from the
    /// stream of its own name.
    ///
    /// # Errors
    /// [`crate::Error::InvalidConfig`] when a value is out of range.
    pub fn initial_parameters(
        cfg: &UNetConfig,
        tables: Tables,
        streams: &Streams,
        device: &Device,
    ) -> Result<Parameters> {
        let initial = |name: &str, spec: &ParameterSpec| initial(name, spec, streams);
        Ok(Parameters::init(&Self::specs(cfg, tables)?, initial, device)?)
    }

    /// The parameters of a student that starts as its teacher; `cfg` is the student's.
    ///
    /// # Errors
    /// [`cccm_weights::Error::Parameters`] when `cfg` differs from the teacher's in more than the guidance
    /// input.
    pub fn student_parameters(
        cfg: &UNetConfig,
        tables: Tables,
        teacher: &Parameters,
        guidance: GuidanceInit,
        streams: &Streams,
    ) -> Result<Parameters> {
        let specs = Self::specs(cfg, tables)?;
        let mut tensors = teacher.tensors();
        if let Some(spec) = specs.get(GUIDANCE_PROJECTION) {
            let value = match guidance {
                GuidanceInit::Random => initial(GUIDANCE_PROJECTION, spec, streams)?,
                GuidanceInit::Zero => Tensor::zeros(spec.shape.as_slice(), DType::F32, &Device::Cpu)?,
            };
            tensors.insert(GUIDANCE_PROJECTION.to_owned(), value);
        }
        Ok(Parameters::from_tensors(&specs, tensors, "the teacher", teacher.device())?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn init() -> Parameters {
        let cfg = UNetConfig::colored_mnist_32();
        UNet::initial_parameters(&cfg, Tables::new([5, 10]), &Streams::new(1), &Device::Cpu).unwrap()
    }

    #[test]
    fn published_sizes() {
        let count = |cfg: &UNetConfig, labels| -> usize {
            let specs = UNet::specs(cfg, Tables::new(labels)).unwrap();
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
        let specs = UNet::specs(&cfg, Tables::new([5, 10])).unwrap();
        let mut tensors = init().tensors();
        let head = tensors.remove("head.weight").unwrap();
        tensors.insert("heat.weight".into(), head.clone());
        tensors.insert("tail.0.bias".into(), head);
        let error = Parameters::from_tensors(&specs, tensors, "x.safetensors", &Device::Cpu);
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
        let student = UNet::student_parameters(&cfg, tables, &teacher, GuidanceInit::Zero, &Streams::new(2))?;
        assert_eq!(student.vars().len(), teacher.vars().len() + 1);
        let projection = student.vars()[GUIDANCE_PROJECTION].abs()?.sum_all()?.to_scalar::<f32>()?;
        assert_eq!(projection, 0.0);
        student.vars()["head.bias"].set(&Tensor::zeros(32, DType::F32, &Device::Cpu)?)?;
        assert_ne!(teacher.vars()["head.bias"].abs()?.sum_all()?.to_scalar::<f32>()?, 0.0);
        let random =
            UNet::student_parameters(&cfg, tables, &teacher, GuidanceInit::Random, &Streams::new(2))?;
        assert_ne!(random.vars()[GUIDANCE_PROJECTION].abs()?.sum_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }
}
