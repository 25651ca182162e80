//! A key service that runs beside a test, and ends with it.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use waxwing_harness::Process;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A key service that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: String,
    /// Where it runs.
    pub(crate) folder: TempDir,
}

impl Running {
    /// Starts one in a folder, which `command` runs in.
    pub(crate) fn start(mut command: Command, network: &str, folder: TempDir) -> Self {
        let (at, address) = match network {
            "unix" => {
                let socket = folder.path().join("keys.sock").display().to_string();
                (socket.clone(), format!("unix://{socket}"))
            }
            _ => {
                let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
                (format!("127.0.0.1:{port}"), format!("tcp://127.0.0.1:{port}"))
            }
        };
        command.args(["keyservice", "--network", network, "--address", &at, "--verbose"]);
        let mut process = Process::start("keyservice", command, folder.path().join("log")).unwrap();
        process
            .wait_ready(PATIENCE, || {
                let connected = match network {
                    "unix" => UnixStream::connect(&at).map(drop),
                    _ => TcpStream::connect(&at).map(drop),
                };
                connected.map_err(|error| error.to_string())
            })
            .unwrap();
        Self { process, address, folder }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.process.log()).unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("keys.sock")
    }
}
