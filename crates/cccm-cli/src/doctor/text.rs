//! What was found out, in words.

use std::fmt::{Display, Formatter, Result};

use super::{Checked, Cpu, Inspected, Library, Rate, Report};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let build = if self.cuda { "for NVIDIA GPUs and CPUs" } else { "for CPUs alone" };
        writeln!(f, "cccm {}, built {build}\n\n{}", self.version, self.cpu)?;
        for folder in &self.folders {
            let free =
                folder.free_bytes.map(|free| format!(", {} free", gigabytes(free))).unwrap_or_default();
            let state = if folder.is_writable { "writable" } else { "NOT WRITABLE" };
            writeln!(f, "  {}: {state}{free}, for {}", folder.path.display(), folder.purpose)?;
        }
        match &self.driver {
            Some(driver) => {
                let release =
                    driver.release.as_ref().map(|release| format!(" {release}")).unwrap_or_default();
                writeln!(f, "\ndriver{release}: supports CUDA {}, {} is needed", driver.cuda, driver.needed)?;
            }
            None if self.libraries.is_empty() => {}
            None => writeln!(f, "\nno driver")?,
        }
        for library in self.libraries.iter().filter(|library| library.name != "driver") {
            writeln!(f, "  {library}")?;
        }
        if let Some(reason) = &self.no_gpu {
            writeln!(f, "\nno GPU: {reason}")?;
        }
        for gpu in &self.gpus {
            write!(f, "\n{gpu}")?;
        }
        writeln!(f)?;
        for problem in &self.problems {
            writeln!(f, "BROKEN: {problem}")?;
        }
        if self.problems.is_empty() {
            writeln!(f, "everything that was checked works")?;
        }
        Ok(())
    }
}

impl Display for Cpu {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let name = self.name.as_deref().unwrap_or("unknown");
        writeln!(f, "cpu, {name}: {}, {} threads", self.instructions, self.threads)?;
        if let Some(memory) = &self.memory {
            let (available, total) = (gigabytes(memory.available_bytes), gigabytes(memory.total_bytes));
            writeln!(f, "  memory: {available} free of {total}")?;
        }
        write_measured(f, &self.rates, &self.checks, "plain code")
    }
}

impl Display for Inspected {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "cuda:{}, {}: compute capability {}", self.ordinal, self.name, self.compute_capability)?;
        let total = gigabytes(self.total_bytes);
        match self.free_bytes {
            Some(free) => writeln!(f, "  memory: {} free of {total}", gigabytes(free))?,
            None => writeln!(f, "  memory: {total}")?,
        }
        write_measured(f, &self.rates, &self.checks, "the CPU")
    }
}

impl Display for Library {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}, for {}: ", self.name, self.purpose)?;
        match (&self.version, &self.path, &self.missing) {
            (Some(version), Some(path), _) => write!(f, "{version}, {}", path.display()),
            (Some(version), None, _) => write!(f, "{version}"),
            (None, _, reason) => write!(f, "missing: {}", reason.as_deref().unwrap_or("unknown why")),
        }
    }
}

/// Rates, and how far operations are from what they are compared with.
fn write_measured(f: &mut Formatter<'_>, rates: &[Rate], checks: &[Checked], reference: &str) -> Result {
    for rate in rates {
        let speed = if rate.gflops < 1e4 {
            format!("{:.0} GFLOP/s", rate.gflops)
        } else {
            format!("{:.1} TFLOP/s", rate.gflops / 1e3)
        };
        writeln!(f, "  {}, {}: {speed}", rate.work, rate.dtype)?;
    }
    for check in checks {
        let state = if check.is_good() { "ok" } else { "BROKEN" };
        write!(f, "  {}, {}: {state}", check.operation, check.dtype)?;
        match (check.error, &check.failure) {
            (Some(error), _) => writeln!(f, ", {error:.0e} off {reference}")?,
            (None, failure) => writeln!(f, ", {}", failure.as_deref().unwrap_or("unknown why"))?,
        }
    }
    Ok(())
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
