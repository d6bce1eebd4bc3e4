//! The random numbers of this crate. They are counter-based, so that any of them can be computed
//! without those before it.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// What is drawn. Uses that share a seed still draw independently.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The order of the images of one epoch.
    EpochOrder,
    /// Place, size and rotation of one drawn shape.
    Shape,
    /// Which images of one epoch are mirrored.
    Flip,
    /// The colour of one digit.
    Color,
    /// Where the windows of one epoch are cut.
    Window,
}

/// The generator keyed by the seed and the purpose, at its stream `number`.
pub(crate) fn stream(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(number);
    rng
}
