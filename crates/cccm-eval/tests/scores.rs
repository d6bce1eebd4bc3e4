//! Scores of fixed features against numpy and scipy (`fixtures/scores.py`).

use anyhow::Result;
use candle_core::Tensor;
use cccm_eval::{
    Copies, GaussianStats, Grouped, diversity, frechet_distance, kernel_distance_of_all, nearest_images,
    precision_recall,
};
use cccm_tests::{Fixture, hashed};

const DIM: usize = 24;

fn fixture() -> Result<Fixture> {
    Fixture::load_from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"), "scores")
}

fn features(name: &str, n: usize, scale: f64, offset: f64) -> Result<Tensor> {
    let own = hashed(&format!("seed7.{name}.own"), (n, DIM), scale, offset)?;
    Ok(own.broadcast_add(&hashed(&format!("seed7.{name}.shared"), (n, 1), 0.6, 0.0)?)?)
}

fn generated() -> Result<Tensor> {
    features("generated", 300, 0.95, 0.2)
}

fn real() -> Result<Tensor> {
    features("real", 400, 1.0, 0.0)
}

fn groups(n: usize) -> Vec<usize> {
    (0..n).map(|i| i % 4).collect()
}

#[track_caller]
fn assert_near(got: f64, want: &serde_json::Value, tolerance: f64) {
    let want = want.as_f64().unwrap_or(f64::NAN);
    assert!((got - want).abs() <= tolerance * want.abs(), "{got}, but {want}");
}

#[test]
fn frechet_distance_agrees() -> Result<()> {
    let (fx, generated, real) = (fixture()?, generated()?, real()?);
    assert_near(frechet_distance(&generated, &real)?, &fx.json()["frechet"], 1e-10);
    assert_near(frechet_distance(&real, &generated)?, &fx.json()["frechet"], 1e-10);
    Ok(())
}

/// Roots of eigenvalues that should be 0 are as large as the root of the rounding error.
#[test]
fn frechet_distance_of_fewer_images_than_features_agrees() -> Result<()> {
    let (fx, few, real) = (fixture()?, features("few", 10, 0.7, 0.1)?, real()?);
    let [all, some] = [&real, &real.narrow(0, 0, 15)?].map(GaussianStats::new);
    let few = GaussianStats::new(&few)?;
    assert_near(few.frechet_distance(&all?)?, &fx.json()["frechet_of_few"], 1e-7);
    assert_near(few.frechet_distance(&some?)?, &fx.json()["frechet_of_few_and_few"], 1e-7);
    Ok(())
}

#[test]
fn kernel_distance_agrees() -> Result<()> {
    assert_near(
        kernel_distance_of_all(&generated()?, &real()?)?,
        &fixture()?.json()["kernel_distance"],
        1e-10,
    );
    Ok(())
}

#[test]
fn precision_and_recall_agree() -> Result<()> {
    let (fx, generated, real) = (fixture()?, generated()?, real()?);
    for neighbours in [1, 3, 5] {
        let got = precision_recall(&generated, &real, neighbours)?;
        assert_near(got.precision, &fx.json()["precision"][neighbours.to_string()], 1e-12);
        assert_near(got.recall, &fx.json()["recall"][neighbours.to_string()], 1e-12);
    }
    Ok(())
}

#[test]
fn diversity_agrees() -> Result<()> {
    let fx = fixture()?;
    let got = diversity(&generated()?, &groups(300), &real()?, &groups(400))?;
    assert_near(got.overall, &fx.json()["diversity"]["overall"], 1e-6);
    for (group, ratio) in got.groups {
        assert_near(ratio, &fx.json()["diversity"]["groups"][group], 1e-6);
    }
    Ok(())
}

#[test]
fn nearest_images_agree() -> Result<()> {
    let fx = fixture()?;
    let (generated, held_out, training) = (generated()?, features("held_out", 200, 1.0, 0.0)?, real()?);
    let groups = [300, 200, 400].map(groups);
    let training = Grouped { images: &training, groups: &groups[2] };
    let nearest = nearest_images(Grouped { images: &generated, groups: &groups[0] }, training)?;
    let real = nearest_images(Grouped { images: &held_out, groups: &groups[1] }, training)?;
    let got = Copies::count(&nearest, &real).expect("every group has training images");
    let want = &fx.json()["copies"];
    assert_near(got.threshold, &want["threshold"], 1e-6);
    assert_near(got.copies.rate, &want["share"], 1e-12);
    assert_eq!(nearest.len(), 300);
    for (i, nearest) in nearest.iter().enumerate() {
        let nearest = nearest.expect("every group has training images");
        assert_eq!(nearest.index, serde_json::from_value::<usize>(want["index"][i].clone())?);
        assert_near(nearest.distance, &want["distance"][i], 1e-6);
    }
    Ok(())
}
