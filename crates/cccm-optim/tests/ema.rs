//! Moving average of variables.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use cccm_optim::{Ema, Error};
use cccm_tests::{Tolerance, assert_close, devices, hashed};

fn var(t: &Tensor) -> anyhow::Result<BTreeMap<String, Var>> {
    Ok(BTreeMap::from([("x".to_owned(), Var::from_tensor(&t.copy()?)?)]))
}

#[test]
fn mixes_by_hand_and_leaves_the_source() -> anyhow::Result<()> {
    for device in devices() {
        let (target, source) =
            (var(&Tensor::new(&[1f32, -2.0], &device)?)?, var(&Tensor::new(&[3f32, 6.0], &device)?)?);
        let seen_by_network = target["x"].as_tensor().clone();
        let ema = Ema::new(0.75)?;
        ema.update(&target, &source)?;
        assert_eq!(seen_by_network.to_vec1::<f32>()?, [1.5, 0.0]);
        ema.update(&target, &source)?;
        assert_eq!(seen_by_network.to_vec1::<f32>()?, [1.875, 1.5]);
        assert_eq!(source["x"].to_vec1::<f32>()?, [3.0, 6.0]);
    }
    Ok(())
}

#[test]
fn decay_0_copies_and_decay_1_keeps() -> anyhow::Result<()> {
    let (a, b) = (hashed("a", 1000, 1.0, 0.0)?, hashed("b", 1000, 1.0, 0.0)?);
    for (decay, want) in [(0.0, &b), (1.0, &a)] {
        let target = var(&a)?;
        Ema::new(decay)?.update(&target, &var(&b)?)?;
        assert_close(&target["x"], want, Tolerance::EXACT)?;
    }
    Ok(())
}

/// Longer than one chunk; `f64` takes the way of candle's operations, as other devices do.
#[test]
fn both_ways_agree_for_any_number_of_threads() -> anyhow::Result<()> {
    let (a, b) = (hashed("a", (99, 1001), 1.0, 0.0)?, hashed("b", (99, 1001), 1.0, 0.0)?);
    let (wide, wide_source) = (var(&a.to_dtype(DType::F64)?)?, var(&b.to_dtype(DType::F64)?)?);
    let ema = Ema::new(0.95)?;
    ema.update(&wide, &wide_source)?;
    let source = var(&b)?;
    let with_threads = |threads: usize| -> anyhow::Result<BTreeMap<String, Var>> {
        let target = var(&a)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| ema.update(&target, &source))?;
        Ok(target)
    };
    let single = with_threads(1)?;
    assert_close(&single["x"], &wide["x"], Tolerance { abs: 0.0, rel: 1e-6 })?;
    assert_close(&with_threads(3)?["x"], &single["x"], Tolerance::EXACT)
}

#[test]
fn maps_that_do_not_match_are_refused() -> anyhow::Result<()> {
    let ema = Ema::new(0.5)?;
    let (two, three) = (var(&hashed("a", 2, 1.0, 0.0)?)?, var(&hashed("a", 3, 1.0, 0.0)?)?);
    let error = ema.update(&two, &three).unwrap_err();
    assert!(matches!(&error, Error::Mismatch { name, .. } if name == "x"), "{error}");
    let error = ema.update(&BTreeMap::new(), &two).unwrap_err();
    assert!(matches!(&error, Error::MissingName { name, .. } if name == "x"), "{error}");
    let error = ema.update(&two, &BTreeMap::new()).unwrap_err();
    assert!(matches!(&error, Error::UnknownName { name, .. } if name == "x"), "{error}");
    let error = ema.update(&two, &two).unwrap_err();
    assert!(matches!(error, Error::Candle(_)), "{error}");
    Ok(())
}

#[test]
fn decay_is_checked() {
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(Ema::new(bad), Err(Error::InvalidConfig { field: "decay", .. })));
    }
}

#[test]
fn the_average_has_no_graph() -> anyhow::Result<()> {
    let (target, source) =
        (var(&Tensor::new(&[1f64], &Device::Cpu)?)?, var(&Tensor::new(&[2f64], &Device::Cpu)?)?);
    Ema::new(0.5)?.update(&target, &source)?;
    let store = target["x"].sqr()?.sum_all()?.backward()?;
    assert!(store.get(&source["x"]).is_none());
    assert!(store.get(&target["x"]).is_some());
    Ok(())
}
