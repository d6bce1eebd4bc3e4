//! Few-step and DDIM sampling from given noise.

use candle_core::Tensor;
use cccm_sample::{DdimConfig, DdimSampler, FewStepConfig, FewStepSampler, Sampler};
use cccm_sched::{ScheduleConfig, StudentConfig};
use cccm_tests::{Tolerance, assert_close};
use cccm_unet::UNet;

use crate::case::Case;
use crate::{FIXTURES, on_all_kernels};

const TOLERANCE: Tolerance = Tolerance { abs: 1e-6, rel: 1e-5 };
/// The first estimate divides by `sqrt(alpha_bar[999])`, 0.0064: what rounding leaves of the prediction, 3e-6, grows 157
/// times.
const FEW_STEP_TOLERANCE: Tolerance = Tolerance { abs: 5e-4, rel: 1e-5 };

#[test]
fn few_step_samples_match_pytorch() -> anyhow::Result<()> {
    on_all_kernels(|kernels| {
        for name in FIXTURES {
            let case = Case::load(name, kernels)?;
            let student = UNet::frozen(&case.unet, case.tables, &case.parameters("student")?)?;
            let labels = case.labels()?;
            for steps in [1, 2, 4, 8] {
                let cfg = FewStepConfig { steps, guidance_scale: 2.8 };
                let sampler =
                    FewStepSampler::new(&ScheduleConfig::default(), &StudentConfig::default(), &cfg)?;
                let noise = |step: usize| {
                    let name = match step {
                        0 => "x_T".to_owned(),
                        _ => format!("lcm{steps}.noise{}", step - 1),
                    };
                    case.noise(&name).map_err(candle_core::Error::wrap)
                };
                let got = sampler.sample(&student, &labels, &noise, &mut ())?;
                assert_close(
                    &got,
                    case.fx.tensor(&format!("lcm{steps}"))?,
                    kernels.tolerance(FEW_STEP_TOLERANCE),
                )?;
            }
        }
        Ok(())
    })
}

#[test]
fn ddim_samples_match_pytorch() -> anyhow::Result<()> {
    on_all_kernels(|kernels| {
        for name in FIXTURES {
            let case = Case::load(name, kernels)?;
            let teacher = UNet::frozen(&case.teacher_unet(), case.tables, &case.parameters("teacher")?)?;
            let cfg = DdimConfig::new(10, 2.8);
            let sampler = DdimSampler::new(&ScheduleConfig::default(), &teacher.null_labels(), &cfg)?;
            let x_t: Tensor = case.noise("x_T")?;
            let got = sampler.sample(&teacher, &case.labels()?, &|_: usize| Ok(x_t.clone()), &mut ())?;
            assert_close(&got, case.fx.tensor("ddim10")?, kernels.tolerance(TOLERANCE))?;
        }
        Ok(())
    })
}
