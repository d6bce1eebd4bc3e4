//! Transcripts, a whole tiny run, and bad input.

use std::path::Path;
use std::process::Stdio;

#[cfg(unix)]
use crate::resume::{names, wait_until};
#[cfg(unix)]
use crate::support::start;
use crate::support::{cccm, command, refusal, run, tiny_student, tiny_teacher};

#[test]
fn help() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

#[test]
fn a_teacher_is_trained_distilled_and_sampled() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &["--ignored", "red_Circle"]);
    tiny_student(dir, "student", &["--ignored", "red_Circle"]);
    for file in [
        "config.toml",
        "metrics.jsonl",
        "grids/step-000003.png",
        "checkpoints/step-000003/student.safetensors",
        "checkpoints/step-000003/target.safetensors",
        "checkpoints/step-000003/optimizer.safetensors",
        "checkpoints/step-000003/config.json",
        "checkpoints/step-000003/state.json",
        "checkpoints/step-000003/SHA256SUMS",
        "model/model.safetensors",
        "model/config.json",
    ] {
        assert!(dir.join("student").join(file).is_file(), "{file} is missing");
    }
    let metrics = std::fs::read_to_string(dir.join("student/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 3);

    for checkpoint in ["student", "student/checkpoints/step-000003", "student/model/model.safetensors"] {
        let one = [
            "sample",
            "--checkpoint",
            checkpoint,
            "--attribute",
            "red",
            "--object",
            "Circle",
            "--steps",
            "2",
        ];
        let record: serde_json::Value = serde_json::from_str(&run(dir, &one)).unwrap();
        assert_eq!(record["evaluations_per_image"], 2);
        let picture = image::open(dir.join("red_Circle.png")).unwrap();
        assert_eq!((picture.width(), picture.height()), (8, 8));
    }
    let teacher =
        ["sample", "--checkpoint", "teacher", "--attribute", "red", "--steps", "2", "--out", "each"];
    assert_eq!(run(dir, &teacher).lines().count(), 6);
    assert!(dir.join("each/red_Circle-0000.png").is_file());
}

#[test]
fn a_student_is_built_in() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let one = ["sample", "--attribute", "blu", "--object", "7", "--steps", "1", "--checkpoint"];
    run(dir, &[&one[..], &["builtin:student"]].concat());
    // Ink of its colour alone, on black.
    let picture = image::open(dir.join("blu_7.png")).unwrap().into_rgb8();
    let mean = |channel: usize| {
        picture.pixels().map(|pixel| f64::from(pixel[channel])).sum::<f64>() / picture.pixels().len() as f64
    };
    assert!(mean(2) > 15.0 && mean(0) < 6.0 && mean(1) < 6.0, "{} {} {}", mean(0), mean(1), mean(2));
    let said = refusal(&dir.join("."), &[&one[..], &["builtin:nobody"]].concat());
    assert!(said.contains("built in are builtin:student and builtin:teacher"), "{said}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_the_pictures_that_are_drawn() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    let many = dir.join("many");
    let mut child = start(dir, &["sample", "--checkpoint", "teacher", "--count", "1000", "--out", "many"]);
    wait_until(&mut child, || !names(&many).is_empty());
    std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    let kept = names(&many);
    assert!(said.contains(&format!("{} of 36000 pictures are in many", kept.len())), "{said}");
    assert!(kept.iter().all(|name| image::open(many.join(name)).is_ok()), "{kept:?}");
}

#[test]
fn one_seed_gives_one_model() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    tiny_student(dir, "a", &["--seed", "5"]);
    tiny_student(dir, "b", &["--seed", "5"]);
    tiny_student(dir, "c", &["--seed", "6"]);
    let model = |name: &str| std::fs::read(dir.join(name).join("model/model.safetensors")).unwrap();
    assert!(model("a") == model("b"), "two runs with one seed differ");
    assert!(model("a") != model("c"), "the seed changes nothing");
}

#[test]
fn threads_change_no_more_than_rounding() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    tiny_student(dir, "one", &["--threads", "1", "--lr", "1e-3", "--lr-warmup-steps", "1"]);
    tiny_student(dir, "two", &["--threads", "2", "--lr", "1e-3", "--lr-warmup-steps", "1"]);
    let weights = |name: &str| {
        let path = dir.join(name).join("checkpoints/step-000003/target.safetensors");
        cccm_weights::load_weights(&path).unwrap()
    };
    for ((name, one), two) in weights("one").iter().zip(weights("two").values()) {
        let worst = (one - two).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let worst = worst.to_scalar::<f32>().unwrap();
        assert!(worst < 1e-5, "{name} differs by {worst}");
    }
}

#[test]
fn bad_input_is_refused_before_any_work() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    std::fs::create_dir_all(dir.join("photos/red_Circel")).unwrap();
    std::fs::create_dir(dir.join("empty")).unwrap();
    let says = |args: &[&str], words: &[&str]| {
        let text = refusal(dir, args);
        for word in words {
            assert!(text.contains(word), "{args:?} does not say `{word}`: {text}");
        }
    };
    says(&["train", "--data", "missing"], &["missing"]);
    says(&["train-teacher", "--data", "empty"], &["empty"]);
    says(&["train", "--data", "builtin:digits"], &["builtin:digits", "builtin:colored-mnist"]);
    says(&["train", "--teacher", "teacher", "--data", "photos"], &["red_Circel", "red_Circle"]);
    says(&["train", "--teacher", "teacher"], &["labels", "teacher"]);
    says(&["train", "--teacher", "teacher", "--emb-size", "64"], &["--emb-size", "64", "8"]);
    says(&["train-teacher", "--img-size", "30"], &["image_px", "30", "multiple of 4"]);
    says(&["train", "--fuse-schedule", "piecewise 0.5"], &["0.5", "colon"]);
    says(&["train", "--fuse-method", "switch", "--fuse-schedule", "only_ode"], &["fuse_schedule"]);
    says(&["train", "--device", "cuda"], &["cuda"]);
    says(&["train", "--save-path", "teacher"], &["teacher", "--save-path"]);
    says(&["sample", "--checkpoint", "nowhere"], &["nowhere"]);
    says(
        &["sample", "--checkpoint", "teacher", "--attribute", "rad", "--object", "Oval"],
        &["rad", "did you mean `red`"],
    );
    says(&["sample", "--checkpoint", "teacher", "--steps", "0"], &["steps"]);
    says(&["sample", "--checkpoint", "empty"], &["empty", "model.safetensors"]);
}

#[test]
fn all_pairs_held_out_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let colours = ["bw", "red", "grn", "blu", "ylw"];
    let pairs: Vec<String> = colours.iter().flat_map(|c| (0..10).map(move |d| format!("{c}_{d}"))).collect();
    let mut args = vec!["train-teacher", "--ignored"];
    args.extend(pairs.iter().map(String::as_str));
    assert!(refusal(temp.path(), &args).contains("held out"));
}

#[test]
fn flags_with_underscores_are_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let text = refusal(temp.path(), &["train", "--fuse_schedule", "nonsense"]);
    assert!(text.contains("no schedule `nonsense`"), "{text}");
    let misuse = cccm(temp.path(), &["train", "--epochs", "2", "--max_steps", "3"]);
    assert_eq!(misuse.status.code(), Some(2));
}

/// A file of this workspace.
fn fixture(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

#[test]
fn pytorch_checkpoints_become_models_and_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let teacher = fixture("tests/fixtures/teacher_legacy.pth");
    let names: [&str; 9] = ["--attributes", "a", "b", "c", "--objects", "0", "1", "2", "3"];
    run(dir, &[&["convert", &teacher, "teacher.pth", "--img-size", "16"], &names[..]].concat());
    // What the config beside it says need not be said again.
    run(dir, &["convert", "teacher.pth", "model"]);
    assert!(dir.join("model/model.safetensors").is_file() && dir.join("model/config.json").is_file());
    run(
        dir,
        &[
            "sample",
            "--checkpoint",
            "model",
            "--attribute",
            "b",
            "--object",
            "2",
            "--steps",
            "2",
            "--out",
            "x.png",
        ],
    );
    run(
        dir,
        &[
            "sample",
            "--checkpoint",
            "teacher.pth",
            "--attribute",
            "b",
            "--object",
            "2",
            "--steps",
            "2",
            "--out",
            "y.png",
        ],
    );
    let pixels = |name: &str| image::open(dir.join(name)).unwrap().to_rgb8();
    assert_eq!(pixels("x.png"), pixels("y.png"));

    let list = run(dir, &["convert", "--list", &teacher]);
    for line in [
        "PyTorch, legacy pickle, 1.0 MiB",
        "epoch: 60",
        "loss: 0.0123",
        "model: 105 tensors, 263843 values, 1.0 MiB",
    ] {
        assert!(list.lines().any(|got| got == line), "{line}: {list}");
    }
    assert!(list.contains("module.time_embedding.timembedding.0.weight  float32   [1000, 32]"), "{list}");
}

#[test]
fn a_checkpoint_that_does_not_tell_enough_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let teacher = fixture("tests/fixtures/teacher.pth");
    let convert = |more: &[&str]| refusal(dir, &[&["convert", &teacher, "out.safetensors"], more].concat());
    assert!(convert(&[]).contains("hint: give --preset NAME"));
    assert!(
        convert(&["--preset", "celeba"])
            .contains("has 3 attributes and 4 objects, but 4 and 2 names are given")
    );
    let names: [&str; 9] = ["--attributes", "a", "b", "c", "--objects", "0", "1", "2", "3"];
    assert!(convert(&names).contains("hint: give --img-size PX"));
    let evil = fixture("crates/cccm-weights/tests/fixtures/pth/evil/os_system.pth");
    let refused = refusal(dir, &["convert", &evil, "out.safetensors"]);
    assert!(
        refused.contains("it asks for `posix.system`") && refused.contains("nothing was run"),
        "{refused}"
    );
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let list = [
        "convert",
        "--list",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/teacher/teacher.safetensors"),
    ];
    let mut child =
        command(Path::new("."), &list).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
