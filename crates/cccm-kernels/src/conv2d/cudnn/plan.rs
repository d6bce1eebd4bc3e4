//! What cuDNN is told of one convolution, and the algorithm it is to take.

use std::ffi::{c_int, c_void};

use candle_core::cuda_backend::cudarc::cudnn::result::{self, CudnnError};
use candle_core::cuda_backend::cudarc::cudnn::sys;

use crate::conv2d::geometry::Geometry;
use crate::gpu::Elements;

/// What is computed of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// `y` of `[x, weight]`.
    Forward,
    /// `dx` of `[dy, weight]`.
    GradX,
    /// `dweight` of `[x, dy]`.
    GradWeight,
}

/// Descriptors of one convolution in one order of its images, and how cuDNN would compute it.
pub(super) struct Plan {
    x: TensorDescriptor,
    y: TensorDescriptor,
    weight: FilterDescriptor,
    conv: ConvolutionDescriptor,
    /// The fastest first, as cuDNN thinks.
    pub(super) candidates: Vec<Candidate>,
}

/// One way to compute it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    algorithm: Algorithm,
    math: sys::cudnnMathType_t,
    /// Bytes that the algorithm wants beside its arguments.
    pub(super) workspace: usize,
    /// Whether it gives the same bits every time.
    pub(super) repeats: bool,
}

/// How a direction is computed.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    GradX(sys::cudnnConvolutionBwdDataAlgo_t),
    GradWeight(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// Whether `f32` products may be rounded to TF32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Precision {
    Full,
    Tf32,
}

/// As many algorithms as cuDNN has for a direction, and more.
const MOST: usize = 16;

/// cuDNN's answer about one algorithm, with the memory layout that all three directions share. Its fields are
/// plain numbers: a cuDNN that is newer than its declarations may return values that these lack, which a Rust
/// `enum` must never hold.
#[repr(C)]
#[derive(Clone, Copy)]
struct Answer {
    algorithm: c_int,
    status: c_int,
    time: f32,
    memory: usize,
    determinism: c_int,
    math: c_int,
    reserved: [c_int; 3],
}

/// The value of an `enum` with this number, if it has one.
macro_rules! known {
    ($number:expr, [$($value:expr),+ $(,)?]) => {
        match $number {
            $(number if number == $value as c_int => Some($value),)+
            _ => None,
        }
    };
}

fn math_of(number: c_int) -> Option<sys::cudnnMathType_t> {
    use sys::cudnnMathType_t as Math;
    known!(
        number,
        [
            Math::CUDNN_DEFAULT_MATH,
            Math::CUDNN_TENSOR_OP_MATH,
            Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
            Math::CUDNN_FMA_MATH,
        ]
    )
}

fn forward_of(number: c_int) -> Option<Algorithm> {
    use sys::cudnnConvolutionFwdAlgo_t as Algo;
    let algorithm = known!(
        number,
        [
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_GEMM,
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_DIRECT,
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_FFT,
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING,
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD,
            Algo::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED,
        ]
    );
    algorithm.map(Algorithm::Forward)
}

fn grad_x_of(number: c_int) -> Option<Algorithm> {
    use sys::cudnnConvolutionBwdDataAlgo_t as Algo;
    let algorithm = known!(
        number,
        [
            Algo::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0,
            Algo::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
            Algo::CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT,
            Algo::CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING,
            Algo::CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD,
            Algo::CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED,
        ]
    );
    algorithm.map(Algorithm::GradX)
}

fn grad_weight_of(number: c_int) -> Option<Algorithm> {
    use sys::cudnnConvolutionBwdFilterAlgo_t as Algo;
    let algorithm = known!(
        number,
        [
            Algo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
            Algo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
            Algo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT,
            Algo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
            Algo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD,
            Algo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED,
            Algo::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING,
        ]
    );
    algorithm.map(Algorithm::GradWeight)
}

impl Answer {
    const NONE: Self =
        Self { algorithm: -1, status: -1, time: 0.0, memory: 0, determinism: -1, math: -1, reserved: [0; 3] };

    /// A way to compute it, if the answer is one, of an algorithm and arithmetic that are known here.
    fn candidate(self, algorithm: fn(c_int) -> Option<Algorithm>) -> Option<Candidate> {
        if self.status != sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS as c_int {
            return None;
        }
        Some(Candidate {
            algorithm: algorithm(self.algorithm)?,
            math: math_of(self.math)?,
            workspace: self.memory,
            repeats: self.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC as c_int,
        })
    }
}

/// What cuDNN answers for a direction.
macro_rules! candidates {
    ($get:path, $perf:ty, $algorithm:path, $handle:expr, $a:expr, $b:expr, $conv:expr, $c:expr) => {{
        const {
            assert!(size_of::<$perf>() == size_of::<Answer>() && align_of::<$perf>() == align_of::<Answer>());
        }
        let mut count: c_int = 0;
        let mut found = [Answer::NONE; MOST];
        // SAFETY: living handle and descriptors, and room for so many answers, of the layout that cuDNN has for them.
        unsafe {
            $get(
                $handle,
                $a,
                $b,
                $conv,
                $c,
                MOST as c_int,
                &raw mut count,
                found.as_mut_ptr().cast::<$perf>(),
            )
        }?;
        let answers = found.iter().take(count.max(0) as usize);
        answers.filter_map(|answer| answer.candidate($algorithm)).collect::<Vec<_>>()
    }};
}

impl Plan {
    /// The plan has no candidates if cuDNN knows this order of images but has no algorithm for it.
    pub(super) fn new(
        handle: sys::cudnnHandle_t,
        g: &Geometry,
        elements: Elements,
        direction: Direction,
        format: sys::cudnnTensorFormat_t,
        precision: Precision,
    ) -> Result<Self, CudnnError> {
        let int = |n: usize| n as c_int;
        let data = match elements {
            Elements::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            Elements::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        };
        let x = TensorDescriptor::new(data, format, [g.batch, g.c_in, g.h, g.w].map(int))?;
        let y = TensorDescriptor::new(data, format, [g.batch, g.c_out, g.out_h(), g.out_w()].map(int))?;
        let weight = FilterDescriptor::new(data, format, [g.c_out, g.c_in, g.k, g.k].map(int))?;
        let conv = ConvolutionDescriptor::new(int(g.padding), int(g.stride))?;
        let exact = elements == Elements::F32 && precision == Precision::Full;
        let math = if exact {
            sys::cudnnMathType_t::CUDNN_FMA_MATH
        } else {
            // Allows TF32 for `f32`, and tensor cores for `bf16`.
            sys::cudnnMathType_t::CUDNN_DEFAULT_MATH
        };
        conv.set_math(math)?;
        let mut plan = Self { x, y, weight, conv, candidates: Vec::new() };
        plan.candidates = plan.answers(handle, direction)?;
        if exact {
            // An answer may come with arithmetic that is faster than what was allowed.
            for candidate in &mut plan.candidates {
                candidate.math = math;
            }
        }
        Ok(plan)
    }

    /// What cuDNN would take, the best first.
    fn answers(
        &self,
        handle: sys::cudnnHandle_t,
        direction: Direction,
    ) -> Result<Vec<Candidate>, CudnnError> {
        let Self { x, y, weight, conv, .. } = self;
        Ok(match direction {
            Direction::Forward => candidates!(
                result::get_convolution_forward_algorithm,
                sys::cudnnConvolutionFwdAlgoPerf_t,
                forward_of,
                handle,
                x.0,
                weight.0,
                conv.0,
                y.0
            ),
            Direction::GradX => candidates!(
                result::get_convolution_backward_data_algorithm,
                sys::cudnnConvolutionBwdDataAlgoPerf_t,
                grad_x_of,
                handle,
                weight.0,
                y.0,
                conv.0,
                x.0
            ),
            Direction::GradWeight => candidates!(
                result::get_convolution_backward_filter_algorithm,
                sys::cudnnConvolutionBwdFilterAlgoPerf_t,
                grad_weight_of,
                handle,
                x.0,
                y.0,
                conv.0,
                weight.0
            ),
        })
    }

    /// Computes `to` of two arguments: `[x, weight]`, `[dy, weight]` or `[x, dy]`, as the direction has them.
    ///
    /// # Safety
    /// Addresses must be of memory as the descriptors say, and of a workspace as large as the candidate wants.
    pub(super) unsafe fn run(
        &self,
        handle: sys::cudnnHandle_t,
        candidate: &Candidate,
        [a, b]: [*const c_void; 2],
        to: *mut c_void,
        workspace: *mut c_void,
    ) -> Result<(), CudnnError> {
        let (one, zero) = (1f32, 0f32);
        let one = std::ptr::from_ref(&one).cast();
        let zero = std::ptr::from_ref(&zero).cast();
        let Self { x, y, weight, conv, .. } = self;
        let bytes = candidate.workspace;
        conv.set_math(candidate.math)?;
        // SAFETY: by the caller's promise; the scalings are f32 for all types of numbers here.
        unsafe {
            match candidate.algorithm {
                Algorithm::Forward(algorithm) => result::convolution_forward(
                    handle, one, x.0, a, weight.0, b, conv.0, algorithm, workspace, bytes, zero, y.0, to,
                ),
                Algorithm::GradX(algorithm) => result::convolution_backward_data(
                    handle, one, weight.0, b, y.0, a, conv.0, algorithm, workspace, bytes, zero, x.0, to,
                ),
                Algorithm::GradWeight(algorithm) => result::convolution_backward_filter(
                    handle, one, x.0, a, y.0, b, conv.0, algorithm, workspace, bytes, zero, weight.0, to,
                ),
            }
        }
    }
}

/// A descriptor that is destroyed with its owner.
macro_rules! descriptor {
    ($name:ident, $raw:ty, $destroy:path) => {
        struct $name($raw);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: made by the constructor, destroyed once. There is nobody to tell of a failure.
                let _ = unsafe { $destroy(self.0) };
            }
        }
    };
}

descriptor!(TensorDescriptor, sys::cudnnTensorDescriptor_t, result::destroy_tensor_descriptor);
descriptor!(FilterDescriptor, sys::cudnnFilterDescriptor_t, result::destroy_filter_descriptor);
descriptor!(ConvolutionDescriptor, sys::cudnnConvolutionDescriptor_t, result::destroy_convolution_descriptor);

impl TensorDescriptor {
    fn new(
        data: sys::cudnnDataType_t,
        format: sys::cudnnTensorFormat_t,
        dims: [c_int; 4],
    ) -> Result<Self, CudnnError> {
        let descriptor = Self(result::create_tensor_descriptor()?);
        // SAFETY: just made.
        unsafe { result::set_tensor4d_descriptor(descriptor.0, format, data, dims) }?;
        Ok(descriptor)
    }
}

impl FilterDescriptor {
    fn new(
        data: sys::cudnnDataType_t,
        format: sys::cudnnTensorFormat_t,
        dims: [c_int; 4],
    ) -> Result<Self, CudnnError> {
        let descriptor = Self(result::create_filter_descriptor()?);
        // SAFETY: just made.
        unsafe { result::set_filter4d_descriptor(descriptor.0, data, format, dims) }?;
        Ok(descriptor)
    }
}

impl ConvolutionDescriptor {
    fn new(padding: c_int, stride: c_int) -> Result<Self, CudnnError> {
        let descriptor = Self(result::create_convolution_descriptor()?);
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        // Sums are f32, whatever the images are.
        let sums = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
        // SAFETY: just made.
        unsafe {
            result::set_convolution2d_descriptor(
                descriptor.0,
                padding,
                padding,
                stride,
                stride,
                1,
                1,
                mode,
                sums,
            )
        }?;
        Ok(descriptor)
    }

    fn set_math(&self, math: sys::cudnnMathType_t) -> Result<(), CudnnError> {
        // SAFETY: a living descriptor.
        unsafe { result::set_convolution_math_type(self.0, math) }
    }
}
