//! The helpers against what PyTorch wrote.

use candle_core::{Device, Tensor};
use cccm_tests::{Fixture, Tolerance, assert_close, devices, fill, hashed, hashed_ints};

#[test]
fn hash_gives_the_oracles_bits() -> anyhow::Result<()> {
    let fx = Fixture::load("schedules")?;
    let want: Vec<f32> = serde_json::from_value(fx.json()["hashed_example_(3,)"].clone())?;
    let got = hashed("example", 3, 1.0, 0.0)?;
    assert_close(&got, &Tensor::new(want, &Device::Cpu)?, Tolerance::EXACT)
}

/// The numbers are what `oracle.py` gives for the same calls.
#[test]
fn hashed_values_and_integers_are_the_oracles() -> anyhow::Result<()> {
    assert_eq!(hashed_ints("seed7.index", 6, 1, 49), [42, 13, 45, 16, 44, 32]);
    let want = Tensor::new(&[2.896_137_7f32, 2.649_322_7, 2.670_547_5], &Device::Cpu)?;
    assert_close(&hashed("seed7.w", 3, 0.2, 2.8)?, &want, Tolerance::EXACT)
}

/// The numbers are what `oracle.fill` gives a module with these parameters.
#[test]
fn fill_is_the_oracles() -> anyhow::Result<()> {
    let specs = [
        ("head.weight", vec![1, 2, 2, 2]),
        ("head.bias", vec![1]),
        ("norm.weight", vec![2]),
        ("norm.bias", vec![2]),
        ("time_embedding.emb_layer.weight", vec![2, 2]),
    ];
    let filled = fill(specs, "seed7.student")?;
    assert_eq!(filled.keys().collect::<Vec<_>>(), ["head.bias", "head.weight", "norm.bias", "norm.weight"]);

    let kernel: [f32; 8] = [
        -0.542_880_1,
        -0.085_257_55,
        -0.404_990_26,
        0.409_045_07,
        -0.471_526_12,
        0.257_072_5,
        -0.437_924_36,
        0.582_364_86,
    ];
    let want = Tensor::new(&kernel, &Device::Cpu)?.reshape((1, 2, 2, 2))?;
    assert_close(&filled["head.weight"], &want, Tolerance::EXACT)?;
    let vectors: [(&str, &[f32]); 3] = [
        ("head.bias", &[-0.027_204_25]),
        ("norm.weight", &[1.036_770_7, 1.084_541_1]),
        ("norm.bias", &[-0.059_890_32, 0.016_448_14]),
    ];
    for (name, want) in vectors {
        assert_close(&filled[name], &Tensor::new(want, &Device::Cpu)?, Tolerance::EXACT)?;
    }
    Ok(())
}

#[test]
fn every_fixture_loads_with_finite_tensors() -> anyhow::Result<()> {
    for name in ["unetic", "unet", "seed11/unetic", "seed11/unet"] {
        let fx = Fixture::load(name)?;
        let seed = if name.starts_with("seed11") { 11 } else { 7 };
        assert_eq!(fx.json()["config"]["seed"], seed, "{name}");
        assert_eq!(fx.tensor("student")?.dims(), [3, 3, 16, 16]);
        assert!(!fx.tensors().is_empty());
        for (tensor, value) in fx.tensors() {
            let sum: f32 = value.abs()?.sum_all()?.to_scalar()?;
            assert!(sum.is_finite() && sum > 0.0, "{name} {tensor}");
        }
    }
    Ok(())
}

#[test]
fn what_is_missing_is_named() -> anyhow::Result<()> {
    let message = Fixture::load("unetik").unwrap_err().to_string();
    assert!(message.contains("unetik.{json,safetensors}"), "{message}");
    let message = Fixture::load("unet")?.tensor("studnet").unwrap_err().to_string();
    assert!(message.contains("no tensor `studnet`") && message.contains("student"), "{message}");
    Ok(())
}

#[test]
fn tests_have_a_cpu() {
    assert!(devices().iter().any(Device::is_cpu));
}
