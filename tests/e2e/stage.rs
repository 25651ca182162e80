//! What most tests here need: the shared cluster with our resources, one controller, and a namespace of the test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;
use waxwing_harness::{
    AgeKey, Cluster, ClusterOptions, Controller, ControllerOptions, Failure, GitRepo, HARNESS, Tools, Upstream,
    eventually,
};

/// How long anything may take that is expected to happen: more than the controller waits for one answer (`LONGEST_ANSWER`).
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The namespace of the controller.
pub(crate) const SYSTEM: &str = "waxwing-system";

/// The folder of the repository that the tests stand in.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cluster of this test binary, with Waxwing's definitions and namespace.
pub(crate) fn cluster() -> &'static Cluster {
    static PREPARED: OnceLock<&'static Cluster> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let cluster = Cluster::shared().unwrap();
        prepare(cluster).unwrap();
        cluster
    })
}

/// Starts a cluster for some of the tests, with Waxwing's definitions and namespace. It ends with the process.
pub(crate) fn further_cluster(options: ClusterOptions) -> &'static Cluster {
    let cluster = Box::leak(Box::new(Cluster::start(options).unwrap()));
    prepare(cluster).unwrap();
    cluster
}

/// A cluster for one of the tests that start a controller of their own, or want none: no other test has it meanwhile. Namespaces of
/// the tests before may be there, with their Syncs suspended.
pub(crate) struct Alone(Option<&'static Cluster>);

/// The clusters that nobody has, and how many more may be started: two in all, since most of these tests wait more than they work.
struct Idle {
    started: Vec<&'static Cluster>,
    more: usize,
}

static IDLE: Mutex<Idle> = Mutex::new(Idle { started: Vec::new(), more: 2 });
static GIVEN_BACK: Condvar = Condvar::new();

impl Alone {
    /// Waits until there is a cluster that no other test has.
    pub(crate) fn new() -> Self {
        let idle = IDLE.lock().unwrap();
        let mut idle = GIVEN_BACK.wait_while(idle, |idle| idle.started.is_empty() && idle.more == 0).unwrap();
        if let Some(cluster) = idle.started.pop() {
            return Self(Some(cluster));
        }
        idle.more -= 1;
        drop(idle);
        let mut alone = Self(None);
        let options = ClusterOptions { controller_manager: true, audit: true, ..ClusterOptions::default() };
        alone.0 = Some(further_cluster(options));
        alone
    }

    pub(crate) fn cluster(&self) -> &'static Cluster {
        self.0.unwrap()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap();
        match self.0 {
            Some(cluster) => idle.started.push(cluster),
            // It could not be started.
            None => idle.more += 1,
        }
        GIVEN_BACK.notify_one();
    }
}

/// Installs Waxwing's definitions and namespace.
pub(crate) fn prepare(cluster: &Cluster) -> Result<(), Failure> {
    cluster.kubectl_call(&["apply", "--server-side", "--filename"]).arg(workspace().join("crds")).text()?;
    cluster.kubectl(&["create", "namespace", SYSTEM])?;
    // A request that comes earlier may be refused or kept waiting.
    cluster
        .kubectl(&["wait", "--for=condition=Established", "--timeout=120s", "customresourcedefinitions", "--all"])
        .map(drop)
}

static CONTROLLER: OnceLock<Controller> = OnceLock::new();

/// The one controller that the tests of this binary share.
pub(crate) fn controller() -> &'static Controller {
    CONTROLLER.get_or_init(|| start_controller(cluster(), &[]).unwrap())
}

/// Starts a controller of its own.
pub(crate) fn start_controller(cluster: &Cluster, arguments: &[&str]) -> Result<Controller, Failure> {
    let mut all = vec!["--allow-file-sources"];
    all.extend(arguments);
    Controller::start(cluster, ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &all))
}

/// A Kustomize that takes its time: it says that it was started, and builds once it may.
const SLOW_KUSTOMIZE: &str = r#"#!/bin/sh
: >"FOLDER/started"
while [ ! -e "FOLDER/go" ]; do /bin/sleep 0.05; done
exec "KUSTOMIZE" "$@"
"#;

/// Writes a Kustomize into a folder that makes a file `started` there, and builds once there is a file `go`.
pub(crate) fn slow_kustomize(folder: &Path) -> Result<PathBuf, Failure> {
    let kustomize = Tools::locate()?.path("kustomize")?;
    let script = SLOW_KUSTOMIZE.replace("FOLDER", folder.to_str().unwrap());
    let program = folder.join("slow-kustomize");
    std::fs::write(&program, script.replace("KUSTOMIZE", kustomize.to_str().unwrap())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    Ok(program)
}

/// A tenant: a namespace with a ServiceAccount that may do everything in it, a repository, and an age key.
pub(crate) struct Stage {
    pub(crate) cluster: &'static Cluster,
    pub(crate) namespace: String,
    pub(crate) repo: GitRepo,
    pub(crate) upstream: Upstream,
    pub(crate) age: AgeKey,
    /// Whether the repository is asked for news every second, and not when there are any.
    polled: bool,
}

impl Stage {
    /// Makes a tenant in a new namespace, and makes sure that the shared controller runs.
    pub(crate) fn new(name: &str) -> Self {
        controller();
        Self::without_controller(name)
    }

    /// Makes a tenant in a new namespace of the shared cluster.
    pub(crate) fn without_controller(name: &str) -> Self {
        Self::on(cluster(), name)
    }

    /// Makes a tenant in a new namespace of this cluster.
    pub(crate) fn on(cluster: &'static Cluster, name: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let upstream = Upstream::new().unwrap();
        let age = upstream.age_keygen().unwrap();
        let stage = Self { cluster, namespace, repo: GitRepo::new().unwrap(), upstream, age, polled: false };
        cluster.apply_yaml(&tenant(&stage.namespace, &stage.age)).unwrap();
        stage
    }

    /// Lets the repository be asked for news every second, where nobody can be told of a commit.
    pub(crate) fn polled(mut self) -> Self {
        self.polled = true;
        self
    }

    /// Writes files into the repository and commits them; returns the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            self.repo.write(path, text).unwrap();
        }
        let commit = self.repo.commit("change").unwrap();
        self.announce(&commit);
        commit
    }

    /// Has the repository asked for a commit now, if there is a GitSource yet: asked every second, those of all tests would keep
    /// the controller busy.
    pub(crate) fn announce(&self, commit: &str) {
        if self.polled {
            return;
        }
        let request = serde_json::json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": commit}}});
        match self.cluster.merge(&self.path("gitsource/fleet").unwrap(), &request) {
            Err(failure) if !failure.is_not_found() => panic!("{failure}"),
            Ok(_) | Err(_) => {}
        }
    }

    /// Creates the GitSource and a Sync of the folder `path`; `more` is YAML that goes into the Sync's spec.
    pub(crate) fn sync(&self, path: &str, more: &str) {
        let keys = "secrets:\n  keysFrom: [{secretRef: {name: sops-age}}]";
        let sync = format!("path: {path}\nserviceAccountName: deployer\n{keys}\n{more}");
        let both =
            format!("{}---{}", self.source_document("fleet", &self.own_repository()), self.sync_document("app", &sync));
        self.cluster.apply_yaml(&both).unwrap();
    }

    /// Creates the GitSource of the tenant's repository.
    pub(crate) fn source(&self) {
        self.git_source("fleet", &self.own_repository());
    }

    fn own_repository(&self) -> String {
        let interval = if self.polled { "1s" } else { "1h" };
        format!("{{url: '{}', interval: {interval}}}", self.repo.file_url())
    }

    /// Creates a GitSource of any repository; `spec` is YAML in one line.
    pub(crate) fn git_source(&self, name: &str, spec: &str) {
        self.cluster.apply_yaml(&self.source_document(name, spec)).unwrap();
    }

    fn source_document(&self, name: &str, spec: &str) -> String {
        let namespace = &self.namespace;
        format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: GitSource\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    }

    /// Creates a Sync of the GitSource that is told when to try again and what else stands in `spec`, as YAML.
    pub(crate) fn declare(&self, name: &str, spec: &str) {
        self.cluster.apply_yaml(&self.sync_document(name, spec)).unwrap();
    }

    fn sync_document(&self, name: &str, spec: &str) -> String {
        let namespace = &self.namespace;
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        format!(
            r#"
apiVersion: waxwing.dev/v1alpha1
kind: Sync
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  sourceRef: {{name: fleet}}
  interval: 1h
  retryInterval: 2s
{spec}"#
        )
    }

    /// Runs kubectl in the tenant's namespace, as admin.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        self.cluster.kubectl(&all)
    }

    /// Reads an object, such as `configmap/settings`, or all of a kind, such as `syncs`, as JSON.
    pub(crate) fn get(&self, object: &str) -> Result<Value, Failure> {
        if let Some(path) = self.path(object) {
            return self.cluster.get(&path);
        }
        let text = self.kubectl(&["get", object, "--output", "json"])?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// Returns the path of what tests ask for again and again until it is so.
    pub(crate) fn path(&self, object: &str) -> Option<String> {
        let (kind, name) = object.split_once('/').unwrap_or((object, ""));
        let resources = match kind {
            "configmap" | "configmaps" => "api/v1/namespaces/NAMESPACE/configmaps",
            "deployment" => "apis/apps/v1/namespaces/NAMESPACE/deployments",
            "service" => "api/v1/namespaces/NAMESPACE/services",
            "inventories" => "apis/waxwing.dev/v1alpha1/namespaces/NAMESPACE/inventories",
            "secret" => "api/v1/namespaces/NAMESPACE/secrets",
            "sync" | "syncs" => "apis/waxwing.dev/v1alpha1/namespaces/NAMESPACE/syncs",
            "gitsource" => "apis/waxwing.dev/v1alpha1/namespaces/NAMESPACE/gitsources",
            _ => return None,
        };
        let resources = resources.replace("NAMESPACE", &self.namespace);
        Some(format!("/{resources}/{name}").trim_end_matches('/').to_owned())
    }

    /// Waits until the Sync has applied `commit` as a whole and is Ready.
    pub(crate) fn applied(&self, commit: &str) -> Value {
        let wanted = format!("Applied main@sha1:{commit}");
        self.ready("True", |message| message == wanted)
    }

    /// Waits until Ready has a status and a message, and returns the Sync.
    pub(crate) fn ready(&self, status: &str, message: impl Fn(&str) -> bool) -> Value {
        let found = eventually(PATIENCE, "the Sync is as expected", || {
            let sync = self.get("sync/app").map_err(|failure| failure.to_string())?;
            let ready = condition(&sync, "Ready");
            let text = |field: &str| ready.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            match text("status") == status && message(&text("message")) {
                true => Ok(sync),
                false => Err(format!("{}\nReady is {ready}", self.end_of_log())),
            }
        });
        found.unwrap()
    }

    /// Encrypts with the real sops for the tenant's key, and returns the file.
    pub(crate) fn sops(&self, name: &str, plain: &str, more: &[&str]) -> String {
        let mut arguments = vec!["encrypt", "--age", self.age.recipient.as_str(), "--filename-override", name];
        arguments.extend(more);
        self.upstream.sops(&arguments).unwrap().stdin(plain).text().unwrap()
    }

    /// Returns the data key of a file that was encrypted for the tenant, as the real age opens it.
    pub(crate) fn data_key(&self, sealed: &str) -> Vec<u8> {
        let identity = self.upstream.home().join("age.agekey");
        std::fs::write(&identity, &self.age.identity).unwrap();
        let lines = sealed.lines().map(str::trim).skip_while(|line| !line.contains("BEGIN AGE"));
        let (mut armored, end) = (String::new(), "-----END AGE ENCRYPTED FILE-----");
        lines.take_while(|line| *line != end).chain([end]).for_each(|line| armored += &format!("{line}\n"));
        let open = self.upstream.age(&["--decrypt", "--identity", identity.to_str().unwrap()]).unwrap();
        open.stdin(armored.replace("enc: |\n", "")).run().unwrap().stdout
    }

    /// Returns the last lines about this tenant that the shared controller wrote, if it was started.
    fn end_of_log(&self) -> String {
        let log = CONTROLLER.get().map(Controller::log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&self.namespace)).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Returns the decoded value of a key of a Secret.
    pub(crate) fn secret_value(&self, secret: &str, key: &str) -> Option<String> {
        use base64::Engine;
        let object = self.get(&format!("secret/{secret}")).ok()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(object["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// Returns a tenant's namespace and account, and a Secret with the identity of an age key.
pub(crate) fn tenant(namespace: &str, age: &AgeKey) -> String {
    let identity: String = age.identity.lines().map(|line| format!("    {line}\n")).collect();
    let key = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: sops-age, namespace: {namespace}}}\nstringData:\n  age.agekey: |\n"
    );
    waxwing_harness::tenant(namespace) + &key + &identity
}

impl Drop for Stage {
    /// Leaves the controller in peace: a source that is asked every second and a Sync that fails would be in the way of others.
    fn drop(&mut self) {
        let suspend = serde_json::json!({"spec": {"suspend": true}});
        for object in ["gitsources/fleet", "syncs/app"] {
            let path = format!("/apis/waxwing.dev/v1alpha1/namespaces/{}/{object}", self.namespace);
            // It may not be there, nor the cluster.
            let _ = self.cluster.merge(&path, &suspend);
        }
    }
}

/// Returns a condition of a status, or null.
pub(crate) fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// Returns where the sealing certificate of the shared controller was stored.
pub(crate) fn certificate(stage: &Stage) -> PathBuf {
    certificate_of(controller(), stage)
}

/// Returns where the sealing certificate of this controller was stored, for the tenant's programs.
pub(crate) fn certificate_of(controller: &Controller, stage: &Stage) -> PathBuf {
    let (status, pem) = controller.get("/v1/cert.pem").unwrap();
    assert_eq!(status, 200, "{pem}");
    let path = stage.upstream.home().join("cert.pem");
    std::fs::write(&path, pem).unwrap();
    path
}

/// Tells whether an entry of the audit log is about a request of kubectl or of the harness, which tests alone use.
pub(crate) fn is_of_the_test(event: &Value) -> bool {
    event["userAgent"].as_str().is_some_and(|agent| agent.starts_with("kubectl/") || agent == HARNESS)
}
