//! The results as Markdown, and their place in `BENCHMARKS.md`.

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, thread};

use anyhow::{Context, Result};

use super::options::{Options, Task};
use super::process::{Job, Run};
use super::stats::Spread;
use crate::root;

/// One line of a table.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) job: Job,
    /// Who did it.
    pub(crate) name: String,
    /// One per repeat; nothing if one failed.
    pub(crate) runs: Option<Vec<Run>>,
    /// The runs beside them that they are compared with.
    pub(crate) base: Option<Vec<Run>>,
}

/// How, when and where the numbers came about.
pub(crate) fn header(options: &Options, torch: Option<&str>) -> String {
    let Options { command, rounds, repeats, threads, .. } = options;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil_from_days((now.as_secs() / SECS_PER_DAY) as i64);
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor_model(&text));
    let processor = processor.unwrap_or_else(|| env::consts::ARCH.to_owned());
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let gpu = match options.device {
        "cuda" => format!(" {}.", gpu_name().unwrap_or_else(|| "A GPU of unknown name".to_owned())),
        _ => String::new(),
    };
    let torch = torch.map_or_else(String::new, |version| format!(" PyTorch {version}."));
    format!(
        "`{command}` on {year}-{month:02}-{day:02} (UTC). {processor}, {cores} logical cores, {threads} threads. \
         Each time is the median over {repeats} processes of their median of {rounds} calls.{torch}{gpu}"
    )
}

/// A row per contender; below 1 the ratio says that cccm is faster.
pub(crate) fn comparison(rows: &[Row]) -> String {
    let head = "\
| size | batch | work | contender | ms | smallest to largest | peak MiB | cccm's time / its |
|---|---:|---|---|---:|---:|---:|---:|
";
    table(head, rows, |row| {
        let Job { size, work, batch, .. } = row.job;
        let ratio = row.ratio().map_or_else(String::new, |Spread { median, min, max }| {
            format!("{median:.2} ({min:.2} to {max:.2})")
        });
        let (name, time, peak) = (&row.name, row.time_cells(), row.peak_mib());
        format!("| {size} | {batch} | {work} | {name} | {time} | {peak} | {ratio} |\n")
    })
}

/// The same on a GPU: how much of what it can do, and of its memory.
pub(crate) fn gpu_comparison(rows: &[Row]) -> String {
    let head = "\
| size | batch | work | contender | ms | smallest to largest | images/s | TFLOP/s | peak MiB | cccm bf16's time / its |
|---|---:|---|---|---:|---:|---:|---:|---:|---|
";
    table(head, rows, |row| {
        let Job { size, work, batch, .. } = row.job;
        let ratio = row.ratio().map_or_else(String::new, |Spread { median, min, max }| {
            format!("{median:.2} ({min:.2} to {max:.2})")
        });
        let per_second =
            |amount: f64| row.times().map_or_else(String::new, |time| digits(amount / time.median));
        // Only our own program counts; the others do the same.
        let flops = [&row.runs, &row.base].into_iter().flatten().flatten().find_map(|run| run.flops);
        let rate = flops.map_or_else(String::new, |flops| per_second(flops / 1e12));
        let (name, time, images, peak) =
            (&row.name, row.time_cells(), per_second(batch as f64), row.peak_mib());
        format!("| {size} | {batch} | {work} | {name} | {time} | {images} | {rate} | {peak} | {ratio} |\n")
    })
}

/// A table each for threads, images and pixels.
pub(crate) fn scaling(threads: &[Row], images: &[Row], pixels: &[Row]) -> String {
    let head = "\
| size | batch | work | threads | ms | smallest to largest | times as fast |
|---|---:|---|---:|---:|---:|---:|
";
    let threads = table(head, threads, |row| {
        let Job { size, work, batch, threads, .. } = row.job;
        let ratio = row.ratio().map_or_else(String::new, |ratio| format!("{:.2}", ratio.median));
        format!("| {size} | {batch} | {work} | {threads} | {} | {ratio} |\n", row.time_cells())
    });
    let head = "\
| size | work | batch | ms | smallest to largest | ms per image |
|---|---|---:|---:|---:|---:|
";
    let images = table(head, images, |row| {
        let Job { size, work, batch, .. } = row.job;
        let each = row.share(1e3 / batch as f64);
        format!("| {size} | {work} | {batch} | {} | {each} |\n", row.time_cells())
    });
    let head = "\
| size | work | batch | pixels | ms | smallest to largest | µs per pixel |
|---|---|---:|---:|---:|---:|---:|
";
    let pixels = table(head, pixels, |row| {
        let Job { size, work, batch, .. } = row.job;
        let pixels = pixels_of(size);
        let each = row.share(1e6 / (batch * pixels) as f64);
        format!("| {size} | {work} | {batch} | {pixels} | {} | {each} |\n", row.time_cells())
    });
    [threads, images, pixels].join("\n")
}

fn table(head: &str, rows: &[Row], line: impl Fn(&Row) -> String) -> String {
    let lines: Vec<String> = rows.iter().map(line).collect();
    format!("{head}{}", lines.concat())
}

/// Puts the text where `BENCHMARKS.md` has the task's; without a text only looks whether it can be done.
pub(crate) fn write(options: &Options, text: Option<&str>) -> Result<()> {
    let path = root().join("BENCHMARKS.md");
    let page = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    let name = match (options.task, options.device) {
        (Task::Compare, "cuda") => "cuda",
        (Task::Compare, _) => "bench",
        (Task::Scaling, _) => "scaling",
    };
    let page = splice(&page, name, text.unwrap_or_default()).context("`BENCHMARKS.md`")?;
    if text.is_some() {
        fs::write(&path, page).with_context(|| format!("writing `{}`", path.display()))?;
        eprintln!("written to {}", path.display());
    }
    Ok(())
}

/// The page with the text between its markers `NAME: begin` and `NAME: end`.
fn splice(page: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- {name}: begin -->\n");
    let end = format!("<!-- {name}: end -->");
    let missing = || format!("needs the lines `{}` and, below it, `{end}`", begin.trim_end());
    let (above, rest) = page.split_once(&begin).with_context(missing)?;
    let (_, below) = rest.split_once(&end).with_context(missing)?;
    // Markdown begins a table only after an empty line, and a comment ends one only so.
    Ok(format!("{above}{begin}\n{}\n\n{end}{below}", text.trim()))
}

impl Row {
    fn times(&self) -> Option<Spread> {
        Some(Spread::of(medians(self.runs.as_ref()?)))
    }

    /// Two cells, in milliseconds.
    fn time_cells(&self) -> String {
        self.times().map_or_else(
            || "failed | ".to_owned(),
            |time| {
                let [median, min, max] = [time.median, time.min, time.max].map(|secs| digits(secs * 1e3));
                format!("{median} | {min} to {max}")
            },
        )
    }

    /// The time times a factor.
    fn share(&self, factor: f64) -> String {
        self.times().map_or_else(String::new, |time| digits(time.median * factor))
    }

    /// The most of all its processes.
    fn peak_mib(&self) -> String {
        let peaks = self.runs.iter().flatten().filter_map(|run| run.peak_bytes);
        peaks.reduce(f64::max).map_or_else(String::new, |bytes| format!("{:.0}", bytes / MIB))
    }

    /// The time of what it is compared with, in its own.
    fn ratio(&self) -> Option<Spread> {
        Some(Spread::of_ratios(&medians(self.base.as_ref()?), &medians(self.runs.as_ref()?)))
    }
}

const MIB: f64 = 1024.0 * 1024.0;

const SECS_PER_DAY: u64 = 24 * 60 * 60;

fn medians(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.median_s).collect()
}

fn pixels_of(size: &str) -> usize {
    let side = match size {
        "S" => 32,
        "L64" => 64,
        _ => 128,
    };
    side * side
}

/// Three digits, which is more than a machine repeats.
pub(crate) fn digits(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// The first GPU's name, as the driver's own program tells it.
fn gpu_name() -> Option<String> {
    let output =
        Command::new("nvidia-smi").args(["--query-gpu=name", "--format=csv,noheader"]).output().ok()?;
    let names = String::from_utf8(output.stdout).ok()?;
    names.lines().next().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The first processor's name in `/proc/cpuinfo`; ARM has none there.
fn processor_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is a year's last; an era is 400 of them.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::options::parse;

    const JOB: Job = Job { size: "L64", work: "forward", batch: 1, threads: 2, device: "cpu" };

    fn runs(medians: &[f64]) -> Vec<Run> {
        let run =
            |&median_s| Run { median_s, peak_bytes: Some(median_s * 100.0 * MIB), flops: None, torch: None };
        medians.iter().map(run).collect()
    }

    #[test]
    fn a_row_per_contender() {
        let ours = Some(runs(&[0.5, 1.5, 0.6]));
        let row = |name: &str, runs, base: &Option<Vec<Run>>| Row {
            job: JOB,
            name: name.to_owned(),
            runs,
            base: base.clone(),
        };
        let rows = [
            row("cccm", ours.clone(), &None),
            row("PyTorch eager", Some(runs(&[1.0, 2.0, 1.0])), &ours),
            row("PyTorch compile", None, &ours),
        ];
        let table = comparison(&rows);
        let body: Vec<&str> = table.lines().skip(2).collect();
        let want = [
            "| L64 | 1 | forward | cccm | 600 | 500 to 1500 | 150 |  |",
            "| L64 | 1 | forward | PyTorch eager | 1000 | 1000 to 2000 | 200 | 0.60 (0.50 to 0.75) |",
            "| L64 | 1 | forward | PyTorch compile | failed |  |  |  |",
        ];
        assert_eq!(body, want);
        let cells = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| cells(line) == cells(want[0])), "{table}");
    }

    #[test]
    fn a_gpu_is_measured_by_what_it_computes() {
        let ours: Vec<Run> = runs(&[0.5]).into_iter().map(|run| Run { flops: Some(4e12), ..run }).collect();
        let job = Job { size: "L128", work: "step", batch: 16, threads: 2, device: "cuda" };
        let row = |name: &str, runs, base| Row { job, name: name.to_owned(), runs: Some(runs), base };
        let table = gpu_comparison(&[
            row("cccm bf16", ours.clone(), None),
            row("PyTorch eager", runs(&[1.0]), Some(ours)),
        ]);
        let want = [
            "| L128 | 16 | step | cccm bf16 | 500 | 500 to 500 | 32.0 | 8.00 | 50 |  |",
            "| L128 | 16 | step | PyTorch eager | 1000 | 1000 to 1000 | 16.0 | 4.00 | 100 | 0.50 (0.50 to 0.50) |",
        ];
        assert_eq!(table.lines().skip(2).collect::<Vec<_>>(), want);
    }

    #[test]
    fn scaling_shows_what_an_image_and_a_pixel_take() {
        let row = |batch, threads, times: &[f64]| Row {
            job: Job { batch, threads, ..JOB },
            name: "cccm".to_owned(),
            runs: Some(runs(times)),
            base: Some(runs(&[1.0])),
        };
        let text = scaling(&[row(1, 2, &[0.5])], &[row(4, 2, &[0.2])], &[row(1, 2, &[0.4096])]);
        for want in [
            "\n| L64 | 1 | forward | 2 | 500 | 500 to 500 | 2.00 |\n",
            "\n| L64 | forward | 4 | 200 | 200 to 200 | 50.0 |\n",
            "\n| L64 | forward | 1 | 4096 | 410 | 410 to 410 | 100 |\n",
        ] {
            assert!(text.contains(want), "{text}");
        }
    }

    #[test]
    fn text_goes_between_its_markers() {
        let page = "a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb\n<!-- scaling: end -->\n";
        let new = splice(page, "bench", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- bench: begin -->\n\nnew\n\n<!-- bench: end -->\nb\n<!-- scaling: end -->\n");
        assert_eq!(splice(&new, "bench", "new\n").unwrap(), new);
        let message = splice(page, "scaling", "new").unwrap_err().to_string();
        assert!(message.contains("`<!-- scaling: begin -->`"), "{message}");
        assert!(splice("<!-- bench: end --><!-- bench: begin -->\n", "bench", "new").is_err());
    }

    #[test]
    fn the_page_has_a_place_for_both() {
        for args in [&[][..], &["scaling"], &["--device", "cuda"]] {
            write(&parse(args).unwrap(), None).unwrap();
        }
    }

    #[test]
    fn days_become_dates() {
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(-1), (1969, 12, 31));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
        assert_eq!(civil_from_days(11_017), (2000, 3, 1));
        assert_eq!(civil_from_days(20_453), (2025, 12, 31));
        assert_eq!(civil_from_days(20_454), (2026, 1, 1));
    }

    #[test]
    fn processors_are_named_where_the_system_names_them() {
        assert_eq!(processor_model("processor\t: 0\nmodel name\t: AMD EPYC\n").unwrap(), "AMD EPYC");
        assert_eq!(processor_model("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
    }

    #[test]
    fn three_digits_are_enough() {
        assert_eq!([1234.5, 99.4, 5.678, 0.1234].map(digits), ["1234", "99.4", "5.68", "0.123"]);
    }
}
