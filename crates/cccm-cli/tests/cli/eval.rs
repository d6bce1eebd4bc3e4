//! Scores: what is written, that they repeat, and what is refused.

use std::path::Path;

use serde_json::Value;

use crate::support::{cccm, failure, run, tiny_student, tiny_teacher};

const EVAL: [&str; 10] = [
    "eval",
    "--checkpoint",
    "student",
    "--samples",
    "2",
    "--classifier",
    "classifier.safetensors",
    "--classifier-steps",
    "20",
    "--steps",
];

fn student(dir: &Path) {
    tiny_teacher(dir, "teacher", &["--ignored", "red_Circle"]);
    tiny_student(dir, "student", &["--ignored", "red_Circle"]);
}

fn eval(dir: &Path, more: &[&str]) -> Vec<Value> {
    let printed = run(dir, &[&EVAL[..], more].concat());
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn scores_are_written_and_repeat() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    student(dir);
    let first = eval(dir, &["1", "2", "--json"]);
    assert_eq!(first.len(), 2);
    for (steps, record) in [1, 2].into_iter().zip(&first) {
        assert_eq!((&record["steps"], &record["evaluations_per_image"]), (&steps.into(), &steps.into()));
        // 36 pairs twice, red circles unseen: the run says so.
        let accuracy = &record["scores"]["accuracy"];
        let of = |part: &str| accuracy[part]["of"].as_u64().unwrap();
        assert_eq!((of("all"), of("seen"), of("unseen")), (72, 70, 2));
        assert_eq!(accuracy["combinations"].as_array().unwrap().len(), 36);
        let distances = &record["scores"]["all"];
        assert_eq!((&distances["images"], &distances["real_images"]), (&72.into(), &3600.into()));
        assert!(distances["frechet"]["value"].as_f64().unwrap() > 0.0);
        assert!(record["scores"]["unseen"].is_null(), "two images are too few");
        // Shapes of 8 pixels have one level, and no background of their own.
        let pixels = &record["scores"]["pixels"];
        assert_eq!((&pixels["all"]["images"], &pixels["all"]["real_images"]), (&72.into(), &3600.into()));
        assert_eq!(pixels["all"]["patches"].as_array().unwrap().len(), 1);
        assert!(pixels["unseen"].is_null());
        let px = |scores: &Value| scores["pixels"]["all"]["pixels"]["value"].as_f64().unwrap();
        assert!(2.0 * px(&record["real"]) < px(&record["scores"]), "a student of three steps draws noise");
        let shares =
            |of: &str| accuracy[of].as_array().unwrap().iter().map(|kind| kind["of"].clone()).collect();
        let [seen, unseen]: [Vec<Value>; 2] = [shares("kinds_seen"), shares("kinds_unseen")];
        assert_eq!((seen, unseen), (vec![70.into(), 70.into()], vec![2.into(), 2.into()]));
        let confused = |accuracy: &Value| -> u64 {
            let rows = accuracy["confusion"][0].as_array().unwrap().iter();
            rows.flat_map(|row| row.as_array().unwrap()).map(|count| count.as_u64().unwrap()).sum()
        };
        assert_eq!(confused(accuracy), 72);
        assert_eq!(confused(&record["classifier_accuracy"]), record["classifier_accuracy"]["all"]["of"]);
        assert!(record["secs_per_image"].as_f64().unwrap() > 0.0);
        let folder = dir.join(format!("student/eval/steps-{steps}"));
        let written: Value =
            serde_json::from_slice(&std::fs::read(folder.join("scores.json")).unwrap()).unwrap();
        assert_eq!(written, *record);
        image::open(folder.join("pictures.png")).unwrap();
        image::open(folder.join("nearest.png")).unwrap();
        let to_nearest = |set: &Value| set["to_nearest"]["unseen"]["value"].as_f64().unwrap();
        assert!(
            to_nearest(&record["real"]) < to_nearest(&record["scores"]),
            "a student of three steps draws noise"
        );
        assert_eq!(
            record["flags"],
            serde_json::json!({"classifier": "classifier.safetensors", "classifier_steps": 20})
        );
    }

    // Kept pictures give the same scores, and so do pictures drawn anew.
    assert_eq!(eval(dir, &["1", "2", "--json"]), first);
    let scores =
        |records: &[Value]| records.iter().map(|record| record["scores"].clone()).collect::<Vec<_>>();
    let anew = eval(dir, &["1", "2", "--json", "--out", "elsewhere"]);
    assert_eq!(scores(&anew), scores(&first));
    let other = eval(dir, &["1", "2", "--json", "--seed", "1"]);
    assert_ne!(scores(&other), scores(&first));

    let table = run(dir, &[&EVAL[..], &["2"]].concat());
    for words in ["accuracy seen", "px seen", "swd fine", "background", "labels seen", "\n2 steps"] {
        assert!(table.contains(words), "{words}\n{table}");
    }
}

/// Folders of few images, and a look of one picture each, are worth their scores all the same.
#[test]
fn single_pictures_of_a_model_within_its_run_are_scored() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    student(dir);
    let place = ["eval", "--checkpoint", "student/model", "--data", "builtin:shapes", "--steps", "1"];
    let rest = ["--samples", "1", "--classifier-steps", "2", "--out", "scores", "--json"];
    let record: Value = serde_json::from_str(&run(dir, &[&place[..], &rest].concat())).unwrap();
    let scores = &record["scores"];
    assert!(scores["all"]["frechet"]["value"].is_f64());
    assert!(scores["all"]["diversity"].is_null());
    // Which pairs the model saw is the run's to say, wherever the images are now.
    assert_eq!(scores["accuracy"]["unseen"]["of"], 1);
}

#[test]
fn searched_timesteps_are_kept_and_used() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    student(dir);
    let search = ["search-steps", "--checkpoint", "student", "--steps", "2", "--samples", "1"];
    let classifier = ["--classifier", "classifier.safetensors", "--classifier-steps", "20"];
    let found: Value = serde_json::from_str(&run(dir, &[&search[..], &classifier].concat())).unwrap();
    assert_eq!((&found["steps"], &found["before"]["timesteps"]), (&2.into(), &vec![999, 499].into()));
    assert!(found["frechet"].as_f64().unwrap() <= found["before"]["frechet"].as_f64().unwrap());
    assert!(found["tried"].as_u64().unwrap() > 5);
    let config: Value =
        serde_json::from_slice(&std::fs::read(dir.join("student/model/config.json")).unwrap()).unwrap();
    assert_eq!(config["student"]["few_step_timesteps"]["2"], found["timesteps"]);
    // Where it went before is where it starts now: nothing better is left of the first look.
    let again: Value = serde_json::from_str(&run(dir, &[&search[..], &classifier].concat())).unwrap();
    assert_eq!(
        (&again["before"]["timesteps"], &again["before"]["frechet"]),
        (&found["timesteps"], &found["frechet"])
    );

    let checkpoint = dir.join("student/checkpoints/step-000003");
    for place in ["student/checkpoints/step-000003", "student/checkpoints/step-000003/target.safetensors"] {
        let before = std::fs::read(checkpoint.join("config.json")).unwrap();
        let said = failure(dir, &[&["search-steps", "--checkpoint", place], &classifier[..]].concat());
        assert!(said.contains("SHA256SUMS") && said.contains("RUN/model"), "{said}");
        assert!(std::fs::read(checkpoint.join("config.json")).unwrap() == before);
    }

    let teacher = failure(dir, &["search-steps", "--checkpoint", "teacher"]);
    assert!(teacher.contains("teacher is a teacher: only students"), "{teacher}");
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    student(dir);
    let refused = |more: &[&str]| failure(dir, &[&EVAL[..], more].concat());
    let said = refused(&["2", "--data", "builtin:colored-mnist"]);
    assert!(said.contains("--data names the images it was trained on"), "{said}");
    let said = refused(&["0"]);
    assert!(said.contains("steps"), "{said}");
    assert!(!dir.join("student/eval").exists() && !dir.join("classifier.safetensors").exists());

    std::fs::write(dir.join("classifier.safetensors"), "no weights").unwrap();
    let said = refused(&["2"]);
    assert!(said.contains("cannot use classifier.safetensors"), "{said}");
    let said = failure(dir, &["eval", "--checkpoint", "nowhere"]);
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn a_damaged_classifier_is_made_anew_if_it_was_kept_and_refused_if_it_was_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    student(dir);
    let args =
        ["eval", "--checkpoint", "student", "--samples", "1", "--steps", "1", "--json", "--classifier-steps"];
    let first = run(dir, &[&args[..], &["2"]].concat());
    let folder = dir.join("cache/cccm/classifiers");
    let kept = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let path = kept().next().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    run(dir, &[&args[..], &["3"]].concat());
    let other = std::fs::read(kept().find(|other| *other != path).unwrap()).unwrap();

    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let zeros = [&bytes[..header], &vec![0; bytes.len() - header][..]].concat();
    for damaged in [&zeros, &other] {
        std::fs::write(&path, damaged).unwrap();
        let output = cccm(dir, &[&args[..], &["2"]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("made anew") && said.contains(path.to_str().unwrap()), "{said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), first);
        assert!(std::fs::read(&path).unwrap() == bytes, "it is not kept again");
    }
    for damaged in [&bytes[..bytes.len() / 2], &zeros, b""] {
        std::fs::write(dir.join("named.safetensors"), damaged).unwrap();
        let said = failure(dir, &[&args[..], &["2", "--classifier", "named.safetensors"]].concat());
        assert!(said.contains("cannot use named.safetensors"), "{said}");
    }
}

#[test]
fn a_damaged_part_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    student(dir);
    run(dir, &[&EVAL[..], &["1"]].concat());
    let part = dir.join("student/eval/steps-1/samples/part-0000.safetensors");
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    let said = failure(dir, &[&EVAL[..], &["1"]].concat());
    assert!(said.contains("part-0000.safetensors is damaged: remove it"), "{said}");
}
