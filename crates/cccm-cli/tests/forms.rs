//! One data set in all its forms, two of them on a Hub: the same weights, resumed or not, and the same scores.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]
#![cfg(all(feature = "hub", feature = "parquet"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use cccm_tests::hub::HubStandIn;
use serde_json::Value;

/// The forms that `crates/cccm-data/tests/fixtures/lists.py` wrote.
const FORMS: [&str; 5] = ["folders", "imagefolder", "pyarrow_zstd", "datasets", "webdataset"];

fn form(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cccm-data/tests/fixtures/lists").join(name)
}

fn command(dir: &Path, hub: &HubStandIn, line: &str) -> Command {
    let mut command = Command::new(cargo_bin("cccm"));
    command.env("HF_ENDPOINT", hub.endpoint()).env("HF_HOME", dir.join("hf"));
    command.env("XDG_CACHE_HOME", dir.join("cache")).env("NO_PROXY", "127.0.0.1").env_remove("HF_TOKEN");
    command.current_dir(dir).args(line.split(' '));
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// Puts all files below a folder into a repository.
fn upload(hub: &HubStandIn, repo: &str, root: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            upload(hub, repo, root, &path);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            hub.put(repo, &name, &fs::read(&path).unwrap());
        }
    }
}

/// Scores without what the clock or the place of the data decides.
fn scores(dir: &Path) -> Value {
    let text = fs::read_to_string(dir.join("steps-1/scores.json")).unwrap();
    let scores: Value = serde_json::from_str(&text).unwrap();
    scores["scores"].clone()
}

#[test]
fn every_form_trains_resumes_and_is_scored_alike() {
    let (tmp, hub) = (tempfile::tempdir().unwrap(), HubStandIn::start().unwrap());
    let dir = tmp.path();
    let mut places: Vec<(String, String)> =
        FORMS.map(|name| (name.to_owned(), form(name).display().to_string())).into();
    for name in ["datasets", "webdataset"] {
        upload(&hub, &format!("datasets/me/{name}"), &form(name), &form(name));
        hub.put(&format!("datasets/me/{name}"), "README.md", b"# Cups and hats");
        places.push((format!("hub-{name}"), format!("hf://datasets/me/{name}")));
    }
    let network =
        "--img-size 8 --emb-size 8 --norm-groups 4 --channel-mult 1 2 --num-res-blocks 1 --lr-warmup-steps 0";
    let mut all = Vec::new();
    for (name, place) in places {
        let line = format!(
            "train-teacher --data {place} --ignored red_cup --train-batch-size 2 --max-steps 4 --checkpoint-steps 2 \
             {network} --seed 3 --save-path {name}"
        );
        run(&mut command(dir, &hub, &line));
        let run_dir = dir.join(&name);
        let model = fs::read(run_dir.join("model/model.safetensors")).unwrap();
        // As if it had been killed behind the second step; what is in the cache needs no network.
        fs::remove_dir_all(run_dir.join("model")).unwrap();
        fs::remove_dir_all(run_dir.join("checkpoints/step-000004")).unwrap();
        let mut resumed = command(dir, &hub, &format!("train-teacher --resume {name}"));
        run(resumed.env("HF_HUB_OFFLINE", "1"));
        assert!(fs::read(run_dir.join("model/model.safetensors")).unwrap() == model, "{name}, resumed");

        let line = format!(
            "eval --checkpoint {name} --steps 1 --samples 2 --classifier-steps 5 --out scores-{name}"
        );
        run(&mut command(dir, &hub, &line));
        all.push((name.clone(), model, scores(&dir.join(format!("scores-{name}")))));
    }
    let (_, model, want) = &all[0];
    for (name, other, got) in &all[1..] {
        assert!(other == model, "{name}: another model");
        assert_eq!(without_secs(got), without_secs(want), "{name}");
    }
    let refused = command(dir, &hub, "dataset check hf://datasets/me/nothing").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    hub.put("datasets/me/texts", "README.md", b"nothing here");
    let refused = command(dir, &hub, "dataset check hf://datasets/me/texts").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("nothing of hf://datasets/me/texts is data that can be used"), "{said}");
}

/// Times are the machine's.
fn without_secs(scores: &Value) -> Value {
    match scores {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !name.contains("secs") && !name.contains("ms"))
            .map(|(name, value)| (name.clone(), without_secs(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}
