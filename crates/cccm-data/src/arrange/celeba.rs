//! CelebA: `list_attr_celeba.txt` beside a folder of numbered faces.

use std::{fs, path::Path};

use super::{Arrangement, Picture};
use cccm_labels::{Combination, nearest};

use crate::{Error, OnBadImage, Preset, Result, listing::ListedImages};

/// Columns of the hair colours, in the order of the preset's attributes.
const HAIR: [&str; 4] = ["Brown_Hair", "Blond_Hair", "Gray_Hair", "Black_Hair"];
/// 1 is a man and -1 a woman, in the order of the preset's objects.
const MALE: &str = "Male";
/// First cell of the file as a table with commas.
const CSV_CORNER: &str = "image_id";
/// The folder inside the official archive, which some archives hold twice.
const OFFICIAL_FOLDER: &str = "img_align_celeba";
/// How many missing images are named.
const NAMED: usize = 5;

impl Arrangement {
    /// CelebA as [`Preset::Celeba`]: hair colour × gender. Faces with no or with several of the four
    /// hair colours are left out and counted.
    /// - `images`: the folder of `000001.jpg` and so on, or the one that holds it as `img_align_celeba`
    /// - `attributes`: the official `list_attr_celeba.txt` (number of images, names of columns, then
    ///   a file name and 1 or -1 for each column), or the same as CSV with the corner `image_id`
    /// - `on_missing`: whether images that are listed and not there are left out and counted
    ///
    /// # Errors
    /// [`Error::Line`] for the first line that is not as described, [`Error::MissingImages`], and
    /// [`Error::Io`].
    pub fn celeba(images: &Path, attributes: &Path, on_missing: OnBadImage) -> Result<Self> {
        let unreadable = |source| Error::Io { path: attributes.to_owned(), source };
        let text = fs::read_to_string(attributes).map_err(unreadable)?;
        let rows = parse(&text).map_err(|BadLine { line, problem }| Error::Line {
            path: attributes.to_owned(),
            line,
            problem,
        })?;

        let nested = images.join(OFFICIAL_FOLDER);
        let images = if nested.is_dir() { nested.as_path() } else { images };
        let there = ListedImages::of(images)?;
        let mut arrangement = Self::empty(Preset::Celeba);
        let mut missing = Vec::new();
        for Row { file, label } in rows {
            match label {
                Label::NoHair => arrangement.drop_for("no hair colour"),
                Label::SeveralHairs => arrangement.drop_for("several hair colours"),
                Label::Pair(combination) => match there.find(file) {
                    Some(file) => arrangement.pictures.push(Picture { file, combination }),
                    None => missing.push(file),
                },
            }
        }
        match on_missing {
            OnBadImage::Stop if !missing.is_empty() => Err(Error::MissingImages {
                dir: images.to_owned(),
                count: missing.len(),
                total: missing.len() + arrangement.len(),
                first: missing[..NAMED.min(missing.len())].join(", "),
            }),
            _ => {
                for _ in missing {
                    arrangement.drop_for("image missing");
                }
                Ok(arrangement)
            }
        }
    }
}

/// One face.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    file: &'a str,
    label: Label,
}

#[derive(Debug, PartialEq, Eq)]
enum Label {
    Pair(Combination),
    NoHair,
    SeveralHairs,
}

/// What is wrong, before the name of the file is known.
#[derive(Debug)]
struct BadLine {
    /// Counted from 1.
    line: usize,
    problem: String,
}

/// Places of the columns that matter, counted without the file name.
struct Columns {
    hair: [usize; 4],
    male: usize,
    count: usize,
}

fn parse(text: &str) -> Result<Vec<Row<'_>>, BadLine> {
    // Spreadsheets put a byte order mark before what they save.
    let text = text.trim_start_matches('\u{feff}').trim_end();
    let mut lines = (1..).zip(text.lines());
    let (_, first) = lines.next().unwrap_or((1, ""));
    if first.starts_with(CSV_CORNER) {
        let columns = Columns::find(1, cells(first, ',').skip(1))?;
        return lines.map(|(line, row)| columns.row(line, cells(row, ','))).collect();
    }
    let count: usize = first.trim().parse().map_err(|_| BadLine {
        line: 1,
        problem: format!("expected the number of images, or `{CSV_CORNER},…`, got `{}`", shortened(first)),
    })?;
    let (line, header) = lines.next().unwrap_or((2, ""));
    let columns = Columns::find(line, header.split_whitespace())?;
    let rows = lines.map(|(line, row)| columns.row(line, row.split_whitespace()));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    if rows.len() != count {
        let problem = format!("expected {count} images, got {}; is the file cut off?", rows.len());
        return Err(BadLine { line: 1, problem });
    }
    Ok(rows)
}

fn cells(line: &str, separator: char) -> impl Iterator<Item = &str> {
    line.split(separator).map(str::trim)
}

impl Columns {
    fn find<'a>(line: usize, names: impl Iterator<Item = &'a str>) -> Result<Self, BadLine> {
        let names: Vec<&str> = names.collect();
        let place = |wanted: &str| {
            names.iter().position(|name| *name == wanted).ok_or_else(|| {
                let like =
                    nearest(wanted, &names).map_or_else(String::new, |name| format!(" (like `{name}`)"));
                let problem = format!("expected a column `{wanted}`, got {} others{like}", names.len());
                BadLine { line, problem }
            })
        };
        let [brown, blond, gray, black] = HAIR.map(place);
        Ok(Self { hair: [brown?, blond?, gray?, black?], male: place(MALE)?, count: names.len() })
    }

    fn row<'a>(&self, line: usize, mut cells: impl Iterator<Item = &'a str>) -> Result<Row<'a>, BadLine> {
        let bad = |problem| BadLine { line, problem };
        let file = cells.next().unwrap_or_default();
        // A name that leaves the folder of images is no name of an image.
        if file.is_empty() || file.contains(['/', '\\']) || file == ".." {
            return Err(bad(format!("expected the name of an image, got `{}`", shortened(file))));
        }
        let values = cells.map(|value| match value {
            "1" => Ok(true),
            "-1" => Ok(false),
            other => Err(bad(format!("expected 1 or -1, got `{}`", shortened(other)))),
        });
        let values = values.collect::<Result<Vec<_>, _>>()?;
        if values.len() != self.count {
            return Err(bad(format!("expected {} values, got {}", self.count, values.len())));
        }
        let hairs: Vec<u32> =
            (0..).zip(self.hair).filter(|(_, at)| values[*at]).map(|(hair, _)| hair).collect();
        let label = match hairs[..] {
            [attribute] => Label::Pair(Combination::from([attribute, u32::from(!values[self.male])])),
            [] => Label::NoHair,
            _ => Label::SeveralHairs,
        };
        Ok(Row { file, label })
    }
}

/// The beginning of something that may be a whole binary file.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Black_Hair Blond_Hair Brown_Hair Gray_Hair Male \n";

    fn problem(text: &str) -> (usize, String) {
        let BadLine { line, problem } = parse(text).unwrap_err();
        (line, problem)
    }

    #[test]
    fn both_syntaxes_are_read() {
        let text = format!(
            "4\n{HEADER}a.jpg -1  1 -1 -1  1\nb.jpg  1 -1 -1 -1 -1\nc.jpg -1 -1 -1 -1  1\nd.jpg  1  1 -1 -1  1\n"
        );
        let csv = "image_id,Male,Black_Hair,Blond_Hair,Brown_Hair,Gray_Hair\r\n\
                   a.jpg,1,-1,1,-1,-1\r\nb.jpg,-1,1,-1,-1,-1\r\nc.jpg,1,-1,-1,-1,-1\r\nd.jpg,1,1,1,-1,-1\r\n";
        let combination = |attribute, object| Label::Pair([attribute, object].into());
        let want = [
            ("a.jpg", combination(1, 0)),
            ("b.jpg", combination(3, 1)),
            ("c.jpg", Label::NoHair),
            ("d.jpg", Label::SeveralHairs),
        ];
        let want = want.map(|(file, label)| Row { file, label });
        assert_eq!(parse(&text).unwrap(), want);
        assert_eq!(parse(csv).unwrap(), want);
    }

    #[test]
    fn bad_lines_are_named_with_what_was_expected() {
        let table = |rows: &str| format!("1\n{HEADER}{rows}");
        for (text, line, words) in [
            (String::new(), 1, "expected the number of images, or `image_id,…`, got ``"),
            ("5_o_Clock_Shadow".to_owned(), 1, "got `5_o_Clock_Shadow`"),
            (
                "1\nBlack_Hair Blond_Hair Brown_Hair Grey_Hair Male\n".to_owned(),
                2,
                "`Gray_Hair`, got 5 others (like `Grey_Hair`)",
            ),
            (table("a.jpg 1 1 1 1\n"), 3, "expected 5 values, got 4"),
            (table("a.jpg 1 1 1 1 1 1\n"), 3, "expected 5 values, got 6"),
            (table("a.jpg 1 1 1 0 1\n"), 3, "expected 1 or -1, got `0`"),
            (table("../a.jpg 1 1 1 1 1\n"), 3, "expected the name of an image, got `../a.jpg`"),
            (table("a.jpg 1 1 1 1 1\nb.jpg 1 1 1 1 1\n"), 1, "expected 1 images, got 2"),
            (table(""), 1, "expected 1 images, got 0; is the file cut off?"),
        ] {
            let (got, problem) = problem(&text);
            assert!(got == line && problem.contains(words), "{text:?}: line {got}: {problem}");
        }
    }
}
