#![doc = include_str!("../README.md")]

mod mnist;
mod teacher;

pub use mnist::{MNIST_TEST_IMAGES, MNIST_TEST_LABELS, MNIST_TRAIN_IMAGES, MNIST_TRAIN_LABELS};
pub use teacher::{TEACHER_CONFIG, TEACHER_WEIGHTS};
