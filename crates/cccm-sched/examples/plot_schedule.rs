//! Plots a noise schedule and a fusion schedule as text: `cargo run --example plot_schedule -- "switch 0.4"`.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use cccm_sched::{FuseSchedule, NoiseSchedule, ScheduleConfig};

const WIDTH: usize = 60;

fn main() -> Result<(), cccm_sched::Error> {
    let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
    println!("signal rate sqrt(alpha_bar) over timesteps");
    for t in (0..schedule.train_timesteps()).step_by(100) {
        plot(&format!("{t:>5}"), schedule.alpha_bar()[t].sqrt().into());
    }

    let text = std::env::args().nth(1).unwrap_or_else(|| "piecewise 0.2:0.5 0.8:0.1".to_owned());
    let fuse: FuseSchedule = text.parse()?;
    println!("\nteacher's share c_t over training, {fuse}");
    for tenth in 0..=10 {
        let progress = f64::from(tenth) / 10.0;
        plot(&format!("{progress:>5}"), fuse.weight(progress));
    }
    Ok(())
}

fn plot(label: &str, value: f64) {
    println!("{label} {:<WIDTH$} {value:.3}", "#".repeat((value * WIDTH as f64).round() as usize));
}
