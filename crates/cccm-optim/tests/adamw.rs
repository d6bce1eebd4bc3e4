//! AdamW through its public interface.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use cccm_optim::{AdamW, AdamWConfig, Ema, Error, clip_factor, global_norm, gradients};
use cccm_tests::{Fixture, Tolerance, assert_close, assert_close_scalar, devices, hashed};

type Vars = BTreeMap<String, Var>;
type Tensors = BTreeMap<String, Tensor>;

const ROUNDING: Tolerance = Tolerance { abs: 0.0, rel: 1e-6 };

fn vars(tensors: &Tensors) -> anyhow::Result<Vars> {
    tensors.iter().map(|(name, t)| Ok((name.clone(), Var::from_tensor(&t.copy()?)?))).collect()
}

/// A large tensor, shared out among threads, and a small one.
fn two_tensors(key: &str) -> anyhow::Result<Tensors> {
    Ok(BTreeMap::from([
        ("bias".to_owned(), hashed(&format!("{key}.bias"), 7, 1.0, 0.0)?),
        ("weight".to_owned(), hashed(&format!("{key}.weight"), (300, 333), 1.0, 0.0)?),
    ]))
}

fn run(optimizer: &mut AdamW, steps: std::ops::Range<u64>) -> anyhow::Result<()> {
    for step in steps {
        optimizer.step(&two_tensors(&format!("grad{step}"))?, 1e-2, 0.5)?;
    }
    Ok(())
}

fn assert_same(got: &Vars, want: &Vars) -> anyhow::Result<()> {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    got.iter().try_for_each(|(name, var)| assert_close(var, &want[name], Tolerance::EXACT))
}

#[test]
fn three_steps_match_pytorch() -> anyhow::Result<()> {
    let fx = Fixture::load_from(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), "adamw")?;
    let hyper = |name: &str| fx.json()[name].as_f64().unwrap();
    let named = |prefix: &str, device: &Device| -> anyhow::Result<Tensors> {
        let of =
            |name: &str| Ok((name.to_owned(), fx.tensor(&format!("{prefix}.{name}"))?.to_device(device)?));
        ["bias", "weight"].into_iter().map(of).collect()
    };
    for device in devices() {
        let params = vars(&named("init", &device)?)?;
        let average = vars(&named("init", &device)?)?;
        let cfg = AdamWConfig {
            beta1: hyper("beta1"),
            beta2: hyper("beta2"),
            eps: hyper("eps"),
            weight_decay: hyper("weight_decay"),
        };
        let mut optimizer = AdamW::new(params.clone(), cfg)?;
        let ema = Ema::new(hyper("ema_decay"))?;
        for step in 0..3 {
            let grads = named(&format!("{step}.grad"), &device)?;
            let norm = global_norm(&grads)?;
            assert_close_scalar(norm, fx.json()["norms"][step].as_f64().unwrap(), ROUNDING)?;
            optimizer.step(&grads, hyper("lr"), clip_factor(norm, hyper("max_norm")))?;
            ema.update(&average, &params)?;

            let moments = optimizer.state()?;
            for name in ["bias", "weight"] {
                let want = |what: &str| fx.tensor(&format!("{step}.{what}.{name}"));
                assert_close(&params[name], want("param")?, ROUNDING)?;
                assert_close(&moments[name].m, want("m")?, ROUNDING)?;
                assert_close(&moments[name].v, want("v")?, ROUNDING)?;
                assert_close(&average[name], want("ema")?, ROUNDING)?;
            }
        }
    }
    Ok(())
}

/// The first step moves by `lr` against the sign of the gradient, after the decay of the weight.
#[test]
fn first_step_by_hand() -> anyhow::Result<()> {
    let x = Var::new(&[2.0f64, -3.0, 0.5], &Device::Cpu)?;
    let cfg = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(BTreeMap::from([("x".to_owned(), x.clone())]), cfg)?;
    let grad = Tensor::new(&[4.0f64, -0.25, 0.0], &Device::Cpu)?;
    optimizer.step(&BTreeMap::from([("x".to_owned(), grad)]), 0.01, 1.0)?;

    let keep = 1.0 - 0.01 * 0.1;
    let want = [2.0 * keep - 0.01, -3.0 * keep + 0.01, 0.5 * keep];
    assert_close(&x, &Tensor::new(&want, &Device::Cpu)?, Tolerance { abs: 1e-9, rel: 0.0 })?;
    assert_eq!(optimizer.steps(), 1);
    Ok(())
}

/// `f64` takes the way of candle's operations, as other devices do.
#[test]
fn both_ways_agree() -> anyhow::Result<()> {
    let start = two_tensors("start")?;
    let wide = |tensors: Tensors| -> anyhow::Result<Tensors> {
        tensors.into_iter().map(|(name, t)| Ok((name, t.to_dtype(DType::F64)?))).collect()
    };
    let (fast, slow) = (vars(&start)?, vars(&wide(start.clone())?)?);
    let cfg = AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() };
    let mut fast_optimizer = AdamW::new(fast.clone(), cfg.clone())?;
    let mut slow_optimizer = AdamW::new(slow.clone(), cfg)?;
    for step in 0..5 {
        let grads = two_tensors(&format!("grad{step}"))?;
        fast_optimizer.step(&grads, 1e-2, 0.5)?;
        slow_optimizer.step(&wide(grads)?, 1e-2, 0.5)?;
    }
    fast.iter().try_for_each(|(name, var)| assert_close(var, &slow[name], ROUNDING))
}

#[test]
fn result_does_not_depend_on_threads() -> anyhow::Result<()> {
    let with_threads = |threads: usize| -> anyhow::Result<Vars> {
        let params = vars(&two_tensors("start")?)?;
        let mut optimizer = AdamW::new(params.clone(), AdamWConfig::default())?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| run(&mut optimizer, 0..3))?;
        Ok(params)
    };
    let single = with_threads(1)?;
    for threads in [2, 3, 8] {
        assert_same(&with_threads(threads)?, &single)?;
    }
    Ok(())
}

#[test]
fn networks_that_share_the_storage_see_the_step() -> anyhow::Result<()> {
    let params = vars(&two_tensors("start")?)?;
    let seen_by_network = params["weight"].as_tensor().clone();
    run(&mut AdamW::new(params.clone(), AdamWConfig::default())?, 0..1)?;
    assert_close(&seen_by_network, &params["weight"], Tolerance::EXACT)?;
    assert!(assert_close(&seen_by_network, &two_tensors("start")?["weight"], ROUNDING).is_err());
    Ok(())
}

#[test]
fn strided_gradients_are_read_in_order() -> anyhow::Result<()> {
    let grads = two_tensors("grad0")?;
    let mut strided = grads.clone();
    strided.insert("weight".to_owned(), grads["weight"].t()?.contiguous()?.t()?);
    let (a, b) = (vars(&two_tensors("start")?)?, vars(&two_tensors("start")?)?);
    AdamW::new(a.clone(), AdamWConfig::default())?.step(&grads, 1e-2, 1.0)?;
    AdamW::new(b.clone(), AdamWConfig::default())?.step(&strided, 1e-2, 1.0)?;
    assert_same(&a, &b)
}

#[test]
fn restored_run_continues_bit_for_bit() -> anyhow::Result<()> {
    let through = vars(&two_tensors("start")?)?;
    let mut optimizer = AdamW::new(through.clone(), AdamWConfig::default())?;
    run(&mut optimizer, 0..3)?;
    let saved =
        through.iter().map(|(name, var)| Ok((name.clone(), var.copy()?))).collect::<anyhow::Result<_>>()?;
    let (steps, moments) = (optimizer.steps(), optimizer.state()?);
    run(&mut optimizer, 3..6)?; // must not change what was saved

    let resumed = vars(&saved)?;
    let mut optimizer = AdamW::new(resumed.clone(), AdamWConfig::default())?;
    optimizer.restore(steps, moments)?;
    run(&mut optimizer, 3..6)?;
    assert_eq!(optimizer.steps(), 6);
    assert_same(&resumed, &through)
}

#[test]
fn restore_is_strict_and_whole() -> anyhow::Result<()> {
    let params = vars(&two_tensors("start")?)?;
    let mut optimizer = AdamW::new(params, AdamWConfig::default())?;
    run(&mut optimizer, 0..2)?;
    let good = optimizer.state()?;

    let mut missing = good.clone();
    missing.remove("weight");
    let mut unknown = good.clone();
    unknown.insert("wait".to_owned(), good["bias"].clone());
    let mut misshapen = good.clone();
    misshapen.get_mut("weight").unwrap().v = good["weight"].v.t()?;

    let error = optimizer.restore(9, missing).unwrap_err();
    assert!(matches!(&error, Error::MissingName { name, .. } if name == "weight"), "{error}");
    let error = optimizer.restore(9, unknown).unwrap_err();
    assert!(matches!(&error, Error::UnknownName { name, .. } if name == "wait"), "{error}");
    let error = optimizer.restore(9, misshapen).unwrap_err();
    assert_eq!(
        error.to_string(),
        "second moment `weight` is f32 [333, 300] on Cpu, but must be f32 [300, 333] on Cpu"
    );
    assert_eq!(optimizer.steps(), 2);
    assert_close(&optimizer.state()?["bias"].m, &good["bias"].m, Tolerance::EXACT)
}

#[test]
fn a_variable_without_gradient_is_named() -> anyhow::Result<()> {
    let params = vars(&two_tensors("start")?)?;
    let store = params["weight"].sqr()?.sum_all()?.backward()?;
    let error = gradients(&params, &store).unwrap_err();
    assert!(matches!(&error, Error::MissingGradient { name } if name == "bias"), "{error}");
    Ok(())
}

#[test]
fn gradients_are_contiguous_and_named() -> anyhow::Result<()> {
    let params = vars(&two_tensors("start")?)?;
    let loss = (params["weight"].t()?.sqr()?.sum_all()? + params["bias"].sum_all()?)?;
    let grads = gradients(&params, &loss.backward()?)?;
    assert!(grads.values().all(Tensor::is_contiguous));
    assert_close(&grads["weight"], &params["weight"].affine(2.0, 0.0)?, Tolerance::EXACT)?;
    assert_close(&grads["bias"], &Tensor::ones(7, DType::F32, &Device::Cpu)?, Tolerance::EXACT)
}

#[test]
fn bad_steps_are_refused_before_anything_changes() -> anyhow::Result<()> {
    let start = two_tensors("start")?;
    let params = vars(&start)?;
    let mut optimizer = AdamW::new(params.clone(), AdamWConfig::default())?;
    let good = two_tensors("grad0")?;

    let mut missing = good.clone();
    missing.remove("weight");
    let mut misshapen = good.clone();
    misshapen.insert("weight".to_owned(), good["weight"].t()?);
    let mut half = good.clone();
    half.insert("weight".to_owned(), good["weight"].to_dtype(DType::BF16)?);
    let mut unknown = good.clone();
    unknown.insert("wait".to_owned(), good["bias"].clone());

    let error = optimizer.step(&missing, 1e-2, 1.0).unwrap_err();
    assert!(matches!(&error, Error::MissingName { name, .. } if name == "weight"), "{error}");
    let error = optimizer.step(&unknown, 1e-2, 1.0).unwrap_err();
    assert!(matches!(&error, Error::UnknownName { name, .. } if name == "wait"), "{error}");
    for grads in [&misshapen, &half] {
        let error = optimizer.step(grads, 1e-2, 1.0).unwrap_err();
        assert!(matches!(&error, Error::Mismatch { name, .. } if name == "weight"), "{error}");
    }
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let error = optimizer.step(&good, bad, 1.0).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { field: "lr", .. }), "{error}");
        let error = optimizer.step(&good, 1e-2, bad).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { field: "grad_scale", .. }), "{error}");
    }
    assert_eq!(optimizer.steps(), 0);
    assert_same(&params, &vars(&start)?)
}

/// An error, where taking both locks of one storage would hang.
/// The same bits as one after the other, whatever the size; a target that does not fit changes nothing.
#[test]
fn averaging_within_the_step_is_averaging_behind_it() -> anyhow::Result<()> {
    let start = BTreeMap::from([
        ("large".to_owned(), hashed("large", (99, 1001), 1.0, 0.0)?),
        ("small".to_owned(), hashed("small", 7, 1.0, 0.0)?),
    ]);
    let grads = BTreeMap::from([
        ("large".to_owned(), hashed("grad of large", (99, 1001), 1.0, 0.0)?),
        ("small".to_owned(), hashed("grad of small", 7, 1.0, 0.0)?),
    ]);
    let ema = Ema::new(0.9)?;
    let (together, behind) = (vars(&start)?, vars(&start)?);
    let (target, target_behind) = (vars(&start)?, vars(&start)?);
    let mut optimizer = AdamW::new(together.clone(), AdamWConfig::default())?;
    let mut optimizer_behind = AdamW::new(behind.clone(), AdamWConfig::default())?;
    for _ in 0..3 {
        optimizer.step_and_average(&grads, 0.01, 0.5, ema, &target)?;
        optimizer_behind.step(&grads, 0.01, 0.5)?;
        ema.update(&target_behind, &behind)?;
    }
    assert_same(&together, &behind)?;
    assert_same(&target, &target_behind)?;

    let mut lone = target.clone();
    lone.remove("small");
    let error = optimizer.step_and_average(&grads, 0.01, 0.5, ema, &lone).unwrap_err();
    assert!(matches!(&error, Error::MissingName { name, .. } if name == "small"), "{error}");
    let error = optimizer.step_and_average(&grads, 0.01, 0.5, ema, &together).unwrap_err();
    assert!(error.to_string().contains("is the variable itself"), "{error}");
    assert_same(&together, &behind)?;
    assert_eq!(optimizer.steps(), 3);
    Ok(())
}

#[test]
fn a_gradient_that_is_the_variable_itself_is_refused() -> anyhow::Result<()> {
    let params = vars(&two_tensors("start")?)?;
    let grads = params.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let error = AdamW::new(params, AdamWConfig::default())?.step(&grads, 1e-2, 1.0).unwrap_err();
    assert!(matches!(error, Error::Candle(_)), "{error}");
    Ok(())
}

#[test]
fn config_is_checked_and_survives_json() -> anyhow::Result<()> {
    let bad = [
        ("beta1", AdamWConfig { beta1: 1.0, ..AdamWConfig::default() }),
        ("beta2", AdamWConfig { beta2: f64::NAN, ..AdamWConfig::default() }),
        ("eps", AdamWConfig { eps: 0.0, ..AdamWConfig::default() }),
        ("weight_decay", AdamWConfig { weight_decay: -0.1, ..AdamWConfig::default() }),
    ];
    for (name, cfg) in bad {
        let error = AdamW::new(Vars::new(), cfg).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { field, .. } if field == name), "{error}");
    }
    let cfg = AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() };
    assert_eq!(serde_json::from_str::<AdamWConfig>(&serde_json::to_string(&cfg)?)?, cfg);
    assert_eq!(serde_json::from_str::<AdamWConfig>("{}")?, AdamWConfig::default());
    assert!(serde_json::from_str::<AdamWConfig>(r#"{"lr": 1e-3}"#).is_err());
    Ok(())
}
