//! Puts all runs below a folder side by side, once `cccm eval` has scored them.
//!
//! ```console
//! $ cargo run --release -p cccm-report --example report -- runs report
//! ```

use std::path::Path;

use anyhow::{Result, bail};
use cccm_report::{Times, find, models, write_report};

fn main() -> Result<()> {
    let [runs, out] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        bail!("two folders are needed: that of the runs, and that of the report");
    };
    let models = models(vec![(None, find(Path::new(runs))?)])?;
    write_report(&models, Path::new(out), Times::Shown).map(drop)
}
