//! The one thing that samplers and losses know about a network.

use candle_core::{Result, Tensor};

use crate::Draws;

/// What an image should show, for each sample of a batch.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Per label kind `(batch,)` `u32` indices, on the device of the images; the null token of a kind of `n` labels is `n`.
    pub labels: Vec<Tensor>,
    /// `(batch,)` `f32` guidance weights as papers count them (0 is none); only students take them. On the CPU, whatever the
    /// device of the network: their embedding is computed there.
    pub w: Option<Tensor>,
}

impl Conditions {
    /// Labels without a guidance weight, as teachers take them.
    pub fn new(labels: Vec<Tensor>) -> Self {
        Self { labels, w: None }
    }

    /// The same labels with guidance weights `(batch,)`, as students take them.
    #[must_use]
    pub fn with_w(self, w: Tensor) -> Self {
        Self { w: Some(w), ..self }
    }

    /// The same batch with every label dropped to its kind's null token, `null_labels[kind]`.
    ///
    /// # Errors
    /// When the numbers of label kinds differ.
    pub fn unconditional(&self, null_labels: &[u32]) -> Result<Self> {
        if null_labels.len() != self.labels.len() {
            let (got, want) = (null_labels.len(), self.labels.len());
            candle_core::bail!("unconditional: {got} null labels for {want} label kinds")
        }
        let dropped = |(labels, null): (&Tensor, &u32)| Tensor::full(*null, labels.shape(), labels.device());
        let labels = self.labels.iter().zip(null_labels).map(dropped).collect::<Result<_>>()?;
        Ok(Self { labels, w: self.w.clone() })
    }

    /// Both batches, one behind the other.
    ///
    /// # Errors
    /// When one has label kinds or guidance weights that the other lacks.
    pub fn cat(&self, other: &Self) -> Result<Self> {
        if self.labels.len() != other.labels.len() || self.w.is_some() != other.w.is_some() {
            candle_core::bail!("conditions of different kinds cannot be one batch")
        }
        let pairs = self.labels.iter().zip(&other.labels);
        let labels = pairs.map(|(a, b)| Tensor::cat(&[a, b], 0)).collect::<Result<_>>()?;
        let w = match (&self.w, &other.w) {
            (Some(a), Some(b)) => Some(Tensor::cat(&[a, b], 0)?),
            _ => None,
        };
        Ok(Self { labels, w })
    }

    /// Samples `start..start + len` of the batch.
    ///
    /// # Errors
    /// When the batch is shorter.
    pub fn narrow(&self, start: usize, len: usize) -> Result<Self> {
        let part = |all: &Tensor| all.narrow(0, start, len);
        let labels = self.labels.iter().map(part).collect::<Result<_>>()?;
        Ok(Self { labels, w: self.w.as_ref().map(part).transpose()? })
    }
}

/// A network that predicts noise (or `x_0`, or `v`) within noisy images.
///
/// Closures `Fn(&Tensor, &Tensor, &Conditions) -> candle_core::Result<Tensor>` are denoisers, so that a network of
/// any origin fits.
pub trait Denoiser {
    /// The prediction for each image.
    /// - `x_t`, result: `(batch, channels, height, width)`, on the network's device; `x_t` is `f32`. The
    ///   result may have another float dtype, which callers convert back to `f32`
    /// - `t`: `(batch,)`, `u32`, each in `0..train_timesteps`, on the device of `x_t`, as are the labels
    ///
    /// # Errors
    /// When shapes do not fit the network, or a condition that it needs is missing.
    fn predict(&self, x_t: &Tensor, t: &Tensor, conds: &Conditions) -> Result<Tensor>;

    /// The prediction while training, where dropout is on; its masks come from `draws`. Networks without
    /// dropout keep this default.
    ///
    /// # Errors
    /// As [`Self::predict`].
    fn predict_training(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
        _draws: &Draws,
    ) -> Result<Tensor> {
        self.predict(x_t, t, conds)
    }
}

impl<F> Denoiser for F
where
    F: Fn(&Tensor, &Tensor, &Conditions) -> Result<Tensor>,
{
    fn predict(&self, x_t: &Tensor, t: &Tensor, conds: &Conditions) -> Result<Tensor> {
        self(x_t, t, conds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn conditions_of_different_kinds_do_not_mix() -> Result<()> {
        let label = Tensor::new(&[1u32, 2], &Device::Cpu)?;
        let one = Conditions::new(vec![label.clone()]);
        let two = Conditions::new(vec![label.clone(), label.clone()]);
        assert!(one.cat(&two).is_err());
        assert!(one.unconditional(&[3, 4]).is_err());
        let weighted = one.clone().with_w(Tensor::new(&[1f32, 2.0], &Device::Cpu)?);
        assert!(one.cat(&weighted).is_err());
        assert_eq!(weighted.cat(&weighted)?.narrow(1, 2)?.labels[0].to_vec1::<u32>()?, [2, 1]);
        Ok(())
    }
}
