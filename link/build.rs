//! Tells how `waxwing` and `seal` are linked where they are built to be used; the build script of both packages.
//!
//! - The functions that a run needs stand together, in the order of a file that is empty until `link/release` writes it:
//!   `docs/decisions/044-what-runs-stands-together.md`.
//! - `seal` is at a fixed address and unwinds without a library of its own:
//!   `docs/decisions/034-a-fixed-address-for-seal.md`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=Cargo.toml");
    let is = |name: &str, value: &str| env::var(name).as_deref() == Ok(value);
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if !(is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")) {
        return Ok(());
    }
    // Where the compiler brings a linker of its own that takes such a list.
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        in_order(&folder.join("order"))?;
    }
    if is("CARGO_PKG_NAME", "seal") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
        unwinding_within(&folder)?;
    }
    Ok(())
}

/// Has the linker put the functions that a file names first. What is not in the program is passed over.
fn in_order(file: &Path) -> io::Result<()> {
    fs::OpenOptions::new().create(true).append(true).open(file)?;
    println!("cargo::rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", file.display());
    println!("cargo::rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    Ok(())
}

/// Stands the archive of what unwinds the stack in for the shared library of the same, where the C compiler has it.
fn unwinding_within(folder: &Path) -> io::Result<()> {
    let found = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    let archive = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if Path::new(&archive).is_absolute() {
        fs::write(folder.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n")?;
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    Ok(())
}
