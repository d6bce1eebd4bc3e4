//! One step over the parameters of a network: `cargo bench -p cccm-optim`.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use cccm_optim::{AdamW, AdamWConfig, Ema, Result, global_norm};
use cccm_tests::hashed;
use criterion::{Criterion, Throughput};

/// One large tensor, bound by memory, and many small ones, bound by what each call costs.
const SIZES: [(&str, usize, usize); 2] = [("1x4194304", 1, 1 << 22), ("512x1024", 512, 1 << 10)];

fn tensors(key: &str, count: usize, len: usize) -> Result<BTreeMap<String, Tensor>> {
    let named = |i: usize| Ok((format!("t{i:03}"), hashed(&format!("{key}{i}"), len, 1.0, 0.0)?));
    (0..count).map(named).collect()
}

fn vars(key: &str, count: usize, len: usize) -> Result<BTreeMap<String, Var>> {
    tensors(key, count, len)?.into_iter().map(|(name, t)| Ok((name, Var::from_tensor(&t)?))).collect()
}

fn updates(criterion: &mut Criterion) -> Result<()> {
    for (shape, count, len) in SIZES {
        let grads = tensors("grad", count, len)?;
        let (params, target) = (vars("param", count, len)?, vars("target", count, len)?);
        let mut optimizer = AdamW::new(params.clone(), AdamWConfig::default())?;
        let ema = Ema::new(0.95)?;

        let mut group = criterion.benchmark_group(format!("{:?}/f32/{shape}", Device::Cpu.location()));
        group.throughput(Throughput::Elements((count * len) as u64)).sample_size(20);
        group.bench_function("adamw", |b| b.iter(|| optimizer.step(&grads, 1e-4, 1.0)));
        group.bench_function("ema", |b| b.iter(|| ema.update(&target, &params)));
        group.bench_function("global_norm", |b| b.iter(|| global_norm(&grads)));
        group.finish();
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    updates(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
