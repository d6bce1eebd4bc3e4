//! UT-Zappos50K: `Category/SubCategory/Brand/*.jpg`, and a table of what the folders do not say.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use super::{Arrangement, Picture};
use crate::{Combination, Error, Preset, Result, Subfolders, listing};

/// Attributes of the preset, by name.
const HEEL: u32 = 0;
const FLAT: u32 = 1;
/// Objects of the preset, by name.
const BOOT: u32 = 0;
const SHOE: u32 = 1;
const SLIPPER: u32 = 2;
const SANDAL: u32 = 3;

/// What a folder says about the shoes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Everything.
    Pair(u32, u32),
    /// The kind; whether there is a heel has to be measured, one by one.
    Measured(u32),
    /// Too little, for this reason.
    Dropped(&'static str),
}

use Rule::{Dropped, Measured};

const BABY: &str = "a baby's";

/// Category, subcategory, and what that makes of a shoe. All folders of the published tree.
const RULES: [(&str, &str, Rule); 21] = [
    // Tall or short, a boot's shaft says nothing of its heel.
    ("Boots", "Ankle", Measured(BOOT)),
    ("Boots", "Knee High", Measured(BOOT)),
    ("Boots", "Mid-Calf", Measured(BOOT)),
    ("Boots", "Over the Knee", Measured(BOOT)),
    // Shoes of babies look like none of the others, and make no difference between kinds.
    ("Boots", "Prewalker Boots", Dropped(BABY)),
    // Sports sandals have thick soles and no heel.
    ("Sandals", "Athletic", Rule::Pair(FLAT, SANDAL)),
    ("Sandals", "Flat", Rule::Pair(FLAT, SANDAL)),
    ("Sandals", "Heel", Rule::Pair(HEEL, SANDAL)),
    ("Shoes", "Boat Shoes", Rule::Pair(FLAT, SHOE)),
    // From wooden clogs to high-heeled mules.
    ("Shoes", "Clogs and Mules", Measured(SHOE)),
    ("Shoes", "Crib Shoes", Dropped(BABY)),
    ("Shoes", "Firstwalker", Dropped(BABY)),
    ("Shoes", "Flats", Rule::Pair(FLAT, SHOE)),
    ("Shoes", "Heels", Rule::Pair(HEEL, SHOE)),
    // Flat for men, often with a heel for women.
    ("Shoes", "Loafers", Measured(SHOE)),
    ("Shoes", "Oxfords", Measured(SHOE)),
    ("Shoes", "Prewalker", Dropped(BABY)),
    ("Shoes", "Sneakers and Athletic Shoes", Rule::Pair(FLAT, SHOE)),
    // Two kinds at once.
    ("Slippers", "Boot", Dropped("slipper and boot at once")),
    ("Slippers", "Slipper Flats", Rule::Pair(FLAT, SLIPPER)),
    ("Slippers", "Slipper Heels", Rule::Pair(HEEL, SLIPPER)),
];

/// `HeelHeight` of the published table, and what it makes of a shoe.
const HEIGHTS: [(&str, Option<u32>); 7] = [
    ("Flat", Some(FLAT)),
    ("Under 1in", Some(FLAT)),
    // Hardly to be told from a thick sole in a picture of 136 × 102 pixels.
    ("1in - 1 3/4in", None),
    ("2in - 2 3/4in", Some(HEEL)),
    ("3in - 3 3/4in", Some(HEEL)),
    ("4in - 4 3/4in", Some(HEEL)),
    ("5in & over", Some(HEEL)),
];

impl Arrangement {
    /// UT-Zappos50K as [`Preset::Zappos50k`]: heel × kind.
    ///
    /// | folder | becomes |
    /// | --- | --- |
    /// | Sandals/Heel, Shoes/Heels, Slippers/Slipper Heels | `Heel_Sandal`, `Heel_Shoe`, `Heel_Slipper` |
    /// | Sandals/Flat, Sandals/Athletic | `Flat_Sandal` |
    /// | Shoes/Flats, Boat Shoes, Sneakers and Athletic Shoes | `Flat_Shoe` |
    /// | Slippers/Slipper Flats | `Flat_Slipper` |
    /// | Boots/Ankle, Mid-Calf, Knee High, Over the Knee | `Heel_Boot` or `Flat_Boot`, by the table |
    /// | Shoes/Loafers, Oxfords, Clogs and Mules | `Heel_Shoe` or `Flat_Shoe`, by the table |
    /// | Prewalker Boots, Prewalker, Firstwalker, Crib Shoes | nothing: babies' shoes |
    /// | Slippers/Boot | nothing: two kinds at once |
    ///
    /// By the table, a shoe is flat below one inch and has a heel from two inches on; what lies between
    /// and what was not measured is left out. Without the table all of that is left out, and there are no
    /// boots. What is left out is counted by folder and reason.
    /// - `images`: the folder with `Boots`, `Sandals`, `Shoes` and `Slippers`, `ut-zap50k-images`
    /// - `metadata`: `meta-data.csv` of `ut-zap50k-data`, with columns `CID` and `HeelHeight`
    ///
    /// # Errors
    /// [`Error::NotZappos`] when no folder is known, [`Error::Line`] for a bad line of the table, and
    /// [`Error::Io`].
    pub fn zappos50k(images: &Path, metadata: Option<&Path>) -> Result<Self> {
        let heels = metadata.map(read_heels).transpose()?;
        let mut arrangement = Self::empty(Preset::Zappos50k);
        let mut is_known = false;
        for category in listing::folders(images)? {
            for folder in listing::folders(&category)? {
                let (category, subcategory) = (listing::name(&category)?, listing::name(&folder)?);
                let rule = rule(&category, &subcategory);
                is_known |= rule.is_some();
                for file in images_of_brands(&folder)? {
                    match rule.map_or(Err("unknown folder"), |rule| rule.combination(&file, heels.as_ref())) {
                        Ok(combination) => arrangement.pictures.push(Picture { file, combination }),
                        Err(reason) => arrangement.drop_for(format!("{category}/{subcategory}: {reason}")),
                    }
                }
            }
        }
        if !is_known {
            return Err(Error::NotZappos { root: images.to_owned() });
        }
        Ok(arrangement)
    }
}

/// The images of all brands in the folder of a subcategory.
fn images_of_brands(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut images = listing::images(folder, Subfolders::PassedOver)?.files;
    for brand in listing::folders(folder)? {
        images.extend(listing::images(&brand, Subfolders::PassedOver)?.files);
    }
    Ok(images)
}

/// The heel of a shoe by its `CID`, where the height is clear.
type Heels = HashMap<String, Option<u32>>;

fn rule(category: &str, subcategory: &str) -> Option<Rule> {
    let known = RULES.iter().find(|(first, second, _)| *first == category && *second == subcategory);
    known.map(|(_, _, rule)| *rule)
}

impl Rule {
    fn combination(self, file: &Path, heels: Option<&Heels>) -> Result<Combination, &'static str> {
        match self {
            Self::Pair(attribute, object) => Ok(Combination::from([attribute, object])),
            Self::Dropped(reason) => Err(reason),
            Self::Measured(object) => {
                let heels = heels.ok_or("heel or flat is in meta-data.csv only")?;
                match heels.get(&cid(file)) {
                    Some(Some(attribute)) => Ok(Combination::from([*attribute, object])),
                    Some(None) => Err("height of the heel between 1 and 2 inches, or unclear"),
                    None => Err("height of the heel unknown"),
                }
            }
        }
    }
}

/// `100627.72.jpg` is `100627-72` in the table.
fn cid(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().replace('.', "-")
}

fn read_heels(path: &Path) -> Result<Heels> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let bad = |line, problem| Error::Line { path: path.to_owned(), line, problem };
    let mut lines = (1..).zip(text.trim_start_matches('\u{feff}').trim_end().lines());
    let (_, header) = lines.next().unwrap_or((1, ""));
    let columns = fields(header);
    let place = |wanted: &str| {
        let column = columns.iter().position(|column| column == wanted);
        column.ok_or_else(|| bad(1, format!("expected a column `{wanted}`, got `{}`", columns.join(","))))
    };
    let (cid, height) = (place("CID")?, place("HeelHeight")?);
    let mut heels = Heels::new();
    for (line, row) in lines {
        let values = fields(row);
        if values.len() != columns.len() {
            let problem = format!("expected {} fields, got {}", columns.len(), values.len());
            return Err(bad(line, problem));
        }
        if !matches!(values[height].as_str(), "" | "NA") {
            heels.insert(values[cid].clone(), heel(&values[height]));
        }
    }
    Ok(heels)
}

/// What heights, separated by semicolons, make of a shoe; nothing where they differ, are in between or unknown.
fn heel(heights: &str) -> Option<u32> {
    let known = |height: &str| HEIGHTS.iter().find(|(name, _)| *name == height)?.1;
    let mut heels: Vec<_> = heights.split(';').map(str::trim).map(known).collect();
    heels.dedup();
    if let [heel] = heels[..] { heel } else { None }
}

/// The fields of a line of CSV, quoted or not.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut is_quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            _ => fields.last_mut().into_iter().for_each(|field| field.push(letter)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_preset() {
        let vocabulary = Preset::Zappos50k.vocabulary();
        let name = |attribute, object| vocabulary.folder_name(&[attribute, object]);
        assert_eq!([name(HEEL, BOOT), name(FLAT, SHOE)], ["Heel_Boot", "Flat_Shoe"]);
        assert_eq!([name(HEEL, SLIPPER), name(FLAT, SANDAL)], ["Heel_Slipper", "Flat_Sandal"]);
    }

    #[test]
    fn heights_that_agree_decide() {
        for (heights, want) in [
            ("Flat", Some(FLAT)),
            ("Under 1in;Flat", Some(FLAT)),
            ("5in & over", Some(HEEL)),
            ("1in - 1 3/4in", None),
            ("Flat;3in - 3 3/4in", None),
            ("low", None),
        ] {
            assert_eq!(heel(heights), want, "{heights}");
        }
    }

    #[test]
    fn quoted_fields_keep_their_commas() {
        assert_eq!(fields(r#"1-2,"a,b",,c"#), ["1-2", "a,b", "", "c"]);
    }
}
