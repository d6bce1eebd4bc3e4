//! Gradients of variables without the detour through candle's store.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

thread_local! {
    /// During a call of [`backward`] on this thread, the gradients collected so far, one for each variable.
    static COLLECTED: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// `loss.backward()` with less memory traffic: the operations of this crate collect the gradients of their
/// variables outside candle's store, which would first fill a tensor of zeros for each variable, and then add
/// to it.
///
/// # Errors
/// As [`Tensor::backward`].
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    /// Restores the collection of an outer call, even if candle panics.
    struct Outer(Option<Vec<(Tensor, Tensor)>>);
    impl Drop for Outer {
        fn drop(&mut self) {
            COLLECTED.set(self.0.take());
        }
    }
    let outer = Outer(COLLECTED.replace(Some(Vec::new())));
    let mut store = loss.backward()?;
    let collected = COLLECTED.take().unwrap_or_default();
    drop(outer);
    for (variable, gradient) in collected {
        let sum = match store.remove(&variable) {
            Some(rest) => (rest + gradient)?,
            None => gradient,
        };
        store.insert(&variable, sum);
    }
    Ok(store)
}

/// What an operation returns to candle as the gradient of an argument: none if the gradient was collected
/// here.
pub(crate) fn hand_over(argument: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    if !argument.is_variable() || COLLECTED.with_borrow(Option::is_none) {
        return Ok(Some(gradient));
    }
    let before = COLLECTED.with_borrow_mut(|collected| {
        let at = collected.as_ref()?.iter().position(|(variable, _)| variable.id() == argument.id())?;
        Some(collected.as_mut()?.swap_remove(at).1)
    });
    let sum = match before {
        Some(before) => (before + gradient)?,
        None => gradient,
    };
    COLLECTED.with_borrow_mut(|collected| collected.get_or_insert_default().push((argument.clone(), sum)));
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Var};

    use super::*;
    use crate::testing::{assert_close, values};
    use crate::{Conv2dConfig, GroupNormConfig, conv2d, group_norm_silu, recompute};

    /// Variables used once, twice, also by candle's operations, and within a recomputed part.
    #[test]
    fn equals_candles() -> Result<()> {
        let var = |shape: &[usize], seed| Var::from_tensor(&values(shape, seed)?);
        let vars = [var(&[8, 8, 3, 3], 1)?, var(&[8], 2)?, var(&[8], 3)?, var(&[2, 8, 5, 5], 4)?];
        let [weight, scale, shift, x] = vars.each_ref().map(|var| var.as_tensor().clone());
        let same = Conv2dConfig::new(1, 1);
        let block = {
            let (weight, scale, shift) = (weight.clone(), scale.clone(), shift.clone());
            move |x: &[Tensor]| {
                conv2d(
                    &group_norm_silu(&x[0], &scale, &shift, GroupNormConfig::new(2, 1e-5))?,
                    &weight,
                    Some(&shift),
                    same,
                )
            }
        };
        let h = block(std::slice::from_ref(&x))?;
        let h = recompute(block, &[h], &[weight.clone(), scale, shift])?;
        let loss = (h.sqr()?.sum_all()? + weight.sqr()?.sum_all()?)?;
        let (got, want) = (backward(&loss)?, loss.backward()?);
        for (i, var) in vars.iter().enumerate() {
            assert_close(&format!("gradient {i}"), got.get(var).unwrap(), want.get(var).unwrap(), 1e-6);
        }
        Ok(())
    }

    /// An operation whose backward pass fails, or panics.
    struct Broken(&'static str);

    impl CustomOp1 for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }

        fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
            Ok((x.clone(), layout.shape().clone()))
        }

        fn bwd(&self, _x: &Tensor, _y: &Tensor, _dy: &Tensor) -> Result<Option<Tensor>> {
            assert_ne!(self.0, "panics");
            candle_core::bail!("it {}", self.0)
        }
    }

    #[test]
    fn what_fails_leaves_nothing_behind() -> Result<()> {
        let weight = Var::from_tensor(&values(&[1, 1, 1, 1], 1)?)?;
        let x = values(&[1, 1, 2, 2], 2)?;
        let run = || conv2d(&x, &weight, None, Conv2dConfig::default());
        assert!(backward(&run()?.apply_op1(Broken("fails"))?.sum_all()?).is_err());
        let panicking = run()?.apply_op1(Broken("panics"))?.sum_all()?;
        let unwound = catch_unwind(AssertUnwindSafe(|| backward(&panicking)));
        assert!(unwound.is_err());
        // Without a collection, candle's store has the gradient.
        assert!(run()?.sum_all()?.backward()?.get(&weight).is_some());
        Ok(())
    }
}
