//! The kernels for GPUs, run on the CPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::Result;

use super::UpdateRule;
use super::gpu::{Entry, are_apart, squares, update};
use crate::gpu::Arg;
use crate::gpu::shim::Shim;
use crate::testing::values;

/// Some variables: of one value, of a few, of several blocks with a rest, of whole blocks.
const LENGTHS: [usize; 4] = [1, 37, 2 * 16_384 + 5, 16_384];

fn numbers(seed: u32, offset: f32) -> Result<Vec<Vec<f32>>> {
    let of = |(i, len): (usize, &usize)| {
        let numbers: Vec<f32> = values(&[*len], seed + i as u32)?.to_vec1()?;
        Ok(numbers.into_iter().map(|n| n + offset).collect())
    };
    LENGTHS.iter().enumerate().map(of).collect()
}

#[test]
fn tensors_that_share_memory_are_found() {
    let entry = |addresses, len| Entry { addresses, len };
    let first = entry([0x1000, 0x2000, 0x3000, 0, 0x4000], 0x400);
    assert!(are_apart(&[first]));
    assert!(are_apart(&[first, entry([0x5000, 0x6000, 0x7000, 0, 0x8000], 0x400)]));
    // Its last value, its first, all of it, a moment of another variable.
    for start in [0x4ffc, 0x3004, 0x4000, 0x2800] {
        assert!(!are_apart(&[first, entry([start, 0x6000, 0x7000, 0, 0x8000], 1)]), "{start:#x}");
    }
    assert!(!are_apart(&[entry([0x1000, 0x1000, 0x3000, 0, 0x4000], 1)]));
    assert!(are_apart(&[entry([0x1000, 0x1000, 0x3000, 0, 0x4000], 0)]));
}

#[test]
fn all_variables_are_updated_at_once() -> Result<()> {
    let Some(shim) = Shim::new() else { return Ok(()) };
    let rule = UpdateRule {
        grad_scale: 0.7,
        beta1: 0.9,
        rest1: 0.1,
        beta2: 0.99,
        rest2: 0.01,
        eps: 1e-8,
        keep: 0.999,
        step_size: 0.1,
        root_correction: 1.5,
        decay: 0.8,
        rest: 0.2,
    };
    let before = [numbers(1, 0.0)?, numbers(11, 0.0)?, numbers(21, 1.5)?, numbers(31, 0.0)?];
    let grads = numbers(41, 0.0)?;
    let [mut value, mut m, mut v, mut average] = before.clone();
    let entries: Vec<_> = (0..LENGTHS.len())
        .map(|i| {
            // The second has no average.
            let average = if i == 1 { 0 } else { average[i].as_mut_ptr() as u64 };
            let written = [value[i].as_mut_ptr(), m[i].as_mut_ptr(), v[i].as_mut_ptr()].map(|p| p as u64);
            let addresses = [written[0], written[1], written[2], average, grads[i].as_ptr() as u64];
            Entry { addresses, len: LENGTHS[i] }
        })
        .collect();
    let mut sum = [f64::NAN];
    // SAFETY: addresses and lengths are those of the vectors.
    unsafe {
        update(&shim, &entries, &rule)?;
        squares(&shim, &entries, Arg::Pointer(sum.as_mut_ptr() as u64))?;
    }
    for i in 0..LENGTHS.len() {
        for j in 0..LENGTHS[i] {
            let g = rule.grad_scale * grads[i][j];
            let want_m = rule.beta1 * before[1][i][j] + rule.rest1 * g;
            let want_v = rule.beta2 * before[2][i][j] + rule.rest2 * g * g;
            let root = want_v.sqrt() * rule.root_correction + rule.eps;
            let want = rule.keep * before[0][i][j] - rule.step_size * want_m / root;
            let want_average = match i {
                1 => before[3][i][j],
                _ => rule.decay * before[3][i][j] + rule.rest * want,
            };
            let got = [value[i][j], m[i][j], v[i][j], average[i][j]];
            assert_eq!(got, [want, want_m, want_v, want_average], "value {j} of variable {i}");
        }
    }
    let want = grads.iter().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    assert!((sum[0] / want - 1.0).abs() < 1e-12, "{} instead of {want}", sum[0]);
    Ok(())
}
