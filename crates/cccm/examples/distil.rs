//! Distils the built-in teacher for a few steps, and draws with what came out.
//!
//! ```console
//! $ cargo run --release -p cccm --example distil
//! ```

use cccm::{Distillation, Model, Outcome, SampleRequest, StepReport, Stop, TrainingProgress};

/// Says how far it is, every tenth step.
struct Lines;

impl TrainingProgress for Lines {
    fn step(&mut self, report: &StepReport) {
        if report.step.is_multiple_of(10) {
            tracing::info!("step {}: loss {:.4}", report.step, report.loss);
        }
    }
}

fn main() -> cccm::Result<()> {
    let distillation = Distillation::default().set("max_steps", 30)?.set("save_path", "digits")?;
    if let Outcome::Finished(finished) = distillation.run(&mut Lines, &Stop::new())? {
        let model = Model::open(&finished.run.root().display().to_string())?;
        model.sample(&SampleRequest::new().label("object", "7"))?.save("sevens.png")?;
    }
    Ok(())
}
