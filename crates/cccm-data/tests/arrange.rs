//! Published datasets become folders: who gets which, who is left out, what is refused, what is left behind.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use cccm_data::{Arrangement, Conversion, Error, OnBadImage, Transfer};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// The official file cut to eight faces: count, names with a blank at the end, cells padded to two letters.
const LIST: &str = "8
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair \
Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male \
Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks \
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace \
Wearing_Necktie Young \n";

/// Black, blond, brown, grey hair; a man.
const FACES: [(&str, [bool; 5]); 8] = [
    ("000001.jpg", [false, false, true, false, false]),
    ("000002.jpg", [false, false, false, false, false]),
    ("000003.jpg", [false, false, false, false, true]),
    ("000004.jpg", [false, true, false, false, true]),
    ("000005.jpg", [true, false, false, false, false]),
    ("000006.jpg", [false, false, false, true, true]),
    ("000007.jpg", [true, false, true, false, true]),
    ("000008.jpg", [false, true, false, false, true]),
];

fn list() -> String {
    let row = |(file, [black, blond, brown, gray, male]): (&str, [bool; 5])| {
        let value = |column: usize| match column {
            8 => black,
            9 => blond,
            11 => brown,
            17 => gray,
            20 => male,
            // Whatever else may be: the columns that matter must not be taken for their neighbours.
            _ => !column.is_multiple_of(3),
        };
        let cells = (0..40).map(|column| if value(column) { " 1" } else { "-1" });
        format!("{file} {}\n", cells.collect::<Vec<_>>().join(" "))
    };
    LIST.to_owned() + &FACES.map(row).concat()
}

/// A miniature of the official download, and a place for what is made of it.
struct Celeba {
    dir: TempDir,
}

impl Celeba {
    fn new() -> Result<Self> {
        let celeba = Self { dir: tempfile::tempdir()? };
        fs::create_dir_all(celeba.images())?;
        for (number, (file, _)) in (0..).zip(FACES) {
            RgbImage::from_fn(178, 218, |x, y| Rgb([x as u8, y as u8, number]))
                .save(celeba.images().join(file))?;
        }
        fs::write(celeba.list(), list())?;
        Ok(celeba)
    }

    fn images(&self) -> PathBuf {
        self.dir.path().join("img_align_celeba")
    }

    fn list(&self) -> PathBuf {
        self.dir.path().join("list_attr_celeba.txt")
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("celeba")
    }

    fn arrange(&self) -> cccm_data::Result<Arrangement> {
        Arrangement::celeba(&self.images(), &self.list(), OnBadImage::Stop)
    }

    /// Everything in the place of this test.
    fn names(&self) -> Result<Vec<String>> {
        names(self.dir.path())
    }
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Names of folders, and of the files in each.
type Tree = BTreeMap<String, Vec<String>>;

fn tree(root: &Path) -> Result<Tree> {
    names(root)?.into_iter().map(|folder| Ok((folder.clone(), names(&root.join(folder))?))).collect()
}

fn owned(tree: &[(&str, &[&str])]) -> Tree {
    tree.iter()
        .map(|(folder, files)| ((*folder).to_owned(), files.iter().map(ToString::to_string).collect()))
        .collect()
}

#[test]
fn faces_go_to_the_folder_of_their_hair_and_gender() -> Result<()> {
    let celeba = Celeba::new()?;
    let arrangement = celeba.arrange()?;
    assert_eq!(
        arrangement.dropped(),
        &[("no hair colour".to_owned(), 2), ("several hair colours".to_owned(), 1)].into()
    );
    let progress = AtomicUsize::new(0);
    let placed = arrangement.place(&celeba.out(), &Transfer::Copy, &|done| {
        progress.fetch_max(done, Ordering::Relaxed);
    })?;
    assert_eq!((placed.images, placed.symbolic_links, progress.into_inner()), (5, 0, 5));
    let want = owned(&[
        ("BlackHair_Female", &["000005.jpg"]),
        ("BlondHair_Male", &["000004.jpg", "000008.jpg"]),
        ("BrownHair_Female", &["000001.jpg"]),
        ("GrayHair_Male", &["000006.jpg"]),
    ]);
    assert_eq!(tree(&celeba.out())?, want);
    assert_eq!(
        fs::read(celeba.out().join("GrayHair_Male/000006.jpg"))?,
        fs::read(celeba.images().join("000006.jpg"))?
    );
    assert_eq!(celeba.names()?, ["celeba", "img_align_celeba", "list_attr_celeba.txt"]);
    Ok(())
}

#[test]
fn the_table_with_commas_and_the_nested_folder_give_the_same() -> Result<()> {
    let celeba = Celeba::new()?;
    let csv = celeba.dir.path().join("list_attr_celeba.csv");
    let lines = list()
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(",") + "\r\n")
        .collect::<String>();
    fs::write(&csv, format!("image_id,{lines}"))?;
    let from_csv = Arrangement::celeba(celeba.dir.path(), &csv, OnBadImage::Stop)?;
    assert_eq!(from_csv.combination_counts(), celeba.arrange()?.combination_counts());
    from_csv.place(&celeba.out(), &Transfer::Copy, &|_| ())?;
    assert_eq!(names(&celeba.out().join("BlondHair_Male"))?, ["000004.jpg", "000008.jpg"]);
    Ok(())
}

#[test]
fn a_list_whose_files_were_converted_since_still_fits() -> Result<()> {
    let celeba = Celeba::new()?;
    fs::rename(celeba.images().join("000001.jpg"), celeba.images().join("000001.png"))?;
    let arrangement = celeba.arrange()?;
    assert_eq!(arrangement.len(), 5);
    arrangement.place(&celeba.out(), &Transfer::Copy, &|_| ())?;
    assert_eq!(names(&celeba.out().join("BrownHair_Female"))?, ["000001.png"]);
    // Two that differ in the extension alone leave open which is meant.
    fs::copy(celeba.images().join("000001.png"), celeba.images().join("000001.bmp"))?;
    assert!(matches!(celeba.arrange(), Err(Error::MissingImages { count: 1, .. })));
    Ok(())
}

#[test]
fn missing_images_are_named_or_counted() -> Result<()> {
    let celeba = Celeba::new()?;
    // Nobody misses the second one: it has no hair colour.
    for file in ["000001.jpg", "000002.jpg", "000008.jpg"] {
        fs::remove_file(celeba.images().join(file))?;
    }
    let error = celeba.arrange().unwrap_err();
    assert!(matches!(error, Error::MissingImages { count: 2, total: 5, .. }), "{error:?}");
    assert!(error.to_string().ends_with("000001.jpg, 000008.jpg"), "{error}");
    let arrangement = Arrangement::celeba(&celeba.images(), &celeba.list(), OnBadImage::Skip)?;
    assert_eq!((arrangement.len(), arrangement.dropped()["image missing"]), (3, 2));
    Ok(())
}

#[test]
fn a_list_that_is_cut_off_or_garbled_is_refused_by_line() -> Result<()> {
    let celeba = Celeba::new()?;
    let text = list();
    let changes: [(&str, String, usize); 4] = [
        ("a row is missing", text.split_inclusive('\n').take(9).collect(), 1),
        ("the last row is cut off", text[..text.len() - 20].to_owned(), 10),
        ("a value is no value", text.replacen("-1", "-7", 1), 3),
        ("there is no list", "GIF89a".to_owned(), 1),
    ];
    for (name, text, want) in changes {
        fs::write(celeba.list(), text)?;
        let error = celeba.arrange().unwrap_err();
        assert!(
            matches!(&error, Error::Line { line, path, .. } if *line == want && *path == celeba.list()),
            "{name}: {error:?}"
        );
    }
    Ok(())
}

#[test]
fn links_share_the_file() -> Result<()> {
    let celeba = Celeba::new()?;
    let placed = celeba.arrange()?.place(&celeba.out(), &Transfer::Link, &|_| ())?;
    assert_eq!(placed.symbolic_links, 0);
    let linked = celeba.out().join("GrayHair_Male/000006.jpg");
    fs::write(celeba.images().join("000006.jpg"), "changed")?;
    assert_eq!(fs::read_to_string(&linked)?, "changed");
    // The link outlives the download.
    fs::remove_dir_all(celeba.images())?;
    assert_eq!(fs::read_to_string(&linked)?, "changed");
    Ok(())
}

#[test]
fn converted_images_are_cut_and_stretched() -> Result<()> {
    let celeba = Celeba::new()?;
    let conversion = Conversion { crop_px: Some(178), image_px: Some(64) };
    celeba.arrange()?.place(&celeba.out(), &Transfer::Convert(conversion), &|_| ())?;
    let image = image::open(celeba.out().join("GrayHair_Male/000006.png"))?.into_rgb8();
    assert_eq!(image.dimensions(), (64, 64));
    // Row 20 of 218 is the first to stay; a pixel is the mean of about three, and JPEG is not exact.
    let [red, green, _] = image.get_pixel(0, 0).0;
    assert!(red < 6 && green.abs_diff(21) < 6, "{red} {green}");
    Ok(())
}

#[test]
fn a_place_that_is_taken_is_refused_and_left_alone() -> Result<()> {
    let celeba = Celeba::new()?;
    fs::create_dir(celeba.out())?;
    celeba.arrange()?.place(&celeba.out(), &Transfer::Copy, &|_| ())?;
    let before = tree(&celeba.out())?;
    let error = celeba.arrange()?.place(&celeba.out(), &Transfer::Copy, &|_| ()).unwrap_err();
    assert!(matches!(error, Error::FolderTaken { .. }), "{error:?}");
    assert_eq!(tree(&celeba.out())?, before);
    Ok(())
}

#[test]
fn failure_halfway_leaves_nothing() -> Result<()> {
    let celeba = Celeba::new()?;
    fs::write(celeba.images().join("000006.jpg"), "no image")?;
    let convert = Transfer::Convert(Conversion { crop_px: None, image_px: Some(8) });
    let error = celeba.arrange()?.place(&celeba.out(), &convert, &|_| ()).unwrap_err();
    assert!(error.to_string().contains("000006.jpg"), "{error}");
    fs::remove_file(celeba.images().join("000004.jpg"))?;
    let arrangement = {
        let other = Celeba::new()?;
        let arrangement = other.arrange()?;
        drop(other);
        arrangement
    };
    for transfer in [Transfer::Copy, Transfer::Link] {
        let error = arrangement.place(&celeba.out(), &transfer, &|_| ()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
    }
    assert_eq!(celeba.names()?, ["img_align_celeba", "list_attr_celeba.txt"]);
    Ok(())
}

/// A shoe in every folder of the published tree, and in one that is not.
fn zappos() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let shoes = [
        ("Boots/Ankle", 101),
        ("Boots/Ankle", 102),
        ("Boots/Ankle", 103),
        ("Boots/Ankle", 104),
        ("Boots/Knee High", 105),
        ("Boots/Mid-Calf", 106),
        ("Boots/Over the Knee", 107),
        ("Boots/Prewalker Boots", 108),
        ("Sandals/Athletic", 201),
        ("Sandals/Flat", 202),
        ("Sandals/Heel", 203),
        ("Shoes/Boat Shoes", 301),
        ("Shoes/Clogs and Mules", 302),
        ("Shoes/Crib Shoes", 303),
        ("Shoes/Firstwalker", 304),
        ("Shoes/Flats", 305),
        ("Shoes/Heels", 306),
        ("Shoes/Loafers", 307),
        ("Shoes/Oxfords", 308),
        ("Shoes/Prewalker", 309),
        ("Shoes/Sneakers and Athletic Shoes", 310),
        ("Shoes/Wings", 311),
        ("Slippers/Boot", 401),
        ("Slippers/Slipper Flats", 402),
        ("Slippers/Slipper Heels", 403),
    ];
    for (folder, number) in shoes {
        let brand = dir.path().join("ut-zap50k-images").join(folder).join("L'Artiste by Spring Step");
        fs::create_dir_all(&brand)?;
        RgbImage::new(4, 3).save(brand.join(format!("{number}.72.jpg")))?;
    }
    fs::write(
        dir.path().join("meta-data.csv"),
        "CID,Category,SubCategory,HeelHeight,Insole,Closure,Gender,Material,ToeStyle\n\
         101-72,Boots,Ankle,4in - 4 3/4in,,Slip-On,Women,Leather,Round Toe\n\
         102-72,Boots,Ankle,Flat,,\"Slip-On, Zip\",Men,Leather,\n\
         103-72,Boots,Ankle,1in - 1 3/4in,,,,,\n\
         104-72,Boots,Ankle,,,,,,\n\
         302-72,Shoes,Clogs and Mules,Under 1in,,,,,\n\
         307-72,Shoes,Loafers,2in - 2 3/4in;Flat,,,,,\n\
         308-72,Shoes,Oxfords,Flat,,,,,\n",
    )?;
    Ok(dir)
}

/// The folders that those shoes are in, with the help of a table or without.
fn place_zappos(table: Option<&str>) -> Result<(Tree, Arrangement)> {
    let dir = zappos()?;
    let table = table.map(|table| dir.path().join(table));
    let arrangement = Arrangement::zappos50k(&dir.path().join("ut-zap50k-images"), table.as_deref())?;
    let out = dir.path().join("out");
    arrangement.place(&out, &Transfer::Copy, &|_| ())?;
    Ok((tree(&out)?, arrangement))
}

#[test]
fn shoes_go_by_folder() -> Result<()> {
    let (tree, arrangement) = place_zappos(None)?;
    let dropped = arrangement.dropped();
    let want = owned(&[
        ("Flat_Sandal", &["201.72.jpg", "202.72.jpg"]),
        ("Flat_Shoe", &["301.72.jpg", "305.72.jpg", "310.72.jpg"]),
        ("Flat_Slipper", &["402.72.jpg"]),
        ("Heel_Sandal", &["203.72.jpg"]),
        ("Heel_Shoe", &["306.72.jpg"]),
        ("Heel_Slipper", &["403.72.jpg"]),
    ]);
    assert_eq!(tree, want);
    assert_eq!(dropped["Boots/Ankle: heel or flat is in meta-data.csv only"], 4);
    assert_eq!(dropped["Boots/Prewalker Boots: a baby's"], 1);
    assert_eq!(dropped["Shoes/Wings: unknown folder"], 1);
    assert_eq!(dropped["Slippers/Boot: slipper and boot at once"], 1);
    assert_eq!(dropped.values().sum::<usize>(), 25 - 9);
    Ok(())
}

#[test]
fn the_table_tells_heels_of_boots() -> Result<()> {
    let (tree, arrangement) = place_zappos(Some("meta-data.csv"))?;
    let dropped = arrangement.dropped();
    assert_eq!(tree["Heel_Boot"], ["101.72.jpg"]);
    assert_eq!(tree["Flat_Boot"], ["102.72.jpg"]);
    assert_eq!(tree["Flat_Shoe"], ["301.72.jpg", "302.72.jpg", "305.72.jpg", "308.72.jpg", "310.72.jpg"]);
    assert_eq!(dropped["Boots/Ankle: height of the heel between 1 and 2 inches, or unclear"], 1);
    assert_eq!(dropped["Boots/Ankle: height of the heel unknown"], 1);
    assert_eq!(dropped["Shoes/Loafers: height of the heel between 1 and 2 inches, or unclear"], 1);
    Ok(())
}

#[test]
fn other_trees_and_tables_are_refused() -> Result<()> {
    let dir = zappos()?;
    // The parent of the folder that was meant.
    let error = Arrangement::zappos50k(dir.path(), None).unwrap_err();
    assert!(matches!(&error, Error::NotZappos { root } if root == dir.path()), "{error:?}");

    let table = dir.path().join("table.csv");
    for (text, want) in [("", 1), ("CID,Height\n", 1), ("CID,HeelHeight\n1,2,3\n", 2)] {
        fs::write(&table, text)?;
        let error = Arrangement::zappos50k(&dir.path().join("ut-zap50k-images"), Some(&table)).unwrap_err();
        assert!(matches!(error, Error::Line { line, .. } if line == want), "{text:?}: {error:?}");
    }
    Ok(())
}

#[test]
fn two_files_of_one_name_are_refused() -> Result<()> {
    let dir = zappos()?;
    let brand = dir.path().join("ut-zap50k-images/Shoes/Flats/Other");
    fs::create_dir(&brand)?;
    RgbImage::new(4, 3).save(brand.join("301.72.jpg"))?;
    let arrangement = Arrangement::zappos50k(&dir.path().join("ut-zap50k-images"), None)?;
    let error = arrangement.place(&dir.path().join("out"), &Transfer::Copy, &|_| ()).unwrap_err();
    assert!(matches!(error, Error::SameName { .. }), "{error:?}");
    assert_eq!(names(dir.path())?, ["meta-data.csv", "ut-zap50k-images"]);
    Ok(())
}
