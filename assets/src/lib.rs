#![doc = include_str!("../README.md")]

mod mnist;

pub use mnist::{MNIST_TEST_IMAGES, MNIST_TEST_LABELS, MNIST_TRAIN_IMAGES, MNIST_TRAIN_LABELS};
