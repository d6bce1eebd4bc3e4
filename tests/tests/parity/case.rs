//! The networks and inputs of a fixture, drawn from its seed as the oracle draws them.

use candle_core::{Device, Tensor};
use cccm_distill::DistillInputs;
use cccm_sched::{Conditions, Streams};
use cccm_tests::{Fixture, fill, hashed, hashed_ints};
use cccm_unet::{Parameters, Tables, UNet, UNetConfig};

use crate::Kernels;

pub(crate) struct Case {
    pub(crate) fx: Fixture,
    /// The student's; a teacher's is [`Case::teacher_unet`].
    pub(crate) unet: UNetConfig,
    pub(crate) tables: Tables,
    pub(crate) batch: usize,
    px: usize,
    key: String,
    device: Device,
}

impl Case {
    /// With weights, images and labels on the device of these kernels.
    pub(crate) fn load(name: &str, kernels: &Kernels) -> anyhow::Result<Self> {
        let fx = Fixture::load(name)?;
        let cfg = fx.json()["config"].clone();
        let field = |name: &str| cfg[name].as_u64().unwrap_or_default() as usize;
        let unet: UNetConfig = serde_json::from_value(serde_json::json!({
            "arch": cfg["arch"], "model_channels": cfg["model_channels"], "channel_mult": cfg["channel_mult"],
            "num_res_blocks": cfg["num_res_blocks"], "guidance_dim": cfg["time_cond_proj_dim"], "dropout": 0.0,
        }))?;
        Ok(Self {
            unet,
            tables: Tables::new([field("num_atr") as u32, field("num_obj") as u32]),
            batch: field("batch"),
            px: field("img_size"),
            key: format!("seed{}", field("seed")),
            device: kernels.device().clone(),
            fx,
        })
    }

    pub(crate) fn teacher_unet(&self) -> UNetConfig {
        UNetConfig { guidance_dim: None, ..self.unet.clone() }
    }

    /// Hashed weights of `teacher`, `student` or `target`.
    pub(crate) fn parameters(&self, network: &str) -> anyhow::Result<Parameters> {
        let cfg = if network == "teacher" { self.teacher_unet() } else { self.unet.clone() };
        let specs = UNet::specs(&cfg, self.tables)?;
        // Only the timestep table keeps its initial value.
        let mut tensors =
            UNet::initial_parameters(&cfg, self.tables, &Streams::new(0), &Device::Cpu)?.tensors();
        let shapes = specs.iter().map(|(name, spec)| (name.clone(), spec.shape.clone()));
        tensors.extend(fill(shapes, &self.key(network))?);
        Ok(Parameters::from_tensors(&specs, tensors, network, &self.device)?)
    }

    /// Standard-deviation-1 noise of the images' shape.
    pub(crate) fn noise(&self, name: &str) -> anyhow::Result<Tensor> {
        self.image(name, 3f64.sqrt())
    }

    pub(crate) fn labels(&self) -> anyhow::Result<Vec<Tensor>> {
        let kinds = ["atr", "obj"].into_iter().zip(self.tables.labels.iter());
        let label = |(name, count): (&str, &u32)| {
            Ok(tensor(self.ints(name, self.batch, 0, *count))?.to_device(&self.device)?)
        };
        kinds.map(label).collect()
    }

    pub(crate) fn w(&self) -> anyhow::Result<Tensor> {
        Ok(hashed(&self.key("w"), self.batch, 0.2, 2.8)?)
    }

    /// Both ends of the schedule, and timesteps between.
    pub(crate) fn t(&self) -> anyhow::Result<Tensor> {
        tensor([vec![0, 999], self.ints("t", self.batch - 2, 1, 999)].concat())
    }

    pub(crate) fn conditions(&self) -> anyhow::Result<Conditions> {
        Ok(Conditions::new(self.labels()?))
    }

    pub(crate) fn inputs(&self) -> anyhow::Result<DistillInputs> {
        let (x_0, labels) = (self.image("x", 1.0)?, self.labels()?);
        let index = tensor([vec![0, 49], self.ints("index", self.batch - 2, 1, 49)].concat())?;
        Ok(DistillInputs { x_0, labels, index, eps: self.noise("eps")?, w: self.w()? })
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    fn image(&self, name: &str, scale: f64) -> anyhow::Result<Tensor> {
        let image = hashed(&self.key(name), (self.batch, 3, self.px, self.px), scale, 0.0)?;
        Ok(image.to_device(&self.device)?)
    }

    fn ints(&self, name: &str, count: usize, low: u32, high: u32) -> Vec<u32> {
        hashed_ints(&self.key(name), count, low, high)
    }
}

fn tensor(values: Vec<u32>) -> anyhow::Result<Tensor> {
    Ok(Tensor::new(values, &Device::Cpu)?)
}
