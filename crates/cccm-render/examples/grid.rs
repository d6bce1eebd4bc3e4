//! A grid of colours with labels, one of them framed.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cccm_render::{GridPicture, Marks, PixelRange, write_png};

fn main() -> Result<()> {
    let colour = |r: f32, g: f32, b: f32| Tensor::new(&[r, g, b], &Device::Cpu)?.reshape((3, 1, 1));
    let colours =
        [colour(1.0, 0.2, 0.2)?, colour(0.2, 0.6, 1.0)?, colour(0.9, 0.9, 0.2)?, colour(0.3, 0.3, 0.3)?];
    let grid = GridPicture {
        columns: 2,
        column_labels: ["warm", "cold"].map(str::to_owned).into(),
        row_labels: ["one", "two"].map(str::to_owned).into(),
        title: Some("colours".to_owned()),
        marks: Some(Marks { images: vec![3], meaning: "framed: none of these".to_owned() }),
    };
    let picture = grid.draw(&Tensor::stack(&colours, 0)?, PixelRange::Unit)?;
    write_png("colours.png".as_ref(), &picture, &[("Description", "four colours")])
}
