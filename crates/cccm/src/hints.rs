//! What is known of published models beside their tensors.

use cccm_data::Preset;
use cccm_unet::Hints;

/// What is known of the published teacher of a preset.
pub fn preset_hints(preset: Preset) -> Hints {
    let image_px = match preset {
        Preset::Celeba => Some(128),
        Preset::ColoredMnist => Some(64),
        Preset::Zappos50k | Preset::Shapes | Preset::SizedShapes => None,
    };
    Hints { labels: Some(preset.vocabulary()), image_px, ..Hints::default() }
}
