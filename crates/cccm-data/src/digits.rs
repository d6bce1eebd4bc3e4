//! MNIST digits in memory, from whatever they come in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, Result, idx};

/// Which part of MNIST: the writers of one did not write for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MnistSplit {
    /// 60,000 digits in the official files.
    Train,
    /// 10,000 digits in the official files.
    Test,
}

impl MnistSplit {
    const fn file_prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// Grey 28×28 pictures of the digits 0 to 9, in memory.
#[derive(Clone, Debug)]
pub struct Digits {
    pixels: Vec<u8>,
    classes: Vec<u8>,
}

impl Digits {
    /// Side of a digit, in pixels.
    pub const PX: usize = 28;
    /// How many classes there are.
    pub const CLASSES: usize = 10;

    /// Digits from the bytes of an image file and a label file in IDX format, each gzipped or not.
    ///
    /// # Errors
    /// [`Error::Digits`] when a header or a length is wrong, the two do not match, or there are none.
    pub fn from_idx(images: &[u8], labels: &[u8]) -> Result<Self> {
        Self::from_named_idx((images, "the images"), (labels, "the labels"))
    }

    /// Digits from a folder with the official files, `train-images-idx3-ubyte` and so on. Common variants are
    /// found, too: with or without `.gz`, with a dot instead of the dash before `idx`, each file in a folder
    /// of its own name (Kaggle), or in `MNIST/raw` (torchvision).
    ///
    /// # Errors
    /// [`Error::MissingDigits`], [`Error::Io`], and as [`Digits::from_idx`].
    pub fn from_dir(dir: impl AsRef<Path>, split: MnistSplit) -> Result<Self> {
        let read = |part| -> Result<(Vec<u8>, String)> {
            let file = official_name(split, part);
            let path = find(dir.as_ref(), &file)
                .ok_or_else(|| Error::MissingDigits { dir: dir.as_ref().to_owned(), file })?;
            let bytes = fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
            Ok((bytes, path.display().to_string()))
        };
        let (images, images_name) = read(IMAGES)?;
        let (labels, labels_name) = read(LABELS)?;
        Self::from_named_idx((&images, &images_name), (&labels, &labels_name))
    }

    /// Whether a folder is one of digits: [`Digits::from_dir`] finds their images in it.
    pub fn are_in(dir: impl AsRef<Path>, split: MnistSplit) -> bool {
        find(dir.as_ref(), &official_name(split, IMAGES)).is_some()
    }

    fn from_named_idx(images: (&[u8], &str), labels: (&[u8], &str)) -> Result<Self> {
        let ([count, height, width], pixels) = idx::parse::<3>(images.0, images.1)?;
        if (height, width) != (Self::PX, Self::PX) {
            return Err(bad(images.1, format!("its pictures are {height} × {width}, not 28 × 28")));
        }
        let ([labels_count], classes) = idx::parse::<1>(labels.0, labels.1)?;
        if labels_count != count {
            return Err(bad(labels.1, format!("it has {labels_count} labels for {count} pictures")));
        }
        Self::new(pixels, classes, labels.1)
    }

    /// `labels_name` tells the source of `classes` in errors.
    pub(crate) fn new(pixels: Vec<u8>, classes: Vec<u8>, labels_name: &str) -> Result<Self> {
        if classes.is_empty() {
            return Err(bad(labels_name, "it is empty".to_owned()));
        }
        match classes.iter().position(|&class| usize::from(class) >= Self::CLASSES) {
            Some(index) => Err(bad(labels_name, format!("label {index} is {}, not 0 to 9", classes[index]))),
            None => Ok(Self { pixels, classes }),
        }
    }

    /// How many digits there are, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub const fn len(&self) -> usize {
        self.classes.len()
    }

    /// What digit `index` shows, 0 to 9.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Digits::len).
    pub fn class(&self, index: usize) -> u8 {
        self.classes[index]
    }

    /// The pixels of digit `index`: `(28, 28)`, rows from the top, 0 is paper and 255 ink.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Digits::len).
    pub fn pixels(&self, index: usize) -> &[u8] {
        let digit_len = Self::PX * Self::PX;
        &self.pixels[index * digit_len..][..digit_len]
    }
}

const IMAGES: &str = "images-idx3-ubyte";
const LABELS: &str = "labels-idx1-ubyte";

fn official_name(split: MnistSplit, part: &str) -> String {
    format!("{}-{part}", split.file_prefix())
}

/// The file with this official name, or with one of its common variants.
fn find(dir: &Path, official: &str) -> Option<PathBuf> {
    let dotted = official.replace("-idx", ".idx");
    let folders = [dir.to_owned(), dir.join("MNIST/raw"), dir.join("raw")];
    let names = [official, &dotted].into_iter().flat_map(|name| {
        [name.to_owned(), format!("{name}.gz"), format!("{name}/{name}"), format!("{name}/{name}.gz")]
    });
    let names: Vec<String> = names.collect();
    folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).find(|path| path.is_file())
}

fn bad(name: &str, problem: String) -> Error {
    Error::Digits { name: name.to_owned(), problem, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Image and label files of digits of these classes, `(28, side)` pixels each.
    fn files(classes: &[u8], side: u8) -> (Vec<u8>, Vec<u8>) {
        let count = classes.len() as u8;
        let pixels = vec![9; classes.len() * 28 * usize::from(side)];
        let images = [&[0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, side][..], &pixels].concat();
        (images, [&[0, 0, 8, 1, 0, 0, 0, count][..], classes].concat())
    }

    fn problem(images: &[u8], labels: &[u8]) -> String {
        Digits::from_idx(images, labels).unwrap_err().to_string()
    }

    #[test]
    fn files_are_found_as_they_are_handed_on() -> anyhow::Result<()> {
        let (images, labels) = files(&[3, 1], 28);
        for place in [
            "train-images-idx3-ubyte",
            "train-images.idx3-ubyte",
            "train-images-idx3-ubyte/train-images-idx3-ubyte",
            "train-images.idx3-ubyte/train-images.idx3-ubyte",
            "MNIST/raw/train-images-idx3-ubyte",
            "raw/train-images-idx3-ubyte",
        ] {
            let dir = tempfile::tempdir()?;
            assert!(!Digits::are_in(dir.path(), MnistSplit::Train));
            for (content, place) in [
                (&images, place.to_owned()),
                (&labels, place.replace("images", "labels").replace("idx3", "idx1")),
            ] {
                let file = dir.path().join(place);
                fs::create_dir_all(file.parent().unwrap_or(&file))?;
                fs::write(file, content)?;
            }
            assert!(Digits::are_in(dir.path(), MnistSplit::Train), "{place}");
            assert_eq!(Digits::from_dir(dir.path(), MnistSplit::Train)?.len(), 2);
            let error = Digits::from_dir(dir.path(), MnistSplit::Test).unwrap_err().to_string();
            assert!(error.contains("t10k-images-idx3-ubyte"), "{error}");
        }
        Ok(())
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let (images, labels) = files(&[3, 1], 28);
        let digits = Digits::from_idx(&images, &labels).unwrap();
        assert_eq!((digits.len(), digits.class(1), digits.pixels(1).len()), (2, 1, 28 * 28));

        let (one_image, one_label) = files(&[3], 28);
        assert!(problem(&images, &one_label).ends_with("it has 1 labels for 2 pictures"));
        assert!(problem(&one_image, &labels).ends_with("it has 2 labels for 1 pictures"));
        assert!(problem(&files(&[3, 1], 27).0, &labels).ends_with("28 × 27, not 28 × 28"));
        assert!(problem(&images, &files(&[3, 10], 28).1).ends_with("label 1 is 10, not 0 to 9"));
        assert!(problem(&labels, &images).starts_with("`the images` is no file of MNIST digits"));
        assert!(problem(&images, &images).starts_with("`the labels` is no file of MNIST digits"));
        let (no_images, no_labels) = files(&[], 28);
        assert!(problem(&no_images, &no_labels).ends_with("it is empty"));
    }

    #[test]
    fn official_files_are_found_packed_or_not() -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let (images, labels) = files(&[4, 2], 28);
        fs::write(dir.path().join("t10k-images-idx3-ubyte"), &images).unwrap();
        let missing = Digits::from_dir(&dir, MnistSplit::Test).unwrap_err();
        assert!(
            missing.to_string().starts_with("no `t10k-labels-idx1-ubyte` and no `t10k-labels-idx1-ubyte.gz`")
        );

        let file = fs::File::create(dir.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &labels).unwrap();
        gzip.finish().unwrap();
        assert_eq!(Digits::from_dir(&dir, MnistSplit::Test)?.class(0), 4);
        Ok(())
    }
}
