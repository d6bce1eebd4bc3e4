#![doc = include_str!("../README.md")]

mod mnist;
mod student;
mod teacher;

pub use mnist::{MNIST_TEST_IMAGES, MNIST_TEST_LABELS, MNIST_TRAIN_IMAGES, MNIST_TRAIN_LABELS};
pub use student::{STUDENT_CONFIG, STUDENT_WEIGHTS};
pub use teacher::{TEACHER_CONFIG, TEACHER_WEIGHTS};
