//! Learning-rate schedules against diffusers'.

use std::path::Path;

use cccm_optim::{Error, LrSchedule, LrScheduleConfig};
use cccm_tests::{Fixture, Tolerance, assert_close_scalar};

const ROUNDING: Tolerance = Tolerance { abs: 1e-15, rel: 1e-14 };

#[test]
fn factors_match_diffusers() -> anyhow::Result<()> {
    let fx = Fixture::load_from(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), "lr_schedule")?;
    for case in fx.json().as_array().unwrap() {
        let cfg: LrScheduleConfig = serde_json::from_value(case["config"].clone())?;
        cfg.validate()?;
        let factors: Vec<f64> = serde_json::from_value(case["factors"].clone())?;
        assert_eq!(factors.len() as u64, cfg.total_steps + 1);
        for (step, want) in factors.into_iter().enumerate() {
            let checked = assert_close_scalar(cfg.factor(step as u64), want, ROUNDING);
            checked.map_err(|e| e.context(format!("step {step} of {cfg:?}")))?;
        }
    }
    Ok(())
}

#[test]
fn every_schedule_starts_from_0_peaks_after_the_warmup_and_stays_at_its_end() -> anyhow::Result<()> {
    for schedule in LrSchedule::ALL {
        let cfg = LrScheduleConfig {
            schedule,
            lr: 2e-3,
            warmup_steps: 4,
            total_steps: 10,
            ..LrScheduleConfig::default()
        };
        let start = if schedule == LrSchedule::Constant { 1.0 } else { 0.0 };
        assert_close_scalar(cfg.factor(0), start, ROUNDING)?;
        assert_close_scalar(cfg.lr_at(4), 2e-3, ROUNDING)?;
        let end = match schedule {
            LrSchedule::Constant | LrSchedule::ConstantWithWarmup => 2e-3,
            LrSchedule::Polynomial => 1e-7,
            _ => 0.0,
        };
        for step in [10, 11, 15, 1000] {
            assert_close_scalar(cfg.lr_at(step), end, ROUNDING)?;
        }
    }
    Ok(())
}

#[test]
fn names_are_the_published_ones() -> anyhow::Result<()> {
    for schedule in LrSchedule::ALL {
        assert_eq!(schedule.to_string().parse::<LrSchedule>()?, schedule);
        assert_eq!(serde_json::to_value(schedule)?, schedule.name());
    }
    let error = "cosine-with-restarts".parse::<LrSchedule>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no learning-rate schedule `cosine-with-restarts`; there are constant, constant_with_warmup, linear, cosine, \
         cosine_with_restarts, polynomial"
    );
    Ok(())
}

#[test]
fn config_is_checked_where_it_is_used() {
    let with = |schedule| LrScheduleConfig { schedule, ..LrScheduleConfig::default() };
    let polynomial = with(LrSchedule::Polynomial);
    let bad = [
        ("lr", LrScheduleConfig { lr: 0.0, ..with(LrSchedule::Constant) }),
        ("cycles", LrScheduleConfig { cycles: 0, ..with(LrSchedule::CosineWithRestarts) }),
        ("power", LrScheduleConfig { power: f64::NAN, ..polynomial.clone() }),
        ("lr_end", LrScheduleConfig { lr_end: 1.0, ..polynomial }),
    ];
    for (name, cfg) in bad {
        let error = cfg.validate().unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { field, .. } if field == name), "{error}");
    }
    // A rate below the polynomial's end is no error where there is no polynomial.
    assert!(LrScheduleConfig { lr: 1e-8, ..with(LrSchedule::Cosine) }.validate().is_ok());
}
