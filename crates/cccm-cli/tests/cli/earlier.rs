//! Runs that an earlier build began.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, safetensors};
use cccm_tests::{copy_folder, fixtures};

use crate::resume::{metrics, names};
use crate::support::run;

/// Two runs of the first build that had checkpoints as they are today, as if it had been killed between the third and the
/// sixth and last step; beside each, the model that this build came to. They were made by
///
/// ```text
/// cccm train-teacher --save-path teacher-run FLAGS --emb-size 4 --norm-groups 2 --channel-mult 1 --num-res-blocks 1
/// cccm train --save-path student-run FLAGS --teacher teacher
/// FLAGS = --data builtin:shapes --img-size 4 --train-batch-size 4 --max-steps 6 --checkpoint-steps 3 --threads 1 --seed 5
///         --lr-warmup-steps 0 --lr 0.01
/// ```
const RUNS: [(&str, &str); 2] = [("train-teacher", "teacher-run"), ("train", "student-run")];

fn weights(path: &Path) -> Tensor {
    let tensors: BTreeMap<String, Tensor> =
        safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect();
    let flat: Vec<Tensor> = tensors.into_values().map(|tensor| tensor.flatten_all().unwrap()).collect();
    Tensor::cat(&flat, 0).unwrap()
}

/// Mean absolute difference.
fn distance(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().mean_all().unwrap().to_scalar().unwrap()
}

#[test]
fn a_run_of_an_earlier_build_goes_on_to_where_that_build_came() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = &tmp.path().join("runs");
    copy_folder(&fixtures().join("earlier_runs"), dir).unwrap();
    for (command, name) in RUNS {
        let before = metrics(&dir.join(name));
        let start = weights(&dir.join(name).join("checkpoints/step-000003/target.safetensors"));
        run(dir, &[command, "--resume", name]);

        let want = weights(&dir.join(format!("{name}-after.safetensors")));
        let got = weights(&dir.join(name).join("model/model.safetensors"));
        // The bytes are the same on the machine that made them; another CPU rounds otherwise.
        let (off, moved) = (distance(&got, &want), distance(&start, &want));
        assert!(off < 0.01 * moved, "{name}: off by {off}, where training moved weights by {moved}");
        assert_eq!(names(&dir.join(name).join("checkpoints")), ["step-000003", "step-000006"]);
        for (got, want) in metrics(&dir.join(name)).iter().zip(&before) {
            let close =
                |key: &str| (got[key].as_f64().unwrap() / want[key].as_f64().unwrap() - 1.0).abs() < 1e-3;
            assert!(
                got["step"] == want["step"] && close("loss") && close("grad_norm"),
                "{got} instead of {want}"
            );
        }
        assert_eq!((metrics(&dir.join(name)).len(), before.len()), (6, 6));
    }
}
