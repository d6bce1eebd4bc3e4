//! The results of a step: sums over the pieces of a batch, then over all workers, read from the device once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use cccm_kernels::backward;
use cccm_optim::{gradients, squared_norm};

use crate::{AllReduce, Error, Evaluation, Result, Work};

/// Sums over the pieces of a worker's samples. The device may still be computing them.
pub(crate) struct Tally {
    samples: usize,
    grads: BTreeMap<String, Tensor>,
    /// Scalars in `f64`; absent before the first piece.
    loss: Option<Tensor>,
    /// Likewise, for each of [`Objective::terms`](crate::Objective::terms), in the order of their names: all workers have the same.
    terms: BTreeMap<&'static str, Option<Tensor>>,
    pub(crate) c_t: Option<f64>,
    pub(crate) work: Work,
    pub(crate) backward_secs: f64,
}

/// The gradients of a whole step and its other sums, which decide about the update. They are still on the
/// device.
pub(crate) struct Sums {
    pub(crate) grads: BTreeMap<String, Tensor>,
    terms: Vec<&'static str>,
    /// Loss, its terms and, with several workers, the values of [`Numbers::votes`]: a vector in `f64`.
    scalars: Tensor,
}

/// The scalars of a step, read from the device.
pub(crate) struct Numbers {
    pub(crate) loss: f64,
    /// Zero where no sample had this term.
    pub(crate) terms: BTreeMap<&'static str, f64>,
    pub(crate) grad_norm: f64,
    /// Absent for a worker alone.
    pub(crate) votes: Option<Votes>,
}

/// What all workers said together.
pub(crate) struct Votes {
    pub(crate) samples: usize,
    pub(crate) failed: usize,
    pub(crate) wish: ControlFlow<()>,
}

impl Tally {
    /// Empty sums, before the first piece.
    pub(crate) fn new(terms: &[&'static str]) -> Self {
        Self {
            samples: 0,
            grads: BTreeMap::new(),
            loss: None,
            terms: terms.iter().map(|name| (*name, None)).collect(),
            c_t: None,
            work: Work::default(),
            backward_secs: 0.0,
        }
    }

    /// Adds one piece.
    /// - `share`: the piece's share of all samples of the step
    pub(crate) fn add(
        &mut self,
        trained: &BTreeMap<String, Var>,
        evaluation: Evaluation,
        samples: usize,
        share: f64,
    ) -> Result<()> {
        let started = Instant::now();
        let store = backward(&evaluation.loss.affine(share, 0.0)?)?;
        for (name, grad) in gradients(trained, &store)? {
            let sum = match self.grads.remove(&name) {
                Some(sum) => (sum + grad)?,
                None => grad,
            };
            self.grads.insert(name, sum);
        }
        self.backward_secs += started.elapsed().as_secs_f64();

        let Evaluation { loss, terms, c_t, work } = evaluation;
        add_share(&mut self.loss, &loss.detach(), share)?;
        for (name, term) in terms {
            let Some(sum) = self.terms.get_mut(name) else { return Err(Error::UnknownTerm { name }) };
            add_share(sum, &term, share)?;
        }
        self.samples += samples;
        self.c_t = c_t;
        self.work += work;
        Ok(())
    }

    /// Whether a loss that was added had this term.
    pub(crate) fn has(&self, term: &str) -> bool {
        self.terms.get(term).is_some_and(Option::is_some)
    }

    /// The sums of a worker that is alone.
    pub(crate) fn alone(&mut self) -> Result<Sums> {
        let grads = std::mem::take(&mut self.grads);
        let device = device_of(&grads);
        Ok(Sums { grads, terms: self.terms.keys().copied().collect(), scalars: self.scalars(&device)? })
    }

    /// The sums of all workers. A worker that failed takes part as well, so that the others do not wait for
    /// it.
    /// - `trained`: the variables that gradients belong to; a worker without samples contributes zeros
    pub(crate) fn with_others(
        &mut self,
        workers: &dyn AllReduce,
        trained: &BTreeMap<String, Var>,
        vote: Vote,
        step: u64,
    ) -> Result<Sums> {
        let mut grads = std::mem::take(&mut self.grads);
        if grads.is_empty() {
            let zeros = |(name, var): (&String, &Var)| Ok((name.clone(), var.zeros_like()?));
            grads = trained.iter().map(zeros).collect::<Result<_>>()?;
        }
        let device = device_of(&grads);
        let (failed, stops) = match vote {
            Vote::Failed => (1.0, 0.0),
            Vote::Fine(wish) => (0.0, if wish.is_break() { 1.0 } else { 0.0 }),
        };
        let votes = Tensor::new(&[self.samples as f32, failed, stops], &device)?;
        let scalars = Tensor::cat(&[self.scalars(&device)?.to_dtype(DType::F32)?, votes], 0)?;
        let (names, mut tensors): (Vec<String>, Vec<Tensor>) = grads.into_iter().unzip();
        tensors.push(scalars);
        let mut sums = workers.sum(&tensors).map_err(|source| Error::AllReduce { step, source })?;
        let scalars = sums.split_off(names.len()).remove(0).to_dtype(DType::F64)?;
        let terms = self.terms.keys().copied().collect();
        Ok(Sums { grads: names.into_iter().zip(sums).collect(), terms, scalars })
    }

    /// Loss and terms, zeros for those that are absent.
    fn scalars(&self, device: &Device) -> candle_core::Result<Tensor> {
        let scalar = |sum: &Option<Tensor>| match sum {
            Some(sum) => Ok(sum.clone()),
            None => Tensor::zeros((), DType::F64, device),
        };
        let all = std::iter::once(&self.loss).chain(self.terms.values()).map(scalar);
        Tensor::stack(&all.collect::<candle_core::Result<Vec<_>>>()?, 0)
    }
}

/// Adds this share of a scalar to a sum.
fn add_share(sum: &mut Option<Tensor>, scalar: &Tensor, share: f64) -> candle_core::Result<()> {
    let part = scalar.to_dtype(DType::F64)?.affine(share, 0.0)?;
    *sum = Some(match sum.take() {
        Some(sum) => (sum + part)?,
        None => part,
    });
    Ok(())
}

/// What a worker tells the others at the end of its part of a step.
#[derive(Clone, Copy)]
pub(crate) enum Vote {
    Failed,
    /// Whether somebody wants the run to stop.
    Fine(ControlFlow<()>),
}

impl Sums {
    /// Waits for the device: the only time in a step.
    pub(crate) fn read(&self) -> Result<Numbers> {
        let squared_norm = squared_norm(&self.grads)?.reshape(1)?.to_device(self.scalars.device())?;
        let numbers = Tensor::cat(&[&squared_norm, &self.scalars], 0)?.to_vec1::<f64>()?;
        let (squared_norm, loss, rest) = (numbers[0], numbers[1], &numbers[2..]);
        let (terms, votes) = rest.split_at(self.terms.len());
        Ok(Numbers {
            loss,
            terms: self.terms.iter().copied().zip(terms.iter().copied()).collect(),
            grad_norm: squared_norm.sqrt(),
            votes: votes.first_chunk().map(|[samples, failed, stops]| Votes {
                samples: *samples as usize,
                failed: *failed as usize,
                wish: if *stops > 0.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) },
            }),
        })
    }
}

fn device_of(grads: &BTreeMap<String, Tensor>) -> Device {
    grads.values().next().map_or(Device::Cpu, |grad| grad.device().clone())
}
