//! cuDNN on each device, with the plans it has made: found once per convolution, and kept.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::rc::Rc;

use candle_core::cuda_backend::cudarc::cudnn::result::{self, CudnnError};
use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::cudnn::sys::cudnnTensorFormat_t::{
    CUDNN_TENSOR_NCHW, CUDNN_TENSOR_NHWC,
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtrMut};
use candle_core::cuda_backend::{DeviceId, gemm_reduced_precision_f32};
use candle_core::{CudaDevice, Error, Result, bail};

use super::plan::{Candidate, Direction, Plan, Precision};
use super::turn::turn_images;
use crate::conv2d::geometry::Geometry;
use crate::conv2d::gpu::Transposition;
use crate::cuda::{Stream, allocate};
use crate::gpu::{Arg, Elements};

/// All that a plan depends on.
type Key = (Geometry, Elements, Direction, Precision);

/// Plans for a convolution in both orders of images, and the attempts to run them. The first attempt that
/// works is kept.
struct Planned {
    plans: Vec<(sys::cudnnTensorFormat_t, Plan)>,
    /// Index of a plan and of its candidate, the best first.
    attempts: Vec<(usize, usize)>,
    /// The attempt in use.
    now: Cell<usize>,
}

impl Planned {
    fn new(plans: Vec<(sys::cudnnTensorFormat_t, Plan)>) -> Self {
        /// An algorithm that needs a larger workspace than this is tried later.
        const MUCH: usize = 1 << 30;
        let mut attempts: Vec<_> = plans
            .iter()
            .enumerate()
            .flat_map(|(plan, (_, of))| (0..of.candidates.len()).map(move |candidate| (plan, candidate)))
            .collect();
        // The sort is stable: otherwise plans and candidates keep their order, which is cuDNN's.
        attempts.sort_by_key(|&(plan, candidate)| {
            let candidate = &plans[plan].1.candidates[candidate];
            (!candidate.repeats, candidate.workspace > MUCH)
        });
        Self { plans, attempts, now: Cell::new(0) }
    }
}

/// cuDNN on one device for one thread: its handles must not be shared between threads.
struct Engine {
    handle: sys::cudnnHandle_t,
    plans: HashMap<Key, Rc<Planned>>,
    /// As large as the largest workspace needed so far. One is enough, as a device computes one convolution
    /// at a time.
    workspace: Option<CudaSlice<f32>>,
}

thread_local! {
    static ENGINES: RefCell<HashMap<DeviceId, Engine>> = RefCell::default();
}

/// Computes `to` from two arguments. All three are images with channels last, or weights with input channels
/// last.
pub(super) fn convolve(
    device: &CudaDevice,
    g: &Geometry,
    elements: Elements,
    direction: Direction,
    from: [Arg; 2],
    to: Arg,
) -> Result<()> {
    ENGINES.with_borrow_mut(|engines| {
        let engine = match engines.entry(device.id()) {
            Entry::Occupied(engine) => engine.into_mut(),
            Entry::Vacant(place) => place.insert(Engine::new(device)?),
        };
        engine.convolve(device, g, elements, direction, from, to)
    })
}

fn wrap(error: CudnnError) -> Error {
    Error::wrap(error).context("cuDNN")
}

impl Engine {
    fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().map_err(Error::wrap)?;
        let handle = result::create_handle().map_err(wrap)?;
        let engine = Self { handle, plans: HashMap::new(), workspace: None };
        // SAFETY: a living handle, and candle's stream, which lives as long as the device.
        unsafe { result::set_stream(handle, stream.cu_stream().cast()) }.map_err(wrap)?;
        Ok(engine)
    }

    fn convolve(
        &mut self,
        device: &CudaDevice,
        g: &Geometry,
        elements: Elements,
        direction: Direction,
        from: [Arg; 2],
        to: Arg,
    ) -> Result<()> {
        let planned = self.planned(g, elements, direction)?;
        loop {
            let (plan, candidate) = planned.attempts[planned.now.get()];
            let (format, plan) = &planned.plans[plan];
            let candidate = &plan.candidates[candidate];
            let done = match *format {
                CUDNN_TENSOR_NHWC => self.run(device, plan, candidate, from, to),
                _ => self.run_turned(device, plan, candidate, (g, elements, direction), from, to),
            };
            let next = planned.now.get() + 1;
            match done {
                Err(error) if next < planned.attempts.len() => {
                    tracing::debug!("conv2d: {candidate:?} for {g:?} does not work: {error}");
                    planned.now.set(next);
                }
                done => return done,
            }
        }
    }

    /// Runs a convolution that cuDNN has only with channels first: transposes the arguments before it and the
    /// result after it.
    fn run_turned(
        &mut self,
        device: &CudaDevice,
        plan: &Plan,
        candidate: &Candidate,
        (g, elements, direction): (&Geometry, Elements, Direction),
        from: [Arg; 2],
        to: Arg,
    ) -> Result<()> {
        let turns = Turns::new(g, direction);
        let room = |turn: Transposition| allocate::<f32>(device, turn.count * turn.rows * turn.columns);
        let stream = Stream(device);
        let mut turned_from = [room(turns.from[0])?, room(turns.from[1])?];
        let mut turned_to = room(turns.to)?;
        let mut arguments = from;
        for ((turn, turned), arg) in turns.from.into_iter().zip(&mut turned_from).zip(&mut arguments) {
            let to = stream.write(turned);
            turn_images(device, elements, turn, *arg, to)?;
            *arg = to;
        }
        let result = stream.write(&mut turned_to);
        self.run(device, plan, candidate, arguments, result)?;
        turn_images(device, elements, turns.to, result, to)
    }

    fn planned(&mut self, g: &Geometry, elements: Elements, direction: Direction) -> Result<Rc<Planned>> {
        let reduced = elements == Elements::F32 && gemm_reduced_precision_f32();
        let precision = if reduced { Precision::Tf32 } else { Precision::Full };
        let key = (*g, elements, direction, precision);
        if let Some(planned) = self.plans.get(&key) {
            return Ok(Rc::clone(planned));
        }
        let mut plans = Vec::new();
        let mut refusal = None;
        for format in [CUDNN_TENSOR_NHWC, CUDNN_TENSOR_NCHW] {
            match Plan::new(self.handle, g, elements, direction, format, precision) {
                Ok(plan) => plans.push((format, plan)),
                // cuDNN refuses orders that it does not support for this type of numbers, with various
                // errors.
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        let planned = Rc::new(Planned::new(plans));
        let Some(&(plan, candidate)) = planned.attempts.first() else {
            let why = refusal.map_or_else(String::new, |error| format!(": {error}"));
            bail!("conv2d: cuDNN has no algorithm for {g:?}, {elements:?}, {direction:?}{why}")
        };
        if !planned.plans[plan].1.candidates[candidate].repeats {
            tracing::warn!(
                "conv2d: for {g:?}, {direction:?}, cuDNN has no algorithm that gives the same bits every time"
            );
        }
        self.plans.insert(key, Rc::clone(&planned));
        Ok(planned)
    }

    fn run(
        &mut self,
        device: &CudaDevice,
        plan: &Plan,
        candidate: &Candidate,
        from: [Arg; 2],
        to: Arg,
    ) -> Result<()> {
        let numbers = candidate.workspace.div_ceil(size_of::<f32>());
        if numbers > self.workspace.as_ref().map_or(0, CudaSlice::len) {
            // Free the old one first, so that both are not allocated at once.
            self.workspace = None;
            self.workspace = Some(allocate(device, numbers)?);
        }
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().map_err(Error::wrap)?;
        let workspace = match &mut self.workspace {
            Some(workspace) => workspace.device_ptr_mut(&stream).0 as *mut c_void,
            None => std::ptr::null_mut(),
        };
        let address = |arg: Arg| match arg {
            Arg::Pointer(address) => address as *mut c_void,
            _ => std::ptr::null_mut(),
        };
        let [a, b] = from.map(|arg| address(arg).cast_const());
        // SAFETY: the callers have memory of the geometry's sizes, the workspace was made large enough.
        unsafe { plan.run(self.handle, candidate, [a, b], address(to), workspace) }.map_err(wrap)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: made in `new`, destroyed once. There is nobody to tell of a failure.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// How arguments and result get into the order with the channels first, and back.
struct Turns {
    from: [Transposition; 2],
    to: Transposition,
}

impl Turns {
    fn new(g: &Geometry, direction: Direction) -> Self {
        let first = |count, pixels, channels| Transposition { count, rows: pixels, columns: channels };
        let last = |turn: Transposition| Transposition { rows: turn.columns, columns: turn.rows, ..turn };
        let (x, y) = (first(g.batch, g.in_pixels(), g.c_in), first(g.batch, g.out_pixels(), g.c_out));
        let weight = first(g.c_out, g.taps(), g.c_in);
        match direction {
            Direction::Forward => Self { from: [x, weight], to: last(y) },
            Direction::GradX => Self { from: [y, weight], to: last(x) },
            Direction::GradWeight => Self { from: [x, y], to: last(weight) },
        }
    }
}
