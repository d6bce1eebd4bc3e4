//! CoInD's Colored MNIST (Gaudi et al. 2025), at a share of its budget.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Export, Family, Folders, Model, required, with_path};

/// Optimizer steps and images of each that a teacher learns from; the published ones are 50,000 and 256.
const TEACHER_STEPS: usize = 9000;
const TEACHER_BATCH: usize = 32;
const PUBLISHED_IMAGES: usize = 50_000 * 256;
/// Optimizer steps of a student.
const STUDENT_STEPS: usize = 1000;
/// Guided steps that teachers are scored at, as published, and steps that students are.
const SCORED: [&[usize]; 2] = [&[100], &[4]];

/// A network far smaller than the published one, which has 56 channels × 1-2-3 and two blocks.
const NETWORK: &str = "--emb-size 32 --channel-mult 1 2 2 --num-res-blocks 1 --norm-groups 8 --dropout 0";

/// Colours in the order on which the partial support depends; a digit `n` is shown in colours `n` and `n + 1`, 9 in its own.
const COLORS: [&str; 10] = [
    "DarkSlateGray",
    "ForestGreen",
    "OrangeRed",
    "Yellow",
    "MediumVioletRed",
    "Lime",
    "RoyalBlue",
    "Aqua",
    "Blue",
    "NavajoWhite",
];

/// Which digits training shows in which colours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    Uniform,
    NonUniform,
    Partial,
}

impl Support {
    fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::NonUniform => "non-uniform",
            Self::Partial => "partial",
        }
    }

    /// Of the family.
    fn family_name(self) -> &'static str {
        match self {
            Self::Uniform => "coind-uniform",
            Self::NonUniform => "coind-non-uniform",
            Self::Partial => "coind-partial",
        }
    }

    /// Pairs that training never shows.
    fn held_out(self) -> Vec<String> {
        let last = COLORS.len() - 1;
        let shows = |color: usize, digit: usize| {
            self != Self::Partial || color == digit || color == last.min(digit + 1)
        };
        let of_color = |color: usize| {
            (0..=last).filter(move |digit| !shows(color, *digit)).map(move |digit| (color, digit))
        };
        (0..=last).flat_map(of_color).map(|(color, digit)| format!("{}_{digit}", COLORS[color])).collect()
    }
}

/// Teachers without and with the independence term, and the student of each.
pub(super) fn family(support: Support, folders: &Folders<'_>) -> Result<Family> {
    let name = support.family_name();
    let mnist = required(folders.mnist, name, "--mnist DIR, the folder of the four MNIST files")?;
    let images = Images::new(support, folders.out);
    let share = 100.0 * (TEACHER_STEPS * TEACHER_BATCH) as f64 / PUBLISHED_IMAGES as f64;
    let mut exports = vec![export(support, mnist, &images.training)];
    if support != Support::Uniform {
        exports.push(export(Support::Uniform, mnist, &images.judged_by));
    }
    Ok(Family {
        name,
        note: format!(
            "CoInD's Colored MNIST, {} support. Teachers of {TEACHER_STEPS} steps of {TEACHER_BATCH} images, {share:.2} % of the \
             published ones, by a smaller network; students of {STUDENT_STEPS} steps. Accuracy is conformity: both labels read \
             right by the judge, which learnt from images of all pairs; joint conditions, guidance as everywhere here, where the \
             published AND adds one-label predictions up.",
            support.name()
        ),
        exports,
        models: vec![
            images.teacher("teacher", ""),
            images.student("student", "teacher"),
            images.teacher("teacher-independence", "--independence-weight 1"),
            images.student("student-independence", "teacher-independence"),
        ],
        is_comparable: true,
    })
}

fn export(support: Support, mnist: &Path, folder: &Path) -> Export {
    let mut words = with_path("--digits", mnist, "--support");
    words.push(support.name().to_owned());
    words.insert(0, "coind-mnist".to_owned());
    Export { folder: folder.to_owned(), words }
}

/// Images of a support, and those of all pairs.
struct Images {
    support: Support,
    training: PathBuf,
    judged_by: PathBuf,
}

impl Images {
    fn new(support: Support, out: &Path) -> Self {
        let folder = |support: Support| out.join("data").join(support.family_name());
        Self { support, training: folder(support), judged_by: folder(Support::Uniform) }
    }

    fn teacher(&self, label: &'static str, more: &str) -> Model {
        let flags = format!(
            "--image-sampling shuffled --img-size 28 {NETWORK} --train-batch-size {TEACHER_BATCH} --lr 1e-3 --lr-schedule cosine \
             --lr-warmup-steps 300 --ema-decay 0.999 --max-steps {TEACHER_STEPS} --checkpoint-steps 1500 --eval-steps 4500 {more}"
        );
        self.model(label, None, &flags)
    }

    fn student(&self, label: &'static str, teacher: &str) -> Model {
        let flags = format!(
            "--image-sampling shuffled --recipe best --lr 2e-4 --lr-warmup-steps 100 --w-interval 1 3 --max-steps {STUDENT_STEPS} \
             --checkpoint-steps 500 --eval-steps 500"
        );
        self.model(label, Some(self.name(teacher)), &flags)
    }

    fn model(&self, label: &'static str, teacher: Option<String>, flags: &str) -> Model {
        let held_out = self.support.held_out();
        let mut eval_flags = with_path("--data", &self.judged_by, "");
        if !held_out.is_empty() {
            eval_flags.push("--ignored".to_owned());
            eval_flags.extend(held_out.iter().cloned());
        }
        Model {
            name: self.name(label),
            label,
            held_out: held_out.len(),
            steps: SCORED[usize::from(teacher.is_some())],
            teacher,
            flags: with_path("--data", &self.training, flags),
            eval_flags,
        }
    }

    fn name(&self, label: &str) -> String {
        format!("{}-{label}", self.support.family_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partial_support_holds_out_81_pairs() {
        let held_out = Support::Partial.held_out();
        assert_eq!(held_out.len(), 81);
        for (pair, is_held_out) in [
            ("Blue_8", false),
            ("Blue_7", false),
            ("Blue_9", true),
            ("NavajoWhite_9", false),
            ("DarkSlateGray_9", true),
        ] {
            assert_eq!(held_out.iter().any(|name| name == pair), is_held_out, "{pair}");
        }
        assert!(Support::NonUniform.held_out().is_empty() && Support::Uniform.held_out().is_empty());
    }
}
