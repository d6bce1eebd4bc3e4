//! What `cccm doctor` finds out about a machine.

mod kernels;
mod machine;
mod speed;
mod text;

use candle_core::{DType, Device};
use cccm_runtime::{
    CUDA_IN_BUILD, DeviceChoice, F32Products, Gpu, GpuDriver, GpuLibrary, gpu_driver, gpu_free_bytes,
    gpu_libraries, gpus, open_gpu,
};
use serde::Serialize;

use kernels::Checked;
use machine::{Folder, Memory};
use speed::Rate;

/// Everything found out.
#[derive(Serialize)]
pub(crate) struct Report {
    version: &'static str,
    /// Whether this build can use GPUs.
    cuda: bool,
    cpu: Cpu,
    folders: Vec<Folder>,
    driver: Option<Driver>,
    libraries: Vec<Library>,
    gpus: Vec<Inspected>,
    /// Why there is no GPU to use, where that is no fault.
    no_gpu: Option<String>,
    /// What was asked for and is broken, with what to do about it.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Cpu {
    name: Option<String>,
    instructions: &'static str,
    threads: usize,
    memory: Option<Memory>,
    rates: Vec<Rate>,
    checks: Vec<Checked>,
}

#[derive(Serialize)]
struct Driver {
    cuda: String,
    needed: String,
    release: Option<String>,
}

#[derive(Serialize)]
struct Library {
    name: &'static str,
    purpose: &'static str,
    required: bool,
    version: Option<String>,
    path: Option<std::path::PathBuf>,
    /// Why it is not there.
    missing: Option<String>,
}

#[derive(Serialize)]
struct Inspected {
    ordinal: usize,
    name: String,
    compute_capability: String,
    total_bytes: u64,
    free_bytes: Option<u64>,
    rates: Vec<Rate>,
    checks: Vec<Checked>,
}

/// Looks the machine over: the CPU, and of its GPUs those that `choice` asks for. `Auto` asks for all of them.
pub(crate) fn examine(choice: DeviceChoice) -> Report {
    let mut problems = Vec::new();
    let cpu = examine_cpu(&mut problems);
    let folders = machine::folders();
    for folder in folders.iter().filter(|folder| !folder.is_writable) {
        problems.push(format!("{} is not writable, for {}", folder.path.display(), folder.purpose));
    }
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        cuda: CUDA_IN_BUILD,
        cpu,
        folders,
        driver: None,
        libraries: Vec::new(),
        gpus: Vec::new(),
        no_gpu: None,
        problems,
    };
    if choice != DeviceChoice::Cpu {
        report.examine_gpus(choice);
    }
    report
}

fn examine_cpu(problems: &mut Vec<String>) -> Cpu {
    let checks = kernels::check(&Device::Cpu, DType::F32);
    problems.extend(checks.iter().filter_map(|check| check.problem("the CPU")));
    let rates = speed::rates(&Device::Cpu, DType::F32);
    Cpu {
        name: machine::cpu_name(),
        instructions: cccm_kernels::instruction_set(),
        threads: rayon::current_num_threads(),
        memory: machine::memory(),
        rates: keep(rates, "measuring the CPU", problems),
        checks,
    }
}

/// The result, or nothing and a problem.
fn keep<T: Default, E: std::fmt::Display>(result: Result<T, E>, what: &str, problems: &mut Vec<String>) -> T {
    result.unwrap_or_else(|error| {
        problems.push(format!("{what}: {error}"));
        T::default()
    })
}

impl Report {
    /// Whether all that was asked for works.
    pub(crate) fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }

    fn examine_gpus(&mut self, choice: DeviceChoice) {
        self.driver = gpu_driver().ok().map(Driver::from);
        self.libraries = gpu_libraries().into_iter().map(Library::from).collect();
        let found = match (gpus(), choice) {
            (Err(error), DeviceChoice::Cuda(_)) => return self.problems.push(error.to_string()),
            (Err(error), _) => {
                // On a machine with a driver, a GPU that cannot be used is a fault.
                let is_fault = self.driver.is_some();
                return if is_fault {
                    self.problems.push(error.to_string());
                } else {
                    self.no_gpu = Some(error.to_string());
                };
            }
            (Ok(found), _) => found,
        };
        if found.is_empty() {
            self.no_gpu = Some("the driver sees no GPU".to_owned());
        }
        if let DeviceChoice::Cuda(ordinal) = choice
            && let Err(error) = open_gpu(ordinal, F32Products::Tf32)
        {
            self.problems.push(error.to_string());
        }
        if !found.is_empty() {
            let missing =
                self.libraries.iter().filter(|library| library.required && library.version.is_none());
            self.problems.extend(missing.map(Library::problem));
        }
        for gpu in found {
            let is_asked_for = choice == DeviceChoice::Auto || choice == DeviceChoice::Cuda(gpu.ordinal);
            let inspected = examine_gpu(gpu, is_asked_for.then_some(&mut self.problems));
            self.gpus.push(inspected);
        }
    }
}

/// What a GPU says of itself; with a list of problems also what it can do.
fn examine_gpu(gpu: Gpu, problems: Option<&mut Vec<String>>) -> Inspected {
    let (major, minor) = gpu.compute_capability;
    let mut inspected = Inspected {
        ordinal: gpu.ordinal,
        name: gpu.name,
        compute_capability: format!("{major}.{minor}"),
        total_bytes: gpu.total_bytes,
        free_bytes: None,
        rates: Vec::new(),
        checks: Vec::new(),
    };
    let Some(problems) = problems else { return inspected };
    let place = format!("cuda:{}", gpu.ordinal);
    let open = |products| open_gpu(gpu.ordinal, products);
    // In full precision first, which is what the CPU's results are compared with.
    match open(F32Products::Exact) {
        Err(error) => problems.push(format!("{place}: {error}")),
        Ok(device) => {
            inspected.free_bytes = gpu_free_bytes(&device).ok();
            for dtype in [DType::F32, DType::BF16] {
                inspected.checks.extend(kernels::check(&device, dtype));
            }
            problems.extend(inspected.checks.iter().filter_map(|check| check.problem(&place)));
        }
    }
    if let Ok(device) = open(F32Products::Tf32) {
        for dtype in [DType::F32, DType::BF16] {
            let rates = speed::rates(&device, dtype);
            inspected.rates.extend(keep(rates, &format!("measuring {place}"), problems));
        }
    }
    inspected
}

impl From<GpuDriver> for Driver {
    fn from(driver: GpuDriver) -> Self {
        let version = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        Self { cuda: version(driver.cuda), needed: version(driver.needed), release: driver.release }
    }
}

impl From<GpuLibrary> for Library {
    fn from(library: GpuLibrary) -> Self {
        let GpuLibrary { name, purpose, required, found } = library;
        let mut row = Self { name, purpose, required, version: None, path: None, missing: None };
        match found {
            Ok(found) => (row.version, row.path) = (Some(found.version), found.path),
            Err(reason) => row.missing = Some(reason),
        }
        row
    }
}

impl Library {
    fn problem(&self) -> String {
        let reason = self.missing.as_deref().unwrap_or_default();
        format!(
            "{} is missing, for {}: {reason}; LD_LIBRARY_PATH may name its folder",
            self.name, self.purpose
        )
    }
}
