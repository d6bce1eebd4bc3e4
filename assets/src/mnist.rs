//! The embedded digits: gzipped IDX files, exactly as `examples/pick_mnist.rs` writes them.

/// Pixels of 8,000 digits to train with, 800 of each class: gzipped IDX, `(8000, 28, 28)`, `u8`,
/// 0 is paper and 255 ink.
pub static MNIST_TRAIN_IMAGES: &[u8] = include_bytes!("../mnist/train-images-idx3-ubyte.gz");

/// Classes of [`MNIST_TRAIN_IMAGES`], in the same order: gzipped IDX, `(8000,)`, `u8` in `0..10`.
pub static MNIST_TRAIN_LABELS: &[u8] = include_bytes!("../mnist/train-labels-idx1-ubyte.gz");

/// Pixels of 2,000 digits to test with, 200 of each class, by writers other than those of
/// [`MNIST_TRAIN_IMAGES`]: gzipped IDX, `(2000, 28, 28)`, `u8`.
pub static MNIST_TEST_IMAGES: &[u8] = include_bytes!("../mnist/t10k-images-idx3-ubyte.gz");

/// Classes of [`MNIST_TEST_IMAGES`], in the same order: gzipped IDX, `(2000,)`, `u8` in `0..10`.
pub static MNIST_TEST_LABELS: &[u8] = include_bytes!("../mnist/t10k-labels-idx1-ubyte.gz");
