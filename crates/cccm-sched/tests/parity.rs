//! Every number of `tests/fixtures/schedules.json`.

use candle_core::{Device, Tensor};
use cccm_sched::{Boundary, FuseSchedule, NoiseSchedule, ScheduleConfig, SolverGrid, guidance_embedding};
use cccm_tests::{Fixture, Tolerance, assert_close, assert_close_scalar};
use serde_json::Value;

const TOLERANCE: Tolerance = Tolerance { abs: 0.0, rel: 1e-6 };

fn fixture() -> anyhow::Result<Value> {
    Ok(Fixture::load("schedules")?.json().clone())
}

fn entries(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table.as_object().into_iter().flatten()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> anyhow::Result<Vec<T>> {
    Ok(serde_json::from_value(value.clone())?)
}

#[test]
fn alpha_bar_and_solver_grid() -> anyhow::Result<()> {
    let fx = fixture()?;
    let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
    for (t, want) in entries(&fx["alpha_bar"]) {
        let got = schedule.alpha_bar()[t.parse::<usize>()?];
        assert_close_scalar(got.into(), number(want), TOLERANCE)?;
    }
    let grid = SolverGrid::new(&schedule, 50)?;
    assert_eq!(grid.timesteps(), list::<u32>(&fx["ddim50_timesteps"])?);
    for (got, want) in grid.alpha_bar_prev().iter().zip(list::<f64>(&fx["ddim50_alpha_bar_prev"])?) {
        assert_close_scalar((*got).into(), want, TOLERANCE)?;
    }
    for (steps, want) in entries(&fx["lcm_timesteps"]) {
        assert_eq!(grid.few_step_timesteps(steps.parse()?)?, list::<u32>(want)?, "{steps} steps");
    }
    Ok(())
}

#[test]
fn boundary_scalings() -> anyhow::Result<()> {
    let boundary = Boundary::new(10.0)?;
    for (t, want) in entries(&fixture()?["boundary"]) {
        let t = t.parse()?;
        assert_close_scalar(boundary.c_skip(t), number(&want[0]), TOLERANCE)?;
        assert_close_scalar(boundary.c_out(t), number(&want[1]), TOLERANCE)?;
    }
    Ok(())
}

#[test]
fn guidance_embedding_of_2_8() -> anyhow::Result<()> {
    let want = list::<f32>(&fixture()?["guidance_embedding_w2.8_dim8"])?;
    let got = guidance_embedding(&Tensor::new(&[2.8f32], &Device::Cpu)?, 8)?.squeeze(0)?;
    assert_close(&got, &Tensor::new(want, &Device::Cpu)?, TOLERANCE)
}

#[test]
fn fusion_tables_exactly() -> anyhow::Result<()> {
    let fx = fixture()?;
    let progress = list::<f64>(&fx["fuse_progress"])?;
    for (text, want) in entries(&fx["fuse"]) {
        let schedule: FuseSchedule = text.parse()?;
        let got: Vec<f64> = progress.iter().map(|p| schedule.weight(*p)).collect();
        assert_eq!(got, list::<f64>(want)?, "{text}");
    }
    Ok(())
}
