//! The commands that talk to a Hub, against one on loopback.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]
#![cfg(feature = "hub")]

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use candle_core::Device;
use cccm_sched::Streams;
use cccm_tests::hub::{Fault, HubStandIn, Side};
use cccm_unet::{ModelConfig, Tables, UNet, UNetConfig};
use cccm_weights::save_weights;

const TOKEN: &str = "hf_secret";

/// A Hub and a folder to work in, whose environment knows nothing else.
struct Bench {
    hub: HubStandIn,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let (hub, dir) = (HubStandIn::start().unwrap(), tempfile::tempdir().unwrap());
        hub.accept_token(TOKEN);
        Self { hub, dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("cccm").unwrap();
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
        }
        for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", self.hub.endpoint()).env("HF_HOME", self.path("hf"));
        command.current_dir(self.dir.path()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> (String, String) {
        texts(args, &self.command(args).env("HF_TOKEN", TOKEN).output().unwrap())
    }

    fn refusal(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn texts(args: &[&str], output: &Output) -> (String, String) {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

/// A teacher small enough for a test, of the built-in shapes.
fn tiny_teacher(bench: &Bench) {
    let network = "--img-size 8 --emb-size 8 --norm-groups 4 --channel-mult 1 2 --num-res-blocks 1";
    let line = format!(
        "train-teacher --data builtin:shapes --max-steps 2 --train-batch-size 2 {network} --seed 3 --save-path teacher"
    );
    bench.run(&line.split(' ').collect::<Vec<_>>());
}

#[test]
fn a_model_is_pushed_and_used_from_there() {
    let bench = Bench::new();
    tiny_teacher(&bench);
    let card = std::fs::read_to_string(bench.path("teacher/model/README.md")).unwrap();
    assert!(card.contains("| max steps | 2 |") && card.contains("| seed | 3 |"), "{card}");

    let (out, _) = bench.run(&["push", "teacher", "--repo", "me/teacher", "--dry-run"]);
    let names: Vec<_> = out.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(names, ["model.safetensors", "config.json", "README.md"]);
    assert!(bench.hub.take_log().is_empty(), "a dry run asked the Hub");
    let (out, _) = bench.run(&["push", "teacher/model", "--repo", "me/teacher", "--private"]);
    let record: serde_json::Value = serde_json::from_str(&out).unwrap();
    let pushed = bench.hub.repo("me/teacher").unwrap();
    assert_eq!((record["commit"].as_str(), pushed.private), (Some(pushed.commit.as_str()), true));
    assert_eq!(pushed.files.keys().collect::<Vec<_>>(), ["README.md", "config.json", "model.safetensors"]);
    for (name, content) in &pushed.files {
        assert!(std::fs::read(bench.path("teacher/model").join(name)).unwrap() == *content, "{name}");
    }
    let (out, _) = bench.run(&["push", "teacher", "--repo", "me/teacher"]);
    assert!(out.contains("\"commit\":null") && out.contains("\"changed\":[]"), "{out}");

    let draw = |checkpoint: &str| {
        let line = format!("sample --checkpoint {checkpoint} --attribute red --object Oval --steps 1");
        bench.run(&line.split(' ').collect::<Vec<_>>());
        image::open(bench.path("red_Oval.png")).unwrap()
    };
    let here = draw("teacher");
    for place in ["hf://me/teacher", &format!("hf://me/teacher@{}/model.safetensors", pushed.commit)] {
        assert_eq!(draw(place), here);
    }
    let line = "train --teacher hf://me/teacher --data builtin:shapes --max-steps 1 --train-batch-size 2 --save-path s";
    bench.run(&line.split(' ').collect::<Vec<_>>());
    draw("s");

    // A teacher is no Inception, but its file came from there.
    let inception = "hf://me/teacher/model.safetensors";
    let line = format!(
        "eval --checkpoint teacher --data builtin:shapes --samples 1 --steps 1 --classifier c.safetensors \
         --classifier-steps 1 --inception {inception}"
    );
    let args: Vec<&str> = line.split(' ').collect();
    let output = bench.command(&args).env("HF_TOKEN", TOKEN).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(&format!("cannot use {inception}")), "{said}");
}

/// The small teacher that PyTorch wrote: 3 × 4 labels, 16×16 pixels.
fn teacher_pth() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/teacher.pth");
    std::fs::read(path).unwrap()
}

const LABELS: [&str; 9] = ["--attributes", "red", "green", "blue", "--objects", "w", "x", "y", "z"];

/// A folder of the teacher's pairs.
fn make_images(dir: &Path) {
    for (index, attribute) in ["red", "green", "blue"].iter().enumerate() {
        for object in ["w", "x", "y", "z"] {
            let folder = dir.join(format!("{attribute}_{object}"));
            std::fs::create_dir_all(&folder).unwrap();
            let picture = image::RgbImage::from_pixel(16, 16, image::Rgb([80 * index as u8, 100, 200]));
            picture.save(folder.join("0.png")).unwrap();
        }
    }
}

#[test]
fn a_teacher_is_fetched_distilled_and_sampled() {
    let bench = Bench::new();
    bench.hub.put("bobolai/StepFusionCCCM", "teacher.pth", &teacher_pth());
    let hints = [&LABELS[..], &["--img-size", "16"]].concat();
    let (_, said) = bench.run(&[&["fetch-teacher", "--dest", "teacher"], &hints[..]].concat());
    assert!(said.contains("cccm train --teacher teacher --data"), "{said}");
    let card = std::fs::read_to_string(bench.path("teacher/README.md")).unwrap();
    let commit = bench.hub.repo("bobolai/StepFusionCCCM").unwrap().commit;
    assert!(card.contains(&format!("hf://bobolai/StepFusionCCCM@{commit}/teacher.pth")), "{card}");

    // Again: nothing is written over unasked, and nothing is downloaded twice.
    assert!(bench.refusal(&["fetch-teacher", "--dest", "teacher"]).contains("--force"));
    bench.hub.take_log();
    bench.run(&[&["fetch-teacher", "--dest", "teacher", "--force"], &hints[..]].concat());
    assert!(bench.hub.take_log().iter().all(|(side, _)| *side == Side::Hub));

    make_images(&bench.path("images"));
    bench.run(&[
        "train",
        "--teacher",
        "teacher",
        "--data",
        "images",
        "--max-steps",
        "2",
        "--train-batch-size",
        "2",
        "--save-path",
        "student",
    ]);
    let card = std::fs::read_to_string(bench.path("student/model/README.md")).unwrap();
    assert!(card.contains("| max steps | 2 |") && card.contains("- attribute: red, green, blue"), "{card}");
    bench.run(&["sample", "--checkpoint", "student", "--attribute", "red", "--object", "w", "--steps", "2"]);
    assert!(bench.path("red_w.png").is_file());
}

/// The published repository with untrained weights for CelebA's 4 × 2 labels, as PyTorch writes them.
fn publish(bench: &Bench, unet: &UNetConfig) {
    let parameters =
        UNet::initial_parameters(unet, Tables::new([4, 2]), &Streams::new(1), &Device::Cpu).unwrap();
    let path = bench.path("published.pth");
    save_weights(&path, &parameters.tensors()).unwrap();
    bench.hub.put("bobolai/StepFusionCCCM", "teacher.pth", &std::fs::read(path).unwrap());
}

#[test]
fn the_published_teacher_needs_no_flags() {
    let bench = Bench::new();
    publish(&bench, &UNetConfig { model_channels: 32, channel_mult: vec![1], ..UNetConfig::celeba_128() });
    bench.run(&["fetch-teacher"]);
    let config = ModelConfig::load(&bench.path("teachers/StepFusionCCCM/config.json")).unwrap();
    assert_eq!((config.image_px, config.labels.kinds()[0].names[1].as_str()), (128, "BlondHair"));
    assert_eq!(config.labels.kinds()[1].names, ["Male", "Female"]);

    // The file itself, and again without a network: what is known of it is known there too.
    let place = "hf://bobolai/StepFusionCCCM/teacher.pth";
    let args =
        ["sample", "--checkpoint", place, "--attribute", "BlondHair", "--object", "Male", "--steps", "1"];
    bench.run(&args);
    bench.hub.take_log();
    texts(&args, &bench.command(&args).env("HF_HUB_OFFLINE", "1").output().unwrap());
    assert!(bench.hub.take_log().is_empty());
}

/// The documented sequence at the published size, 107 million parameters: a minute or two. With the optimizer's state,
/// 1.3 GB, where `CCCM_PUBLISHED_PTH` names what `tests/fixtures/published_size.py` wrote.
#[test]
fn the_published_size_goes_the_whole_way() {
    if std::env::var_os("CCCM_SLOW_TESTS").is_none() {
        return;
    }
    let bench = Bench::new();
    match std::env::var_os("CCCM_PUBLISHED_PTH") {
        Some(path) => bench.hub.put("bobolai/StepFusionCCCM", "teacher.pth", &std::fs::read(path).unwrap()),
        None => publish(&bench, &UNetConfig::celeba_128()),
    }
    bench.run(&["fetch-teacher"]);
    let picture = image::RgbImage::from_pixel(128, 128, image::Rgb([200, 100, 50]));
    for attribute in ["BrownHair", "BlondHair", "GrayHair", "BlackHair"] {
        for object in ["Male", "Female"] {
            let folder = bench.path(&format!("celeba/{attribute}_{object}"));
            std::fs::create_dir_all(&folder).unwrap();
            picture.save(folder.join("0.png")).unwrap();
        }
    }
    let line = "train --teacher teachers/StepFusionCCCM --data celeba --max-steps 1 --train-batch-size 1 --eval-steps 9 \
                --save-path student";
    bench.run(&line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>());
    bench.run(&[
        "sample",
        "--checkpoint",
        "student",
        "--attribute",
        "BlondHair",
        "--object",
        "Male",
        "--steps",
        "1",
    ]);
    assert!(bench.path("BlondHair_Male.png").is_file());
}

#[test]
fn a_place_on_the_hub_is_a_teacher_too() {
    let bench = Bench::new();
    bench.hub.put("a/teacher", "x/teacher.pth", &teacher_pth());
    // Nothing says what its labels are.
    let refused = bench.refusal(&["sample", "--checkpoint", "hf://a/teacher/x/teacher.pth"]);
    assert!(refused.contains("labels") && refused.contains("fetch-teacher"), "{refused}");

    let hints = [&LABELS[..], &["--img-size", "16"]].concat();
    let repo = ["fetch-teacher", "--repo", "a/teacher", "--file", "x/teacher.pth"];
    bench.run(&[&repo, &hints[..]].concat());
    let config = std::fs::read(bench.path("teachers/teacher/config.json")).unwrap();
    bench.hub.put("a/teacher", "x/config.json", &config);
    make_images(&bench.path("images"));
    bench.run(&[
        "train",
        "--teacher",
        "hf://a/teacher/x/teacher.pth",
        "--data",
        "images",
        "--max-steps",
        "1",
        "--train-batch-size",
        "2",
        "--save-path",
        "student",
    ]);
    bench.run(&[
        "sample",
        "--checkpoint",
        "hf://a/teacher/x/teacher.pth",
        "--steps",
        "1",
        "--out",
        "all.png",
    ]);
}

#[test]
fn a_repository_is_listed() {
    let bench = Bench::new();
    bench.hub.put("bobolai/StepFusionCCCM", "celeba.pth", &[0; 3000]);
    bench.hub.put("bobolai/StepFusionCCCM", "README.md", b"x");
    let (out, _) = bench.run(&["fetch-teacher", "--list"]);
    assert_eq!(out, "           1  README.md\n        3000  celeba.pth\n");
    let refused = bench.refusal(&["fetch-teacher"]);
    assert!(refused.contains("README.md, celeba.pth"), "{refused}");
    assert!(!bench.path("teachers").exists(), "a failed download left a directory");
}

#[test]
fn names_of_others_do_not_reach_the_terminal_as_they_are() {
    let bench = Bench::new();
    bench.hub.put("bobolai/StepFusionCCCM", "a\u{1b}[2J\nb.pth", b"x");
    let (out, _) = bench.run(&["fetch-teacher", "--list"]);
    assert_eq!(out, "           1  a\\u{1b}[2J\\nb.pth\n");
    let refused = bench.refusal(&["fetch-teacher"]);
    assert!(refused.contains("a\\u{1b}[2J") && !refused.contains('\u{1b}'), "{refused}");
}

#[test]
fn nothing_but_a_model_directory_is_pushed() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("photos")).unwrap();
    std::fs::write(bench.path("photos/secret.txt"), "x").unwrap();
    std::fs::create_dir(bench.path("broken")).unwrap();
    std::fs::write(bench.path("broken/model.safetensors"), "x").unwrap();
    std::fs::write(bench.path("broken/config.json"), "{}").unwrap();
    for dir in ["photos", "photos/secret.txt", "broken", "missing"] {
        let refused = bench.refusal(&["push", dir, "--repo", "me/x", "--token", TOKEN]);
        assert!(refused.contains(dir), "{refused}");
    }
    assert!(bench.hub.take_log().is_empty());
}

#[test]
fn other_commands_stay_off_the_network() {
    let bench = Bench::new();
    bench.run(&[
        "sample",
        "--checkpoint",
        "builtin:teacher",
        "--attribute",
        "blu",
        "--object",
        "7",
        "--steps",
        "1",
    ]);
    assert!(bench.hub.take_log().is_empty());
    let refused = bench.command(&["sample", "--checkpoint", "hf://me/x"]).env("HF_HUB_OFFLINE", "1").output();
    let refused = String::from_utf8(refused.unwrap().stderr).unwrap();
    assert!(refused.contains("HF_HUB_OFFLINE"), "{refused}");
    assert!(bench.hub.take_log().is_empty());
}

#[test]
fn a_config_that_cannot_be_asked_for_is_not_taken_for_absent() {
    for fault in
        [Fault::HangUp, Fault::Status(404, &[("X-Error-Code", "EntryNotFound")]), Fault::Status(403, &[])]
    {
        let bench = Bench::new();
        bench.hub.put("a/teacher", "teacher.pth", &teacher_pth());
        let hints = [&LABELS[..], &["--img-size", "16"]].concat();
        let repo = ["fetch-teacher", "--repo", "a/teacher", "--dest", "teacher"];
        bench.run(&[&repo, &hints[..]].concat());
        let config = std::fs::read_to_string(bench.path("teacher/config.json")).unwrap();
        bench.hub.put(
            "a/teacher",
            "config.json",
            config.replace("\"epsilon\"", "\"v_prediction\"").as_bytes(),
        );

        // Whatever it says of that one file: it lists it, or cannot be asked.
        bench.hub.fail_always("/config.json", fault.clone());
        let args = ["fetch-teacher", "--repo", "a/teacher", "--dest", "again"];
        let output = bench.command(&[&args, &hints[..]].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("config"), "{fault:?}: {said}");
        assert!(!bench.path("again").exists(), "{fault:?}: a model was made of half of one");
    }
}

#[test]
fn a_config_that_is_another_programs_is_left_aside_and_a_broken_one_is_not() {
    let bench = Bench::new();
    bench.hub.put("a/teacher", "teacher.pth", &teacher_pth());
    bench.hub.put("a/teacher", "config.json", b"{\"_class_name\": \"UNet2DModel\"}");
    let hints = [&LABELS[..], &["--img-size", "16"]].concat();
    let args = [&["fetch-teacher", "--repo", "a/teacher", "--force"], &hints[..]].concat();
    let (_, said) = bench.run(&args);
    assert!(said.contains("not a config of cccm"), "{said}");
    for broken in ["{\"unet\": {}", "{\"unet\": {}}", "no json"] {
        bench.hub.put("a/teacher", "config.json", broken.as_bytes());
        let refused = bench.refusal(&args);
        assert!(refused.contains("cannot use hf://a/teacher"), "{broken}: {refused}");
    }
}

#[test]
fn no_command_shows_a_secret_at_any_level_of_the_log() {
    let bench = Bench::new();
    tiny_teacher(&bench);
    bench.hub.put("a/teacher", "teacher.pth", &teacher_pth());
    let hints = [&LABELS[..], &["--img-size", "16"]].concat();
    let endpoint = bench.hub.endpoint().replace("http://", "http://me:sesame@");
    let fetch =
        |more: &[&'static str]| [&["fetch-teacher", "--repo", "a/teacher"], more, &hints[..]].concat();
    let commands = [
        fetch(&[]),
        fetch(&["--list"]),
        fetch(&["--token", TOKEN, "--force"]),
        vec!["push", "teacher", "--repo", "me/x", "--private"],
        vec!["push", "teacher", "--repo", "me/x", "--token", TOKEN],
        vec!["sample", "--checkpoint", "hf://me/x", "--attribute", "red", "--object", "Oval", "--steps", "1"],
        vec!["doctor"],
        // Refused.
        vec!["push", "teacher", "--repo", "me/x", "--endpoint", "http://me:sesame@hub.invalid"],
        vec!["fetch-teacher", "--repo", "a/none", "--endpoint", &endpoint],
        vec!["push", "teacher", "--repo", "me/x", "--endpoint", &endpoint],
    ];
    let sockets = ["http", "https"].map(|scheme| format!("{scheme}://me:sesame@127.0.0.1:1"));
    for args in &commands {
        for proxy in [None, Some(&sockets)] {
            let mut command = bench.command(args);
            command.env("HF_TOKEN", TOKEN).env("CCCM_LOG", "trace");
            if let Some([http, https]) = proxy {
                command.env("HTTP_PROXY", http).env("HTTPS_PROXY", https);
            }
            let output = command.output().unwrap();
            for text in [&output.stdout, &output.stderr] {
                let text = String::from_utf8_lossy(text);
                assert!(!text.contains(TOKEN) && !text.contains("sesame"), "{args:?}: {text}");
            }
        }
    }
    let mut left = vec![bench.dir.path().to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let is_there = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
            assert!(!is_there, "the token is in {}", path.display());
        }
    }
}

#[test]
fn a_token_does_not_go_over_http_to_another_machine_unasked() {
    let bench = Bench::new();
    tiny_teacher(&bench);
    let push = ["push", "teacher", "--repo", "me/x", "--token", TOKEN, "--endpoint", "http://hub.invalid"];
    let refused = bench.refusal(&push);
    assert!(refused.contains("not sent to http://hub.invalid"), "{refused}");
    // With the flag it is tried, and there is no such machine.
    let refused = bench.refusal(&[&push[..], &["--token-over-http"]].concat());
    assert!(refused.contains("cannot reach hub.invalid"), "{refused}");
}

#[test]
fn a_card_of_other_weights_is_not_pushed() {
    let bench = Bench::new();
    tiny_teacher(&bench);
    let card = bench.path("teacher/model/README.md");
    let text = std::fs::read_to_string(&card).unwrap();
    let line = text.lines().find(|line| line.contains("SHA-256 of the weights")).unwrap();
    std::fs::write(&card, text.replace(line, "| SHA-256 of the weights | 00 |")).unwrap();
    let refused = bench.refusal(&["push", "teacher", "--repo", "me/x", "--token", TOKEN]);
    assert!(refused.contains("card of other weights"), "{refused}");
    // Somebody's own words about it are fine.
    std::fs::write(&card, "My model.\n").unwrap();
    bench.run(&["push", "teacher", "--repo", "me/x"]);
}
