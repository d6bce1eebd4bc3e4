//! Where the time of training goes.

use std::fmt;

use cccm_distill::StepReport;

/// Seconds of several steps, by what they went into.
#[derive(Clone, Copy, Default)]
pub(crate) struct Phases {
    steps: u64,
    total: f64,
    parts: [f64; 6],
}

/// Names of the parts, as they are in event files too.
pub(crate) const PHASES: [&str; 6] = ["data", "teacher", "student", "target", "backward", "optimizer"];

/// Seconds of one step by phase, in the order of [`PHASES`].
pub(crate) fn phase_secs(report: &StepReport) -> [f64; 6] {
    let work = &report.work;
    [
        report.data_secs,
        work.of("teacher").secs,
        work.of("student").secs,
        work.of("target").secs,
        report.backward_secs,
        report.optimizer_secs,
    ]
}

impl Phases {
    /// Counts one more step.
    pub(crate) fn add(&mut self, report: &StepReport) {
        self.steps += 1;
        self.total += report.total_secs;
        for (sum, secs) in self.parts.iter_mut().zip(phase_secs(report)) {
            *sum += secs;
        }
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |secs: f64| 100.0 * secs / self.total.max(f64::MIN_POSITIVE);
        write!(f, "{:.3} s per step:", self.total / self.steps.max(1) as f64)?;
        for (name, secs) in PHASES.iter().zip(self.parts).filter(|(_, secs)| *secs > 0.0) {
            write!(f, " {name} {:.0} %,", percent(secs))?;
        }
        write!(f, " other {:.0} %", percent(self.total - self.parts.iter().sum::<f64>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cccm_distill::{Forward, Work};
    use std::collections::BTreeMap;

    #[test]
    fn shares_add_up() {
        let forward = |secs| Forward { images: 1, secs };
        let report = StepReport {
            step: 1,
            epoch: 1,
            loss: 0.0,
            terms: BTreeMap::new(),
            c_t: None,
            lr: 0.0,
            grad_norm: 0.0,
            skipped_steps: 0,
            images: 1,
            work: Work::from_iter([
                ("teacher", forward(1.0)),
                ("student", forward(0.5)),
                ("target", forward(0.25)),
            ]),
            data_secs: 0.05,
            backward_secs: 2.0,
            optimizer_secs: 0.2,
            total_secs: 5.0,
        };
        let mut phases = Phases::default();
        phases.add(&report);
        phases.add(&report);
        let want = "5.000 s per step: data 1 %, teacher 20 %, student 10 %, target 5 %, backward 40 %, optimizer 4 %, \
                    other 20 %";
        assert_eq!(phases.to_string(), want);
    }
}
