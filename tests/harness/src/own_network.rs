//! Runs a test in a network of its own (a Linux network namespace), which has nothing but loopback and one address
//! more.
//!
//! The API server's service proxy refuses loopback addresses, and a test may listen nowhere else. Inside such a
//! network it may, since nobody can reach it. Whoever is not root needs a system that allows user namespaces.

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::failure::Failure;
use crate::process::Process;
use crate::run_dir::RunDir;

/// The address beside loopback that a test's own network has (RFC 5737: nobody's in the world outside).
pub const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Tells a test that it is inside already.
const INSIDE: &str = "WAXWING_OWN_NETWORK";

const PATIENCE: Duration = Duration::from_secs(300);

/// Switches loopback on, gives it the address `argv[1]` (netdevice(7): SIOCSIFFLAGS, SIOCSIFADDR), and becomes the
/// program that the other arguments name.
const BECOME: &str = r#"
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 1))
    fcntl.ioctl(s, 0x8916, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// Runs `body` in a network of its own. To get there, the test binary is started once more for the one test that calls
/// this, whose full name is `test`.
///
/// # Errors
/// What `body` returns, or [`Failure::Run`] with the inner test's output.
pub fn in_own_network(test: &str, body: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    if is_own_network() {
        return body();
    }
    let dir = RunDir::new("network")?;
    let itself = env::current_exe().map_err(Failure::io("find the test's own binary"))?;
    let mut command = Command::new("unshare");
    command
        .args(map_root_user())
        .args(["--net", "python3", "-c", BECOME])
        .arg(OWN_ADDRESS.to_string())
        .arg(itself)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, test);
    let mut process = Process::start(test, command, dir.join("output"))?;
    let status = process.wait(PATIENCE)?;
    let output = fs::read_to_string(process.log()).unwrap_or_default();
    // A misspelt name would run no test, and succeed.
    if status.success() && output.contains("test result: ok. 1 passed") {
        return Ok(());
    }
    Err(Failure::Run { line: format!("{test} in its own network"), status: status.to_string(), stderr: output })
}

/// Returns the address on which servers listen that the API server's proxy should reach: any, where nobody else can.
pub(crate) fn listen_address() -> Ipv4Addr {
    if is_own_network() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }
}

/// Returns what `unshare` needs to be told when the user is not root.
pub(crate) fn map_root_user() -> Option<&'static str> {
    (!rustix::process::geteuid().is_root()).then_some("--map-root-user")
}

fn is_own_network() -> bool {
    env::var_os(INSIDE).is_some()
}
