//! What cuDNN is told of one convolution, and the algorithm it is to take.

use std::ffi::{c_int, c_void};

use candle_core::cuda_backend::cudarc::cudnn::result::{self, CudnnError};
use candle_core::cuda_backend::cudarc::cudnn::sys;

use super::engine::Direction;
use crate::conv2d::geometry::Geometry;
use crate::gpu::Elements;

/// Descriptors of one convolution, and its algorithm.
pub(super) struct Plan {
    x: TensorDescriptor,
    y: TensorDescriptor,
    weight: FilterDescriptor,
    conv: ConvolutionDescriptor,
    algorithm: Algorithm,
    /// Bytes that the algorithm wants beside its arguments.
    pub(super) workspace: usize,
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

/// Of those that cuDNN thinks fastest, the first that is there and gives the same bits every time.
macro_rules! first_usable {
    ($get:path, $handle:expr, $a:expr, $b:expr, $conv:expr, $c:expr) => {{
        let mut count: c_int = 0;
        // SAFETY: plain numbers, for which all bits zero are a value.
        let mut found = [unsafe { std::mem::zeroed() }; MOST];
        // SAFETY: living handle and descriptors, and room for so many answers.
        unsafe { $get($handle, $a, $b, $conv, $c, MOST as c_int, &raw mut count, found.as_mut_ptr()) }?;
        let usable = found.iter().take(count.max(0) as usize).find(|found| {
            found.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
                && found.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC
        });
        usable.map(|found| (found.algo, found.mathType, found.memory))
    }};
}

impl Plan {
    /// Nothing, if cuDNN cannot do it in this order of the images.
    pub(super) fn new(
        handle: sys::cudnnHandle_t,
        g: &Geometry,
        elements: Elements,
        direction: Direction,
        format: sys::cudnnTensorFormat_t,
        precision: Precision,
    ) -> Result<Option<Self>, CudnnError> {
        let int = |n: usize| n as c_int;
        let data = match elements {
            Elements::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            Elements::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        };
        let x = TensorDescriptor::new(data, format, [g.batch, g.c_in, g.h, g.w].map(int))?;
        let y = TensorDescriptor::new(data, format, [g.batch, g.c_out, g.out_h(), g.out_w()].map(int))?;
        let weight = FilterDescriptor::new(data, format, [g.c_out, g.c_in, g.k, g.k].map(int))?;
        let conv = ConvolutionDescriptor::new(int(g.padding), int(g.stride))?;
        conv.set_math(match (elements, precision) {
            (Elements::F32, Precision::Full) => sys::cudnnMathType_t::CUDNN_FMA_MATH,
            _ => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        })?;
        let found = match direction {
            Direction::Forward => {
                first_usable!(result::get_convolution_forward_algorithm, handle, x.0, weight.0, conv.0, y.0)
                    .map(|(algo, math, memory)| (Algorithm::Forward(algo), math, memory))
            }
            Direction::GradX => first_usable!(
                result::get_convolution_backward_data_algorithm,
                handle,
                weight.0,
                y.0,
                conv.0,
                x.0
            )
            .map(|(algo, math, memory)| (Algorithm::GradX(algo), math, memory)),
            Direction::GradWeight => first_usable!(
                result::get_convolution_backward_filter_algorithm,
                handle,
                x.0,
                y.0,
                conv.0,
                weight.0
            )
            .map(|(algo, math, memory)| (Algorithm::GradWeight(algo), math, memory)),
        };
        let Some((algorithm, math, workspace)) = found else { return Ok(None) };
        // The answer holds for this kind of arithmetic, which may be less than what was allowed.
        conv.set_math(math)?;
        Ok(Some(Self { x, y, weight, conv, algorithm, workspace }))
    }

    /// Computes `to` of two arguments: `[x, weight]`, `[dy, weight]` or `[x, dy]`, as the direction has them.
    ///
    /// # Safety
    /// Addresses must be of memory as the descriptors say, and of a workspace of [`Self::workspace`] bytes.
    pub(super) unsafe fn run(
        &self,
        handle: sys::cudnnHandle_t,
        [a, b]: [*const c_void; 2],
        to: *mut c_void,
        workspace: *mut c_void,
    ) -> Result<(), CudnnError> {
        let (one, zero) = (1f32, 0f32);
        let one = std::ptr::from_ref(&one).cast();
        let zero = std::ptr::from_ref(&zero).cast();
        let Self { x, y, weight, conv, workspace: bytes, .. } = self;
        // SAFETY: by the caller's promise; the scalings are f32 for all types of numbers here.
        unsafe {
            match self.algorithm {
                Algorithm::Forward(algorithm) => result::convolution_forward(
                    handle, one, x.0, a, weight.0, b, conv.0, algorithm, workspace, *bytes, zero, y.0, to,
                ),
                Algorithm::GradX(algorithm) => result::convolution_backward_data(
                    handle, one, weight.0, b, y.0, a, conv.0, algorithm, workspace, *bytes, zero, x.0, to,
                ),
                Algorithm::GradWeight(algorithm) => result::convolution_backward_filter(
                    handle, one, x.0, a, y.0, b, conv.0, algorithm, workspace, *bytes, zero, weight.0, to,
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
