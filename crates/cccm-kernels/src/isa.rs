//! Which instruction set the hot loops run on, decided at run time.

#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calling code compiled for more than the baseline instruction set")
)]
#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

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
    /// The best that this CPU has.
    pub(crate) fn detect() -> Self {
        Self::available().swap_remove(0)
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

    /// Runs a loop in its build for this instruction set.
    pub(crate) fn run<L: Loop>(self, body: L) -> L::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f")]
            fn avx512<L: Loop>(body: L) -> L::Output {
                body.run::<Fused>()
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<L: Loop>(body: L) -> L::Output {
                body.run::<Fused>()
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
    fn run<M: MulAdd>(self) -> Self::Output;
}

/// `a * b + c`, as the instruction set does it best.
pub(crate) trait MulAdd {
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// One rounding, one instruction where the CPU has FMA; a slow library call where it has not.
pub(crate) struct Fused;

impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Two roundings.
pub(crate) struct Plain;

impl MulAdd for Plain {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}
