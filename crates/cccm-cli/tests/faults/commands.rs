//! The commands, with networks so small that each run takes a moment.

use std::path::Path;

use cccm_tests::hub::HubStandIn;

use crate::scenario::{Resume, Scenario, Thing};

const TINY: &str = "--data images --img-size 8 --emb-size 8 --norm-groups 4 --channel-mult 1 --num-res-blocks 1 \
                    --train-batch-size 2 --threads 1";
const JUDGE: &str = "--data images --classifier-steps 2 --threads 1";
/// The model in `out`.
const OUT: [&str; 3] = ["out/model.safetensors.sha256", "out/config.json", "out/model.safetensors"];
const OPEN_OUT: &str =
    "sample --checkpoint out --attribute red --object Oval --steps 1 --threads 1 --out probe.png";

/// Four pairs of some pictures, of which every tenth is for tests.
fn images(dir: &Path) {
    for (attribute, color) in [("red", [200, 30, 40]), ("blue", [30, 40, 200])] {
        for (object, stripes) in [("Oval", 2), ("Bar", 5)] {
            let folder = dir.join(format!("images/{attribute}_{object}"));
            std::fs::create_dir_all(&folder).unwrap();
            for picture in 0..30 {
                let pixel = |x: u32, y: u32| {
                    image::Rgb(if (x * y + picture).is_multiple_of(stripes) { color } else { [9; 3] })
                };
                image::RgbImage::from_fn(8, 8, pixel).save(folder.join(format!("{picture:02}.png"))).unwrap();
            }
        }
    }
}

fn teacher(scenario: &Scenario, dir: &Path, name: &str, seed: u64) {
    if !dir.join("images").exists() {
        images(dir);
    }
    let line = format!("train-teacher --max-steps 1 --save-path {name} --seed {seed} {TINY}");
    scenario.run(dir, &line);
}

/// A run of some steps, each with a checkpoint.
fn student(name: &str, steps: u64) -> String {
    format!(
        "train --teacher teacher --data images --max-steps {steps} --train-batch-size 2 --threads 1 --eval-steps 2 \
         --checkpoint-steps 1 --checkpoints-total-limit 1 --save-path {name}"
    )
}

/// The model of the run in `runs/a`.
fn model_of_run() -> Thing {
    Thing {
        files: vec![
            "runs/a/model/model.safetensors.sha256",
            "runs/a/model/config.json",
            "runs/a/model/model.safetensors",
        ],
        opened_by: Some("sample --checkpoint runs/a/model --steps 1 --threads 1 --out probe.png"),
        ..Thing::file("runs/a/model")
    }
}

/// A new run.
pub(crate) fn train() -> Scenario {
    Scenario {
        name: "train",
        before: |scenario, dir| teacher(scenario, dir, "teacher", 1),
        line: student("runs/a", 2),
        things: vec![model_of_run()],
        resume: Some(Resume { line: "train --resume runs/a".to_owned(), folder: "runs/a" }),
        hub: None,
    }
}

/// A finished run that goes on.
pub(crate) fn train_longer() -> Scenario {
    Scenario {
        name: "train_longer",
        before: |scenario, dir| {
            teacher(scenario, dir, "teacher", 1);
            scenario.run(dir, &student("runs/a", 1));
        },
        line: "train --resume runs/a --max-steps 2 --allow-change".to_owned(),
        things: vec![model_of_run()],
        resume: None,
        hub: None,
    }
}

/// Onto another model.
pub(crate) fn convert() -> Scenario {
    Scenario {
        name: "convert",
        before: |scenario, dir| {
            teacher(scenario, dir, "a", 1);
            teacher(scenario, dir, "b", 2);
            scenario.run(dir, "convert a/model/model.safetensors out");
        },
        line: "convert b/model/model.safetensors out".to_owned(),
        things: vec![Thing { files: OUT.to_vec(), opened_by: Some(OPEN_OUT), ..Thing::file("out") }],
        resume: None,
        hub: None,
    }
}

/// Onto another one's model, with a card.
#[cfg(feature = "hub")]
pub(crate) fn fetch_teacher() -> Scenario {
    let with_card = Thing {
        files: [&OUT[..], &["out/README.md"]].concat(),
        opened_by: Some("push out --repo me/x --dry-run"),
        ..Thing::file("out")
    };
    Scenario {
        name: "fetch_teacher",
        before: |scenario, dir| {
            let hub = scenario.hub.as_ref().unwrap();
            for (name, seed) in [("a", 1), ("b", 2)] {
                teacher(scenario, dir, name, seed);
                let at = |file: &str| dir.join(name).join(file);
                scenario.run(dir, &format!("convert {name}/model/model.safetensors {name}/teacher.pth"));
                for (file, published) in
                    [("teacher.pth", "teacher.pth"), ("model/config.json", "config.json")]
                {
                    hub.put(&format!("me/{name}"), published, &std::fs::read(at(file)).unwrap());
                }
            }
            scenario.run(dir, "fetch-teacher --repo me/a --dest out");
        },
        line: "fetch-teacher --repo me/b --dest out --force".to_owned(),
        things: vec![
            Thing { files: OUT.to_vec(), opened_by: Some(OPEN_OUT), ..Thing::file("out") },
            with_card,
        ],
        resume: None,
        hub: Some(HubStandIn::start().unwrap()),
    }
}

fn a_student(scenario: &Scenario, dir: &Path) {
    teacher(scenario, dir, "teacher", 1);
    scenario.run(dir, &student("student", 1));
}

/// Over the scores of other pictures.
pub(crate) fn eval() -> Scenario {
    Scenario {
        name: "eval",
        before: |scenario, dir| {
            a_student(scenario, dir);
            let other = JUDGE.replace("steps 2", "steps 1");
            scenario.run(
                dir,
                &format!("eval --checkpoint student --steps 1 --samples 3 --real-samples 8 {other}"),
            );
        },
        line: format!("eval --checkpoint student --steps 1 --samples 3 --real-samples 8 --seed 1 {JUDGE}"),
        things: vec![
            Thing::file("student/eval/steps-1/scores.json"),
            Thing::file("student/eval/steps-1/pictures.png"),
            Thing::file("student/eval/steps-1/nearest.png"),
            Thing::file("student/eval/steps-1/samples/settings.json"),
            // Of other settings, it goes before they are replaced.
            Thing { is_kept: true, ..Thing::file("student/eval/steps-1/samples/part-0000.safetensors") },
        ],
        resume: None,
        hub: None,
    }
}

/// Over what was searched before.
pub(crate) fn search_steps() -> Scenario {
    let line = "search-steps --checkpoint student --steps 1 --samples 3";
    Scenario {
        name: "search_steps",
        before: |scenario, dir| {
            a_student(scenario, dir);
        },
        line: format!("{line} {JUDGE}"),
        // In between, the list of digests is of the weights alone: the next run loads the model with either config.
        things: vec![
            Thing::file("student/model/config.json"),
            Thing::file("student/model/model.safetensors"),
            Thing::file("student/model/search-steps.json"),
        ],
        resume: None,
        hub: None,
    }
}
