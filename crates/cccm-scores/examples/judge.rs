//! Trains a judge of drawn shapes for a moment, and says how well it reads others.

#![expect(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use cccm_data::{Dataset, PairFilter, Shapes, ShapesConfig};
use cccm_eval::ClassifierTraining;
use cccm_sched::LabelKind;
use cccm_scores::{Judge, Keep, RealImages};

fn main() -> Result<()> {
    let shapes = |seed| -> Result<Arc<dyn Dataset>> {
        let pairs = PairFilter::all();
        Ok(Arc::new(Shapes::new(&ShapesConfig { image_px: 16, images_per_pair: 20, seed, pairs })?))
    };
    let train = shapes(0)?;
    let names = train.vocabulary().clone();
    let labels = [("attribute", names.attributes), ("object", names.objects)]
        .map(|(kind, names)| LabelKind { kind: kind.to_owned(), names });
    let real = RealImages { learnt: Arc::clone(&train), train, test: shapes(1)?, held_out: BTreeSet::new() };
    let training = ClassifierTraining { steps: 100, ..ClassifierTraining::default() };
    let keep = Keep::File(std::env::temp_dir().join("shapes.safetensors"));
    let judge = Judge::of(&real, &labels, &training, &keep, &|| false, &|_| ())?;
    println!("both labels of {:.0} % are read right", 100.0 * judge.accuracy.all.rate);
    Ok(())
}
