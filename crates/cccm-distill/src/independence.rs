//! `CoInD`'s term: a teacher whose labels act independently of each other (Gaudi et al. 2025).

use std::iter::repeat_n;

use candle_core::{DType, Tensor};
use cccm_sched::{Conditions, Draws};

use crate::Distance;

/// A batch, followed by copies of its fully labelled samples: one copy for each label kind, with that label
/// alone, and one copy without labels. One forward pass evaluates all of them.
pub(crate) struct Widened {
    batch: usize,
    /// Places of the fully labelled samples within the batch.
    whole: Vec<u32>,
    kinds: usize,
    pub(crate) x_t: Tensor,
    pub(crate) t: Tensor,
    pub(crate) conds: Conditions,
    /// A sample's dropout masks are the same in all its copies, so that their answers differ by the labels
    /// only.
    pub(crate) draws: Draws,
}

impl Widened {
    /// - `whole`: places of the samples whose labels were all given
    pub(crate) fn new(
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
        draws: &Draws,
        whole: Vec<u32>,
        null_labels: &[u32],
    ) -> candle_core::Result<Self> {
        let (batch, kinds) = (x_t.dim(0)?, conds.labels.len());
        let places = Tensor::new(whole.as_slice(), x_t.device())?;
        let picked = |values: &Tensor| values.contiguous()?.index_select(&places, 0);
        let with_copies = |values: &Tensor| {
            let copy = picked(values)?;
            let parts: Vec<_> = std::iter::once(values).chain(repeat_n(&copy, kinds + 1)).collect();
            Tensor::cat(&parts, 0)
        };

        let given = Conditions::new(conds.labels.iter().map(picked).collect::<candle_core::Result<_>>()?);
        let none = given.unconditional(null_labels)?;
        let mut all = conds.clone();
        for kind in 0..kinds {
            let mut alone = none.clone();
            alone.labels[kind] = given.labels[kind].clone();
            all = all.cat(&alone)?;
        }

        let copies = repeat_n(&whole, kinds + 1).flatten().map(|place| *place as usize);
        let draws = draws.select(&(0..batch).chain(copies).collect::<Vec<_>>());
        Ok(Self {
            batch,
            kinds,
            x_t: with_copies(x_t)?,
            t: with_copies(t)?,
            conds: all.cat(&none)?,
            draws,
            whole,
        })
    }

    /// The answers to the batch itself, and the independence term, `f32` and a scalar: the mean over the batch of
    /// `|Σ_k e(label k alone) - (K - 1) e(no label) - e(all labels)|²` per value, samples without all labels counting 0. For
    /// two kinds that is `|e(a) + e(o) - e(a, o) - e(∅)|²`.
    pub(crate) fn split(&self, answers: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let answers = answers.to_dtype(DType::F32)?.contiguous()?;
        let own = answers.narrow(0, 0, self.batch)?;
        let len = self.whole.len();
        let copy = |index: usize| answers.narrow(0, self.batch + index * len, len);
        let together = own.index_select(&Tensor::new(self.whole.as_slice(), own.device())?, 0)?;
        let mut alone = (copy(self.kinds)? * (1.0 - self.kinds as f64))?;
        for kind in 0..self.kinds {
            alone = (alone + copy(kind)?)?;
        }
        let share = len as f64 / self.batch as f64;
        let term = Distance::L2.between(&alone, &together)?.affine(share, 0.0)?;
        Ok((own, term))
    }
}
