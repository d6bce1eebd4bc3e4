//! Digests of datasets: whether a run that goes on would see the images that it began with.

use sha2::{Digest as _, Sha256};

use cccm_labels::{Combination, Vocabulary};

/// A SHA-256 over fields. Each has its length before it or a fixed one, so that no two lists of fields
/// give the same bytes.
pub(crate) struct DatasetDigest(Sha256);

impl DatasetDigest {
    /// Starts with what all datasets have. `kind` tells sources apart; a source whose pictures
    /// change with a version of this crate changes its number.
    pub(crate) fn new(kind: &str, vocabulary: &Vocabulary, image_px: usize) -> Self {
        let mut digest = Self(Sha256::new());
        digest.bytes(kind.as_bytes());
        // With two kinds, the digest is the one from before there were other numbers of kinds: without their
        // names.
        if vocabulary.kinds().len() != 2 {
            digest.number(vocabulary.kinds().len() as u64);
        }
        for kind in vocabulary.kinds() {
            digest.number(kind.names.len() as u64);
            for name in &kind.names {
                digest.bytes(name.as_bytes());
            }
        }
        digest.number(image_px as u64);
        digest
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    pub(crate) fn combination(&mut self, combination: Combination) {
        combination.iter().for_each(|label| self.number(u64::from(*label)));
    }

    /// The digest in lower case hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    fn digest(write: impl FnOnce(&mut DatasetDigest)) -> String {
        let mut digest = DatasetDigest::new("test 1", &Preset::Celeba.vocabulary(), 32);
        write(&mut digest);
        digest.finish()
    }

    #[test]
    fn it_is_sha256_in_hex() {
        let mut digest = DatasetDigest(Sha256::new());
        digest.0.update(b"abc");
        assert_eq!(digest.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn where_a_field_ends_makes_a_difference() {
        let split = |at: usize| {
            digest(|digest| {
                digest.bytes(&b"abcd"[..at]);
                digest.bytes(&b"abcd"[at..]);
            })
        };
        assert_eq!(split(2), split(2));
        assert_ne!(split(2), split(3));
    }

    #[test]
    fn labels_their_order_and_the_size_make_a_difference() {
        let digest = |attributes, objects, px| {
            DatasetDigest::new("test 1", &Vocabulary::of_pairs(attributes, objects).unwrap(), px).finish()
        };
        let one = digest(vec!["a", "b"], vec!["c"], 32);
        assert_eq!(one, digest(vec!["a", "b"], vec!["c"], 32));
        assert_ne!(one, digest(vec!["b", "a"], vec!["c"], 32));
        assert_ne!(one, digest(vec!["a"], vec!["b", "c"], 32));
        assert_ne!(one, digest(vec!["a", "b"], vec!["c"], 64));
    }
}
