//! All variables in one launch, where they are on an NVIDIA GPU.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::AdamW;
use super::update::Update;
use crate::{Ema, Result};

#[cfg(feature = "cuda")]
impl AdamW {
    /// Whether it could be done, and was.
    pub(super) fn at_once(
        &self,
        update: &Update,
        grads: &BTreeMap<String, Tensor>,
        average: Option<(Ema, &BTreeMap<String, Var>)>,
    ) -> Result<bool> {
        use cccm_kernels::{Updated, can_update_at_once, update_at_once};

        // All maps have the same names, hence the same order.
        let mut averages = average.map(|(_, vars)| vars.values());
        let variables: Vec<_> = self
            .params
            .values()
            .zip(self.moments.values())
            .zip(grads.values())
            .map(|((value, moments), grad)| Updated {
                value,
                m: &moments.m,
                v: &moments.v,
                average: averages.as_mut().and_then(Iterator::next).map(|var| &**var),
                grad,
            })
            .collect();
        let fits = variables.iter().all(|variable| {
            let Updated { value, m, v, average, grad } = *variable;
            [Some(value), Some(m), Some(v), average, Some(grad)].into_iter().flatten().all(can_update_at_once)
        });
        if fits {
            update_at_once(&variables, &update.rule(average.map(|(ema, _)| ema)))?;
        }
        Ok(fits)
    }
}

#[cfg(not(feature = "cuda"))]
impl AdamW {
    /// Never, in a build without GPUs.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with feature `cuda`")]
    pub(super) fn at_once(
        &self,
        _: &Update,
        _: &BTreeMap<String, Tensor>,
        _: Option<(Ema, &BTreeMap<String, Var>)>,
    ) -> Result<bool> {
        Ok(false)
    }
}
