//! The embedded digits are whole, balanced and small.

use std::io::{Read, Result};

use cccm_assets::{MNIST_TEST_IMAGES, MNIST_TEST_LABELS, MNIST_TRAIN_IMAGES, MNIST_TRAIN_LABELS};
use flate2::read::GzDecoder;

const DIGIT_PIXELS: usize = 28 * 28;

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain)?;
    Ok(plain)
}

/// The magic number and the sizes that start an IDX file.
fn header(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn every_class_has_its_share_of_digits() -> Result<()> {
    for (images, labels, per_class) in
        [(MNIST_TRAIN_IMAGES, MNIST_TRAIN_LABELS, 800), (MNIST_TEST_IMAGES, MNIST_TEST_LABELS, 200)]
    {
        let (images, labels) = (gunzip(images)?, gunzip(labels)?);
        let count = 10 * per_class;
        assert_eq!(images[..16], header(&[0x803, count as u32, 28, 28]));
        assert_eq!(labels[..8], header(&[0x801, count as u32]));
        assert_eq!(images.len(), 16 + count * DIGIT_PIXELS);

        let mut class_counts = [0; 10];
        labels[8..].iter().for_each(|&class| class_counts[class as usize] += 1);
        assert_eq!(class_counts, [per_class; 10]);
        assert!(images[16..].chunks_exact(DIGIT_PIXELS).all(|digit| digit.iter().any(|&ink| ink > 128)));
    }
    Ok(())
}

/// The crate has to stay under the 10 MB that crates.io takes, with room for a teacher.
#[test]
fn digits_stay_under_three_megabytes() {
    let files = [MNIST_TRAIN_IMAGES, MNIST_TRAIN_LABELS, MNIST_TEST_IMAGES, MNIST_TEST_LABELS];
    assert!(files.iter().map(|file| file.len()).sum::<usize>() < 3_000_000);
}
