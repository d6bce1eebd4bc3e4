//! What a step comes to: sums over the pieces of a batch, then over all workers, read from the device once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use cccm_kernels::backward;
use cccm_optim::{gradients, squared_norm};

use crate::{AllReduce, Error, Evaluation, Result, Work};

/// Sums over the pieces of a worker's samples. Nothing in it has been waited for.
#[derive(Default)]
pub(crate) struct Tally {
    samples: usize,
    grads: BTreeMap<String, Tensor>,
    parts: [Option<Tensor>; PARTS],
    pub(crate) c_t: Option<f64>,
    pub(crate) work: Work,
    pub(crate) backward_secs: f64,
}

/// Loss, the teacher's share of it, that of real data: scalars in `f64`, in this order.
const PARTS: usize = 3;

/// The gradients of a whole step, and its other sums: what decides about the update, still on the device.
pub(crate) struct Sums {
    pub(crate) grads: BTreeMap<String, Tensor>,
    /// The parts, and if there are several workers what is behind [`Numbers::votes`]: a vector in `f64`.
    scalars: Tensor,
}

/// What was read of a step.
pub(crate) struct Numbers {
    pub(crate) loss: f64,
    pub(crate) teacher_part: f64,
    pub(crate) data_part: f64,
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
    /// Adds one piece, which is this share of all samples of the step.
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

        let Evaluation { loss, teacher_part, data_part, c_t, work } = evaluation;
        for (sum, part) in self.parts.iter_mut().zip([Some(loss.detach()), teacher_part, data_part]) {
            let Some(part) = part else { continue };
            let part = part.to_dtype(DType::F64)?.affine(share, 0.0)?;
            *sum = Some(match sum.take() {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        self.samples += samples;
        self.c_t = c_t;
        self.work += work;
        Ok(())
    }

    /// Whether the losses that were added had these shares: the teacher's, that of real data.
    pub(crate) fn has_shares(&self) -> [bool; 2] {
        [self.parts[1].is_some(), self.parts[2].is_some()]
    }

    /// The sums of a worker that is alone.
    pub(crate) fn alone(&mut self) -> Result<Sums> {
        let grads = std::mem::take(&mut self.grads);
        let device = device_of(&grads);
        Ok(Sums { grads, scalars: self.parts(&device)? })
    }

    /// The sums of all workers; one that failed takes part too, so that no other waits for it.
    /// - `trained`: what gradients are of, as a worker without samples has none
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
        let scalars = Tensor::cat(&[self.parts(&device)?.to_dtype(DType::F32)?, votes], 0)?;
        let (names, mut tensors): (Vec<String>, Vec<Tensor>) = grads.into_iter().unzip();
        tensors.push(scalars);
        let mut sums = workers.sum(&tensors).map_err(|source| Error::AllReduce { step, source })?;
        let scalars = sums.split_off(names.len()).remove(0).to_dtype(DType::F64)?;
        Ok(Sums { grads: names.into_iter().zip(sums).collect(), scalars })
    }

    fn parts(&self, device: &Device) -> candle_core::Result<Tensor> {
        let part = |part: &Option<Tensor>| match part {
            Some(part) => Ok(part.clone()),
            None => Tensor::zeros((), DType::F64, device),
        };
        Tensor::stack(&self.parts.iter().map(part).collect::<candle_core::Result<Vec<_>>>()?, 0)
    }
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
        let (squared_norm, rest) = (numbers[0], &numbers[1..]);
        Ok(Numbers {
            loss: rest[0],
            teacher_part: rest[1],
            data_part: rest[2],
            grad_norm: squared_norm.sqrt(),
            votes: rest.get(PARTS..PARTS + 3).map(|votes| Votes {
                samples: votes[0] as usize,
                failed: votes[1] as usize,
                wish: if votes[2] > 0.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) },
            }),
        })
    }
}

fn device_of(grads: &BTreeMap<String, Tensor>) -> Device {
    grads.values().next().map_or(Device::Cpu, |grad| grad.device().clone())
}
