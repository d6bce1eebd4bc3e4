//! Images as people have them: which flags read them, what is said of those that are passed over.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

use crate::support::{TINY, failure, log_of, run};

/// A folder with four pairs of three pictures each, 16 × 8 pixels.
fn draw_photos(dir: &Path) {
    for (pair, red) in [("red_cup", 250), ("red_hat", 200), ("blue_cup", 50), ("blue_hat", 0)] {
        let folder = dir.join("photos").join(pair);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..3_u8 {
            let pixel = |x, y| Rgb([red, 15 * x as u8, 30 * y as u8 + index]);
            RgbImage::from_fn(16, 8, pixel).save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
}

fn teacher(dir: &Path, name: &str, more: &[&str]) -> Vec<u8> {
    let mut args =
        vec!["train-teacher", "--max-steps", "4", "--image-sampling", "shuffled", "--save-path", name];
    let tiny = TINY.iter().map(|word| if *word == "builtin:shapes" { "photos" } else { word });
    args.extend(tiny);
    args.extend(more);
    run(dir, &args);
    fs::read(dir.join(name).join("model/model.safetensors")).unwrap()
}

#[test]
fn images_are_made_to_fit_as_the_flags_say() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    draw_photos(dir);
    let mut models = vec![teacher(dir, "stretch", &[])];
    assert_eq!(teacher(dir, "same", &["--resize", "stretch"]), models[0]);
    for resize in ["crop", "random_crop", "pad"] {
        models.push(teacher(dir, resize, &["--resize", resize]));
        let card = fs::read_to_string(dir.join(resize).join("model/README.md")).unwrap();
        assert!(card.contains(&format!("resize | {resize}")) || card.contains(resize), "{card}");
    }
    // A photograph that is stored turned, and one in a sub-folder.
    let turned = dir.join("photos/red_cup/turned.jpg");
    let mut jpeg = Vec::new();
    let upright = RgbImage::from_fn(8, 16, |x, y| Rgb([250, 15 * y as u8, 30 * x as u8]));
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode_image(&upright).unwrap();
    let tiff = [&b"MM\0*\0\0\0\x08\0\x01"[..], &[1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0], &[0; 4]].concat();
    let exif = [&[0xff, 0xe1, 0, 8 + tiff.len() as u8][..], b"Exif\0\0", &tiff].concat();
    fs::write(&turned, [&jpeg[..2], &exif, &jpeg[2..]].concat()).unwrap();
    models.push(teacher(dir, "turned", &[]));
    models.push(teacher(dir, "upright", &["--upright"]));
    fs::create_dir(dir.join("photos/red_cup/more")).unwrap();
    fs::copy(&turned, dir.join("photos/red_cup/more/another.jpe")).unwrap();
    models.push(teacher(dir, "recursive", &["--recursive"]));
    models.sort();
    models.dedup();
    assert_eq!(models.len(), 7, "each flag makes another model");

    let checked = run(dir, &["dataset", "check", "photos"]);
    assert!(checked.contains("passed over: 1 images in sub-folders; --recursive"), "{checked}");
    assert!(checked.contains("1 images are stored turned, by their EXIF orientation"), "{checked}");
    let said = log_of(dir, &["train-teacher", "--resume", "turned", "--allow-change", "--max-steps", "5"]);
    assert!(said.contains("is read without 1 images in sub-folders; --recursive reads"), "{said}");
    assert!(said.contains("1 of 13 images are stored turned, by their EXIF orientation"), "{said}");
}

#[test]
fn a_run_is_judged_from_another_folder_and_without_images_that_cannot_be_decoded() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    draw_photos(dir);
    teacher(dir, "runs/one", &["--lr-warmup-steps", "0"]);
    let whole = fs::read(dir.join("photos/red_cup/0.png")).unwrap();
    fs::write(dir.join("photos/red_cup/cut.png"), &whole[..whole.len() - 20]).unwrap();
    let elsewhere = dir.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let eval = |more: &[&'static str]| {
        let args = [
            "eval",
            "--checkpoint",
            "../runs/one",
            "--samples",
            "1",
            "--steps",
            "1",
            "--classifier-steps",
            "5",
        ];
        [&args[..], &["--out", "scores"], more].concat()
    };
    let said = failure(&elsewhere, &eval(&[]));
    assert!(said.contains("cut.png"), "{said}");
    let said = log_of(&elsewhere, &eval(&["--skip-bad-images"]));
    assert!(said.contains("the run's data `photos` are taken from"), "{said}");
    assert!(said.contains("scores leave out 1 of 13 real images"), "{said}");
    fs::rename(dir.join("photos"), dir.join("moved")).unwrap();
    let said = failure(&elsewhere, &eval(&[]));
    assert!(said.contains("was trained on `photos`, which is not here: --data names it"), "{said}");
}

#[test]
fn what_lasts_longer_than_the_run_is_said() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    draw_photos(dir);
    let args = ["train-teacher", "--data", "photos", "--max-steps", "3", "--save-path", "teacher"];
    let tiny: Vec<&str> = TINY.iter().copied().skip(2).collect();
    let said = log_of(dir, &[&args[..], &tiny].concat());
    assert!(
        said.contains("warms up for 500 steps, longer than this run of 3, and ends at 1 % of --lr"),
        "{said}"
    );
    let student =
        ["train", "--teacher", "teacher", "--data", "photos", "--max-steps", "2", "--save-path", "student"];
    let stage = ["--lr-warmup-steps", "1", "--trajectory-steps", "2", "--trajectory-solver-steps", "2"];
    let said = log_of(dir, &[&student[..], &stage].concat());
    assert!(said.contains("the first stage, on trajectories of the teacher, is 2 steps"), "{said}");
    assert!(!said.contains("warms up"), "{said}");
}

#[test]
fn a_list_is_found_where_the_program_is_and_flags_that_do_nothing_say_so() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    draw_photos(dir);
    let row = |name: &str, pair: (&str, &str)| {
        format!(
            "{{\"file_name\": \"photos/{name}\", \"attribute\": \"{}\", \"object\": \"{}\"}}\n",
            pair.0, pair.1
        )
    };
    let rows = [row("red_cup/0.png", ("red", "cup")), row("blue_hat/0.png", ("blue", "hat"))];
    fs::write(dir.join("metadata.jsonl"), rows.concat()).unwrap();
    let checked = run(dir, &["dataset", "check", "metadata.jsonl"]);
    assert!(checked.contains("total") && checked.contains("10 images without labels"), "{checked}");
    let args =
        ["train-teacher", "--max-steps", "1", "--save-path", "shapes", "--resize", "crop", "--upright"];
    let said = log_of(dir, &[&args[..], &TINY].concat());
    assert!(said.contains("--resize, --upright changes nothing"), "{said}");
}

#[test]
fn digits_are_looked_over_too() {
    let tmp = tempfile::tempdir().unwrap();
    let raw = tmp.path().join("MNIST/raw");
    fs::create_dir_all(&raw).unwrap();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &[9; 2 * 784]].concat();
    fs::write(raw.join("train-images.idx3-ubyte"), images).unwrap();
    fs::write(raw.join("train-labels.idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 2, 7, 7]).unwrap();
    let printed = run(tmp.path(), &["dataset", "check", "."]);
    assert!(printed.contains("    7      2      0") && printed.contains("total      2      0"), "{printed}");
    let json: serde_json::Value =
        serde_json::from_str(&run(tmp.path(), &["dataset", "check", ".", "--json"])).unwrap();
    assert_eq!((&json["format"], &json["train"][7]), (&"mnist".into(), &2.into()));
}
