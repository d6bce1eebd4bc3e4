//! The networks, their training and their samplers against PyTorch: both architectures, two seeds.

mod case;
mod checkpoints;
mod distillation;
mod forward;
mod samplers;

/// The fixtures every test here goes through.
const FIXTURES: [&str; 4] = ["unetic", "unet", "seed11/unetic", "seed11/unet"];
