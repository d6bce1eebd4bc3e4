//! Trains a judge of drawn shapes for a moment, and says how well it reads others.

#![expect(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use cccm_data::{CombinationFilter, Dataset, Shapes, ShapesConfig};
use cccm_eval::ClassifierTraining;
use cccm_scores::{Judge, Keep, RealImages};

fn main() -> Result<()> {
    let shapes = |seed| -> Result<Arc<dyn Dataset>> {
        let combinations = CombinationFilter::all();
        Ok(Arc::new(Shapes::new(&ShapesConfig {
            image_px: 16,
            images_per_combination: 20,
            seed,
            sized: false,
            combinations,
        })?))
    };
    let train = shapes(0)?;
    let labels = train.vocabulary().kinds().to_vec();
    let real = RealImages { learnt: Arc::clone(&train), train, test: shapes(1)?, held_out: BTreeSet::new() };
    let training = ClassifierTraining { steps: 100, ..ClassifierTraining::default() };
    let keep = Keep::File(std::env::temp_dir().join("shapes.safetensors"));
    let judge = Judge::of(&real, &labels, &training, &keep, &|| false, &|_| ())?;
    println!("both labels of {:.0} % are read right", 100.0 * judge.accuracy.all.rate);
    Ok(())
}
