//! The teacher's predictions from the checkpoints that PyTorch wrote of it.

use std::path::PathBuf;

use candle_core::Device;
use cccm_labels::{LabelKind, Vocabulary};
use cccm_sched::Denoiser;
use cccm_tests::{Tolerance, assert_close, fixtures};
use cccm_unet::{Arch, Hints, ModelConfig, ModelFiles, Parameters, Role, UNet, convert, load_checkpoint};

use crate::case::Case;
use crate::{Kernels, on_all_kernels};

/// Of the largest value.
const TOLERANCE: Tolerance = Tolerance { abs: 0.0, rel: 1e-6 };

fn checkpoint(name: &str) -> PathBuf {
    fixtures().join(name)
}

/// - `objects`: how many there are names for
fn hints_of(objects: u8) -> Hints {
    let kind =
        |kind: &str, count: u8| LabelKind::new(kind, (0..count).map(|index| format!("{kind}-{index}")));
    let labels = Vocabulary::unchecked([kind("attribute", 3), kind("object", objects)]);
    Hints { labels: Some(labels), image_px: Some(16), ..Hints::default() }
}

fn hints() -> Hints {
    hints_of(4)
}

/// Predictions with and without labels.
fn assert_predicts(config: &ModelConfig, parameters: &Parameters, kernels: &Kernels) -> anyhow::Result<()> {
    let case = Case::load("teacher", kernels)?;
    let tolerance = kernels.tolerance(TOLERANCE);
    let network = UNet::frozen(&config.unet, config.tables()?, parameters)?;
    let (x_t, t, conds) = (case.noise("x_t")?, case.t()?, case.conditions()?);
    assert_close(&network.predict(&x_t, &t, &conds)?, case.fx.tensor("teacher_cond")?, tolerance)?;
    let dropped = conds.unconditional(&network.null_labels())?;
    assert_close(&network.predict(&x_t, &t, &dropped)?, case.fx.tensor("teacher_uncond")?, tolerance)
}

#[test]
fn both_forms_of_a_published_checkpoint_give_the_teacher() -> anyhow::Result<()> {
    on_all_kernels(|kernels| {
        for name in ["teacher.pth", "teacher_legacy.pth"] {
            let (config, parameters) = load_checkpoint(&checkpoint(name), &hints(), kernels.device())?;
            assert_eq!((config.role, config.unet.arch), (Role::Teacher, Arch::Unetic));
            assert_eq!((config.unet.model_channels, &config.unet.channel_mult[..]), (32, &[1][..]));
            assert_eq!((config.unet.num_res_blocks, config.schedule.train_timesteps), (1, 1000));
            assert_predicts(&config, &parameters, kernels)?;
        }
        Ok(())
    })
}

#[test]
fn converted_there_and_back_it_is_the_same() -> anyhow::Result<()> {
    on_all_kernels(|kernels| {
        let dir = tempfile::tempdir()?;
        let file = |name: &str| ModelFiles {
            weights: dir.path().join(name),
            config: dir.path().join(name).with_extension("config.json"),
        };
        let (there, back, again) = (file("a.safetensors"), file("b.pth"), file("c.safetensors"));
        let config = convert(&checkpoint("teacher_legacy.pth"), &hints(), &there)?;
        let hints = Hints::from_config(&config);
        assert_eq!(convert(&there.weights, &hints, &back)?, config);
        assert_eq!(convert(&back.weights, &hints, &again)?, config);
        assert!(std::fs::read(&there.weights)? == std::fs::read(&again.weights)?);
        for files in [there, back] {
            let (config, parameters) = ModelFiles::locate(&files.weights)?.load(kernels.device())?;
            assert_predicts(&config, &parameters, kernels)?;
        }
        Ok(())
    })
}

#[test]
fn hints_that_do_not_fit_are_refused() {
    let load = |hints: &Hints| {
        load_checkpoint(&checkpoint("teacher.pth"), hints, &Device::Cpu).unwrap_err().to_string()
    };
    let nothing = load(&Hints::default());
    assert!(
        nothing.ends_with("do not tell the names of the labels; there are 3 attributes and 4 objects"),
        "{nothing}"
    );
    let no_size = load(&Hints { image_px: None, ..hints() });
    assert!(no_size.ends_with("do not tell the size of the images, a multiple of 1"), "{no_size}");
    let fewer = load(&hints_of(3));
    assert!(fewer.ends_with("has 3 attributes and 4 objects, but 3 and 3 names are given"), "{fewer}");
    let groups = load(&Hints { norm_groups: Some(5), ..hints() });
    assert!(groups.contains("`norm_groups` is 5"), "{groups}");
}
