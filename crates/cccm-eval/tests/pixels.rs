//! Distances of fixed pictures' pixels against numpy (`fixtures/pixels.py`).

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cccm_eval::{
    KnownBackground, PixelFrechet, PixelReference, SlicedWasserstein, SlicedWassersteinConfig, halved,
    laplacian_pyramid,
};
use cccm_sched::Streams;
use cccm_tests::{Fixture, Tolerance, assert_close, assert_close_scalar, hashed};
use serde_json::Value;

const NEAR: Tolerance = Tolerance { abs: 0.0, rel: 1e-5 };

fn fixture() -> Result<Fixture> {
    Fixture::load_from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"), "pixels")
}

fn pictures(name: &str, n: usize, px: usize, scale: f64, offset: f64) -> Result<Tensor> {
    let grain = hashed(&format!("{name}.grain"), (n, 3, px, px), scale, offset)?;
    Ok(grain.broadcast_add(&hashed(&format!("{name}.level"), (n, 3, 1, 1), 0.3, 0.0)?)?)
}

fn ours_and_real() -> Result<[Tensor; 2]> {
    Ok([pictures("ours", 60, 24, 0.4, 0.1)?, pictures("real", 80, 24, 0.3, 0.0)?])
}

fn tensor(value: &Value) -> Result<Tensor> {
    let nested: Vec<Vec<Vec<Vec<f32>>>> = serde_json::from_value(value.clone())?;
    let (n, c, h, w) = (nested.len(), nested[0].len(), nested[0][0].len(), nested[0][0][0].len());
    let flat: Vec<f32> = nested.into_iter().flatten().flatten().flatten().collect();
    Ok(Tensor::from_vec(flat, (n, c, h, w), &Device::Cpu)?)
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("{value} is no number"))
}

#[test]
fn halving_and_pyramid_agree() -> Result<()> {
    let (fx, odd) = (fixture()?, hashed("odd", (1, 2, 33, 20), 1.0, 0.0)?);
    assert_close(&halved(&odd)?, &tensor(&fx.json()["halved"])?, NEAR)?;
    let levels = laplacian_pyramid(&odd)?;
    assert_eq!(levels.len(), 2);
    for (level, want) in levels.iter().enumerate() {
        assert_close(want, &tensor(&fx.json()["pyramid"][level])?, NEAR)?;
    }
    Ok(())
}

#[test]
fn frechet_distance_of_pixels_agrees() -> Result<()> {
    let (fx, [ours, real]) = (fixture()?, ours_and_real()?);
    let few = PixelFrechet::new(&real)?.distance(&ours, &[0; 60])?;
    assert_close_scalar(few.value, number(&fx.json()["frechet_of_few"])?, NEAR)?;
    let real = PixelFrechet::new(&pictures("small", 300, 16, 0.3, 0.0)?)?;
    let many = real.distance(&pictures("many", 250, 16, 0.4, 0.1)?, &[0; 250])?;
    assert_close_scalar(many.value, number(&fx.json()["frechet_of_many"])?, NEAR)
}

#[test]
fn corners_agree() -> Result<()> {
    let (fx, dark) = (fixture()?, hashed("dark", (40, 3, 12, 12), 0.01, -0.98)?);
    let known = KnownBackground::of(&dark)?.context("these corners are dark")?;
    let got = known.compare(&hashed("veil", (50, 3, 12, 12), 0.2, -0.7)?)?;
    let (real, ours) = (&fx.json()["corners"]["real"], &fx.json()["corners"]["ours"]);
    for (got, want) in [
        (got.real_level, &real["level"]),
        (got.real_grain, &real["grain"]),
        (got.level.value, &ours["level"]),
        (got.grain.value, &ours["grain"]),
        (got.distance.value, &ours["distance"]),
    ] {
        assert_close_scalar(got, number(want)?, NEAR)?;
    }
    Ok(())
}

/// Where patches and directions are drawn, numpy draws others: the distances agree within the spread over draws.
#[test]
fn sliced_wasserstein_distance_agrees_within_the_spread_of_draws() -> Result<()> {
    let (fx, [ours, real]) = (fixture()?, ours_and_real()?);
    let wanted = &fx.json()["swd_drawn"];
    for seed in 0..3 {
        let real = SlicedWasserstein::new(&real, SlicedWassersteinConfig::default(), &Streams::new(seed))?;
        let got = real.distances(&ours, &[0; 60])?;
        assert_eq!(got.len(), 2);
        for (level, got) in got.iter().enumerate() {
            let (mean, std) = (number(&wanted["mean"][level])?, number(&wanted["std"][level])?);
            assert!((got.value - mean).abs() < 4.0 * std, "level {level}: {}, but {mean} ±{std}", got.value);
        }
    }
    Ok(())
}

#[test]
fn all_of_them_at_once_are_the_same_and_repeat() -> Result<()> {
    let ([ours, real], streams) = (ours_and_real()?, Streams::new(5));
    let groups: Vec<usize> = (0..60).map(|row| row % 4).collect();
    let reference = PixelReference::new(&real, &streams)?;
    let got = reference.distances(&ours, &groups)?;
    assert_eq!((got.images, got.real_images), (60, 80));
    assert_eq!(got.pixels, PixelFrechet::new(&real)?.distance(&ours, &groups)?);
    let patches = SlicedWasserstein::new(&real, SlicedWassersteinConfig::default(), &streams)?;
    assert_eq!(got.patches, patches.distances(&ours, &groups)?);
    assert!(got.background.is_none(), "corners of grain are no known background");
    assert_eq!(got, PixelReference::new(&real, &streams)?.distances(&ours, &groups)?);
    let other = PixelReference::new(&real, &Streams::new(6))?.distances(&ours, &groups)?;
    assert_ne!(got.patches, other.patches);
    // As scores are kept.
    assert_eq!(got, serde_json::from_str(&serde_json::to_string(&got)?)?);
    Ok(())
}
