//! One, three and four kinds of labels, from folders to reports.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{TINY, failure, log_of, run};

/// What a teacher is trained with besides, quickly and alike however long.
const QUICK: [&str; 8] =
    ["--num-timestep", "100", "--lr", "1e-2", "--lr-schedule", "constant", "--seed", "3"];
const STUDENT: [&str; 13] = [
    "train",
    "--teacher",
    "teacher",
    "--num-ddim-timesteps",
    "10",
    "--trajectory-solver-steps",
    "4",
    "--train-batch-size",
    "4",
    "--lr",
    "1e-2",
    "--lr-schedule",
    "constant",
];

fn model(dir: &Path, run: &str) -> Vec<u8> {
    fs::read(dir.join(run).join("model/model.safetensors")).unwrap()
}

fn config(dir: &Path, run: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(run).join("model/config.json")).unwrap()).unwrap()
}

/// A folder of pictures for every name.
fn draw_folders(root: &Path, names: &[&str]) {
    for (place, name) in names.iter().enumerate() {
        fs::create_dir_all(root.join(name)).unwrap();
        for index in 0..12_u8 {
            let pixel = |x, y| image::Rgb([place as u8 * 15, 20 * x as u8 + index, 20 * y as u8]);
            image::RgbImage::from_fn(8, 8, pixel).save(root.join(name).join(format!("{index}.png"))).unwrap();
        }
    }
}

/// Makes a run one that was killed before its last checkpoint, and goes on with it.
fn goes_on_to_the_same(dir: &Path, command: &str, name: &str) {
    let whole = model(dir, name);
    let checkpoints = fs::read_dir(dir.join(name).join("checkpoints")).unwrap();
    let newest = checkpoints.map(|entry| entry.unwrap().path()).max().unwrap();
    fs::remove_dir_all(newest).unwrap();
    fs::remove_dir_all(dir.join(name).join("model")).unwrap();
    let said = log_of(dir, &[command, "--resume", name]);
    assert!(said.contains("after step 2"), "{said}");
    assert!(model(dir, name) == whole, "{name} went on to other weights");
}

/// Trains a teacher and a student, each killed and gone on with, samples, scores and reports. Of `TINY` all but the data.
/// - `data`: flags of the images; `count`: combinations that they have
fn whole_way(dir: &Path, data: &[&str], count: usize) -> Value {
    let steps = ["--max-steps", "4", "--checkpoint-steps", "2"];
    run(dir, &[&["train-teacher", "--save-path", "teacher"], data, &steps, &TINY[2..], &QUICK].concat());
    goes_on_to_the_same(dir, "train-teacher", "teacher");
    let student = ["--save-path", "student", "--trajectory-steps", "2"];
    run(dir, &[&STUDENT[..], data, &steps, &student].concat());
    goes_on_to_the_same(dir, "train", "student");
    assert_eq!(config(dir, "student")["labels"], config(dir, "teacher")["labels"]);
    for step in ["student/grids/step-000004.png", "teacher/grids/step-000004.png"] {
        image::open(dir.join(step)).unwrap();
    }

    let sampled = |flags: &[&str]| -> Vec<Value> {
        let printed = run(dir, &[&["sample", "--checkpoint"], flags].concat());
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(sampled(&["student", "--out", "m.png"])[0]["pairs"].as_array().unwrap().len(), count);
    assert_eq!(sampled(&["teacher", "--steps", "2", "--out", "many", "--count", "2"]).len(), 2 * count);
    let weights = vec!["1"; config(dir, "teacher")["labels"].as_array().unwrap().len()];
    let by_kind = [&["teacher", "--steps", "2", "--out", "k.png", "--kind-guidance"], &weights[..]].concat();
    assert_eq!(sampled(&by_kind)[0]["evaluations_per_image"], 2 * (weights.len() + 1));

    let judged =
        ["--samples", "2", "--steps", "1", "--classifier", "c.safetensors", "--classifier-steps", "10"];
    run(dir, &[&["eval", "--checkpoint", "student"], &judged[..]].concat());
    let report = ["report", "student", "--out", "report"];
    let said = log_of(dir, &report);
    for file in ["report.md", "matrix.png"] {
        assert!(dir.join("report").join(file).is_file(), "{file}: {said}");
    }
    let scores = fs::read(dir.join("student/eval/steps-1/scores.json")).unwrap();
    let scores: Value = serde_json::from_slice(&scores).unwrap();
    let accuracy = &scores["scores"]["accuracy"];
    assert_eq!(accuracy["combinations"].as_array().unwrap().len(), count);
    assert_eq!(accuracy["kinds_seen"].as_array().unwrap().len(), weights.len());
    scores
}

#[test]
fn one_kind() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    draw_folders(&dir.join("photos"), &["cat", "dog", "guinea_pig"]);
    let said = failure(dir, &["train-teacher", "--data", "photos", "--max-steps", "1"]);
    assert!(said.contains("must be named <attribute>_<object>") && said.contains("--kind"), "{said}");

    whole_way(dir, &["--data", "photos", "--kind", "animal"], 3);
    assert_eq!(
        config(dir, "student")["labels"],
        json!([{"kind": "animal", "names": ["cat", "dog", "guinea_pig"]}])
    );
    let sample = |flags: &[&str]| run(dir, &[&["sample", "--checkpoint", "student"], flags].concat());
    let one: Value = serde_json::from_str(&sample(&["--label", "animal=guinea_pig"])).unwrap();
    assert_eq!((&one["file"], &one["pairs"]), (&json!("guinea_pig.png"), &json!(["guinea_pig"])));
    let by_flag: Value = serde_json::from_str(&sample(&["--attribute", "dog"])).unwrap();
    assert_eq!(by_flag["pairs"], json!(["dog"]));
    let said = failure(dir, &["sample", "--checkpoint", "student", "--object", "cat"]);
    assert!(said.contains("this model has only animal"), "{said}");
    let card = fs::read_to_string(dir.join("student/model/README.md")).unwrap();
    assert!(card.contains("--label animal=cat") && card.contains("combinations of labels, 3,"), "{card}");
    let checked = run(dir, &["dataset", "check", "photos", "--kind", "animal"]);
    assert!(checked.contains("cat  dog  guinea_pig  total"), "{checked}");
}

#[test]
fn three_kinds() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let held_out = ["--data", "builtin:sized-shapes", "--ignored", "red_Circle_small", "blue_Oval_large"];
    let scores = whole_way(dir, &held_out, 72);
    assert_eq!(scores["scores"]["accuracy"]["unseen"]["of"], 4);
    let kinds: Vec<&str> =
        scores["labels"].as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["colour", "outline", "size"]);

    let sample = |flags: &[&str]| -> Value {
        serde_json::from_str(&run(dir, &[&["sample", "--checkpoint", "student"], flags].concat())).unwrap()
    };
    let one = sample(&["--label", "colour=red", "--label", "size=small", "--label", "outline=Oval"]);
    assert_eq!(one["pairs"], json!(["red_Oval_small"]));
    let page = sample(&["--label", "size=small", "--attribute", "red", "--out", "page.png"]);
    assert_eq!(page["pairs"].as_array().unwrap().len(), 6);
    // Pages of both sizes below one another.
    let height = |file: &str| image::image_dimensions(dir.join(file)).unwrap().1;
    sample(&["--label", "size=small", "--out", "small.png"]);
    sample(&["--out", "all.png"]);
    assert_eq!(height("all.png"), 2 * height("small.png"));
    for (flags, words) in [
        (&["--label", "sise=small"][..], "did you mean `size`"),
        (&["--label", "size=smal"], "did you mean `small`"),
        (&["--label", "colour=red", "--attribute", "blue"], "`colour` is given twice"),
    ] {
        let said = failure(dir, &[&["sample", "--checkpoint", "student"], flags].concat());
        assert!(said.contains(words), "{said}");
    }
    let card = fs::read_to_string(dir.join("student/model/README.md")).unwrap();
    let command = "--label colour=red --label outline=Circle --label size=small";
    assert!(card.contains(command) && card.contains("6 × 6 × 2"), "{card}");
}

#[test]
fn four_kinds_from_folders() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let names: Vec<String> =
        (0..16).map(|n| format!("a{}_b{} c{}_d{}", n & 1, n >> 1 & 1, n >> 2 & 1, n >> 3)).collect();
    draw_folders(&dir.join("photos"), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let kinds = ["--data", "photos", "--kind", "a", "--kind", "b=b0,b1", "--kind", "c", "--kind", "d"];
    let said = failure(dir, &[&["train-teacher", "--max-steps", "1"], &kinds[..]].concat());
    assert!(said.contains("--kind") && said.contains("`a` are not given"), "{said}");
    let kinds = ["--data", "photos", "--kind", "a", "b", "c", "d", "--ignored", "a0_b0_c0_d0"];
    whole_way(dir, &kinds, 16);
    let exported = ["dataset", "check", "photos", "--kind", "a", "b", "c", "d", "--json"];
    let report: Value = serde_json::from_str(&run(dir, &exported)).unwrap();
    assert_eq!(
        report["vocabulary"],
        json!({"as": ["a0", "a1"], "bs": ["b0", "b1"], "cs": ["c0", "c1"], "ds": ["d0", "d1"]})
    );
}
