//! `cccm dataset` as a user meets it.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use image::{Rgb, RgbImage};

fn cccm(dir: &Path, args: &[&str]) -> Output {
    Command::cargo_bin("cccm").unwrap().current_dir(dir).args(args).output().unwrap()
}

/// Standard output and standard error of a command that ends with this code.
fn ends_with(code: i32, dir: &Path, args: &[&str]) -> (String, String) {
    let output = cccm(dir, args);
    let [out, log] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{log}");
    (out, log)
}

fn save(path: &Path, level: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(20, 24, |x, y| Rgb([level, x as u8, y as u8])).save(path).unwrap();
}

#[test]
fn celeba_is_laid_out_checked_and_trained_on() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let hairs = [" 1 -1 -1 -1 -1", "-1  1 -1 -1  1", "-1  1 -1 -1 -1", "-1 -1 -1 -1  1"];
    let row = |(number, hair): (u8, &str)| {
        let file = format!("{number:06}.jpg");
        save(&dir.join("img_align_celeba").join(&file), 50 * number);
        format!("{file} {hair}\n")
    };
    let rows: Vec<String> = (0..).zip(hairs).map(row).collect();
    let list = format!("4\nBlack_Hair Blond_Hair Brown_Hair Gray_Hair Male \n{}", rows.concat());
    fs::write(dir.join("list_attr_celeba.txt"), list).unwrap();
    let celeba =
        ["dataset", "celeba", "--images", "img_align_celeba", "--attributes", "list_attr_celeba.txt"];

    let (out, log) = ends_with(0, dir, &[&celeba[..], &["--out", "faces", "--link"]].concat());
    let want = "           Male  Female  total\n\
                BrownHair     ·       ·      ·\n\
                BlondHair     1       1      2\n\
                GrayHair      ·       ·      ·\n\
                BlackHair     ·       1      1\n\
                total         1       2      3\n";
    assert_eq!(out, want);
    assert!(log.contains("1 images, no hair colour") && log.contains("cccm dataset check faces"), "{log}");

    let (_, log) = ends_with(1, dir, &[&celeba[..], &["--out", "faces"]].concat());
    assert!(log.contains("`faces` exists"), "{log}");
    let (_, log) = ends_with(1, dir, &[&celeba[..], &["--out", "small", "--crop", "21"]].concat());
    assert!(log.contains("20 × 24") && !dir.join("small").exists(), "{log}");
    ends_with(2, dir, &[&celeba[..], &["--out", "small", "--crop", "16", "--link"]].concat());
    ends_with(0, dir, &[&celeba[..], &["--out", "small", "--crop", "16", "--img-size", "8"]].concat());
    assert_eq!(image::open(dir.join("small/BlondHair_Male/000001.png")).unwrap().width(), 8);

    let (out, log) = ends_with(0, dir, &["dataset", "check", "faces"]);
    assert!(
        out.starts_with(want) && out.contains("width   20 to 20 px") && out.contains("5 pairs without"),
        "{out}"
    );
    // Whatever is suggested is done, in small.
    let command = log.lines().find_map(|line| line.trim().strip_prefix("cccm ")).unwrap();
    assert_eq!(command, "train-teacher --data faces --preset celeba --img-size 16");
    let tiny = ["--emb-size", "8", "--norm-groups", "4", "--channel-mult", "1", "2", "--num-res-blocks", "1"];
    let short = ["--max-steps", "1", "--train-batch-size", "2", "--save-path", "run"];
    ends_with(0, dir, &[&command.split(' ').collect::<Vec<_>>()[..], &tiny, &short].concat());

    fs::remove_file(dir.join("img_align_celeba/000001.jpg")).unwrap();
    let (_, log) = ends_with(1, dir, &[&celeba[..], &["--out", "more"]].concat());
    assert!(log.contains("1 of 3 images are not in `img_align_celeba`: 000001.jpg"), "{log}");
    ends_with(0, dir, &[&celeba[..], &["--out", "more", "--skip-missing"]].concat());
    assert!(dir.join("faces/BlondHair_Male/000001.jpg").is_file(), "the link did not outlive the download");
}

#[test]
fn zappos50k_is_laid_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for (file, level) in
        [("Sandals/Heel/A/1.2.jpg", 1), ("Boots/Ankle/B/3.4.jpg", 2), ("Slippers/Boot/C/5.6.jpg", 3)]
    {
        save(&dir.join("images").join(file), level);
    }
    fs::write(dir.join("meta.csv"), "CID,HeelHeight\n3-4,Flat\n").unwrap();
    let zappos = ["dataset", "zappos50k", "--images", "images", "--out"];
    let (out, log) = ends_with(0, dir, &[&zappos[..], &["a"]].concat());
    assert!(out.ends_with("total     ·     ·        ·       1      1\n"), "{out}");
    assert!(log.contains("Boots/Ankle: heel or flat is in meta-data.csv only"), "{log}");
    ends_with(0, dir, &[&zappos[..], &["b", "--metadata", "meta.csv"]].concat());
    assert!(dir.join("b/Flat_Boot/3.4.jpg").is_file());
    let (_, log) = ends_with(1, dir, &["dataset", "zappos50k", "--images", "images/Boots", "--out", "c"]);
    assert!(log.contains("no folder of UT-Zappos50K in `images/Boots`"), "{log}");
}

#[test]
fn what_is_broken_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    save(&dir.join("photos/red_car/1.png"), 1);
    save(&dir.join("photos/blue_bus/2.png"), 2);
    fs::write(dir.join("photos/blue_bus/3.png"), "no image").unwrap();
    fs::create_dir(dir.join("photos/trucks")).unwrap();
    for number in 4..9 {
        save(&dir.join(format!("photos/red_car/{number}.png")), 1);
    }
    let (out, log) = ends_with(1, dir, &["dataset", "check", "photos"]);
    for words in [
        "1 folders that are no pair",
        "photos/trucks",
        "1 files that cannot",
        "photos/blue_bus/3.png",
        "1 images that are the same",
        " = 3 more",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(log.contains("1 files that cannot be decoded, 1 folders that are no pair"), "{log}");
    let (out, _) = ends_with(1, dir, &["dataset", "check", "photos", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["counts"]["blue_bus"], 1);
    assert_eq!(report["unreadable"][0]["path"], "photos/blue_bus/3.png");
    let labels = ["--attributes", "red", "blue", "--objects", "car", "bsu"];
    let (out, _) = ends_with(1, dir, &[&["dataset", "check", "photos"][..], &labels].concat());
    assert!(out.contains("photos/blue_bus: did you mean `blue_bsu`?"), "{out}");
}

#[test]
fn built_in_data_are_exported_and_trained_on() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let shapes = ["dataset", "export", "shapes", "--images-per-pair", "2", "--img-size", "8"];
    let (out, log) =
        ends_with(0, dir, &[&shapes[..], &["--out", "shapes", "--ignored", "red_Circle"]].concat());
    assert!(out.ends_with("    70\n") && !dir.join("shapes/red_Circle").exists(), "{out}");
    let command = log.lines().find_map(|line| line.trim().strip_prefix("cccm ")).unwrap();
    let tiny = ["--emb-size", "8", "--norm-groups", "4", "--channel-mult", "1", "2", "--num-res-blocks", "1"];
    let short = ["--max-steps", "1", "--train-batch-size", "2", "--save-path", "run"];
    ends_with(0, dir, &[&command.split(' ').collect::<Vec<_>>()[..], &tiny, &short].concat());

    let coind = ["dataset", "export", "coind-mnist", "--split", "test", "--support"];
    let (out, log) = ends_with(0, dir, &[&coind[..], &["partial", "--out", "coind"]].concat());
    assert!(out.ends_with("  2000\n") && !dir.join("coind/Blue_0").exists(), "{out}");
    let picture = fs::read_dir(dir.join("coind/DarkSlateGray_0")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(image::open(picture).unwrap().width(), 28);
    let command = log.lines().find_map(|line| line.trim().strip_prefix("cccm ")).unwrap();
    let short = ["--max-steps", "1", "--train-batch-size", "2", "--save-path", "coind-run"];
    ends_with(0, dir, &[&command.split(' ').collect::<Vec<_>>()[..], &tiny, &short].concat());
    let (out, _) = ends_with(0, dir, &[&coind[..], &["non-uniform", "--out", "all", "--seed", "1"]].concat());
    assert!(out.ends_with("  2000\n") && dir.join("all/Blue_0").exists(), "{out}");
    let ignored = [&coind[..], &["uniform", "--out", "more", "--ignored", "Blue_0"]].concat();
    let (_, log) = ends_with(1, dir, &ignored);
    assert!(log.contains("--ignored is not for coind-mnist"), "{log}");

    let (_, log) = ends_with(1, dir, &[&shapes[..], &["--out", "more", "--ignored", "customary"]].concat());
    assert!(log.contains("--ignored customary is for colored-mnist"), "{log}");
    let digits = dir.join("digits");
    fs::create_dir(&digits).unwrap();
    let header = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28];
    fs::write(digits.join("t10k-images-idx3-ubyte"), [&header[..], &[9; 2 * 28 * 28]].concat()).unwrap();
    fs::write(digits.join("t10k-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 2, 7, 5]).unwrap();
    let mnist = ["dataset", "export", "colored-mnist", "--digits", "digits", "--out", "mnist"];
    let (_, log) = ends_with(1, dir, &mnist);
    assert!(log.contains("train-images-idx3-ubyte"), "{log}");
    ends_with(0, dir, &[&mnist[..], &["--split", "test", "--ignored", "customary"]].concat());
    assert!(dir.join("mnist/red_7/0.png").is_file() && !dir.join("mnist/blu_7").exists());
}
