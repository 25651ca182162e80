//! Runs the real PostgreSQL of the machine, with a database of its own in a private folder.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::call::{Call, isolate};
use crate::cluster::{free_port, start_with_free_ports};
use crate::failure::Failure;
use crate::process::Process;
use crate::run_dir::RunDir;
use crate::tools::Tools;

const PATIENCE: Duration = Duration::from_secs(60);
/// Who may do everything, and that one's password.
const ADMIN: (&str, &str) = ("admin-of-a-test", "password-of-a-test");
/// The user `nobody`, as whom it runs where the tests run as root: it refuses to run as that.
const NOBODY: u32 = 65534;

/// Is a running server; it ends when this value is dropped, or when the process ends in any way.
pub struct Postgres {
    port: u16,
    _process: Process,
    dir: RunDir,
}

impl Postgres {
    /// Starts a server with an empty database and waits until it answers.
    ///
    /// # Errors
    /// [`Failure::Start`] with the end of its log when it does not come up.
    pub fn start() -> Result<Self, Failure> {
        start_with_free_ports(Self::try_start)
    }

    fn try_start() -> Result<Self, Failure> {
        let dir = RunDir::new("postgres")?;
        let (data, password) = (dir.folder("data")?, dir.write("password", ADMIN.1)?);
        for path in [&data, &password].into_iter().filter(|_| is_root()) {
            chown(path, Some(NOBODY), Some(NOBODY)).map_err(Failure::io("give a folder to the database"))?;
        }
        // Others may go through it, but not see what is in it.
        let through = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(dir.path(), through).map_err(Failure::io("let the database into its folder"))?;
        let (program, arguments) = as_somebody("initdb")?;
        let init =
            Call::new(&program, dir.path()).args(arguments).arg("--pgdata").arg(&data).arg("--pwfile").arg(&password);
        let settings = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"];
        init.arg(format!("--username={}", ADMIN.0)).args(settings).text()?;
        let port = free_port()?;
        let (program, arguments) = as_somebody("postgres")?;
        let mut server = Command::new(program);
        isolate(&mut server, dir.path());
        server.args(arguments).arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=8MB"] {
            server.args(["-c", setting]);
        }
        let mut process = Process::start("postgres", server, dir.join("postgres.log"))?;
        process.wait_ready(PATIENCE, || match ask(&dir, port, ADMIN, "select 1") {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.to_string()),
        })?;
        Ok(Self { port, _process: process, dir })
    }

    /// Returns where it is, as OpenBao's `connection_url` has it, and who may do everything there, with the password.
    pub fn connection(&self) -> (String, &'static str, &'static str) {
        let url =
            format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable", self.port);
        (url, ADMIN.0, ADMIN.1)
    }

    /// Tells whether somebody may log in.
    pub fn lets_in(&self, user: &str, password: &str) -> bool {
        ask(&self.dir, self.port, (user, password), "select 1").is_ok()
    }

    /// Returns the users whose names begin so.
    ///
    /// # Errors
    /// [`Failure::Run`] when it does not answer.
    pub fn users(&self, beginning: &str) -> Result<Vec<String>, Failure> {
        let question = "select rolname from pg_roles order by 1";
        let all = ask(&self.dir, self.port, ADMIN, question)?;
        Ok(all.lines().filter(|user| user.starts_with(beginning)).map(str::to_owned).collect())
    }
}

fn ask(dir: &RunDir, port: u16, (user, password): (&str, &str), question: &str) -> Result<String, Failure> {
    let call = Call::new(&Tools::locate()?.path("psql")?, dir.path());
    let call = call.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "10");
    let call = call.args(["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--host=127.0.0.1"]);
    let (port, user) = (format!("--port={port}"), format!("--username={user}"));
    call.args([&port, &user, "--dbname=postgres", "--command", question]).text()
}

/// Returns a program of the server with what stands before its arguments, so that it is not run as root.
fn as_somebody(program: &str) -> Result<(PathBuf, Vec<OsString>), Failure> {
    let program = Tools::locate()?.path(program)?;
    if !is_root() {
        return Ok((program, Vec::new()));
    }
    let nobody = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
    Ok(("setpriv".into(), nobody.into_iter().map(OsString::from).chain([program.into_os_string()]).collect()))
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
