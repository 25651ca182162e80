//! Runs the `waxwing` binary against a test cluster, as its own process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::call::isolate;
use crate::cluster::{Cluster, free_port};
use crate::failure::Failure;
use crate::own_network::{listen_address, map_root_user};
use crate::process::Process;
use crate::run_dir::RunDir;
use crate::tools::Tools;

const PATIENCE: Duration = Duration::from_secs(60);

/// Mounts a volume in memory with the options `$1` at `$2` and becomes the program that the other arguments name.
const MOUNT: &str = r#"mount -t tmpfs -o "mode=700,$1" tmpfs "$2" && shift 2 && exec "$@""#;

/// Says which controller to run, and how.
#[derive(Clone, Debug)]
pub struct ControllerOptions {
    /// The binary: `env!("CARGO_BIN_EXE_waxwing")` in the package's own tests.
    pub program: PathBuf,
    /// Whose rights it has; without this the cluster administrator's.
    pub kubeconfig: Option<PathBuf>,
    /// The program that builds kustomizations; without this the real one.
    pub kustomize: Option<PathBuf>,
    /// Further arguments. The harness gives `--listen`, `--state-dir` and `--kustomize`.
    pub arguments: Vec<String>,
    /// How many bytes the volume of its state has, in memory; without this it is an ordinary folder.
    pub volume: Option<u64>,
    /// Variables of its environment beside `PATH`, `HOME`, `TMPDIR` and `KUBECONFIG`.
    pub environment: Vec<(String, String)>,
}

impl ControllerOptions {
    /// Returns options for this binary with these further arguments.
    pub fn new(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let program = program.into();
        Self { program, kubeconfig: None, kustomize: None, arguments, volume: None, environment: Vec::new() }
    }
}

/// Is a running controller; it ends when this value is dropped, or when the process ends in any way.
pub struct Controller {
    process: Process,
    options: ControllerOptions,
    kubeconfig: PathBuf,
    kustomize: PathBuf,
    port: u16,
    dir: RunDir,
}

impl Controller {
    /// Starts a controller and waits until its `/readyz` says that it is ready.
    ///
    /// # Errors
    /// [`Failure::Start`] with the end of its log when it does not become ready.
    pub fn start(cluster: &Cluster, options: ControllerOptions) -> Result<Self, Failure> {
        let mut controller = Self::launch(cluster, options)?;
        controller.wait_ready()?;
        Ok(controller)
    }

    /// Starts a controller and does not wait, for tests of what happens on the way to ready.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be started.
    pub fn launch(cluster: &Cluster, options: ControllerOptions) -> Result<Self, Failure> {
        let dir = RunDir::new("controller")?;
        let kubeconfig = options.kubeconfig.clone().unwrap_or_else(|| cluster.kubeconfig());
        let kustomize = match &options.kustomize {
            Some(program) => program.clone(),
            None => Tools::locate()?.path("kustomize")?,
        };
        let port = free_port()?;
        dir.folder("state")?;
        dir.folder("home")?;
        let process = Process::start("waxwing", command(&options, &dir, &kubeconfig, &kustomize, port), log(&dir))?;
        Ok(Self { process, options, kubeconfig, kustomize, port, dir })
    }

    /// Kills the controller if it still runs, and starts it again on the same port with the same state, without
    /// waiting. Its log goes on.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be started.
    pub fn restart(&mut self) -> Result<(), Failure> {
        self.process.kill();
        let command = command(&self.options, &self.dir, &self.kubeconfig, &self.kustomize, self.port);
        self.process = Process::start("waxwing", command, log(&self.dir))?;
        Ok(())
    }

    /// Waits until `/readyz` says that the controller is ready.
    ///
    /// # Errors
    /// [`Failure::Start`] with the end of its log when it does not become ready, or ended.
    pub fn wait_ready(&mut self) -> Result<(), Failure> {
        let port = self.port;
        self.process.wait_ready(PATIENCE, || match http_get(port, "/readyz") {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => Err(format!("/readyz answers {status}: {body}")),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Returns the status and body of the controller's answer to a GET of `path`.
    ///
    /// # Errors
    /// [`Failure::Io`] when it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String), Failure> {
        http_get(self.port, path).map_err(Failure::io(format!("get {path} from the controller")))
    }

    /// Returns the status and body of the controller's answer to a POST of `body` to `path`, with further headers as lines.
    ///
    /// # Errors
    /// [`Failure::Io`] when it does not answer.
    pub fn post(&self, path: &str, headers: &str, body: &str) -> Result<(u16, String), Failure> {
        let head = format!("POST {path} HTTP/1.0\r\n{headers}Content-Length: {}\r\n", body.len());
        exchange(self.port, &head, body).map_err(Failure::io(format!("post {path} to the controller")))
    }

    /// Returns the port of the controller's server on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address of `path` on the controller's server.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks the controller to end (SIGTERM) and returns how it did.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when it still runs after `within`.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus, Failure> {
        self.process.terminate();
        self.process.wait(within)
    }

    /// Asks the controller to end (SIGTERM) and does not wait.
    pub fn ask_to_end(&mut self) {
        self.process.terminate();
    }

    /// Kills the controller at once (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops the controller without ending it (SIGSTOP).
    pub fn freeze(&mut self) {
        self.process.freeze();
    }

    /// Lets a frozen controller go on (SIGCONT).
    pub fn thaw(&mut self) {
        self.process.thaw();
    }

    /// Waits until the controller ended by itself, and returns how.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when it still runs after `within`.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus, Failure> {
        self.process.wait(within)
    }

    /// Returns the controller's process, to look at it from outside.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Returns all that the controller wrote to standard output and standard error since the first start.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.process.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the folder that holds every file that the controller may write: its state, its home, its temporary
    /// files, its log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn command(options: &ControllerOptions, dir: &RunDir, kubeconfig: &Path, kustomize: &Path, port: u16) -> Command {
    let mut command = program(options, &dir.join("state"));
    isolate(&mut command, &dir.join("home"));
    command
        .env("KUBECONFIG", kubeconfig)
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .arg(format!("--listen={}:{port}", listen_address()))
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("--kustomize")
        .arg(kustomize)
        .args(&options.arguments);
    command
}

/// Returns the command that starts the program, in mounts of its own where its state has a volume of its own: nobody else sees
/// that, and it goes with the program.
fn program(options: &ControllerOptions, state: &Path) -> Command {
    let Some(bytes) = options.volume else { return Command::new(&options.program) };
    let mut command = Command::new("unshare");
    command.args(map_root_user()).args(["--mount", "sh", "-c", MOUNT, "sh"]);
    command.arg(format!("size={bytes}")).arg(state).arg(&options.program);
    command
}

fn log(dir: &RunDir) -> PathBuf {
    dir.join("waxwing.log")
}

fn http_get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    exchange(port, &format!("GET {path} HTTP/1.0\r\n"), "")
}

/// Asks with HTTP/1.0, where the end of the connection is the end of the body. Who is refused may not have read all of it.
fn exchange(port: u16, head: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let _ = write!(stream, "{head}Host: 127.0.0.1:{port}\r\n\r\n{body}");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
    Ok((status, body.to_owned()))
}
