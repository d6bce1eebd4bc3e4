//! Predictions of teacher and student.

use cccm_sched::{Denoiser, guidance_embedding};
use cccm_tests::{Tolerance, assert_close};
use cccm_unet::UNet;

use crate::case::Case;
use crate::{FIXTURES, on_all_kernels};

const TOLERANCE: Tolerance = Tolerance { abs: 1e-6, rel: 1e-5 };

#[test]
fn predictions_match_pytorch() -> anyhow::Result<()> {
    on_all_kernels(|kernels| {
        let tolerance = kernels.tolerance(TOLERANCE);
        for name in FIXTURES {
            let case = Case::load(name, kernels)?;
            let (x_t, t, conds, w) = (case.noise("x_t")?, case.t()?, case.conditions()?, case.w()?);
            let teacher = UNet::frozen(&case.teacher_unet(), case.tables, &case.parameters("teacher")?)?;
            let student = UNet::frozen(&case.unet, case.tables, &case.parameters("student")?)?;

            let cond = teacher.predict(&x_t, &t, &conds)?;
            assert_close(&cond, case.fx.tensor("teacher_cond")?, tolerance)?;
            let uncond = teacher.predict(&x_t, &t, &conds.unconditional(&teacher.null_labels())?)?;
            assert_close(&uncond, case.fx.tensor("teacher_uncond")?, tolerance)?;
            let embedded = guidance_embedding(&w, case.unet.guidance_dim.unwrap_or_default())?;
            assert_close(&embedded, case.fx.tensor("w_emb")?, tolerance)?;
            let online = student.predict(&x_t, &t, &conds.with_w(w))?;
            assert_close(&online, case.fx.tensor("student")?, tolerance)?;
        }
        Ok(())
    })
}
