//! Against `pytorch_fid.inception` under hashed weights (`tests/fixtures/inception.py`).

use anyhow::Result;
use candle_core::Device;
use cccm_tests::{Fixture, Tolerance, assert_close, assert_close_scalar, hashed};
use serde_json::Value;

use super::*;

/// The rule of the script.
fn weight(name: &str, shape: &[usize]) -> Result<Tensor> {
    let (scale, offset) = match name.rsplit('.').next() {
        _ if shape.len() > 1 => ((6.0 / shape[1..].iter().product::<usize>() as f64).sqrt(), 0.0),
        Some("running_var") => (0.5, 1.0),
        Some("weight") => (0.1, 1.0),
        _ => (0.1, 0.0),
    };
    Ok(hashed(&format!("seed7.{name}"), shape, scale, offset)?)
}

/// Every weight that the plan names, in a walk of its own.
fn weights() -> Result<BTreeMap<String, Tensor>> {
    fn walk(part: &Part, prefix: &str, channels: usize, out: &mut BTreeMap<String, Tensor>) -> Result<usize> {
        match part {
            Part::Pool(_) => Ok(channels),
            Part::Conv(conv) => {
                let (height, width) = conv.kernel;
                let mut insert = |name: &str, shape: &[usize]| -> Result<()> {
                    let name = format!("{prefix}{}.{name}", conv.name);
                    let value = weight(&name, shape)?;
                    out.insert(name, value);
                    Ok(())
                };
                insert("conv.weight", &[conv.channels, channels, height, width])?;
                for name in ["weight", "bias", "running_mean", "running_var"] {
                    insert(&format!("bn.{name}"), &[conv.channels])?;
                }
                Ok(conv.channels)
            }
            Part::Fork { name, branches } => {
                let prefix = if name.is_empty() { prefix.to_owned() } else { format!("{prefix}{name}.") };
                let ends = branches.iter().map(|chain| {
                    chain.iter().try_fold(channels, |channels, part| walk(part, &prefix, channels, out))
                });
                Ok(ends.collect::<Result<Vec<_>>>()?.iter().sum())
            }
        }
    }
    let mut out = BTreeMap::new();
    plan::inception().iter().try_fold(3, |channels, part| walk(part, "", channels, &mut out))?;
    Ok(out)
}

/// Some values of a tensor, and the mean and deviation of all, as the script kept them.
fn check(name: &str, got: &Tensor, want: &Value) -> Result<()> {
    let shape: Vec<usize> = serde_json::from_value(want["shape"].clone())?;
    anyhow::ensure!(got.dims() == shape, "{name}: shape {:?} instead of {shape:?}", got.dims());
    let values = got.to_dtype(DType::F64)?.flatten_all()?;
    let (mean, all) = (values.mean_all()?.to_scalar::<f64>()?, values.to_vec1::<f64>()?);
    let std = (all.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
    let want_values: Vec<f64> = serde_json::from_value(want["values"].clone())?;
    let step = want["step"].as_u64().unwrap_or(1) as usize;
    let kept: Vec<f64> = all.into_iter().step_by(step).take(want_values.len()).collect();
    let number = |key: &str| want[key].as_f64().unwrap_or(f64::NAN);
    // Of a depth of up to 48 convolutions, summed in another order.
    let tolerance = Tolerance { abs: 2e-5 * number("std"), rel: 0.0 };
    let context = |error: anyhow::Error| error.context(format!("layer {name}"));
    let tensor = |values: Vec<f64>| Tensor::new(values, &Device::Cpu);
    assert_close(&tensor(kept)?, &tensor(want_values)?, tolerance).map_err(context)?;
    assert_close_scalar(mean, number("mean"), tolerance).map_err(context)?;
    assert_close_scalar(std, number("std"), tolerance).map_err(context)
}

#[test]
fn every_layer_agrees_with_pytorch_fid() -> Result<()> {
    let fixture = Fixture::load_from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"), "inception")?;
    let inception = Inception::new(&weights()?)?;
    for case in ["small", "large"] {
        let want = &fixture.json()[case];
        let shape: Vec<usize> = serde_json::from_value(want["shape"].clone())?;
        let images = hashed(&format!("seed7.{case}"), shape.clone(), 1.0, 0.0)?;
        let layers = want["layers"].as_array().map_or(&[][..], Vec::as_slice);
        let (mut seen, mut result) = (0, Ok(()));
        let resized = resize::Resize::new((shape[2], shape[3]), &Device::Cpu)?.forward(&images)?;
        inception.forward(&resized, &mut |name, x| {
            if result.is_ok() {
                result = check(&format!("{case} {seen} {name}"), x, &layers[seen]);
                seen += 1;
            }
        })?;
        result?;
        anyhow::ensure!(seen == layers.len(), "{seen} layers, but {} in the fixture", layers.len());
        check(&format!("{case} features"), &inception.features(&images)?, &want["features"])?;
    }
    Ok(())
}

#[test]
fn weights_and_images_that_do_not_fit_are_named() -> Result<()> {
    let mut weights = weights()?;
    let inception = Inception::new(&weights)?;
    let none = inception.features(&Tensor::zeros((0, 3, 8, 8), DType::F32, &Device::Cpu)?)?;
    assert_eq!(none.dims(), [0, Inception::FEATURES]);
    let gray = inception.features(&Tensor::zeros((2, 1, 8, 8), DType::F32, &Device::Cpu)?);
    assert!(matches!(gray, Err(Error::Shape { what: "images", .. })));

    let name = "Mixed_7c.branch3x3dbl_3b.conv.weight";
    let weight = weights.insert(name.to_owned(), Tensor::zeros((384, 384, 1, 3), DType::F32, &Device::Cpu)?);
    assert!(matches!(&weight, Some(weight) if weight.dims() == [384, 384, 3, 1]));
    assert!(matches!(Inception::new(&weights), Err(Error::WeightShape { name: got, .. }) if got == name));
    weights.remove(name);
    assert!(matches!(Inception::new(&weights), Err(Error::MissingWeight { name: got }) if got == name));
    Ok(())
}
