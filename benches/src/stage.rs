//! What most benchmarks need: a control plane, a tenant's namespace, a repository, and the release build of the controller.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use waxwing_harness::{Cluster, ClusterOptions, Controller, ControllerOptions, GitRepo, Process, tenant};

use crate::error::{Error, other};
use crate::page;
use crate::requests::{flow_schemas, served};
use crate::usage;
use crate::watched::Fleet;

/// The user that the controller is.
pub(crate) const CONTROLLER: &str = "waxwing";
/// The tenants' namespaces. What is measured happens in the first.
pub(crate) const NAMESPACES: [&str; 2] = ["bench", "neighbour"];
/// Where the controller keeps its keys and its lease.
pub(crate) const SYSTEM: &str = "waxwing-system";

/// How long anything may take before the benchmark gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);

/// A control plane of the benchmark's own, with our definitions and two tenants.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) repo: GitRepo,
    pub(crate) fleet: Fleet,
}

/// What the controller did between two moments.
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) requests: u64,
}

/// A moment from which costs are counted.
pub(crate) struct Mark {
    cpu: Duration,
    requests: u64,
}

impl Mark {
    /// Returns how many requests of ours were served from an earlier moment to this one.
    pub(crate) fn served_since(&self, earlier: &Self) -> u64 {
        self.requests.saturating_sub(earlier.requests)
    }
}

impl Stage {
    /// Starts the control plane with the controller manager, and makes the tenants.
    pub(crate) fn new() -> Result<Self, Error> {
        let runtime = Runtime::new().map_err(other)?;
        let cluster = Cluster::start(ClusterOptions { controller_manager: true, ..ClusterOptions::default() })?;
        cluster.kubectl_call(&["apply", "--server-side", "--filename"]).arg(workspace().join("crds")).text()?;
        cluster.apply_yaml(&(NAMESPACES.map(tenant).concat() + &controller_rights() + &flow_schemas()))?;
        let _inside = runtime.enter();
        let client = cluster.client()?;
        let fleet = Fleet::watch(client.clone());
        Ok(Self { client, fleet, repo: GitRepo::new()?, cluster, runtime })
    }

    /// Starts the controller that stands beside this program.
    pub(crate) fn controller(&self) -> Result<Controller, Error> {
        self.controller_with(&[])
    }

    /// As [`Stage::controller`], with further flags.
    pub(crate) fn controller_with(&self, flags: &[&str]) -> Result<Controller, Error> {
        let flags = [&["--allow-file-sources"], flags].concat();
        let mut options = ControllerOptions::new(program("waxwing")?, &flags);
        options.kubeconfig = Some(self.cluster.kubeconfig_as(CONTROLLER)?);
        Ok(Controller::start(&self.cluster, options)?)
    }

    /// Creates the GitSource `fleet` of the repository in a tenant's namespace. It fetches when it is asked to.
    pub(crate) fn source(&self, namespace: &str) -> Result<(), Error> {
        let spec = json!({"url": self.repo.file_url(), "interval": "1h"});
        self.create("gitsources", namespace, "GitSource", "fleet", spec)
    }

    /// Commits what was written and asks the source of a namespace to fetch, as a webhook would; returns the commit.
    pub(crate) fn push(&self, namespace: &str) -> Result<String, Error> {
        let commit = self.repo.commit("change")?;
        let path = format!("/apis/waxwing.dev/v1alpha1/namespaces/{namespace}/gitsources/fleet");
        let asked = json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": commit}}});
        self.cluster.merge(&path, &asked)?;
        Ok(commit)
    }

    /// Creates one Sync of that source.
    pub(crate) fn sync(&self, namespace: &str, name: &str, path: &str) -> Result<(), Error> {
        self.create("syncs", namespace, "Sync", name, sync_spec(path))
    }

    /// Creates Syncs of the folders `apps/0`, `apps/1` and so on, eight at a time.
    pub(crate) fn syncs(&self, count: usize) -> Result<(), Error> {
        let one = |number: usize| async move {
            let spec = sync_spec(&format!("apps/{number}"));
            create(&self.client, "syncs", NAMESPACES[0], "Sync", &format!("app-{number}"), spec).await
        };
        self.runtime.block_on(stream::iter(0..count).map(one).buffer_unordered(8).try_collect())
    }

    /// Creates one resource of ours.
    pub(crate) fn create(
        &self,
        plural: &str,
        namespace: &str,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> Result<(), Error> {
        self.runtime.block_on(create(&self.client, plural, namespace, kind, name, spec))
    }

    /// Begins to count what a controller costs.
    pub(crate) fn mark(&self, controller: &Controller) -> Result<Mark, Error> {
        let requests = self.runtime.block_on(served(&self.client))?;
        Ok(Mark { cpu: usage::cpu(controller.process().id()), requests })
    }

    /// Returns what a controller has cost since `mark`.
    pub(crate) fn cost(&self, controller: &Controller, mark: &Mark) -> Result<Cost, Error> {
        let now = self.mark(controller)?;
        Ok(Cost { cpu: now.cpu.saturating_sub(mark.cpu), requests: now.served_since(mark) })
    }

    /// Waits until the controller has nothing to do: until it used less than a hundredth of a core for two seconds.
    pub(crate) fn rest(&self, controller: &Controller) {
        rest(controller.process());
    }
}

/// Waits until a process has nothing to do: until it used less than a hundredth of a core for two seconds.
pub(crate) fn rest(process: &Process) {
    for _ in 0..60 {
        let before = usage::cpu(process.id());
        std::thread::sleep(Duration::from_secs(2));
        if usage::cpu(process.id()).saturating_sub(before) <= Duration::from_millis(40) {
            return;
        }
    }
    page::line("NOTE: the controller did not come to rest", "");
}

async fn create(
    client: &Client,
    plural: &str,
    namespace: &str,
    kind: &str,
    name: &str,
    spec: Value,
) -> Result<(), Error> {
    let object = json!({
        "apiVersion": "waxwing.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    let path = format!("/apis/waxwing.dev/v1alpha1/namespaces/{namespace}/{plural}");
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await?;
    Ok(())
}

/// Returns the spec of a Sync that waits for health.
pub(crate) fn sync_spec(path: &str) -> Value {
    json!({
        "sourceRef": {"name": "fleet"},
        "path": path,
        "interval": "1h",
        "timeout": "15m",
        "serviceAccountName": "deployer",
        "wait": true,
        "secrets": {"keysFrom": [{"secretRef": {"name": "sops-age"}}]},
    })
}

fn controller_rights() -> String {
    format!(
        r#"---
apiVersion: v1
kind: Namespace
metadata: {{name: {SYSTEM}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: waxwing}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: User, name: {CONTROLLER}}}]
"#
    )
}

/// Returns `waxwing` or `seal` as it was built together with this program.
pub(crate) fn program(name: &str) -> Result<PathBuf, Error> {
    let beside = std::env::current_exe().map_err(other)?.with_file_name(name);
    match beside.is_file() {
        true => Ok(beside),
        false => Err(other(format!("there is no {name} beside this program\nhint: run it by `make bench`"))),
    }
}

/// Returns the folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
