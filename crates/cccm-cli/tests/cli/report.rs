//! Reports: what they hold, that they repeat, and what is refused.

use std::path::Path;

use serde_json::Value;

use crate::support::{failure, log_of, run, tiny_student, tiny_teacher};

const FILES: [&str; 9] = [
    "report.md",
    "index.html",
    "report.json",
    "accuracy.svg",
    "frechet.svg",
    "pixels.svg",
    "training.svg",
    "matrix.png",
    "before_after.png",
];

/// A student twice from two seeds, and its teacher, all with scores.
fn scored(dir: &Path) {
    let held_out = ["--ignored", "red_Circle"];
    tiny_teacher(dir, "teacher", &held_out);
    for seed in ["0", "1"] {
        tiny_student(dir, &format!("runs/student-s{seed}"), &[&held_out[..], &["--seed", seed]].concat());
        eval(dir, &format!("runs/student-s{seed}"), &["--steps", "1", "2"]);
    }
    eval(dir, "teacher", &["--steps", "5", "--out", "judged"]);
}

fn eval(dir: &Path, checkpoint: &str, more: &[&str]) {
    let args = ["eval", "--checkpoint", checkpoint, "--samples", "2", "--data", "builtin:shapes"];
    let classifier = ["--classifier", "classifier.safetensors", "--classifier-steps", "20"];
    run(dir, &[&args[..], &classifier, &["--ignored", "red_Circle"], more].concat());
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn text(path: impl AsRef<Path>) -> String {
    String::from_utf8(read(path)).unwrap()
}

#[test]
fn a_report_has_every_model_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    scored(dir);
    let printed = run(dir, &["report", "the <teacher>=judged", "runs", "--out", "report"]);
    assert_eq!(printed, "report/report.md\n");
    let report: Value = serde_json::from_slice(&read(dir.join("report/report.json"))).unwrap();
    assert_eq!(names_of_models(&report), ["the <teacher>", "student"]);
    assert_eq!(report["models"][1]["seeds"], serde_json::json!([0, 1]));
    numbers_are_those_of_the_scores(dir, &report);
    let markdown = text(dir.join("report/report.md"));
    tables_are_whole(&markdown);
    assert_eq!(report["classifier"]["confusion"][0].as_array().unwrap().len(), 6);
    commands_train_the_same_student(dir, &markdown);

    let page = text(dir.join("report/index.html"));
    assert!(page.contains("the &lt;teacher&gt;") && !page.contains("<teacher>"), "{page}");
    assert_eq!((page.matches("<svg ").count(), page.matches("data:image/png;base64,").count()), (4, 2));

    // A run's folder of scores is the run, and what lies in several paths is there once.
    run(dir, &["report", "first=runs/student-s0/eval", "runs", "--out", "nested"]);
    let nested: Value = serde_json::from_slice(&read(dir.join("nested/report.json"))).unwrap();
    assert_eq!(names_of_models(&nested), ["first", "student-s1"]);
    assert!(text(dir.join("nested/report.md")).contains("cccm train --save-path runs/student-s0"));

    run(dir, &["report", "the <teacher>=judged", "runs", "--out", "again"]);
    for file in FILES {
        assert_eq!(read(dir.join("report").join(file)), read(dir.join("again").join(file)), "{file}");
    }
    assert!(markdown.contains("| ms per image |") && markdown.contains(" Time: "), "{markdown}");
    run(dir, &["report", "judged", "--out", "untimed", "--untimed"]);
    let untimed = text(dir.join("untimed/report.md"));
    assert!(!untimed.contains("ms per image") && !untimed.contains(" Time: "), "{untimed}");
    searched_timesteps_are_told_while_they_hold(dir);
}

fn names_of_models(report: &Value) -> Vec<&str> {
    let models = report["models"].as_array().unwrap();
    models.iter().map(|model| model["name"].as_str().unwrap()).collect()
}

/// Those of both seeds, their mean, and of shares the interval of all pictures.
fn numbers_are_those_of_the_scores(dir: &Path, report: &Value) {
    let rates = ["0", "1"].map(|seed| {
        let scores = dir.join(format!("runs/student-s{seed}/eval/steps-2/scores.json"));
        let scores: Value = serde_json::from_slice(&read(scores)).unwrap();
        assert_eq!(scores["labels"][0]["kind"], "attribute");
        scores["scores"]["accuracy"]["seen"]["rate"].as_f64().unwrap()
    });
    let row = &report["models"][1]["rows"][1];
    assert_eq!((&row["steps"], &row["runs"]), (&2.into(), &2.into()));
    let seen = &row["accuracy_seen"];
    let near = |got: &Value, want: f64| assert!((got.as_f64().unwrap() - want).abs() < 1e-12, "{got} {want}");
    near(&seen["value"], f64::midpoint(rates[0], rates[1]));
    near(&seen["spread"], (rates[0] - rates[1]).abs() / 2f64.sqrt());
    assert!(seen["interval"][0].as_f64().unwrap() <= seen["value"].as_f64().unwrap());
    assert!(row["px_all"]["value"].as_f64().unwrap() > 0.0 && row["unseen_pairs"][0]["kinds"][1].is_object());
}

fn tables_are_whole(markdown: &str) {
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    // The table of scores, those of label kinds and of unseen pairs, and one of confusion for each of two kinds.
    let models = 2 + 1 + 1 + 2;
    assert_eq!(rows.len(), 3 * models + (2 + 6) + (2 + 6), "{markdown}");
    let columns = |row: &str| row.matches('|').count();
    for rows in [&rows[..models], &rows[models..2 * models], &rows[2 * models..3 * models]] {
        assert!(rows.iter().all(|row| columns(row) == columns(rows[0])), "{markdown}");
    }
    for words in [
        // Shapes have no background that all share.
        "| px all | swd fine | swd coarse | KID |",
        "| model | steps at guidance | attribute seen | attribute unseen | object seen | object unseen |",
        "| model | steps at guidance | red Circle |",
        "| object | Circle | Rectangle |",
    ] {
        assert!(markdown.contains(words), "{words}\n{markdown}");
    }
}

fn commands_train_the_same_student(dir: &Path, markdown: &str) {
    for command in [
        "cccm train --save-path runs/student-s1 --data builtin:shapes --ignored red_Circle --max-steps 3 --seed 1 \
         --teacher teacher",
        "cccm eval --checkpoint runs/student-s0 --steps 1 2 --guidance-scale",
        "cccm eval --checkpoint teacher --steps 5 --guidance-scale 3 --samples 2 --seed 0 --out judged --classifier \
         classifier.safetensors --classifier-steps 20 --data builtin:shapes --ignored red_Circle",
    ] {
        assert!(markdown.contains(command), "{command}\n{markdown}");
    }
    // What is written there trains the same student.
    let train = markdown.lines().find(|line| line.contains("--save-path runs/student-s1")).unwrap();
    let typed = train.replace("$ cccm ", "").replace("runs/student-s1", "same");
    run(dir, &typed.split(' ').collect::<Vec<_>>());
    let config = |of: &str| -> Vec<String> {
        let config = text(dir.join(of).join("config.toml"));
        config.lines().filter(|line| !line.starts_with("threads")).map(ToOwned::to_owned).collect()
    };
    assert_eq!(config("same"), config("runs/student-s1"));
    let weights = |of: &str| read(dir.join(of).join("model/model.safetensors"));
    assert_eq!(weights("same"), weights("runs/student-s1"));
}

/// Searched timesteps are part of how a row came about, until training makes others.
fn searched_timesteps_are_told_while_they_hold(dir: &Path) {
    let search = ["search-steps", "--checkpoint", "runs/student-s1", "--steps", "2", "--samples", "1"];
    let classifier = ["--classifier", "classifier.safetensors", "--classifier-steps", "20"];
    run(dir, &[&search[..], &classifier].concat());
    let searched = || {
        run(dir, &["report", "runs/student-s1", "--out", "searched"]);
        let report = text(dir.join("searched/report.md"));
        report.lines().find(|line| line.contains("search-steps")).map(ToOwned::to_owned)
    };
    let line = searched().unwrap();
    assert!(
        line.starts_with("$ cccm search-steps --checkpoint runs/student-s1 --steps 2 --guidance-scale "),
        "{line}"
    );
    assert!(
        line.ends_with(" --samples 1 --seed 1 --classifier classifier.safetensors --classifier-steps 20"),
        "{line}"
    );
    let config = dir.join("runs/student-s1/model/config.json");
    let mut unsearched: Value = serde_json::from_slice(&read(&config)).unwrap();
    unsearched["student"].as_object_mut().unwrap().remove("few_step_timesteps").unwrap();
    std::fs::write(&config, unsearched.to_string()).unwrap();
    assert_eq!(searched(), None);
}

#[test]
fn what_cannot_be_reported_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    scored(dir);
    let refused = |paths: &[&str]| {
        let said = failure(dir, &[&["report", "--out", "report"], paths].concat());
        assert!(!dir.join("report").exists());
        said
    };
    assert!(refused(&["nowhere"]).contains("nowhere is no folder"));
    let said = refused(&["teacher"]);
    assert!(said.contains("no scores in teacher") && said.contains("cccm eval"), "{said}");
    let said = refused(&["all=."]);
    assert!(said.contains("NAME=PATH") && said.contains("judged"), "{said}");

    eval(dir, "teacher", &["--steps", "5", "--out", "other", "--samples", "3"]);
    let said = refused(&["judged", "other"]);
    assert!(said.contains("other/steps-5") && said.contains("--samples"), "{said}");

    let scores = dir.join("judged/steps-5/scores.json");
    let whole = text(&scores);
    std::fs::write(&scores, &whole[..whole.len() / 2]).unwrap();
    let said = refused(&["judged"]);
    assert!(said.contains("judged/steps-5/scores.json is damaged") && said.contains("cccm eval"), "{said}");
    let ours = format!("\"cccm\": \"{}\"", env!("CARGO_PKG_VERSION"));
    std::fs::write(&scores, whole.replace(&ours, "\"cccm\": \"0.0.9\"")).unwrap();
    let said = refused(&["judged"]);
    assert!(said.contains("scores.json holds scores of cccm 0.0.9") && said.contains("again"), "{said}");
}

#[test]
fn what_is_gone_is_left_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    scored(dir);
    // Scores of before there were distances of pixels, and tables of confusion, beside others.
    let scores = dir.join("judged/steps-5/scores.json");
    let mut old: Value = serde_json::from_slice(&read(&scores)).unwrap();
    old["scores"].as_object_mut().unwrap().remove("pixels").unwrap();
    old["real"].as_object_mut().unwrap().remove("pixels").unwrap();
    for accuracy in ["/classifier_accuracy", "/scores/accuracy", "/real/accuracy"] {
        let accuracy = old.pointer_mut(accuracy).unwrap().as_object_mut().unwrap();
        for name in ["kinds_seen", "kinds_unseen", "confusion"] {
            accuracy.remove(name).unwrap();
        }
        for pair in accuracy["combinations"].as_array_mut().unwrap() {
            pair.as_object_mut().unwrap().remove("kinds").unwrap();
        }
    }
    std::fs::write(&scores, old.to_string()).unwrap();
    run(dir, &["report", "judged", "runs", "--out", "mixed"]);
    let markdown = text(dir.join("mixed/report.md"));
    assert!(
        markdown.contains("| px all |") && markdown.contains("Which labels the classifier confuses"),
        "{markdown}"
    );
    run(dir, &["report", "judged", "--out", "old"]);
    let markdown = text(dir.join("old/report.md"));
    assert!(!markdown.contains("| px all |") && !dir.join("old/pixels.svg").exists(), "{markdown}");
    assert!(!markdown.contains("Label kinds"), "{markdown}");

    // A run that is still training, and pictures that were removed.
    std::fs::remove_dir_all(dir.join("runs/student-s1/eval")).unwrap();
    for steps in ["1", "2"] {
        std::fs::remove_dir_all(dir.join(format!("runs/student-s0/eval/steps-{steps}/samples"))).unwrap();
    }
    let said = log_of(dir, &["report", "runs", "--out", "report"]);
    assert!(said.contains("no scores in runs/student-s1 yet"), "{said}");
    assert!(said.contains("steps-2 are gone"), "{said}");
    assert!(!dir.join("report/matrix.png").exists() && dir.join("report/accuracy.svg").exists());
    let markdown = text(dir.join("report/report.md"));
    assert!(!markdown.contains("training seeds |") && !markdown.contains("matrix.png"), "{markdown}");
    assert!(!markdown.contains("had other settings"), "{markdown}");
    // As a run leaves it that went on with other settings.
    let run_dir = dir.join("runs/student-s0");
    std::fs::copy(run_dir.join("config.toml"), run_dir.join("config.before-000002.toml")).unwrap();
    run(dir, &["report", "runs/student-s0", "--out", "changed"]);
    let markdown = text(dir.join("changed/report.md"));
    let mut lines = markdown.lines().skip_while(|line| !line.starts_with("$ cccm train "));
    assert_eq!(
        lines.nth(1),
        Some("$ # steps before 2 had other settings: config.before-000002.toml"),
        "{markdown}"
    );
}
