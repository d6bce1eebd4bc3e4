//! Forward passes against PyTorch: the fixtures of two seeds, both architectures, teacher and student.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use cccm_sched::{Conditions, Denoiser};
use cccm_tests::{Fixture, Tolerance, assert_close, fill, hashed, hashed_ints};
use cccm_unet::{Parameters, Tables, UNet, UNetConfig};

const TOLERANCE: Tolerance = Tolerance { abs: 1e-6, rel: 1e-5 };

/// The network of a fixture under hashed weights.
fn network(cfg: &UNetConfig, tables: Tables, key: &str) -> anyhow::Result<UNet> {
    let specs = Parameters::specs(cfg, tables)?;
    let streams = cccm_sched::Streams::new(0);
    let mut tensors = Parameters::init(cfg, tables, &streams, &Device::Cpu)?.tensors();
    tensors.extend(fill(specs.into_iter().map(|(name, spec)| (name, spec.shape)), key)?);
    let tensors: BTreeMap<String, Tensor> = tensors;
    let parameters = Parameters::from_tensors(cfg, tables, tensors, key, &Device::Cpu)?;
    Ok(UNet::frozen(cfg, tables, &parameters)?)
}

fn check(fx: &Fixture) -> anyhow::Result<()> {
    let cfg = &fx.json()["config"];
    let field = |name: &str| cfg[name].as_u64().unwrap_or_default() as usize;
    let tables = Tables::new([field("num_atr"), field("num_obj")]);
    let unet: UNetConfig = serde_json::from_value(serde_json::json!({
        "arch": cfg["arch"], "model_channels": cfg["model_channels"], "channel_mult": cfg["channel_mult"],
        "num_res_blocks": cfg["num_res_blocks"],
    }))?;
    let (seed, batch, px) = (cfg["seed"].as_u64().unwrap_or_default(), field("batch"), field("img_size"));
    let key = |name: &str| format!("seed{seed}.{name}");
    let ints = |name: &str, low, high, n| hashed_ints(&key(name), n, low, high);

    let x_t = hashed(&key("x_t"), (batch, 3, px, px), 3f64.sqrt(), 0.0)?;
    let mut t = vec![0, 999];
    t.extend(ints("t", 1, 999, batch - 2));
    let t = Tensor::new(t, &Device::Cpu)?;
    let labels = [("atr", field("num_atr")), ("obj", field("num_obj"))]
        .map(|(name, count)| Tensor::new(ints(name, 0, count as u32, batch), &Device::Cpu));
    let conds = Conditions::new(labels.into_iter().collect::<Result<_, _>>()?);

    let teacher = network(&unet, tables, &key("teacher"))?;
    assert_close(&teacher.predict(&x_t, &t, &conds)?, fx.tensor("teacher_cond")?, TOLERANCE)?;
    let uncond = conds.unconditional(&teacher.null_labels())?;
    assert_close(&teacher.predict(&x_t, &t, &uncond)?, fx.tensor("teacher_uncond")?, TOLERANCE)?;

    let student = network(&unet.student(field("time_cond_proj_dim")), tables, &key("student"))?;
    let w = hashed(&key("w"), batch, 0.2, 2.8)?;
    assert_close(&student.predict(&x_t, &t, &conds.with_w(w))?, fx.tensor("student")?, TOLERANCE)
}

#[test]
fn unetic() -> anyhow::Result<()> {
    check(&Fixture::load("unetic")?)
}

#[test]
fn unet() -> anyhow::Result<()> {
    check(&Fixture::load("unet")?)
}

#[test]
fn a_second_seed() -> anyhow::Result<()> {
    check(&Fixture::load("seed11/unetic")?)?;
    check(&Fixture::load("seed11/unet")?)
}
