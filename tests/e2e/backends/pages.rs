//! The pages of docs/backends, walked through: the commands, policies and manifests that they print are run and applied as they stand there,
//! and a Secret comes of them. Only names are put in place of those of the page: the tenant, the repository and the server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waxwing_harness::{Call, Cluster, GitRepo, RunDir, Tools, eventually};

use super::references::Store;
use crate::stage::{PATIENCE, condition};

/// A page, with other names than it has.
pub(super) struct Page(String);

/// Somebody who does what a page says.
pub(super) struct Walk<'a> {
    cluster: &'a Cluster,
    namespace: String,
    repo: GitRepo,
    desk: RunDir,
    environment: Vec<(&'static str, String)>,
}

impl Page {
    /// Reads a page with these texts put in place of others.
    pub(super) fn read(name: &str, walk: &Walk<'_>, names: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/backends").join(name);
        let own = [("https://git.example.com/fleet.git", walk.repo.file_url()), ("shop", walk.namespace.clone())];
        let text = names.iter().fold(fs::read_to_string(path).unwrap(), |text, (old, new)| {
            assert!(text.contains(old), "{name} has no {old}");
            text.replace(old, new)
        });
        Self(own.iter().fold(text, |text, (old, new)| text.replace(old, new)))
    }

    /// Returns the titles of the sections.
    pub(super) fn sections(&self) -> Vec<&str> {
        self.0.lines().filter(|line| line.starts_with("## ")).collect()
    }

    /// Returns the blocks of a section that are in a language.
    pub(super) fn blocks(&self, section: &str, language: &str) -> Vec<&str> {
        let (_, rest) = self.0.split_once(&format!("\n{section}\n")).unwrap();
        let text = rest.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
        let blocks = text.split("```").skip(1).step_by(2);
        blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
    }
}

/// Returns the commands of a block, without what they print.
fn script(block: &str) -> String {
    let (mut script, mut is_command, mut end) = (String::new(), false, None);
    for line in block.lines() {
        let (text, begins) = line.strip_prefix("$ ").map_or((line, false), |text| (text, true));
        if !is_command && !begins {
            continue;
        }
        script += &format!("{text}\n");
        if let Some((_, word)) = text.split_once("<<") {
            end = Some(word.trim_matches('\'').to_owned());
        }
        is_command = match &end {
            Some(word) if word == text => end.take().is_none(),
            Some(_) => true,
            None => text.ends_with('\\') || text.ends_with('|'),
        };
    }
    script
}

impl<'a> Walk<'a> {
    /// Begins one, with these programs at hand and these variables set.
    pub(super) fn new(
        cluster: &'a Cluster,
        namespace: &str,
        programs: &[&str],
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let desk = RunDir::new("page").unwrap();
        let tools = Tools::locate().unwrap();
        fs::create_dir(desk.join("bin")).unwrap();
        for program in programs {
            symlink(tools.path(program).unwrap(), desk.join("bin").join(program)).unwrap();
        }
        Self { cluster, namespace: namespace.to_owned(), repo: GitRepo::new().unwrap(), desk, environment }
    }

    /// Runs the commands of a block.
    pub(super) fn run(&self, block: &str) {
        let path = format!("{}:{}", self.desk.join("bin").display(), std::env::var("PATH").unwrap());
        let call = Call::new(Path::new("bash"), self.desk.path()).args(["-e", "-o", "pipefail", "-c", &script(block)]);
        let call = call.dir(self.desk.path()).env("PATH", path).env("KUBECONFIG", self.cluster.kubeconfig());
        let call = self.environment.iter().fold(call, |call, (name, value)| call.env(name, value));
        let finished = call.env("KUBECTL_KUBERC", "false").run().unwrap();
        assert!(finished.status.success(), "{block}\n{}", finished.stderr);
    }

    /// Writes what the page has in the folder of the Sync, and returns the commit.
    pub(super) fn push(&self, manifest: &str) -> String {
        self.repo.write("app/db.yaml", manifest).unwrap();
        let commit = self.repo.commit("as the page says").unwrap();
        match self.cluster.merge(&self.path("gitsources", "fleet"), &requested(&commit)) {
            Err(failure) if !failure.is_not_found() => panic!("{failure}"),
            _ => commit,
        }
    }

    /// Waits until a commit is applied as a whole, by a sync that somebody asks for.
    pub(super) fn applied(&self, commit: &str, why: &str) {
        let sync = self.path("syncs", &self.namespace);
        self.cluster.merge(&sync, &requested(why)).unwrap();
        let wanted = format!("Applied main@sha1:{commit}");
        let found = eventually(PATIENCE, "the commit is applied", || {
            let sync = self.cluster.get(&sync).unwrap();
            let ready = condition(&sync, "Ready");
            match ready["message"] == wanted.as_str() && sync["status"]["lastHandledRequestedAt"] == why {
                true => Ok(()),
                false => Err(ready.to_string()),
            }
        });
        found.unwrap();
    }

    pub(super) fn patch_sync(&self, spec: &Value) {
        self.cluster.merge(&self.path("syncs", &self.namespace), &json!({"spec": spec})).unwrap();
    }

    /// Returns what the Secret of the pages has, entry by entry, in base64.
    pub(super) fn data(&self) -> Value {
        self.cluster.get(&format!("/api/v1/namespaces/{}/secrets/db", self.namespace)).unwrap()["data"].clone()
    }

    fn path(&self, resource: &str, name: &str) -> String {
        format!("/apis/waxwing.dev/v1alpha1/namespaces/{}/{resource}/{name}", self.namespace)
    }
}

impl Drop for Walk<'_> {
    /// Leaves the controller in peace.
    fn drop(&mut self) {
        let suspend = json!({"spec": {"suspend": true}});
        for path in [self.path("gitsources", "fleet"), self.path("syncs", &self.namespace)] {
            // It may not be there, nor the cluster.
            drop(self.cluster.merge(&path, &suspend));
        }
    }
}

fn requested(what: &str) -> Value {
    json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": what}}})
}

/// Sees that the page about Vault and OpenBao leads from a server that knows nothing yet to a Secret: by a review of tokens, by their signature, and
/// through a backend of the whole cluster.
pub(super) fn vault_leads_to_a_secret(store: &Store) {
    let tenant = format!("{}-shop", store.stage.namespace);
    // A server in the server, which knows nothing yet.
    store.bao.make_namespace("page").unwrap();
    let address = store.bao.address();
    let environment = vec![
        ("BAO_ADDR", address.clone()),
        ("BAO_TOKEN", store.bao.root_token().to_owned()),
        ("BAO_NAMESPACE", "page".to_owned()),
    ];
    let walk = Walk::new(store.stage.cluster, &tenant, &["kubectl", "bao"], environment);
    let in_page = format!("    address: {address}\n    namespace: page\n");
    let names = [
        ("    address: https://vault.example.com:8200\n", in_page.as_str()),
        ("metadata: {name: vault}", "metadata: {name: page}"),
        ("clusterstore://vault", "clusterstore://page"),
    ];
    let page = Page::read("vault.md", &walk, &names);

    let (server, namespace) = (page.blocks("## 1. At the server", "console"), "## 3. In the namespace");
    let [from_zero, check] = page.blocks(namespace, "console")[..] else { panic!("other commands") };
    let [manifests] = page.blocks(namespace, "yaml")[..] else { panic!("other manifests") };
    let [in_git] = page.blocks("## 4. In Git", "yaml")[..] else { panic!("other files") };
    let [arrived] = page.blocks("## 4. In Git", "console")[..] else { panic!("other commands") };
    server.iter().for_each(|block| walk.run(block));
    walk.run(from_zero);
    let commit = walk.push(in_git);
    store.stage.cluster.apply_yaml(manifests).unwrap();
    walk.run(check);
    walk.run(arrived);
    assert_eq!(walk.data()["password"], STANDARD.encode("swordfish"));

    // By a signature instead.
    let signed = "### JWT: the server checks a signature";
    page.blocks(signed, "console").iter().for_each(|block| walk.run(block));
    let [auth] = page.blocks(signed, "yaml")[..] else { panic!("other manifests") };
    let by_review = "    auth: {kubernetes: {role: SHOP, audience: vault}}".replace("SHOP", &tenant);
    assert!(manifests.contains(&by_review));
    let before = store.logins();
    store.stage.cluster.apply_yaml(&manifests.replace(&by_review, auth.trim_end())).unwrap();
    walk.applied(&commit, "signed");
    assert_eq!(store.logins(), before + 1);

    // And through a backend of the whole cluster.
    let section = "## One backend for many namespaces";
    let [backend] = page.blocks(section, "yaml")[..] else { panic!("other manifests") };
    page.blocks(section, "console").iter().for_each(|block| walk.run(block));
    store.stage.cluster.apply_yaml(backend).unwrap();
    walk.patch_sync(&json!({"secrets": {"backends": [{"kind": "ClusterSecretBackend", "name": "page"}]}}));
    let commit = walk.push(&in_git.replace("ref+store://vault", "ref+clusterstore://page"));
    walk.applied(&commit, "of the cluster");
    store.stage.cluster.kubectl(&["delete", "clustersecretbackend", "page"]).unwrap();
}
