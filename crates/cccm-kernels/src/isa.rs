//! Which instruction set the hot loops run on, decided at run time.

#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calling code compiled for more than the baseline instruction set")
)]
#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::cell::Cell;

/// Proof that this CPU has AVX-512F: whoever holds one may call code compiled for it.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

/// Proof that this CPU has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    fn detect() -> Option<Self> {
        let found = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }
}

thread_local! {
    static PORTABLY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` on kernels that work on every CPU. This holds for everything that this thread computes in `f`,
/// and for the gradients of that. Results are equal to rounding, but slower. Use it to compare results, and
/// to find out whether a kernel is at fault. Matrix products still come from the `gemm` crate, which chooses
/// its instructions itself.
///
/// ```
/// # use candle_core::{DType, Device, Tensor};
/// # use cccm_kernels::{Conv2dConfig, conv2d, portably};
/// let x = Tensor::ones((1, 64, 16, 16), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((64, 64, 3, 3), DType::F32, &Device::Cpu)?;
/// let run = || conv2d(&x, &weight, None, Conv2dConfig::new(1, 1));
/// let difference = (run()? - portably(run)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
/// assert!(difference < 1e-2, "{difference}"); // of 576
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn portably<R>(f: impl FnOnce() -> R) -> R {
    /// Restores the earlier value, even if `f` panics.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            PORTABLY.set(self.0);
        }
    }
    let _before = Before(PORTABLY.replace(true));
    f()
}

/// What this crate's kernels run on, on this thread: `AVX-512`, `AVX2`, or `portable` code, for the baseline of the target.
pub fn instruction_set() -> &'static str {
    match Isa::detect() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => "AVX2",
        Isa::Portable => "portable",
    }
}

/// Whether this thread is within [`portably`].
pub(crate) fn is_portable() -> bool {
    PORTABLY.get()
}

/// The instruction sets our loops are compiled for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// The target's baseline: any CPU the program starts on.
    Portable,
}

impl Isa {
    /// The best that this CPU has, or what [`portably`] asks for.
    pub(crate) fn detect() -> Self {
        if PORTABLY.get() { Self::Portable } else { Self::available().swap_remove(0) }
    }

    /// Every one that this CPU has, best first.
    pub(crate) fn available() -> Vec<Self> {
        let mut all = Vec::with_capacity(3);
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx512::detect().map(Self::Avx512));
            all.extend(Avx2::detect().map(Self::Avx2));
        }
        all.push(Self::Portable);
        all
    }

    /// Whether [`Instructions::Vector`] is more than the compiler's own vectors.
    pub(crate) fn has_vectors(self) -> bool {
        !matches!(self, Self::Portable)
    }

    /// Runs a loop in its build for this instruction set.
    pub(crate) fn run<L: Loop>(self, body: L) -> L::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f")]
            fn avx512<L: Loop>(body: L) -> L::Output {
                body.run::<avx512::Wide>()
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<L: Loop>(body: L) -> L::Output {
                body.run::<avx2::Halves>()
            }
            match self {
                // SAFETY: the variant's field proves that the CPU has AVX-512F.
                Self::Avx512(_) => return unsafe { avx512(body) },
                // SAFETY: the variant's field proves that the CPU has AVX2 and FMA.
                Self::Avx2(_) => return unsafe { avx2(body) },
                Self::Portable => {}
            }
        }
        // 64-bit ARM always has FMA.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            body.run::<Fused>()
        } else {
            body.run::<Plain>()
        }
    }
}

/// A loop written once in plain Rust and compiled for every [`Isa`]. `run` has to be `#[inline(always)]`, or it
/// keeps the baseline's instructions.
pub(crate) trait Loop {
    type Output;
    fn run<I: Instructions>(self) -> Self::Output;
}

/// Sixteen floats: one vector of AVX-512, two of AVX2, four of others.
pub(crate) type Lanes = [f32; 16];

/// What a [`Loop`] leaves to the instruction set.
pub(crate) trait Instructions {
    /// How many vectors the registers hold.
    const REGISTERS: usize;

    /// Sixteen floats in registers.
    type Vector: Copy;

    /// `a * b + c`.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;

    fn load(lanes: &Lanes) -> Self::Vector;
    fn store(vector: Self::Vector, lanes: &mut Lanes);
    fn splat(value: f32) -> Self::Vector;
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`.
    fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Rows become columns.
    fn transpose(rows: [&Lanes; 16], columns: &mut [Lanes; 16]);

    /// Asks for the cache line of the first value, which will be read soon.
    #[inline(always)]
    fn prefetch(_: &[f32]) {}
}

/// Instructions of a compiler that finds its vectors itself.
macro_rules! plain_vectors {
    ($registers:literal) => {
        // 32 registers of 4 floats, 16 of 8 or 16 of 4.
        const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 8 } else { $registers };

        type Vector = Lanes;

        #[inline(always)]
        fn load(lanes: &Lanes) -> Lanes {
            *lanes
        }

        #[inline(always)]
        fn store(vector: Lanes, lanes: &mut Lanes) {
            *lanes = vector;
        }

        #[inline(always)]
        fn splat(value: f32) -> Lanes {
            [value; 16]
        }

        #[inline(always)]
        fn add(a: Lanes, b: Lanes) -> Lanes {
            std::array::from_fn(|i| a[i] + b[i])
        }

        #[inline(always)]
        fn sub(a: Lanes, b: Lanes) -> Lanes {
            std::array::from_fn(|i| a[i] - b[i])
        }

        #[inline(always)]
        fn mul(a: Lanes, b: Lanes) -> Lanes {
            std::array::from_fn(|i| a[i] * b[i])
        }

        #[inline(always)]
        fn fma(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
            std::array::from_fn(|i| Self::mul_add(a[i], b[i], c[i]))
        }

        #[inline(always)]
        fn transpose(rows: [&Lanes; 16], columns: &mut [Lanes; 16]) {
            for (i, row) in rows.into_iter().enumerate() {
                for (column, value) in columns.iter_mut().zip(row) {
                    column[i] = *value;
                }
            }
        }
    };
}

/// One rounding, one instruction where the CPU has FMA; a slow library call where it has not.
pub(crate) struct Fused;

impl Instructions for Fused {
    plain_vectors!(8);

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Two roundings.
pub(crate) struct Plain;

impl Instructions for Plain {
    plain_vectors!(4);

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portably_ends_with_its_closure() {
        let is_portable = || matches!(Isa::detect(), Isa::Portable);
        let before = is_portable();
        assert!(portably(|| portably(is_portable) && is_portable()));
        assert_eq!(portably(instruction_set), "portable");
        assert_eq!(is_portable(), before);
        assert!(std::panic::catch_unwind(|| portably(|| panic!("within"))).is_err());
        assert_eq!(is_portable(), before);
    }

    #[test]
    fn every_instruction_set_transposes() {
        struct Transpose<'a>(&'a [Lanes; 16]);
        impl Loop for Transpose<'_> {
            type Output = [Lanes; 16];
            #[inline(always)]
            fn run<I: Instructions>(self) -> Self::Output {
                let mut columns = [[0.0; 16]; 16];
                I::transpose(self.0.each_ref(), &mut columns);
                columns
            }
        }
        let x: [Lanes; 16] = std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as f32));
        for isa in Isa::available() {
            let y = isa.run(Transpose(&x));
            for (i, row) in y.iter().enumerate() {
                for (j, value) in row.iter().enumerate() {
                    assert_eq!(*value, x[j][i], "({i}, {j}) on {isa:?}");
                }
            }
        }
    }
}
