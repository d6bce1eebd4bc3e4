//! Every flag changes what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{cccm, log_of, refusal, run};

/// What a run left behind.
struct Left {
    log: String,
    /// `config.json` of the model.
    config: Value,
    settings: toml::Table,
    metrics: Vec<Value>,
    model: Vec<u8>,
    grids: Vec<String>,
    checkpoints: Vec<String>,
    files: Vec<String>,
    trained: Vec<u8>,
    /// Of the newest checkpoint.
    checkpoint: Vec<String>,
}

impl Left {
    fn column(&self, name: &str) -> Vec<f64> {
        self.metrics.iter().map(|line| line[name].as_f64().unwrap()).collect()
    }

    fn unet(&self, name: &str) -> &Value {
        &self.config["unet"][name]
    }

    fn student(&self, name: &str) -> &Value {
        &self.config["student"][name]
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn left(dir: &Path, log: String) -> Left {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let checkpoints = names(&dir.join("checkpoints"));
    let newest = dir.join("checkpoints").join(checkpoints.last().unwrap());
    let trained = ["teacher", "student"].map(|name| newest.join(format!("{name}.safetensors")));
    Left {
        log,
        config: json(&text("model/config.json")),
        settings: text("config.toml").parse().unwrap(),
        metrics: text("metrics.jsonl").lines().map(json).collect(),
        model: fs::read(dir.join("model/model.safetensors")).unwrap(),
        grids: names(&dir.join("grids")),
        checkpoints,
        files: names(dir),
        checkpoint: names(&newest),
        trained: trained.iter().find_map(|file| fs::read(file).ok()).unwrap(),
    }
}

/// A folder with two pairs of four lopsided pictures each, and a file with a length for which flags may set another.
fn draw_photos(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("four-steps.toml"), "max_steps = 4").unwrap();
    for index in 0..4_u8 {
        for (pair, ink) in [("red_Oval", [200, 10, index * 40]), ("blue_Oval", [index * 40, 10, 200])] {
            let path = dir.join("photos").join(pair).join(format!("{index}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let [red, green, blue] = ink;
            let pixel = |x, _| image::Rgb([red, green + 20 * x as u8, blue]);
            image::RgbImage::from_fn(8, 8, pixel).save(path).unwrap();
        }
    }
}

/// A flag with its value, and what shows that it was heeded, in the run left with it and the one without.
type Case = (&'static [&'static str], fn(&Left, &Left));

const TEACHER: &str = "train-teacher --config four-steps.toml --data photos --img-size 8 --emb-size 8 --norm-groups 4 \
                       --channel-mult 1 2 --num-res-blocks 1 --train-batch-size 4 --lr 1e-2 --lr-schedule constant \
                       --ema-decay 0.5";
const STUDENT: &str = "train --config four-steps.toml --data photos --teacher teacher --train-batch-size 4 --lr 1e-2 \
                       --lr-schedule constant --ema-decay 0.5";

/// Flags that both kinds of training have.
const TRAINING: [Case; 36] = [
    (&["--epochs", "3"], |with, _| assert_eq!(with.metrics.len(), 6)),
    (&["--max-steps", "5"], |with, _| assert_eq!(with.metrics.len(), 5)),
    (&["--train-batch-size", "3"], |with, _| assert_eq!(with.column("images")[..3], [3.0, 3.0, 2.0])),
    (&["--gradient-accumulation-steps", "2"], |with, _| assert_eq!(with.column("images"), [8.0; 4])),
    (&["--recompute"], |with, without| {
        // Equal to rounding.
        assert_eq!(with.settings["recompute"].as_bool(), Some(true));
        let losses = with.column("loss").into_iter().zip(without.column("loss"));
        losses.for_each(|(with, without)| {
            assert!((with - without).abs() <= 1e-4 * without, "{with} {without}");
        });
    }),
    (&["--lr", "0.03"], |with, _| assert_eq!(with.column("lr"), [0.03; 4])),
    (&["--lr-schedule", "linear", "--lr-warmup-steps", "0"], |with, _| {
        assert_eq!(with.column("lr"), [0.01, 0.0075, 0.005, 0.0025]);
    }),
    (&["--lr-schedule", "constant_with_warmup", "--lr-warmup-steps", "2"], |with, _| {
        assert_eq!(with.column("lr"), [0.0, 0.005, 0.01, 0.01]);
    }),
    (&["--lr-schedule", "cosine", "--lr-warmup-steps", "0"], |with, _| {
        let lr = with.column("lr");
        assert!(lr[0] == 0.01 && (lr[2] - 0.005).abs() < 1e-12, "{lr:?}");
    }),
    (&["--lr-schedule", "cosine_with_restarts", "--lr-warmup-steps", "1"], |with, _| {
        let lr = with.column("lr");
        assert!(lr[0] == 0.0 && lr[1] == 0.01 && lr[2] < 0.01, "{lr:?}");
    }),
    (&["--lr-schedule", "polynomial", "--lr-warmup-steps", "0"], |with, _| {
        // Towards 1e-7, not 0.
        assert!((with.column("lr")[2] - (0.005 + 0.5e-7)).abs() < 1e-12);
    }),
    (&["--lr-warmup-steps", "1"], |with, _| {
        assert_eq!(with.settings["lr_warmup_steps"].as_integer(), Some(1));
    }),
    (&["--adam-beta1", "0.5"], |with, without| assert!(with.model != without.model)),
    (&["--adam-beta2", "0.5"], |with, without| assert!(with.model != without.model)),
    (&["--adam-weight-decay", "0.5"], |with, without| assert!(with.model != without.model)),
    (&["--adam-epsilon", "0.1"], |with, without| assert!(with.model != without.model)),
    (&["--max-grad-norm", "1e-6"], |with, without| assert!(with.model != without.model)),
    (&["--ema-decay", "0.1"], |with, without| {
        assert!(
            with.model != without.model
                && (without.config["role"] == "student" || with.trained == without.trained)
        );
    }),
    (&["--on-non-finite", "skip"], |with, _| {
        assert_eq!(with.settings["on_non_finite"].as_str(), Some("skip"));
    }),
    (&["--checkpoint-interval", "1"], |with, _| assert_eq!(with.checkpoints, ["step-000002", "step-000004"])),
    (&["--checkpoint-steps", "3"], |with, _| assert_eq!(with.checkpoints, ["step-000003", "step-000004"])),
    (&["--checkpoint-steps", "1", "--checkpoints-total-limit", "3"], |with, _| {
        assert_eq!(with.checkpoints, ["step-000002", "step-000003", "step-000004"]);
    }),
    (&["--eval-interval", "1"], |with, _| {
        assert!(with.grids.len() == 4 && with.grids[1] == "step-000002.png", "{:?}", with.grids);
    }),
    (&["--eval-steps", "3"], |with, _| {
        assert!(with.grids.len() == 4 && with.grids[1] == "step-000003.png", "{:?}", with.grids);
    }),
    (&["--eval-steps", "3", "--eval-samples", "2"], |with, without| {
        let scores: Vec<&Value> = with.metrics.iter().filter(|line| !line["eval"].is_null()).collect();
        assert_eq!(scores.iter().map(|line| &line["step"]).collect::<Vec<_>>(), [3, 4]);
        assert!(scores.iter().all(|line| line["eval"]["accuracy_seen"].is_f64()), "{scores:?}");
        // Pictures of 8 pixels have too few for distances of patches, or of pixels halved.
        for name in ["px", "swd_fine", "swd_coarse"] {
            let values = scores.iter().map(|line| line["eval"].get(name));
            assert!(values.into_iter().all(|value| value.is_some_and(Value::is_null)), "{name} {scores:?}");
        }
        assert!(with.log.contains("step 3: accuracy") && with.model == without.model);
    }),
    (&["--logging-dir", "logs"], |with, without| {
        let events =
            |left: &Left| left.files.iter().filter(|name| name.starts_with("events.out.tfevents")).count();
        assert_eq!((events(with), events(without)), (0, 1));
    }),
    (&["--seed", "9"], |with, without| assert!(with.model != without.model)),
    (&["--threads", "1"], |with, _| assert_eq!(with.settings["run"]["threads"].as_integer(), Some(1))),
    (&["--devices", "cpu,cpu", "--train-batch-size", "2"], |with, without| {
        // Two images for each process, equal to rounding.
        assert_eq!(with.column("images"), [4.0; 4]);
        let (with, without) = (with.column("grad_norm")[0], without.column("grad_norm")[0]);
        assert!((with - without).abs() <= 1e-4 * without, "{with} {without}");
    }),
    (&["--device", "cpu"], |with, without| assert!(with.model == without.model)),
    (&["--dtype", "bf16"], |with, without| assert!(with.model != without.model)),
    (&["--ignored", "red_Oval"], |with, without| {
        assert!(with.log.contains("4 images of 1 pairs, 1 pairs held out"), "{}", with.log);
        assert!(without.log.contains("8 images of 2 pairs, 0 pairs held out"), "{}", without.log);
    }),
    (&["--image-sampling", "shuffled"], |with, without| {
        assert_eq!(with.settings["image_sampling"].as_str(), Some("shuffled"));
        assert!(with.model != without.model);
    }),
    (&["--flip"], |with, without| {
        assert!(with.settings["flip"].as_bool() == Some(true) && !without.settings.contains_key("flip"));
        assert!(with.model != without.model);
    }),
    // All of the images are ovals.
    (&["--flip", "--flip-except", "Oval"], |with, without| {
        assert_eq!(with.settings["flip_except"].as_array().map(Vec::len), Some(1));
        assert!(with.model == without.model);
    }),
    (&["--skip-bad-images"], |with, _| assert_eq!(with.settings["skip_bad_images"].as_bool(), Some(true))),
];

const TEACHER_ALONE: [Case; 12] = [
    (&["--data", "builtin:colored-mnist"], |with, _| assert_eq!(with.config["labels"][0]["names"][3], "blu")),
    (&["--img-size", "16"], |with, _| assert_eq!(with.config["image_px"], 16)),
    (&["--preset", "shapes"], |with, _| assert_eq!(with.config["labels"][0]["names"][2], "blue")),
    (&["--attributes", "red", "blue", "--objects", "Oval", "Circle"], |with, without| {
        assert_eq!(with.config["labels"][0]["names"], json!(["red", "blue"]));
        assert_eq!(with.config["labels"][1]["names"], json!(["Oval", "Circle"]));
        assert_eq!(without.config["labels"][0]["names"], json!(["blue", "red"]));
    }),
    (&["--kind", "colour=red,blue", "--kind", "outline=Oval"], |with, without| {
        assert_eq!(with.config["labels"][0], json!({"kind": "colour", "names": ["red", "blue"]}));
        assert_eq!(without.config["labels"][0]["kind"], "attribute");
    }),
    (&["--arch", "unet"], |with, _| assert_eq!(with.unet("arch"), "unet")),
    (&["--emb-size", "4"], |with, _| assert_eq!(with.unet("model_channels"), 4)),
    (&["--channel-mult", "1"], |with, _| assert_eq!(with.unet("channel_mult"), &json!([1]))),
    (&["--num-res-blocks", "2"], |with, _| assert_eq!(with.unet("num_res_blocks"), 2)),
    (&["--norm-groups", "2"], |with, _| assert_eq!(with.unet("norm_groups"), 2)),
    (&["--num-timestep", "100"], |with, _| assert_eq!(with.config["schedule"]["train_timesteps"], 100)),
    (&["--dropout", "0.5"], |with, without| {
        assert!(with.unet("dropout") == 0.5 && with.model != without.model);
    }),
];

const STUDENT_ALONE: [Case; 32] = [
    (&["--fuse-method", "stepfuse"], |with, without| {
        assert!(with.metrics[0]["teacher_part"].is_null() && without.metrics[0]["teacher_part"].is_number());
    }),
    (&["--fuse-method", "switch", "--fuse-schedule", "switch 0.5"], |with, _| {
        assert_eq!(with.column("c_t"), [1.0, 1.0, 0.0, 0.0]);
    }),
    (&["--fuse-schedule", "only_ode"], |with, _| assert_eq!(with.column("c_t"), [0.0; 4])),
    (&["--fuse-schedule", "piecewise", "--fuse-args", "0:0.25"], |with, _| {
        assert_eq!(with.column("c_t"), [0.25; 4]);
    }),
    (&["--teacher-solver", "heun"], |with, without| {
        let images = |left: &Left| left.metrics[0]["work"]["teacher"]["images"].as_u64().unwrap();
        assert_eq!((images(with), images(without)), (16, 8));
        assert!(with.model != without.model);
    }),
    (&["--recipe", "best"], |with, without| {
        let target = |left: &Left| left.settings["data_target"].as_str().unwrap().to_owned();
        assert_eq!((target(with), target(without)), ("guided".to_owned(), "published".to_owned()));
    }),
    (&["--first-timestep", "499"], |with, without| {
        assert_eq!(with.student("first_timestep"), 499);
        assert!(without.student("first_timestep").is_null() && with.trained != without.trained);
    }),
    (&["--few-step-timesteps", "2:799,59"], |with, without| {
        assert_eq!(with.student("few_step_timesteps"), &json!({"2": [799, 59]}));
        assert!(with.trained == without.trained && with.model == without.model);
    }),
    (&["--data-target", "guided", "--fuse-schedule", "only_ode"], |with, without| {
        // The teacher is asked although its point has no share.
        assert_eq!(with.metrics[0]["work"]["teacher"]["images"], 8);
        assert_eq!(with.column("c_t"), [0.0; 4]);
        assert!(with.model != without.model);
    }),
    (&["--hat-target", "teacher"], |with, without| {
        assert!(with.metrics[0]["teacher_part"] != without.metrics[0]["teacher_part"]);
        assert_eq!(with.metrics[0]["data_part"], without.metrics[0]["data_part"]);
    }),
    (&["--data-below", "999"], |with, without| assert!(with.model != without.model)),
    (&["--timestep-sampling", "lognormal"], |with, without| {
        assert_eq!(with.settings["timestep_sampling"].as_str(), Some("lognormal"));
        // Where there is less noise, student and target are nearer.
        let mean = |left: &Left| left.column("loss").iter().sum::<f64>();
        assert!(mean(with) < mean(without));
    }),
    (&["--loss-type", "l2"], |with, without| assert_ne!(with.column("loss")[0], without.column("loss")[0])),
    (&["--loss-type", "sample_huber"], |with, without| {
        // Of images, not of their values.
        assert!(with.column("loss")[0] > 5.0 * without.column("loss")[0]);
        assert_eq!(with.settings["huber_c"].as_float(), Some(0.00054));
        assert_eq!(without.settings["huber_c"].as_float(), Some(0.001));
    }),
    (&["--loss-type", "sample_huber", "--huber-c", "0.001"], |with, _| {
        assert_eq!(with.settings["huber_c"].as_float(), Some(0.001));
    }),
    (&["--huber-c", "0.5"], |with, without| {
        assert!(with.column("loss")[0] < 0.9 * without.column("loss")[0]);
    }),
    (&["--w-interval", "1", "2"], |with, _| assert_eq!(with.student("w_interval"), &json!([1.0, 2.0]))),
    (&["--time-cond-proj-dim", "16"], |with, _| assert_eq!(with.unet("guidance_dim"), 16)),
    (&["--guidance-init", "zero"], |with, without| assert!(with.model != without.model)),
    (&["--num-ddim-timesteps", "25"], |with, _| assert_eq!(with.student("num_ddim_timesteps"), 25)),
    (&["--solver-steps-start", "25"], |with, without| {
        assert_eq!(with.student("num_ddim_timesteps"), 50);
        assert_ne!(with.column("loss")[0], without.column("loss")[0]);
    }),
    (&["--trajectory-steps", "2"], |with, without| {
        // Two shares of one trajectory each for four images, by a guided teacher in 16 steps; then as without.
        let work =
            |left: &Left, step: usize| left.metrics[step]["work"]["teacher"]["images"].as_u64().unwrap();
        assert_eq!([0, 1, 2].map(|step| work(with, step)), [128, 0, 8]);
        assert!(with.metrics[1]["c_t"].is_null() && with.metrics[2]["c_t"] == without.metrics[2]["c_t"]);
        assert!(with.model != without.model);
    }),
    (&["--trajectory-steps", "1", "--trajectory-solver-steps", "3"], |with, _| {
        assert_eq!(with.metrics[0]["work"]["teacher"]["images"], 24);
    }),
    (&["--trajectory-steps", "1", "--trajectory-pairs", "all"], |with, _| {
        assert_eq!(with.settings["trajectory_pairs"].as_str(), Some("all"));
    }),
    (&["--trajectory-steps", "1", "--student-prediction", "v_prediction"], |with, without| {
        let prediction =
            |left: &Left| left.config["schedule"]["prediction_type"].as_str().unwrap().to_owned();
        assert_eq!((prediction(with), prediction(without)), ("v_prediction".into(), "epsilon".into()));
    }),
    (&["--kind-guidance", "1", "1.5"], |with, without| {
        // The labels' own answer, that without labels, and one for each kind.
        let images = |left: &Left| left.metrics[0]["work"]["teacher"]["images"].as_u64().unwrap();
        assert_eq!((images(with), images(without)), (16, 8));
        assert!(with.model != without.model);
    }),
    (&["--joint-guidance", "0.5"], |with, without| assert!(with.model != without.model)),
    (&["--guidance-interval", "0", "1"], |with, without| {
        let images = |left: &Left| left.metrics[0]["work"]["teacher"]["images"].as_u64().unwrap();
        assert_eq!((images(with), images(without)), (4, 8));
        assert!(with.model != without.model);
    }),
    (&["--thresholding", "clip"], |with, without| assert!(with.model != without.model)),
    (&["--timestep-scaling-factor", "5"], |with, _| assert_eq!(with.student("timestep_scaling"), 5.0)),
    (&["--sampling-ema-decay", "0.9"], |with, without| {
        // The student learns the same.
        assert!(with.trained == without.trained && with.model != without.model);
        assert!(with.checkpoint.contains(&"sampling.safetensors".to_owned()));
        assert!(!without.checkpoint.contains(&"sampling.safetensors".to_owned()));
    }),
    (&["--pretrained-nums-cond", "2", "1", "--dataset-nums-cond", "2", "1"], |with, without| {
        assert!(with.model == without.model);
    }),
];

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Runs every case after the words of `base`.
fn check(dir: &Path, base: &str, cases: &[Case]) {
    let train = |name: &str, flags: &[&str]| {
        let log = log_of(dir, &[&words(base)[..], &["--save-path", name], flags].concat());
        left(&dir.join(name), log)
    };
    let without = train(&format!("{}-plain", words(base)[0]), &[]);
    for (number, (flags, shows)) in cases.iter().enumerate() {
        shows(&train(&format!("{}-{number}-{}", words(base)[0], flags[0]), flags), &without);
    }
}

fn photos_and_teacher() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    draw_photos(temp.path());
    run(temp.path(), &[&words(TEACHER)[..], &["--save-path", "teacher"]].concat());
    temp
}

#[test]
fn flags_of_train_teacher() {
    let temp = photos_and_teacher();
    check(temp.path(), TEACHER, &TRAINING);
    draw_photos(&temp.path().join("apart"));
    let label_drop: Case = (&["--label-drop", "0.9"], |with, without| assert!(with.model != without.model));
    let independence: Case = (&["--independence-weight", "0.5", "--label-drop", "0"], |with, without| {
        let images = |left: &Left| left.metrics[0]["work"]["teacher"]["images"].as_u64().unwrap();
        assert_eq!((images(with), images(without)), (16, 4));
        assert!(with.model != without.model);
    });
    let alone = [&TEACHER_ALONE[..], &[label_drop, independence]].concat();
    check(&temp.path().join("apart"), TEACHER, &alone);
    assert_covered(temp.path(), "train-teacher", [&TRAINING[..], &alone].concat());
}

#[test]
fn flags_of_train() {
    let temp = photos_and_teacher();
    check(temp.path(), STUDENT, &TRAINING);
    draw_photos(&temp.path().join("apart"));
    fs::rename(temp.path().join("teacher"), temp.path().join("apart/teacher")).unwrap();
    check(&temp.path().join("apart"), STUDENT, &STUDENT_ALONE);
    assert_covered(temp.path(), "train", [&TRAINING[..], &STUDENT_ALONE, &TEACHER_ALONE[..11]].concat());
}

/// What is only checked against the teacher, which a student inherits from.
#[test]
fn flags_of_train_that_name_what_the_teacher_has() {
    let temp = photos_and_teacher();
    for flags in [
        &["--arch", "unet"][..],
        &["--emb-size", "4"],
        &["--channel-mult", "1"],
        &["--num-res-blocks", "2"],
        &["--norm-groups", "2"],
        &["--num-timestep", "100"],
        &["--img-size", "16"],
        &["--pretrained-nums-cond", "4", "2"],
        &["--dataset-nums-cond", "4", "2"],
    ] {
        let said = refusal(temp.path(), &[&words(STUDENT)[..], &["--save-path", "x"], flags].concat());
        assert!(said.contains(flags[0]) && said.contains("leave these flags out"), "{flags:?}: {said}");
    }
    for flags in [&["--preset", "celeba"][..], &["--attributes", "red", "--objects", "Oval"]] {
        let said = refusal(temp.path(), &[&words(STUDENT)[..], &["--save-path", "x"], flags].concat());
        assert!(said.contains("labels"), "{flags:?}: {said}");
    }
}

#[test]
fn what_is_not_mirrored_is_checked_before_a_run_starts() {
    let temp = tempfile::tempdir().unwrap();
    draw_photos(temp.path());
    for (flags, parts) in [
        (&["--flip", "--flip-except", "Ovla"][..], ["--flip-except", "did you mean `Oval`"]),
        (&["--flip-except", "Oval"], ["--flip-except", "give --flip too"]),
    ] {
        let said = refusal(temp.path(), &[&words(TEACHER)[..], &["--save-path", "x"], flags].concat());
        assert!(parts.iter().all(|part| said.contains(part)), "{flags:?}: {said}");
    }
}

#[test]
fn flags_of_sample() {
    let temp = photos_and_teacher();
    let dir = temp.path();
    run(dir, &[&words(STUDENT)[..], &["--save-path", "student"]].concat());
    let sample = |flags: &[&str]| -> Vec<Value> {
        let printed = run(dir, &[&["sample", "--checkpoint", "student"], flags].concat());
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let one =
        |flags: &[&str]| sample(&[&["--attribute", "red", "--object", "Oval"], flags].concat()).remove(0);
    let pixels =
        |record: &Value| image::open(dir.join(record["file"].as_str().unwrap())).unwrap().into_rgb8();

    assert_eq!(sample(&[])[0]["pairs"], json!(["blue_Oval", "red_Oval"]));
    assert_eq!(sample(&["--attribute", "red"])[0]["pairs"], json!(["red_Oval"]));
    assert_eq!(sample(&["--object", "Oval", "--out", "o.png"])[0]["pairs"], json!(["blue_Oval", "red_Oval"]));
    let label = ["--label", "attribute=red", "--out", "l.png"];
    assert_eq!(sample(&label)[0]["pairs"], json!(["red_Oval"]));
    let plain = pixels(&one(&[]));
    assert_eq!(pixels(&one(&["--threads", "1", "--device", "cpu"])).dimensions(), plain.dimensions());
    assert!(pixels(&one(&["--dtype", "bf16"])) != plain);
    let two = one(&["--steps", "2"]);
    assert!(two["evaluations_per_image"] == 2 && pixels(&two) != plain);
    let scale = one(&["--guidance-scale", "3.5"]);
    assert!(scale["guidance_scale"] == 3.5 && pixels(&scale) != plain);
    assert!(pixels(&one(&["--seed", "5"])) != plain);
    assert_eq!(pixels(&one(&["--scale", "3"])).dimensions(), (24, 24));
    assert_eq!(one(&["--out", "x/y.png"])["file"], "x/y.png");
    assert_eq!(sample(&["--count", "3", "--out", "many"]).len(), 6);
    guidance_of_a_teacher(&|flags: &[&str]| {
        let record = one(&[&["--checkpoint", "teacher", "--steps", "3"], flags].concat());
        (record["evaluations_per_image"].as_u64().unwrap(), pixels(&record))
    });
    let said = refusal(dir, &["sample", "--checkpoint", "student", "--thresholding", "clip"]);
    assert!(said.contains("guide a teacher, but this is a student"), "{said}");

    let covered = "checkpoint attribute object label steps guidance-scale kind-guidance joint-guidance guidance-interval \
                   thresholding seed count out scale threads device dtype";
    assert_eq!(documented(dir, "sample"), words(covered).into_iter().map(str::to_owned).collect());
}

/// - `teacher`: evaluations and the picture of three steps
fn guidance_of_a_teacher(teacher: &dyn Fn(&[&str]) -> (u64, image::RgbImage)) {
    let (evaluations, plain) = teacher(&[]);
    assert_eq!(evaluations, 6);
    for (flags, want) in [
        (&["--kind-guidance", "1", "2"][..], 9),
        (&["--kind-guidance", "1", "2", "--joint-guidance", "1"], 12),
        (&["--joint-guidance", "0.5"], 6),
        (&["--guidance-interval", "0", "400"], 5),
        (&["--thresholding", "none"], 6),
        (&["--thresholding", "dynamic"], 6),
    ] {
        let (evaluations, picture) = teacher(flags);
        assert_eq!(evaluations, want, "{flags:?}");
        assert!(picture != plain, "{flags:?}");
    }
}

/// The flags that `--help` lists.
fn documented(dir: &Path, command: &str) -> BTreeSet<String> {
    let help = String::from_utf8(cccm(dir, &[command, "--help"]).stdout).unwrap();
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    flags.map(|flag| flag.split(' ').next().unwrap().to_owned()).collect()
}

/// Fails unless every flag that is documented has a case, here or where its test is named.
fn assert_covered(dir: &Path, command: &str, cases: Vec<Case>) {
    let elsewhere = [
        ("data", "every run here, and `trouble.rs`"),
        ("teacher", "every run of a student here, and `resume.rs`"),
        ("save-path", "every run here"),
        ("config", "`resume.rs`"),
        ("resume", "`resume.rs`"),
        ("allow-change", "`resume.rs`"),
        ("recursive", "`images.rs`"),
        ("resize", "`images.rs`"),
        ("upright", "`images.rs`"),
    ];
    let here = cases.iter().flat_map(|(flags, _)| flags.iter().filter_map(|word| word.strip_prefix("--")));
    let covered: BTreeSet<String> = here.chain(elsewhere.map(|(flag, _)| flag)).map(str::to_owned).collect();
    let missing: Vec<_> = documented(dir, command).difference(&covered).cloned().collect();
    assert!(missing.is_empty(), "no test shows what these do: {missing:?}");
}

/// Flags of the published training and sampling scripts, in their order.
const PUBLISHED: &str = "debug exp save_path seed resume_pth gradient_accumulation_steps logging_dir data \
                         pretrained_nums_cond dataset_nums_cond img_size pretrained_pth train_batch_size epochs arch \
                         num_timestep emb_size time_cond_proj_dim num_res_blocks channel_mult adam_beta1 adam_beta2 \
                         adam_weight_decay adam_epsilon max_grad_norm lr lr_schedule lr_warmup_steps \
                         checkpoint_interval checkpoints_total_limit eval_interval fuse_method fuse_schedule fuse_args \
                         w_interval num_ddim_timesteps loss_type huber_c timestep_scaling_factor ema_decay local_rank \
                         ignored only_table concat projection_dim num_head_channels num_heads \
                         use_spatial_transformer compose";

/// A value for each flag is enough to see whether it is known: no run starts, as there is no such teacher.
#[test]
fn every_published_flag_is_taken_or_explained_and_stands_in_the_table() {
    let table = include_str!("../../README.md");
    let temp = tempfile::tempdir().unwrap();
    for flag in words(PUBLISHED) {
        assert!(table.contains(&format!("`{flag}`")), "the table has no `{flag}`");
        let output = cccm(temp.path(), &["train", "--teacher", "nowhere", &format!("--{flag}"), "x"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        let explained = said.contains("has no meaning here");
        assert!(explained || !said.contains("unexpected argument"), "{flag}: {said}");
        let in_table = table.lines().find(|line| line.contains(&format!("`{flag}`"))).unwrap();
        assert_eq!(explained, in_table.contains("| none: "), "{flag}");
    }
}
