//! Libraries to link to that look for CUDA's own when one of their functions is first called.
//!
//! A program that is linked to CUDA itself does not start where a library of it is missing. These archives have a function
//! of every name that cudarc declares: a jump through a table, whose entries first lead to a resolver that loads the
//! library, and then to the library's function. Where there is no library, calls return the error that the library gives
//! when it cannot start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A library of CUDA.
struct Library {
    /// cudarc's module of it.
    module: &'static str,
    /// What linkers call it.
    name: &'static str,
    /// What the system's loader may find, best first.
    files: &'static [&'static str],
    /// What its functions return when it is missing.
    error: u32,
}

const LIBRARIES: [Library; 7] = [
    // No device.
    Library { module: "driver", name: "cuda", files: &["libcuda.so.1", "libcuda.so"], error: 100 },
    // Internal error.
    Library {
        module: "nvrtc",
        name: "nvrtc",
        files: &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"],
        error: 11,
    },
    // Not initialized, which it is in all that follow.
    Library { module: "curand", name: "curand", files: &["libcurand.so.10", "libcurand.so"], error: 101 },
    Library {
        module: "cublas",
        name: "cublas",
        files: &["libcublas.so.13", "libcublas.so.12", "libcublas.so"],
        error: 1,
    },
    Library {
        module: "cublaslt",
        name: "cublasLt",
        files: &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"],
        error: 1,
    },
    Library { module: "cudnn", name: "cudnn", files: &["libcudnn.so.9", "libcudnn.so"], error: 1001 },
    // System error.
    Library { module: "nccl", name: "nccl", files: &["libnccl.so.2", "libnccl.so"], error: 2 },
];

/// Asked for by candle's kernels; what we leave of them uses none of it.
const EMPTY: &str = "cudart";

/// Makes the archives, in a folder that looks like CUDA's, and gives it.
pub(super) fn generate(cudarc: &Path, folder: &Path) -> Result<PathBuf> {
    let libraries = folder.join("lib64");
    fs::create_dir_all(&libraries)?;
    for library in &LIBRARIES {
        let bindings = cudarc.join(format!("src/{}/sys/mod.rs", library.module));
        let text =
            fs::read_to_string(&bindings).with_context(|| format!("cannot read {}", bindings.display()))?;
        let functions = functions(&text);
        ensure!(!functions.is_empty(), "{} declares no functions", bindings.display());
        library.archive(&functions, &libraries)?;
    }
    fs::write(libraries.join(format!("lib{EMPTY}.a")), "!<arch>\n")?;
    Ok(folder.to_owned())
}

/// The functions that bindings declare to be C's, and whether they return text.
fn functions(bindings: &str) -> BTreeMap<&str, bool> {
    let mut found = BTreeMap::new();
    let mut lines = bindings.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line != "extern \"C\" {" {
            continue;
        }
        let declaration = lines.next().unwrap_or_default();
        let declaration = declaration.strip_prefix("pub ").unwrap_or(declaration);
        let name = declaration.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        if let Some(name) = name {
            found.insert(name, declaration.ends_with("-> *const ::core::ffi::c_char;"));
        }
    }
    found
}

impl Library {
    fn archive(&self, functions: &BTreeMap<&str, bool>, folder: &Path) -> Result<()> {
        let names: Vec<&str> = functions.keys().copied().collect();
        let file = |end: &str| folder.join(format!("{}{end}", self.name));
        let (c, assembler) = (file(".c"), file(".s"));
        fs::write(&c, self.resolver(functions))?;
        fs::write(&assembler, self.jumps(&names)?)?;
        let objects = [file("_c.o"), file("_s.o")];
        for (source, object) in [&c, &assembler].into_iter().zip(&objects) {
            run(Command::new("cc").args(["-c", "-O2", "-fPIC", "-o"]).arg(object).arg(source))?;
        }
        let archive = folder.join(format!("lib{}.a", self.name));
        let _ = fs::remove_file(&archive);
        run(Command::new("ar").arg("rcs").arg(archive).args(&objects))?;
        for file in objects.iter().chain([&c, &assembler]) {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    fn resolver(&self, functions: &BTreeMap<&str, bool>) -> String {
        let quoted =
            |texts: &[&str]| texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(",");
        let names: Vec<&str> = functions.keys().copied().collect();
        let texts: Vec<String> = functions.values().map(|text| u8::from(*text).to_string()).collect();
        include_str!("resolver.c")
            .replace("@LIB@", self.name)
            .replace("@FILES@", &quoted(self.files))
            .replace("@NAMES@", &quoted(&names))
            .replace("@TEXTS@", &texts.join(","))
            .replace("@ERROR@", &self.error.to_string())
    }

    /// For x86-64: all registers that hold arguments go through the resolver unchanged.
    fn jumps(&self, names: &[&str]) -> Result<String> {
        const ARGUMENTS: [&str; 6] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"];
        let lib = self.name;
        let mut text = " .text\n".to_owned();
        for (i, name) in names.iter().enumerate() {
            writeln!(text, " .globl {name}\n .type {name},@function\n{name}:")?;
            writeln!(
                text,
                " mov lazy_table_{lib}+{}(%rip), %r11\n jmp *%r11\n .size {name}, .-{name}",
                8 * i
            )?;
            writeln!(text, "lazy_{lib}_{i}: push ${i}\n jmp lazy_common_{lib}")?;
        }
        // Here the stack is aligned; seven registers and the room for eight vectors leave it so.
        writeln!(text, "lazy_common_{lib}:")?;
        for register in ARGUMENTS.iter().chain(&["rax"]) {
            writeln!(text, " push %{register}")?;
        }
        writeln!(text, " sub $136, %rsp")?;
        for i in 0..8 {
            writeln!(text, " movups %xmm{i}, {}(%rsp)", 16 * i)?;
        }
        writeln!(text, " mov 192(%rsp), %rdi\n call lazy_resolve_{lib}\n mov %rax, %r11")?;
        for i in 0..8 {
            writeln!(text, " movups {}(%rsp), %xmm{i}", 16 * i)?;
        }
        writeln!(text, " add $136, %rsp\n pop %rax")?;
        for register in ARGUMENTS.iter().rev() {
            writeln!(text, " pop %{register}")?;
        }
        // What is left is the function's number.
        writeln!(text, " add $8, %rsp\n jmp *%r11")?;
        writeln!(text, " .hidden lazy_table_{lib}\n .globl lazy_table_{lib}")?;
        writeln!(text, " .section .data.lazy,\"aw\"\n .balign 8\nlazy_table_{lib}:")?;
        for i in 0..names.len() {
            writeln!(text, " .quad lazy_{lib}_{i}")?;
        }
        writeln!(text, " .section .note.GNU-stack,\"\",@progbits")?;
        Ok(text)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} fails");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_bindings_are_found() {
        let bindings = "
            extern \"C\" {
                fn aVersion(v: *mut i32) -> aStatus;
            }
            extern \"C\" {
                pub fn aText(s: aStatus) -> *const ::core::ffi::c_char;
            }
            pub unsafe fn bSafe() {}";
        assert_eq!(functions(bindings), BTreeMap::from([("aVersion", false), ("aText", true)]));
    }

    /// Built, linked and called: with the library, without it, and with one that is too old.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn a_function_is_found_when_it_is_called() -> Result<()> {
        let dir = std::env::temp_dir().join(format!("cccm-stubs-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let library = Library { module: "", name: "lazytest", files: &["./liblazyreal.so"], error: 42 };
        let functions = BTreeMap::from([("lazy_sum", false), ("lazy_text", true), ("lazy_new", false)]);
        library.archive(&functions, &dir)?;
        let source = |name: &str, text: &str| fs::write(dir.join(name), text);
        source(
            "main.c",
            "#include <stdio.h>\nint lazy_sum(int, int, int, int, int, int, int, double);\nconst char *lazy_text(void);\n\
             int lazy_new(void);\nint main(void) {\nfor (int i = 0; i < 2; i++) printf(\"%d \", lazy_sum(1, 2, 3, 4, 5, 6, \
             7, 8.5));\nprintf(\"%s %d\\n\", lazy_text(), lazy_new()); }",
        )?;
        source(
            "real.c",
            "int lazy_sum(int a, int b, int c, int d, int e, int f, int g, double h) { return a + 2 * b + 3 * c + 4 * d + \
             5 * e + 6 * f + 7 * g + (int)(2 * h); }\nconst char *lazy_text(void) { return \"found\"; }",
        )?;
        let cc = |args: &[&str]| run(Command::new("cc").current_dir(&dir).args(args));
        cc(&["-o", "main", "main.c", "-L.", "-llazytest", "-ldl"])?;
        let said = || -> Result<String> {
            let output = Command::new(dir.join("main")).current_dir(&dir).output()?;
            Ok(String::from_utf8(output.stdout)?)
        };
        assert_eq!(said()?, "42 42 the library is missing 42\n");
        cc(&["-shared", "-fPIC", "-o", "liblazyreal.so", "real.c"])?;
        assert_eq!(said()?, "157 157 found 42\n");
        fs::remove_dir_all(&dir)?;
        Ok(())
    }
}
