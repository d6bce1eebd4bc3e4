//! The Inception-v3 whose features the published FID compares.

mod conv;
mod plan;
mod pool;
mod resize;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use crate::{Error, Result};
use conv::Conv;
use plan::Part;
use pool::Pool;

/// Inception-v3 with the weights and the peculiarities of the original FID (Szegedy et al. 2016; Heusel et al. 2017), as
/// the Python package `pytorch-fid` has it: forward only, in `f32`.
///
/// Its weights are no part of this crate. They are the package's file `pt_inception-2015-12-05-6726825d.pth`, under the
/// names that it has there; as a safetensors file:
///
/// ```python
/// import torch
/// from safetensors.torch import save_file
/// weights = torch.load("pt_inception-2015-12-05-6726825d.pth", weights_only=True)
/// save_file({k: v.contiguous() for k, v in weights.items() if v.is_floating_point()}, "inception.safetensors")
/// ```
///
/// ```no_run
/// use std::collections::BTreeMap;
///
/// use candle_core::{DType, Device, Tensor, safetensors};
/// use cccm_eval::{Inception, frechet_distance};
///
/// let weights: BTreeMap<_, _> = safetensors::load("inception.safetensors", &Device::Cpu)?.into_iter().collect();
/// let inception = Inception::new(&weights)?;
/// # let generated = Tensor::zeros((16, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// # let real = generated.clone();
/// let fid = frechet_distance(&inception.features(&generated)?, &inception.features(&real)?)?;
/// # Ok::<(), cccm_eval::Error>(())
/// ```
#[derive(Debug)]
pub struct Inception {
    layers: Vec<(&'static str, Layer)>,
}

impl Inception {
    /// Number of features of an image.
    pub const FEATURES: usize = 2048;
    /// Colours of an image.
    const CHANNELS: usize = 3;

    /// The network over the weights of `pytorch-fid`, by name. Others, such as those of the classifier that follows the
    /// features, are ignored. Batch normalization is folded into the convolutions.
    ///
    /// # Errors
    /// [`Error::MissingWeight`], [`Error::WeightShape`].
    pub fn new(weights: &BTreeMap<String, Tensor>) -> Result<Self> {
        let mut channels = Self::CHANNELS;
        let layers = plan::inception()
            .iter()
            .map(|part| {
                let layer;
                (layer, channels) = Layer::new(part, "", channels, weights)?;
                Ok((part.name(), layer))
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    /// Features of images: the averages of the last maps.
    /// - `images`: `(n, 3, h, w)`, float, of any size, in -1 to 1; resized to 299×299 by bilinear interpolation
    ///   without antialiasing
    /// - result: `(n, 2048)`, `f32`, at least 0
    ///
    /// Published FIDs are of images that were stored in 8 bits: round to 8 bits to get comparable numbers.
    /// The memory needed is that of a few images, however many there are.
    ///
    /// # Errors
    /// [`Error::Shape`] when the images have another number of channels.
    pub fn features(&self, images: &Tensor) -> Result<Tensor> {
        // Enough to keep the cores busy in the last layers; 300 MB.
        const BATCH: usize = 8;
        let (n, height, width) = match *images.dims() {
            [n, Self::CHANNELS, height, width] if height > 0 && width > 0 => (n, height, width),
            _ => {
                let want = "(n, 3, h, w) with pixels".to_owned();
                return Err(Error::Shape { what: "images", got: images.dims().to_vec(), want });
            }
        };
        if n == 0 {
            return Ok(Tensor::zeros((0, Self::FEATURES), DType::F32, images.device())?);
        }
        let resize = resize::Resize::new((height, width), images.device())?;
        let batches = (0..n).step_by(BATCH).map(|start| {
            let batch = images.narrow(0, start, BATCH.min(n - start))?.to_dtype(DType::F32)?;
            self.forward(&resize.forward(&batch)?, &mut |_, _| {})
        });
        Ok(Tensor::cat(&batches.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }

    /// Features of images of the network's size, `(n, 3, 299, 299)`; `observe` is shown what each layer gives.
    fn forward(
        &self,
        images: &Tensor,
        observe: &mut dyn FnMut(&str, &Tensor),
    ) -> candle_core::Result<Tensor> {
        let mut x = images.clone();
        for (name, layer) in &self.layers {
            x = layer.forward(&x)?;
            observe(name, &x);
        }
        x.flatten_from(2)?.mean(2)
    }
}

/// A layer over its weights.
#[derive(Debug)]
enum Layer {
    Conv(Conv),
    Pool(Pool),
    /// Chains over the same input, whose results are concatenated along the channels.
    Fork(Vec<Vec<Layer>>),
}

impl Layer {
    /// A part of the plan whose name stands behind `prefix`, and the channels that it gives.
    fn new(
        part: &Part,
        prefix: &str,
        channels: usize,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<(Self, usize)> {
        match part {
            Part::Pool(pool) => Ok((Self::Pool(*pool), channels)),
            Part::Conv(conv) => Ok((Self::Conv(Conv::new(conv, prefix, channels, weights)?), conv.channels)),
            Part::Fork { name, branches } => {
                let prefix = if name.is_empty() { prefix.to_owned() } else { format!("{prefix}{name}.") };
                let mut total = 0;
                let branches = branches
                    .iter()
                    .map(|parts| {
                        let mut channels = channels;
                        let chain = parts.iter().map(|part| {
                            let layer;
                            (layer, channels) = Self::new(part, &prefix, channels, weights)?;
                            Ok(layer)
                        });
                        let chain = chain.collect::<Result<Vec<_>>>()?;
                        total += channels;
                        Ok(chain)
                    })
                    .collect::<Result<_>>()?;
                Ok((Self::Fork(branches), total))
            }
        }
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::Pool(pool) => pool.forward(x),
            Self::Fork(branches) => {
                let run = |chain: &Vec<Self>| chain.iter().try_fold(x.clone(), |x, layer| layer.forward(&x));
                let results = branches.iter().map(run).collect::<candle_core::Result<Vec<_>>>()?;
                Tensor::cat(&results, 1)
            }
        }
    }
}
