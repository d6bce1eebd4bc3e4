//! A folder of images looked over before anything is trained on it: every file is decoded.

use std::{
    collections::BTreeMap,
    error::Error as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use cccm_labels::{Combination, KnownLabels, Vocabulary, plural};
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, OnBadImage, Orientation, Preset, Result, Subfolders, decode,
    discover::{no_vocabulary, spelt, twins},
    listing::{self, PassedOver},
    place::Place,
    source::{Listed, Source},
};

/// A folder whose files are listed, ready to be looked over.
///
/// ```no_run
/// use cccm_data::{FolderCheck, KnownLabels, Sameness, Subfolders};
///
/// let report = FolderCheck::list("photos", &KnownLabels::default(), Subfolders::default())?.run(Sameness::Files, &|_| ());
/// assert!(report.is_sound(), "{:?} {:?}", report.unreadable, report.unknown_folders);
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Debug)]
pub struct FolderCheck {
    vocabulary: Vocabulary,
    preset: Option<Preset>,
    files: Vec<(Place, Combination)>,
    unknown_folders: Vec<UnknownFolder>,
    look_alikes: Option<String>,
    stray_images: usize,
    passed_over: PassedOver,
}

/// When two images are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sameness {
    /// When their files are, byte by byte.
    #[default]
    Files,
    /// When they show the same, whatever format and metadata they come in.
    Pixels,
}

/// What is in a folder, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderReport {
    /// The labels that folder names were read with; in JSON a list for each kind, under its plural.
    #[serde(serialize_with = "as_lists")]
    pub vocabulary: Vocabulary,
    /// The preset that these labels are, if they were guessed and are one.
    pub preset: Option<Preset>,
    /// How many images can be decoded.
    pub images: usize,
    /// How many of them each combination of the vocabulary has, by folder name, zeros included.
    pub counts: BTreeMap<String, usize>,
    /// Widths of the images, in pixels; absent where there are none.
    pub width: Option<Spread>,
    /// Heights of the images, in pixels.
    pub height: Option<Spread>,
    /// Files that cannot be decoded, in order.
    pub unreadable: Vec<UnreadableImage>,
    /// Folders that are no combination of the vocabulary.
    pub unknown_folders: Vec<UnknownFolder>,
    /// Two labels that nobody would tell apart, and what to do about them.
    pub look_alikes: Option<String>,
    /// Images that lie beside the folders, or without labels beside a list or in a shard: nobody reads them.
    pub stray_images: usize,
    /// What lies in the folders and is not read.
    pub passed_over: PassedOver,
    /// Images that are stored turned or mirrored, by their EXIF orientation.
    pub turned: usize,
    /// Images that are the same: lists of two and more paths.
    pub duplicates: Vec<Vec<String>>,
}

/// The least, the middle and the most of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: u32,
    /// The middle one, of an even count the lower.
    pub median: u32,
    /// The most.
    pub max: u32,
}

/// A file that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableImage {
    /// The file.
    pub path: String,
    /// What is wrong with it, down to the first cause.
    pub problem: String,
}

/// A folder that is no combination of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownFolder {
    /// The folder.
    pub path: String,
    /// The combination that is spelt most like it, if one is close.
    pub nearest: Option<String>,
    /// What is wrong with its name.
    pub problem: String,
}

impl FolderCheck {
    /// Lists the folders and files under `root`. If the labels are not known, they are those of the preset
    /// that fits at least half of the folder names, else those that the plain folder names spell.
    ///
    /// # Errors
    /// [`Error::NoImages`] where there are no folders, [`Error::NoVocabulary`] when no folder has a name
    /// that can be read, [`Error::Io`].
    pub fn list(root: impl AsRef<Path>, known: &KnownLabels, subfolders: Subfolders) -> Result<Self> {
        let root = root.as_ref();
        let source = Source::of(root)?;
        if let Some(rows) = source.read(known, OnBadImage::Stop)? {
            return Self::of_list(source.place(root).0, rows, known);
        }
        let mut folders = listing::folders(root)?;
        let beside = listing::images(root, Subfolders::PassedOver)?;
        let Some(first) = folders.first().cloned() else {
            return Err(listing::no_images(root, &known.form(), 0, &beside.passed_over));
        };
        let mut unknown_folders = Vec::new();
        folders.retain(|folder| match listing::name(folder) {
            Ok(_) => true,
            Err(error) => {
                unknown_folders.push(UnknownFolder::new(folder, &error));
                false
            }
        });
        let names: Vec<String> = folders.iter().map(|folder| listing::name(folder)).collect::<Result<_>>()?;
        let (preset, vocabulary) = match known {
            KnownLabels::All(vocabulary) => (None, vocabulary.clone()),
            KnownLabels::Kinds(kinds) => guess(&names, kinds).ok_or_else(|| no_vocabulary(&first, known))?,
        };
        vocabulary.validate()?;
        let look_alikes = match (known, preset) {
            (KnownLabels::Kinds(_), None) => twins(&vocabulary).map(|error| error.to_string()),
            _ => None,
        };
        let (mut files, mut passed_over) = (Vec::new(), PassedOver::default());
        for (folder, name) in folders.iter().zip(&names) {
            match vocabulary.parse_folder(name) {
                Ok(combination) => {
                    let images = listing::images(folder, subfolders)?;
                    files.extend(images.files.into_iter().map(|file| (Place::File(file), combination)));
                    passed_over.add(images.passed_over);
                }
                Err(error) => unknown_folders.push(UnknownFolder::new(folder, &error.into())),
            }
        }
        unknown_folders.sort_by(|a, b| a.path.cmp(&b.path));
        let stray_images = beside.files.len();
        Ok(Self { vocabulary, preset, files, unknown_folders, look_alikes, stray_images, passed_over })
    }

    /// The images that a list or shards label.
    fn of_list(root: &Path, listed: Listed, known: &KnownLabels) -> Result<Self> {
        let vocabulary = match known {
            KnownLabels::All(vocabulary) => vocabulary.clone(),
            KnownLabels::Kinds(_) => listed.vocabulary()?,
        };
        let look_alikes = match known {
            KnownLabels::Kinds(_) => twins(&vocabulary).map(|error| error.to_string()),
            KnownLabels::All(_) => None,
        };
        let stray_images = listed.unlabelled;
        let files = listed.labelled(root, &vocabulary)?;
        Ok(Self {
            vocabulary,
            preset: None,
            files,
            unknown_folders: Vec::new(),
            look_alikes,
            stray_images,
            passed_over: PassedOver::default(),
        })
    }

    /// How many files there are to look at.
    pub const fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Decodes every file, on the caller's rayon pool. `progress` is called with the number of files
    /// done, now and then and by any thread.
    pub fn run(self, sameness: Sameness, progress: &(dyn Fn(usize) + Sync)) -> FolderReport {
        let done = AtomicUsize::new(0);
        let look = |(place, _): &(Place, Combination)| {
            let seen = Seen::look(place, sameness);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            seen
        };
        let seen: Vec<Result<Seen>> = self.files.par_iter().map(look).collect();

        let mut counts: BTreeMap<String, usize> = self
            .vocabulary
            .combinations()
            .map(|combination| (self.vocabulary.folder_name(&combination), 0))
            .collect();
        let (mut sizes, mut unreadable, mut turned) = (Vec::new(), Vec::new(), 0);
        let mut same = BTreeMap::<_, Vec<String>>::new();
        for ((place, combination), seen) in self.files.iter().zip(seen) {
            let path = place.path().display().to_string();
            match seen {
                Ok(Seen { size, digest, is_turned }) => {
                    turned += usize::from(is_turned);
                    *counts.entry(self.vocabulary.folder_name(combination)).or_insert(0) += 1;
                    sizes.push(size);
                    same.entry(digest).or_default().push(path);
                }
                Err(error) => unreadable.push(UnreadableImage { path, problem: whole_story(&error) }),
            }
        }
        let mut duplicates: Vec<_> = same.into_values().filter(|paths| paths.len() > 1).collect();
        duplicates.sort();
        FolderReport {
            images: sizes.len(),
            counts,
            width: Spread::of(sizes.iter().map(|size| size.0)),
            height: Spread::of(sizes.iter().map(|size| size.1)),
            unreadable,
            unknown_folders: self.unknown_folders,
            look_alikes: self.look_alikes,
            stray_images: self.stray_images,
            passed_over: self.passed_over,
            turned,
            duplicates,
            preset: self.preset,
            vocabulary: self.vocabulary,
        }
    }
}

impl FolderReport {
    /// Whether every folder and every file can be used.
    pub fn is_sound(&self) -> bool {
        self.images > 0
            && self.unreadable.is_empty()
            && self.unknown_folders.is_empty()
            && self.look_alikes.is_none()
    }

    /// Combinations of the vocabulary without images, which a network would compose without having seen them.
    pub fn empty_combinations(&self) -> impl Iterator<Item = Combination> + '_ {
        self.vocabulary.combinations().filter(|combination| self.count(combination) == 0)
    }

    /// The combination that training would miss least: the one with the fewest images among those each of whose labels appears
    /// in other combinations.
    pub fn combination_to_hold_out(&self) -> Option<Combination> {
        let present: Vec<Combination> =
            self.vocabulary.combinations().filter(|at| self.count(at) > 0).collect();
        let is_known_otherwise = |combination: &&Combination| {
            combination.iter().enumerate().all(|(kind, label)| {
                present.iter().any(|other| other != *combination && other[kind] == *label)
            })
        };
        present.iter().filter(is_known_otherwise).min_by_key(|combination| self.count(combination)).copied()
    }

    /// How many images `combination` has.
    pub fn count(&self, combination: &Combination) -> usize {
        self.counts.get(&self.vocabulary.folder_name(combination)).copied().unwrap_or(0)
    }
}

/// What is kept of an image.
struct Seen {
    size: (u32, u32),
    digest: [u8; 32],
    is_turned: bool,
}

impl Seen {
    fn look(place: &Place, sameness: Sameness) -> Result<Self> {
        let bytes = place.read()?;
        let image = decode::decode_bytes(&place.path(), &bytes, Orientation::AsStored)?;
        let size = image.dimensions();
        let digest = match sameness {
            Sameness::Files => Sha256::digest(&bytes),
            Sameness::Pixels => Sha256::new()
                .chain_update(size.0.to_le_bytes())
                .chain_update(size.1.to_le_bytes())
                .chain_update(image.as_raw())
                .finalize(),
        };
        Ok(Self { size, digest: digest.into(), is_turned: decode::is_turned(&bytes) })
    }
}

impl Spread {
    fn of(numbers: impl Iterator<Item = u32>) -> Option<Self> {
        let mut sorted: Vec<u32> = numbers.collect();
        sorted.sort_unstable();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { min, median: sorted[(sorted.len() - 1) / 2], max })
    }
}

impl UnknownFolder {
    fn new(folder: &Path, error: &Error) -> Self {
        let nearest = match error {
            Error::Labels(cccm_labels::Error::UnknownCombination { nearest, .. }) => nearest.clone(),
            _ => None,
        };
        Self { path: folder.display().to_string(), nearest, problem: error.to_string() }
    }
}

fn guess(names: &[String], kinds: &[String]) -> Option<(Option<Preset>, Vocabulary)> {
    let fits = |preset: &Preset| {
        let vocabulary = preset.vocabulary();
        names.iter().filter(|name| vocabulary.parse_folder(name).is_ok()).count()
    };
    let best = Preset::ALL
        .into_iter()
        .filter(|preset| preset.vocabulary().kinds().len() == kinds.len())
        .max_by_key(fits)
        .filter(|preset| 2 * fits(preset) >= names.len());
    if let Some(preset) = best {
        return Some((Some(preset), preset.vocabulary()));
    }
    Some((None, spelt(kinds, names.iter().map(String::as_str))?.ok()?))
}

/// The labels of each kind under its plural, such as `attributes`.
fn as_lists<S: Serializer>(vocabulary: &Vocabulary, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(vocabulary.kinds().iter().map(|kind| (plural(&kind.kind), &kind.names)))
}

fn whole_story(error: &Error) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        story = format!("{story}: {error}");
        cause = error.source();
    }
    story
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_numbers() {
        let spread = |numbers: &[u32]| Spread::of(numbers.iter().copied());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[5, 1, 9]), Some(Spread { min: 1, median: 5, max: 9 }));
        assert_eq!(spread(&[4, 3, 2, 1]), Some(Spread { min: 1, median: 2, max: 4 }));
    }

    #[test]
    fn vocabulary_is_guessed() {
        let guess = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            guess(&names, &["attribute".to_owned(), "object".to_owned()])
        };
        let celeba = guess(&["BlondHair_Male", "BlondHiar_Female"]);
        assert_eq!(celeba, Some((Some(Preset::Celeba), Preset::Celeba.vocabulary())));
        let plain = Vocabulary::of_pairs(["blue", "red"], ["bus", "car"]).unwrap();
        assert_eq!(guess(&["red_car", "blue bus", "x"]), Some((None, plain)));
        assert_eq!(guess(&["x", "y"]), None);
    }
}
