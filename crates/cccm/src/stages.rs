//! Stages of a training that are set to last longer than the training.

use cccm_optim::LrSchedule;
use cccm_run::OptimSettings;

/// Warns if the warm-up or the first stage takes the whole run.
pub(crate) fn warn_of_long_stages(optim: &OptimSettings, first_stage: u64, total_steps: u64) {
    let warmup = optim.lr_warmup_steps.filter(|_| optim.lr_schedule != Some(LrSchedule::Constant));
    if let Some(warmup) = warmup.filter(|warmup| *warmup > total_steps) {
        let percent = 100.0 * total_steps as f64 / warmup as f64;
        tracing::warn!(
            "the learning rate warms up for {warmup} steps, longer than this run of {total_steps}, and ends at {percent:.0} % \
             of --lr: --lr-warmup-steps sets another warm-up"
        );
    }
    if first_stage >= total_steps.max(1) {
        tracing::warn!(
            "the first stage, on trajectories of the teacher, is {first_stage} steps, and this run has {total_steps}: nothing is \
             distilled after it; --trajectory-steps sets another length"
        );
    }
}
