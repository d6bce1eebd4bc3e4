//! Embeddings of timestep, guidance weight and labels.

use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use cccm_sched::guidance_embedding;

use crate::UNetConfig;
use crate::layers::{Linear, fan_in_uniform};

/// A trainable table of timesteps, plus the projected guidance weight in a student, through two linear layers.
#[derive(Clone, Debug)]
pub(crate) struct TimeEmbedding {
    table: Tensor,
    guidance: Option<Guidance>,
    linear_1: Linear,
    linear_2: Linear,
}

#[derive(Clone, Debug)]
struct Guidance {
    projection: Tensor,
    width: usize,
}

impl TimeEmbedding {
    pub(crate) fn new(timesteps: usize, cfg: &UNetConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (channels, dim) = (cfg.model_channels, cfg.embedding_dim());
        let guidance = |width| -> Result<Guidance> {
            let projection =
                vb.pp("cond_proj").get_with_hints((channels, width), "weight", fan_in_uniform(width))?;
            Ok(Guidance { projection, width })
        };
        Ok(Self {
            table: vb.pp("emb_layer").get((timesteps, channels), "weight")?,
            guidance: cfg.guidance_dim.map(guidance).transpose()?,
            linear_1: Linear::new(channels, dim, vb.pp("linear_1"))?,
            linear_2: Linear::new(dim, dim, vb.pp("linear_2"))?,
        })
    }

    /// - `t`: `(batch,)` `u32`; `w`: `(batch,)` guidance weights, for a student and only for it
    /// - result: `(batch, 4 · model_channels)`
    pub(crate) fn forward(&self, t: &Tensor, w: Option<&Tensor>) -> Result<Tensor> {
        let embedded = rows(&self.table, t, "timestep")?;
        let embedded = match (&self.guidance, w) {
            (Some(guidance), Some(w)) => {
                let w = guidance_embedding(w, guidance.width)?.to_device(embedded.device())?;
                (embedded + w.matmul(&guidance.projection.t()?)?)?
            }
            (None, None) => embedded,
            (Some(_), None) => {
                bail!("this network is a student: it needs a guidance weight `w` for each image")
            }
            (None, Some(_)) => bail!("this network is a teacher: it takes no guidance weight `w`"),
        };
        self.linear_2.forward(&self.linear_1.forward(&embedded)?.silu()?)
    }
}

/// A table of one label kind, the null token behind the labels, through two linear layers.
#[derive(Clone, Debug)]
pub(crate) struct LabelEmbedding {
    table: Tensor,
    linear_1: Linear,
    linear_2: Linear,
}

impl LabelEmbedding {
    pub(crate) fn new(labels: usize, cfg: &UNetConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (channels, dim) = (cfg.model_channels, cfg.embedding_dim());
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        Ok(Self {
            table: vb.pp("embedding_table").get_with_hints((labels + 1, channels), "weight", normal)?,
            linear_1: Linear::new(channels, dim, vb.pp("emb.0"))?,
            linear_2: Linear::new(dim, dim, vb.pp("emb.2"))?,
        })
    }

    /// - `labels`: `(batch,)` `u32`, up to and including the null token; result: `(batch, 4 · model_channels)`
    pub(crate) fn forward(&self, labels: &Tensor) -> Result<Tensor> {
        let embedded = rows(&self.table, labels, "label")?;
        self.linear_2.forward(&self.linear_1.forward(&embedded)?.silu()?)
    }
}

/// The rows of a table with these indices, `(batch,)` `u32`. On the CPU, an index beyond the table is an
/// error. On a GPU the indices are not checked, since that would wait for it. The last row is taken instead,
/// because a read beyond its memory would make the GPU unusable for the process.
fn rows(table: &Tensor, indices: &Tensor, what: &str) -> Result<Tensor> {
    let last = (table.dim(0)? as u32).saturating_sub(1);
    if indices.device().is_cpu() {
        let bad = indices.flatten_all()?.to_vec1::<u32>()?.into_iter().find(|index| *index > last);
        if let Some(index) = bad {
            bail!("{what} {index} is not in 0..={last}, which the network has");
        }
        return table.index_select(&indices.to_device(table.device())?, 0);
    }
    let last = Tensor::full(last, indices.shape(), indices.device())?;
    table.index_select(&indices.minimum(&last)?, 0)
}

/// Initial timestep table: interleaved `sin, cos` of `t exp(-2j/ch ln 10000)`, in `f32` as PyTorch has it
/// (Vaswani et al. 2017, section 3.5).
pub(crate) fn sinusoid_table(timesteps: usize, channels: usize) -> Vec<f32> {
    let frequencies: Vec<f32> = (0..channels)
        .step_by(2)
        .map(|j| (-(j as f32) / channels as f32 * 10000f64.ln() as f32).exp())
        .collect();
    let row = |t: usize| frequencies.iter().flat_map(move |f| [(t as f32 * f).sin(), (t as f32 * f).cos()]);
    (0..timesteps).flat_map(row).collect()
}
