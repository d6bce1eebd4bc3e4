//! Both samplers with networks that a stranger could write: closures.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in tests, which leaves out their helpers")]

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use candle_core::{D, DType, Device, Result as CandleResult, Tensor, Var};
use cccm_sample::{
    DdimConfig, DdimSampler, Error, FewStepConfig, FewStepSampler, NoiseSource, SampleStep, Sampler,
    SeededNoise,
};
use cccm_sched::{Conditions, NoiseSchedule, PredictionType, ScheduleConfig, Streams, StudentConfig};
use cccm_tests::{Tolerance, assert_close, hashed};
use proptest::prelude::*;

const ITEM: [usize; 3] = [3, 4, 4];
const PREDICTIONS: [PredictionType; 3] =
    [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction];

fn schedule(prediction_type: PredictionType) -> ScheduleConfig {
    ScheduleConfig { prediction_type, ..Default::default() }
}

fn few_step(prediction_type: PredictionType, steps: usize) -> FewStepSampler {
    let cfg = FewStepConfig { steps, guidance_scale: 3.8 };
    FewStepSampler::new(&schedule(prediction_type), &StudentConfig::default(), &cfg).unwrap()
}

fn ddim(prediction_type: PredictionType, steps: usize, guidance_scale: f64) -> DdimSampler {
    DdimSampler::new(&schedule(prediction_type), &[2], &DdimConfig::new(steps, guidance_scale)).unwrap()
}

fn both() -> [Box<dyn Sampler>; 2] {
    [Box::new(few_step(PredictionType::Epsilon, 3)), Box::new(ddim(PredictionType::Epsilon, 5, 2.8))]
}

fn noise(samples: std::ops::Range<u64>) -> SeededNoise {
    SeededNoise::new(Streams::new(7), samples, ITEM, &Device::Cpu)
}

fn labels(labels: &[u32]) -> [Tensor; 1] {
    [Tensor::new(labels, &Device::Cpu).unwrap()]
}

/// A network that knows which image is behind all noise.
fn knows(
    x_0: &Tensor,
    prediction_type: PredictionType,
) -> impl Fn(&Tensor, &Tensor, &Conditions) -> CandleResult<Tensor> {
    let (x_0, schedule) = (x_0.clone(), NoiseSchedule::new(&schedule(prediction_type)).unwrap());
    move |x_t, t, _| {
        // Guidance evaluates both halves of a doubled batch.
        let x_0 = x_0.repeat((x_t.dim(0)? / x_0.dim(0)?, 1, 1, 1))?;
        let answer =
            schedule.eps_from_x0(x_t, t, &x_0).and_then(|eps| schedule.prediction_target(&x_0, t, &eps));
        answer.map_err(candle_core::Error::wrap)
    }
}

/// A network that depends on everything it is given, each sample by itself.
fn generic(x_t: &Tensor, t: &Tensor, conds: &Conditions) -> CandleResult<Tensor> {
    let per_sample = |x: &Tensor| x.to_dtype(DType::F32)?.reshape(((), 1, 1, 1));
    let time = (per_sample(t)? / 1000.0)?;
    let mut shift = (time + per_sample(&conds.labels[0])?)?;
    if let Some(w) = &conds.w {
        shift = (shift + per_sample(w)?)?;
    }
    x_t.broadcast_add(&shift)?.sin()
}

#[test]
fn few_step_returns_the_known_image_clamped() -> anyhow::Result<()> {
    let x_0 = hashed("x_0", (2, 3, 4, 4), 1.3, 0.0)?;
    for prediction_type in PREDICTIONS {
        for steps in [1, 2, 4, 50] {
            let network = knows(&x_0, prediction_type);
            let images =
                few_step(prediction_type, steps).sample(&network, &labels(&[0, 1]), &noise(0..2), &mut ())?;
            // At t 999 the signal rate is 0.006, which magnifies the rounding of x_t; x_0 itself comes back exactly.
            assert_close(&images, &x_0.clamp(-1f32, 1f32)?, Tolerance { abs: 5e-4, rel: 0.0 })?;
        }
    }
    Ok(())
}

#[test]
fn ddim_follows_the_exact_noise_down_to_timestep_0() -> anyhow::Result<()> {
    let x_0 = hashed("x_0", (2, 3, 4, 4), 1.0, 0.0)?;
    for (prediction_type, guidance_scale) in PREDICTIONS.into_iter().flat_map(|p| [(p, 1.0), (p, 3.0)]) {
        let sampler = ddim(prediction_type, 50, guidance_scale);
        let images =
            sampler.sample(&knows(&x_0, prediction_type), &labels(&[0, 1]), &noise(0..2), &mut ())?;

        // With the right eps in every step, DDIM stays on the line x_t = signal x_0 + noise eps.
        let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
        let at = |t: u32| Tensor::new(&[t, t], &Device::Cpu);
        let eps = schedule.eps_from_x0(&noise(0..2).noise(0)?, &at(981)?, &x_0)?;
        let want = schedule.add_noise(&x_0, &at(0)?, &eps)?;
        assert_close(&images, &want, Tolerance { abs: 2e-4, rel: 0.0 })?;
        assert_close(&images, &x_0, Tolerance { abs: 0.05, rel: 0.0 })?;
    }
    Ok(())
}

#[test]
fn evaluations_are_counted_as_they_happen() -> anyhow::Result<()> {
    let cases: [(Box<dyn Sampler>, usize); 4] = [
        (Box::new(few_step(PredictionType::Epsilon, 1)), 1),
        (Box::new(few_step(PredictionType::Epsilon, 8)), 8),
        (Box::new(ddim(PredictionType::Epsilon, 10, 2.8)), 20),
        (Box::new(ddim(PredictionType::Epsilon, 10, 1.0)), 10),
    ];
    for (sampler, want) in cases {
        let images = RefCell::new(0);
        let network = |x: &Tensor, t: &Tensor, conds: &Conditions| {
            *images.borrow_mut() += x.dim(0)?;
            generic(x, t, conds)
        };
        let mut reported = 0;
        let mut watch = |step: &SampleStep<'_>| {
            reported = step.evaluations;
            Ok(())
        };
        sampler.sample(&network, &labels(&[0, 1, 1]), &noise(0..3), &mut watch)?;
        assert_eq!((images.into_inner(), reported, sampler.evaluations()), (3 * want, want, want));
    }
    Ok(())
}

#[test]
fn guidance_reaches_the_network_in_its_own_way() -> anyhow::Result<()> {
    // A student reads the weight w = scale - 1; a teacher is asked twice, with its labels and with the null token.
    let seen = RefCell::new(Vec::new());
    let network = |x: &Tensor, t: &Tensor, conds: &Conditions| {
        let w = conds.w.as_ref().map(Tensor::to_vec1::<f32>).transpose()?;
        seen.borrow_mut().push((conds.labels[0].to_vec1::<u32>()?, w));
        generic(x, t, conds)
    };
    few_step(PredictionType::Epsilon, 1).sample(&network, &labels(&[0, 1]), &noise(0..2), &mut ())?;
    ddim(PredictionType::Epsilon, 1, 3.8).sample(&network, &labels(&[0, 1]), &noise(0..2), &mut ())?;
    ddim(PredictionType::Epsilon, 1, 1.0).sample(&network, &labels(&[0, 1]), &noise(0..2), &mut ())?;
    let want = [(vec![0, 1], Some(vec![2.8; 2])), (vec![0, 1, 2, 2], None), (vec![0, 1], None)];
    assert_eq!(seen.into_inner(), want);
    Ok(())
}

#[test]
fn observer_sees_every_step_and_may_stop() -> anyhow::Result<()> {
    for (sampler, timesteps) in both().iter().zip([vec![999, 679, 339], vec![801, 601, 401, 201, 1]]) {
        let mut seen = Vec::new();
        let mut last = None;
        let mut watch = |step: &SampleStep<'_>| {
            assert_eq!((step.index, step.of), (seen.len(), timesteps.len()));
            seen.push(step.t);
            last = Some(step.x0_pred.clone());
            Ok(())
        };
        let images = sampler.sample(&generic, &labels(&[0]), &noise(0..1), &mut watch)?;
        assert_eq!(seen, timesteps);
        // The last estimate is the result, up to the noise that DDIM leaves at timestep 0.
        let last = last.expect("a step was seen");
        assert_close(&last, &images, Tolerance { abs: 0.05, rel: 0.0 })?;

        let mut stop = |step: &SampleStep<'_>| match step.index {
            0 => Ok(()),
            _ => candle_core::bail!("enough"),
        };
        let error = sampler.sample(&generic, &labels(&[0]), &noise(0..1), &mut stop).unwrap_err();
        assert!(matches!(&error, Error::Candle(e) if e.to_string().contains("enough")), "{error}");
    }
    Ok(())
}

#[test]
fn noise_is_asked_for_once_per_renoising() -> anyhow::Result<()> {
    for (sampler, want) in both().iter().zip([vec![0, 1, 2], vec![0]]) {
        let asked = RefCell::new(Vec::new());
        let source = |step| {
            asked.borrow_mut().push(step);
            noise(0..1).noise(step)
        };
        sampler.sample(&generic, &labels(&[0]), &source, &mut ())?;
        assert_eq!(asked.into_inner(), want);
    }
    Ok(())
}

#[test]
fn seeded_noise_differs_in_every_step_and_sample() -> anyhow::Result<()> {
    let source = noise(3..5);
    let draws = [source.noise(0)?, source.noise(1)?, source.noise(2)?, source.noise(3)?];
    let items: Vec<Vec<f32>> = (0..draws.len())
        .flat_map(|step| (0..2).map(move |sample| (step, sample)))
        .map(|(step, sample)| draws[step].get(sample)?.flatten_all()?.to_vec1())
        .collect::<CandleResult<_>>()?;
    for (i, item) in items.iter().enumerate() {
        assert!(!items[..i].contains(item));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_batch_equals_its_items(n in 2u64..6, split in 1u64..5, first in 0u64..1000) {
        let split = split.min(n - 1);
        let all: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
        for sampler in both() {
            let part = |from: u64, to: u64| {
                let labels = labels(&all[from as usize..to as usize]);
                sampler.sample(&generic, &labels, &noise(first + from..first + to), &mut ()).unwrap()
            };
            let parts = Tensor::cat(&[part(0, split), part(split, n)], 0).unwrap();
            assert_close(&part(0, n), &parts, Tolerance::EXACT).unwrap();
        }
    }
}

#[test]
fn a_network_in_training_leaves_no_graph() -> anyhow::Result<()> {
    let weight = Var::new(0.5f32, &Device::Cpu)?;
    let network = |x: &Tensor, _: &Tensor, _: &Conditions| x.broadcast_mul(&weight);
    for sampler in both() {
        let images = sampler.sample(&network, &labels(&[0]), &noise(0..1), &mut ())?;
        assert!(images.sum_all()?.backward()?.get(&weight).is_none());
    }
    Ok(())
}

#[test]
fn bad_configs_are_named() {
    let field = |error: Error| match error {
        Error::InvalidConfig { field, .. } | Error::Sched(cccm_sched::Error::InvalidConfig { field, .. }) => {
            field
        }
        other => panic!("{other:?}"),
    };
    let (schedule, student) = (ScheduleConfig::default(), StudentConfig::default());
    let few = |student: &StudentConfig, steps, guidance_scale| {
        field(FewStepSampler::new(&schedule, student, &FewStepConfig { steps, guidance_scale }).unwrap_err())
    };
    let ddim = |steps, guidance_scale| {
        field(DdimSampler::new(&schedule, &[2], &DdimConfig::new(steps, guidance_scale)).unwrap_err())
    };
    assert_eq!(few(&student, 0, 3.8), "steps");
    assert_eq!(few(&student, 51, 3.8), "steps");
    assert_eq!(few(&student, 4, f64::NAN), "guidance_scale");
    assert_eq!(
        few(&StudentConfig { num_ddim_timesteps: 0, ..student.clone() }, 4, 3.8),
        "num_ddim_timesteps"
    );
    assert_eq!(few(&StudentConfig { w_interval: (3.0, 2.0), ..student.clone() }, 4, 3.8), "w_interval");
    assert_eq!(few(&StudentConfig { timestep_scaling: -1.0, ..student.clone() }, 4, 3.8), "timestep_scaling");
    assert_eq!(ddim(0, 1.0), "steps");
    assert_eq!(ddim(1000, 1.0), "steps");
    assert_eq!(ddim(10, f64::INFINITY), "guidance_scale");
}

#[test]
fn what_does_not_fit_the_batch_is_named() {
    let sampler = few_step(PredictionType::Epsilon, 2);
    let shape = |error: Error| match error {
        Error::Shape { what, .. } => what,
        other => panic!("{other:?}"),
    };
    let three = labels(&[0, 1, 0]);
    let error = sampler.sample(&generic, &three, &noise(0..2), &mut ()).unwrap_err();
    assert_eq!(error.to_string(), "labels of kind 0 has shape [3], but must have [2]");
    let growing = |step: usize| noise(0..2 + step as u64).noise(step);
    let error = sampler.sample(&generic, &labels(&[0, 1]), &growing, &mut ()).unwrap_err();
    assert_eq!(shape(error), "noise of step 1");
    // Such as the six channels of networks that also learn the variance.
    let six = |x: &Tensor, _: &Tensor, _: &Conditions| Tensor::cat(&[x, x], 1);
    for sampler in both() {
        let error = sampler.sample(&six, &labels(&[0, 1]), &noise(0..2), &mut ()).unwrap_err();
        assert_eq!(shape(error), "the network's prediction");
    }
    let two_kinds = [labels(&[0, 1]), labels(&[0, 1])].concat();
    let error = ddim(PredictionType::Epsilon, 2, 2.8).sample(&generic, &two_kinds, &noise(0..2), &mut ());
    assert!(matches!(error, Err(Error::LabelKinds { got: 2, want: 1 })));
}

#[test]
fn a_broken_network_is_found_before_clamping_hides_it() {
    for bad in [f32::NAN, f32::INFINITY] {
        // One pixel of one image is enough.
        let network = |x: &Tensor, _: &Tensor, _: &Conditions| {
            let good = x.narrow(D::Minus1, 0, 3)?;
            Tensor::cat(&[&good, &x.narrow(D::Minus1, 3, 1)?.affine(0.0, f64::from(bad))?], D::Minus1)
        };
        let error = few_step(PredictionType::Epsilon, 2)
            .sample(&network, &labels(&[0]), &noise(0..1), &mut ())
            .unwrap_err();
        assert!(matches!(error, Error::NonFinite { t: 999 }), "{error}");
    }
}

#[test]
fn guidance_outside_the_trained_interval_warns_once() {
    let warnings = |guidance_scale| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let subscriber = tracing_subscriber::fmt().with_writer(move || Log(Arc::clone(&writer))).finish();
        tracing::subscriber::with_default(subscriber, || {
            let cfg = FewStepConfig { steps: 4, guidance_scale };
            let sampler =
                FewStepSampler::new(&ScheduleConfig::default(), &StudentConfig::default(), &cfg).unwrap();
            sampler.sample(&generic, &labels(&[0]), &noise(0..1), &mut ()).unwrap();
        });
        String::from_utf8(log.lock().unwrap().clone()).unwrap().matches("WARN").count()
    };
    assert_eq!([2.8, 3.6, 3.8, 4.0, 4.2].map(warnings), [1, 0, 0, 0, 1]);
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn configs_survive_json_and_refuse_unknown_fields() -> anyhow::Result<()> {
    let cfg = FewStepConfig::for_student(&StudentConfig::default());
    assert_eq!(cfg, FewStepConfig { steps: 4, guidance_scale: 3.8 });
    assert_eq!(serde_json::from_str::<FewStepConfig>(&serde_json::to_string(&cfg)?)?, cfg);
    let cfg = DdimConfig::new(50, 2.8);
    assert_eq!(serde_json::from_str::<DdimConfig>(&serde_json::to_string(&cfg)?)?, cfg);
    assert!(serde_json::from_str::<DdimConfig>(r#"{"steps": 5, "guidance_scale": 1, "eta": 0}"#).is_err());
    Ok(())
}
