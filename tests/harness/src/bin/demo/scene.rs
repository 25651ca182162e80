//! Everything that the demo runs: a cluster, a tenant in it, a repository, the controller, and the two command lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use waxwing_harness::{
    Call, Cluster, ClusterOptions, Controller, ControllerOptions, GitRepo, RunDir, Tools, eventually,
};

use crate::error::Error;
use crate::programs::Programs;
use crate::screen::Screen;

/// Where the repository of Waxwing is.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many lines of the controller's log are shown when something went wrong.
const LOG_LINES: usize = 15;

/// Owns all that runs; what is dropped first ends first.
pub(crate) struct Scene {
    controller: Controller,
    pub(crate) repo: GitRepo,
    pub(crate) cluster: Cluster,
    home: RunDir,
    seal: PathBuf,
}

impl Scene {
    /// Starts a cluster with a tenant, makes the repository, and starts the controller.
    pub(crate) fn set(programs: Programs, screen: &mut Screen) -> Result<Self, Error> {
        let options = ClusterOptions { controller_manager: true, kwok: true, audit: false };
        let what = "Kubernetes: etcd, the API server with RBAC, the controller manager, kwok";
        let cluster = screen.step(what, || Cluster::start(options))?;
        screen.command("kubectl apply --server-side -f crds")?;
        cluster.kubectl_call(&["apply", "--server-side", "-f"]).arg(Path::new(WORKSPACE).join("crds")).text()?;
        screen.command("kubectl create namespace waxwing-system")?;
        cluster.kubectl(&["create", "namespace", "waxwing-system"])?;
        let arguments = ["--allow-file-sources", "--log-format=json"];
        let options = ControllerOptions::new(programs.waxwing, &arguments);
        let controller = screen.step("waxwing, as a process of its own", || Controller::start(&cluster, options))?;
        let repo = GitRepo::new()?;
        repo.copy_folder(&example("fleet"), "")?;
        Ok(Self { controller, repo, cluster, home: RunDir::new("demo")?, seal: programs.seal })
    }

    /// Gives the tenant its namespace, its rights, and the age identity.
    pub(crate) fn admit_tenant(&self, screen: &mut Screen) -> Result<(), Error> {
        screen.command("kubectl apply -f keys-example/cluster/tenant.yaml")?;
        let said = self.cluster.kubectl_call(&["apply", "-f"]).arg(example("cluster/tenant.yaml")).text()?;
        screen.indented(&said)?;
        screen.command("kubectl -n shop describe role deployer")?;
        let said = self.cluster.kubectl(&["-n", "shop", "describe", "role", "deployer"])?;
        screen.indented(said.split_once("PolicyRule:\n").map_or(said.as_str(), |(_, rules)| rules))?;
        screen.command("kubectl -n shop create secret generic sops-age --from-file=keys-example/age.agekey")?;
        let key = format!("--from-file={}", example("age.agekey").display());
        let said = self.cluster.kubectl(&["-n", "shop", "create", "secret", "generic", "sops-age", &key])?;
        screen.indented(&said)
    }

    /// Seals a Secret that `kubectl` makes of a value on its standard input, for the running controller.
    pub(crate) fn seal_manifest(&self, value: &str, screen: &mut Screen) -> Result<(), Error> {
        let create = "-n shop create secret generic api-token --from-file=token=/dev/stdin --dry-run=client -o yaml";
        let cert = self.certificate();
        screen.command(&format!("echo -n ... | kubectl {create} \\\n  | seal --cert {cert} > shop/api-token.yaml"))?;
        let manifest = self.cluster.kubectl_call(&create.split(' ').collect::<Vec<_>>()).stdin(value).text()?;
        let sealed = Call::new(&self.seal, self.home.path()).args(["--cert", &cert]).stdin(manifest).text()?;
        Ok(self.repo.write("shop/api-token.yaml", sealed)?)
    }

    /// Seals a value again with `seal new`, which needs no manifest.
    pub(crate) fn seal_value(&self, value: &str, screen: &mut Screen) -> Result<(), Error> {
        let cert = self.certificate();
        let new = format!("new api-token -n shop --from-file token=- --cert {cert}");
        screen.command(&format!("echo -n ... | seal {new} > shop/api-token.yaml"))?;
        let sealed = Call::new(&self.seal, self.home.path()).args(new.split(' ')).stdin(value).text()?;
        Ok(self.repo.write("shop/api-token.yaml", sealed)?)
    }

    /// Adds the sealed file to the kustomization, with the real kustomize.
    pub(crate) fn add_to_kustomization(&self, screen: &mut Screen) -> Result<(), Error> {
        screen.command("(cd shop && kustomize edit add resource api-token.yaml)")?;
        let kustomize = Tools::locate()?.path("kustomize")?;
        let call = Call::new(&kustomize, self.home.path()).dir(&self.repo.tree().join("shop"));
        call.args(["edit", "add", "resource", "api-token.yaml"]).text()?;
        Ok(())
    }

    /// Replaces a piece of a file of the working tree that must stand in it.
    pub(crate) fn edit(&self, file: &str, old: &str, new: &str) -> Result<(), Error> {
        let path = self.repo.tree().join(file);
        let text = fs::read_to_string(&path).ok().filter(|text| text.contains(old));
        let text = text.ok_or(Error::Example { path })?;
        Ok(self.repo.write(file, text.replacen(old, new, 1))?)
    }

    /// Removes the line of a file of the working tree that begins with `start`, whatever its indentation.
    pub(crate) fn remove_line(&self, file: &str, start: &str) -> Result<(), Error> {
        let path = self.repo.tree().join(file);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let line = text.split_inclusive('\n').find(|line| line.trim_start().starts_with(start));
        self.edit(file, line.ok_or(Error::Example { path })?, "")
    }

    /// Returns the names of the files in a folder of the working tree.
    pub(crate) fn files(&self, folder: &str) -> Result<String, Error> {
        let entries = fs::read_dir(self.repo.tree().join(folder))?;
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names.join("  "))
    }

    /// Commits all changes and returns the commit.
    pub(crate) fn commit(&self, message: &str, screen: &mut Screen) -> Result<String, Error> {
        screen.command(&format!("git commit --all --message '{message}' && git push"))?;
        let commit = self.repo.commit(message)?;
        screen.indented(&format!("commit {commit}"))?;
        Ok(commit)
    }

    /// Tells the controller of the repository, and what to do with it.
    pub(crate) fn apply_sync(&self, screen: &mut Screen) -> Result<(), Error> {
        let path = example("cluster/sync.yaml");
        let text = fs::read_to_string(&path).ok().filter(|text| text.contains(EXAMPLE_URL));
        let text = text.ok_or(Error::Example { path })?.replace(EXAMPLE_URL, &self.repo.file_url());
        screen
            .command("kubectl apply -f keys-example/cluster/sync.yaml    (with the address of the repository above)")?;
        let said = self.cluster.kubectl_call(&["apply", "-f-"]).stdin(text).text()?;
        screen.indented(&said)
    }

    /// Asks for a fetch now. Without that, the new commit is seen within the minute of the GitSource's interval.
    pub(crate) fn ask_for_fetch(&self, commit: &str, screen: &mut Screen) -> Result<(), Error> {
        screen.command("kubectl -n shop annotate gitsource fleet --overwrite waxwing.dev/requestedAt=\"$(date)\"")?;
        let request = format!("waxwing.dev/requestedAt={commit}");
        self.cluster.kubectl(&["-n", "shop", "annotate", "gitsource", "fleet", "--overwrite", &request])?;
        Ok(())
    }

    /// Waits until Ready says `status` about `commit`, shows what it says on the way, and returns its reason and message.
    pub(crate) fn wait_for(&self, status: &str, commit: &str, screen: &mut Screen) -> Result<Verdict, Error> {
        let mut shown = String::new();
        screen.talking_step("the Sync's condition Ready", |screen| {
            let found = eventually(PATIENCE, "the Sync's verdict", || {
                let sync = self.get(&["sync", "shop"]).map_err(|error| error.to_string())?;
                let verdict = Verdict::of(&sync);
                let line = verdict.to_string();
                if line != shown && verdict.is_about(commit) {
                    screen.wrapped(&line).map_err(|error| error.to_string())?;
                    shown.clone_from(&line);
                }
                let done = verdict.status == status && verdict.is_about(commit);
                if done { Ok(verdict) } else { Err(line) }
            });
            Ok(found?)
        })
    }

    /// Reads objects of the tenant's namespace as JSON.
    pub(crate) fn get(&self, what: &[&str]) -> Result<Value, Error> {
        let text = self.cluster.kubectl_call(&["-n", "shop", "get", "-o", "json"]).args(what).text()?;
        serde_json::from_str(&text).map_err(|_| Error::Answer { program: "kubectl" })
    }

    /// Returns the controller's log.
    pub(crate) fn log(&self) -> String {
        self.controller.log()
    }

    /// Returns the file that has the controller's log.
    pub(crate) fn log_file(&self) -> &Path {
        self.controller.process().log()
    }

    /// Returns the last lines of the controller's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let (_, tail) = lines.split_at(lines.len().saturating_sub(LOG_LINES));
        tail.join("\n")
    }

    /// Returns the address that the running controller serves its certificate at.
    fn certificate(&self) -> String {
        self.controller.url("/v1/cert.pem")
    }

    /// Ends the controller as a cluster would, then all the rest, and returns the folders that must be gone by then.
    pub(crate) fn strike(mut self) -> Result<Vec<PathBuf>, Error> {
        let status = self.controller.terminate(PATIENCE)?;
        if !status.success() {
            return Err(Error::Claim { claim: format!("the controller ended with {status}") });
        }
        let repo = self.repo.bare().parent().map(Path::to_owned);
        let folders = [self.controller.dir(), self.cluster.logs(), self.home.path()].map(Path::to_owned);
        Ok(folders.into_iter().chain(repo).collect())
    }
}

/// The address in the example that the demo's repository takes the place of.
const EXAMPLE_URL: &str = "https://git.example.com/shop/fleet.git";

/// What a Sync's condition Ready says, and about which revision.
pub(crate) struct Verdict {
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    attempted: String,
}

impl Verdict {
    fn of(sync: &Value) -> Self {
        let conditions = sync.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|condition| text(condition, "/type") == "Ready");
        let ready = ready.unwrap_or(&Value::Null);
        Self {
            status: text(ready, "/status"),
            reason: text(ready, "/reason"),
            message: text(ready, "/message"),
            attempted: text(sync, "/status/lastAttemptedRevision"),
        }
    }

    fn is_about(&self, commit: &str) -> bool {
        self.attempted.ends_with(commit)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready={} {}: {}", self.status, self.reason, self.message)
    }
}

/// Returns the text at a JSON pointer, or nothing.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn example(name: &str) -> PathBuf {
    Path::new(WORKSPACE).join("keys-example").join(name)
}
