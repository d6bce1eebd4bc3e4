//! Loops over the groups. A group is read a few times in a row while it lies in the cache.

#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use super::exp::sigmoid;
use super::sizes::Sizes;
use crate::buffer::{Chunk, par_chunks};
use crate::isa::{Instructions, Isa, Loop};

/// Independent partial sums: one running sum could not be vectorised, and would be less exact.
const LANES: usize = 64;
/// Values summed in `f32` before the sum goes on in `f64`.
const CHUNK: usize = 4096;

/// What normalises one group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    mean: f32,
    /// `1 / sqrt(variance + eps)`.
    inv_std: f32,
}

/// Per channel, after the normalisation.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
}

impl<'a> Affine<'a> {
    /// The part of the `i`-th group of the batch.
    fn of_group(self, sizes: &Sizes, i: usize) -> Self {
        let channels = sizes.channels_per_group();
        let first = i % sizes.groups * channels;
        Self { weight: &self.weight[first..][..channels], bias: &self.bias[first..][..channels] }
    }

    /// `(scale, shift)` of each channel, such that the normalised, then transformed value is `scale * x + shift`.
    fn folded(self, moments: Moments) -> impl Iterator<Item = (f32, f32)> + 'a {
        self.weight.iter().zip(self.bias).map(move |(weight, bias)| {
            let scale = weight * moments.inv_std;
            (scale, bias - moments.mean * scale)
        })
    }
}

/// The result, and the moments of all groups.
pub(super) fn forward(
    isa: Isa,
    sizes: &Sizes,
    eps: f64,
    x: &[f32],
    affine: Affine<'_>,
) -> (Vec<f32>, Vec<Moments>) {
    let len = sizes.group_len();
    par_chunks(x.len(), len, |i, y| {
        let (x, affine) = (&x[i * len..][..len], affine.of_group(sizes, i));
        isa.run(Forward { pixels: sizes.pixels, eps, x, affine, y })
    })
}

/// [`forward`] of one group.
struct Forward<'a, 'b> {
    pixels: usize,
    eps: f64,
    x: &'a [f32],
    affine: Affine<'a>,
    y: &'a mut Chunk<'b, f32>,
}

impl Loop for Forward<'_, '_> {
    type Output = Moments;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Moments {
        let len = self.x.len() as f64;
        let mean = (sum(self.x) / len) as f32;
        let variance = sum_of_squares::<I>(self.x, mean) / len;
        let moments = Moments { mean, inv_std: (1.0 / (variance + self.eps).sqrt()) as f32 };
        for (x, (scale, shift)) in self.x.chunks_exact(self.pixels).zip(self.affine.folded(moments)) {
            self.y.extend(x.iter().map(|x| {
                let z = I::mul_add(*x, scale, shift);
                z * sigmoid::<I>(z)
            }));
        }
        moments
    }
}

/// Sum of the values.
#[inline(always)]
fn sum(x: &[f32]) -> f64 {
    let mut total = 0.0;
    for chunk in x.chunks(CHUNK) {
        let (vectors, rest) = chunk.as_chunks::<LANES>();
        let mut lanes = [0.0; LANES];
        for vector in vectors {
            for (lane, v) in lanes.iter_mut().zip(vector) {
                *lane += v;
            }
        }
        total += f64::from(lanes.iter().sum::<f32>() + rest.iter().sum::<f32>());
    }
    total
}

/// Sum of the squared distances from `mean`.
#[inline(always)]
fn sum_of_squares<I: Instructions>(x: &[f32], mean: f32) -> f64 {
    let mut total = 0.0;
    for chunk in x.chunks(CHUNK) {
        let (vectors, rest) = chunk.as_chunks::<LANES>();
        let mut lanes = [0.0; LANES];
        for vector in vectors {
            for (lane, v) in lanes.iter_mut().zip(vector) {
                *lane = I::mul_add(v - mean, v - mean, *lane);
            }
        }
        let rest: f32 = rest.iter().map(|v| (v - mean) * (v - mean)).sum();
        total += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    total
}

/// Gradients of `x`, weight and bias.
pub(super) fn backward(
    isa: Isa,
    sizes: &Sizes,
    moments: &[Moments],
    x: &[f32],
    affine: Affine<'_>,
    dy: &[f32],
) -> [Vec<f32>; 3] {
    let len = sizes.group_len();
    let (dx, affine_grads) = par_chunks(x.len(), len, |i, dx| {
        let (x, dy) = (&x[i * len..][..len], &dy[i * len..][..len]);
        let affine = affine.of_group(sizes, i);
        isa.run(Backward { pixels: sizes.pixels, moments: moments[i], x, affine, dy, dx })
    });
    let (mut dw, mut db) = (vec![0.0; sizes.channels], vec![0.0; sizes.channels]);
    let channels = sizes.channels_per_group();
    for (i, grads) in affine_grads.iter().enumerate() {
        for (channel, grad) in (i % sizes.groups * channels..).zip(grads) {
            dw[channel] += grad.weight;
            db[channel] += grad.bias;
        }
    }
    [dx, dw, db]
}

/// One sample's gradient of what [`Affine`] has of a channel.
struct AffineGrad {
    weight: f32,
    bias: f32,
}

/// [`backward`] of one group.
struct Backward<'a, 'b> {
    pixels: usize,
    moments: Moments,
    x: &'a [f32],
    affine: Affine<'a>,
    dy: &'a [f32],
    dx: &'a mut Chunk<'b, f32>,
}

impl Loop for Backward<'_, '_> {
    type Output = Vec<AffineGrad>;

    /// With `x_hat = (x - mean) * inv_std`, `z = x_hat * weight + bias` and `dz` the gradient of `z`:
    /// `db = sum(dz)`, `dw = sum(dz * x_hat)` over the channel, and
    /// `dx = inv_std * (dz * weight - mean(dz * weight) - x_hat * mean(dz * weight * x_hat))`, means over the group.
    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<AffineGrad> {
        let Self { pixels, moments, x, affine, dy, dx } = self;
        let Moments { mean, inv_std } = moments;
        let (mut sum_dz, mut sum_dz_x_hat) = (0.0, 0.0);
        let channels = x.chunks_exact(pixels).zip(dy.chunks_exact(pixels));
        let mut grads = Vec::with_capacity(affine.weight.len());
        for ((x, dy), (fold, weight)) in channels.zip(affine.folded(moments).zip(affine.weight)) {
            let [bias_grad, weight_grad] = silu_backward::<I>(fold, mean, x, dy, dx);
            let weight_grad = weight_grad * f64::from(inv_std);
            grads.push(AffineGrad { weight: weight_grad as f32, bias: bias_grad as f32 });
            sum_dz += bias_grad * f64::from(*weight);
            sum_dz_x_hat += weight_grad * f64::from(*weight);
        }
        // dx = dz * (weight * inv_std) + x * slope + shift
        let len = x.len() as f64;
        let slope = -inv_std * inv_std * (sum_dz_x_hat / len) as f32;
        let shift = -inv_std * (sum_dz / len) as f32 - slope * mean;
        let channels = dx.written().chunks_exact_mut(pixels).zip(x.chunks_exact(pixels));
        for ((dx, x), weight) in channels.zip(affine.weight) {
            let scale = weight * inv_std;
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = I::mul_add(*dx, scale, I::mul_add(*x, slope, shift));
            }
        }
        grads
    }
}

/// Writes the gradient of `z = scale * x + shift` under SiLU to `dz`, and returns the sums of `dz` and `dz * (x - mean)`.
#[inline(always)]
fn silu_backward<I: Instructions>(
    (scale, shift): (f32, f32),
    mean: f32,
    x: &[f32],
    dy: &[f32],
    dz: &mut Chunk<'_, f32>,
) -> [f64; 2] {
    const LANES: usize = 32;
    const CHUNK: usize = 1024;
    let silu_slope = |x: f32| {
        let z = I::mul_add(x, scale, shift);
        let s = sigmoid::<I>(z);
        s * I::mul_add(z, 1.0 - s, 1.0)
    };
    let mut totals = [0.0; 2];
    for (x, dy) in x.chunks(CHUNK).zip(dy.chunks(CHUNK)) {
        let dz = dz.extend(dy.iter().copied());
        for (dz, x) in dz.iter_mut().zip(x) {
            *dz *= silu_slope(*x);
        }
        let (dz_vectors, dz_rest) = dz.as_chunks::<LANES>();
        let (x_vectors, x_rest) = x.as_chunks::<LANES>();
        let (mut plain, mut weighted) = ([0.0; LANES], [0.0; LANES]);
        for (dz, x) in dz_vectors.iter().zip(x_vectors) {
            for i in 0..LANES {
                plain[i] += dz[i];
                weighted[i] = I::mul_add(dz[i], x[i] - mean, weighted[i]);
            }
        }
        let rest: f32 = dz_rest.iter().zip(x_rest).map(|(dz, x)| dz * (x - mean)).sum();
        totals[0] += f64::from(plain.iter().sum::<f32>() + dz_rest.iter().sum::<f32>());
        totals[1] += f64::from(weighted.iter().sum::<f32>() + rest);
    }
    totals
}
