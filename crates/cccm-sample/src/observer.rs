//! Watching a sampler at work.

use candle_core::{Result, Tensor};

/// What a sampler knows after one of its steps.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SampleStep<'a> {
    /// Which step this was, from 0.
    pub index: usize,
    /// How many steps there are.
    pub of: usize,
    /// Training timestep at which the network was evaluated.
    pub t: u32,
    /// The clean images as estimated at this step, `(batch, channels, height, width)`, about `[-1, 1]`.
    pub x0_pred: &'a Tensor,
    /// Network evaluations per image so far; a guided DDIM step costs 2.
    pub evaluations: usize,
}

/// Is called after every step of a sampler, for progress bars and intermediate pictures.
///
/// `()` watches nothing; closures `FnMut(&SampleStep<'_>) -> candle_core::Result<()>` are observers.
pub trait Observer {
    /// Sees one step.
    ///
    /// # Errors
    /// An error ends the sampling, which returns it.
    fn step(&mut self, step: &SampleStep<'_>) -> Result<()>;
}

impl Observer for () {
    fn step(&mut self, _: &SampleStep<'_>) -> Result<()> {
        Ok(())
    }
}

impl<F> Observer for F
where
    F: FnMut(&SampleStep<'_>) -> Result<()>,
{
    fn step(&mut self, step: &SampleStep<'_>) -> Result<()> {
        self(step)
    }
}
