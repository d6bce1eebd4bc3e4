//! Points at which a program changes files, and what can happen there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::OnceLock;

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The disk is full, and stays so.
    Full,
    /// The disk fails once.
    Broken,
    /// The file system refuses once.
    Denied,
    /// The process is killed, in the midst of what it writes.
    Kill,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Broken, Self::Denied, Self::Kill];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "ENOSPC",
            Self::Broken => "EIO",
            Self::Denied => "EACCES",
            Self::Kill => "kill",
        }
    }

    /// As `errno.h` of Linux has it; 0 kills.
    fn number(self) -> u32 {
        match self {
            Self::Full => 28,
            Self::Broken => 5,
            Self::Denied => 13,
            Self::Kill => 0,
        }
    }
}

/// A call: the how manieth on this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    turn: usize,
    /// Kind of the call and path below the folder, as the library writes them.
    line: String,
}

/// A fault at a point, as text such as `kill 1 rename out/config.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    pub(crate) fault: Fault,
    point: Point,
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.fault.name(), self.point.turn, self.point.line)
    }
}

impl FromStr for Try {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (fault, rest) = text.split_once(' ')?;
            let (turn, line) = rest.split_once(' ')?;
            let fault = Fault::ALL.into_iter().find(|known| known.name() == fault)?;
            Some(Self { fault, point: Point { turn: turn.parse().ok()?, line: line.to_owned() } })
        };
        parse().ok_or_else(|| format!("`{text}` is nothing like `kill 1 rename out/config.json`"))
    }
}

/// Every fault at every point of a log, the points in the order in which they were first met.
pub(crate) fn tries(log: &str) -> Vec<Try> {
    let mut turns = BTreeMap::new();
    let mut point = |line: &str| {
        let turn: &mut usize = turns.entry(line.to_owned()).or_default();
        *turn += 1;
        Point { turn: *turn, line: line.to_owned() }
    };
    let points: Vec<Point> = log.lines().map(&mut point).collect();
    points.iter().flat_map(|point| Fault::ALL.map(|fault| Try { fault, point: point.clone() })).collect()
}

/// A file that the library writes, outside of the folder that is watched.
pub(crate) struct Log(tempfile::NamedTempFile);

impl Log {
    /// Has a command watched, and fail where the try says.
    pub(crate) fn watch(command: &mut Command, folder: &Path, fault: Option<&Try>) -> Self {
        let log = Self(tempfile::NamedTempFile::new().unwrap());
        command
            .env("LD_PRELOAD", library())
            .env("FAULTS_ROOT", fs::canonicalize(folder).unwrap())
            .env("FAULTS_LOG", log.0.path());
        if let Some(Try { fault, point }) = fault {
            command
                .env("FAULTS_POINT", &point.line)
                .env("FAULTS_TURN", point.turn.to_string())
                .env("FAULTS_ERROR", fault.number().to_string())
                .env("FAULTS_STAYS", u8::from(*fault == Fault::Full).to_string());
        }
        log
    }

    /// The lines so far.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.0.path()).unwrap()
    }

    /// Whether the point was met.
    pub(crate) fn was_hit(&self) -> bool {
        self.text().lines().any(|line| line == "HIT")
    }
}

/// `points.c`, compiled by the C compiler that the workspace's build needs, too.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/points.c");
        let library =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("points-{}.so", std::process::id()));
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-std=gnu11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]);
        let output = compiler.arg(&library).arg(source).output();
        let output = output
            .expect("a C compiler is needed, named `cc` or by CC: on Debian, `apt install gcc libc6-dev`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        library
    })
}
