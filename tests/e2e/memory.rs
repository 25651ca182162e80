//! Proves that no plaintext and no key stays in the controller's memory once a sync has ended, well or not.
//!
//! The test reads the whole memory of the process from outside (proc(5), `/proc/PID/mem`), which its hardening leaves to
//! root alone, and looks for known values, big and small, in every form that `Needles` knows; for the age identity; for the
//! data key of a SOPS file; and, in a controller of its own, for a PGP key, the tokens for a key service, the data keys that both
//! gave, and what a store of secrets gave. That the reading works is shown by a public text, which has to be there.
//!
//! Not here: the cluster's sealing keys, which stay in memory on purpose, and text that stands in Git in the clear.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use serde_json::json;
use waxwing_harness::{Controller, OpenBao, eventually};

use crate::other_keys::OtherKeys;
use crate::stage::{Alone, PATIENCE, Stage, certificate, condition, controller, start_controller};
use crate::watched::Needles;

/// What every value has in it, the big ones in each of their lines.
const CORE: &str = "Kq7Rw2Zs9Vb4Nx6Jd1Hf8Lm3Tc5Gy0Pu";
/// What a ConfigMap in Git has, and every cached render.
const MARK: &str = "Anybody-may-read-this-in-a-render";
/// What only sops encrypts in a Secret.
const VALUES: [&str; 2] = ["--encrypted-regex", "^(data|stringData)$"];
/// How long connections may take to close, and data keys whose time is over to go.
const CLOSING: Duration = Duration::from_secs(30);

/// The Syncs, with the reason that each ends with.
const SYNCS: [(&str, &str); 4] =
    [("app", "Applied"), ("built", "Applied"), ("refused", "DryRunFailed"), ("tampered", "MacMismatch")];

#[test]
fn once_syncs_have_ended_their_secrets_are_nowhere_in_memory() {
    let stage = Stage::new("memory");
    let database = sops(&stage, &secret("database", CORE));
    let mut needles = Needles::default();
    needles.add("a value", CORE.as_bytes());
    needles.add("the data key of a SOPS file", &stage.data_key(&database));
    let identity = stage.age.identity.lines().find_map(|line| line.strip_prefix("AGE-SECRET-KEY-1")).unwrap();
    needles.add("the age identity", &identity.as_bytes()[..52]);
    needles.add("the age identity as a number", &bytes_of_bech32(&identity[..52]));

    take_through_syncs(&stage, &database);
    assert_clean(controller(), &needles);
}

#[test]
fn the_data_keys_of_a_pgp_key_and_of_a_key_service_leave_memory_with_the_key_and_the_tokens_that_gave_them() {
    let alone = Alone::new();
    let stage = Stage::on(alone.cluster(), "memory-others");
    let bao = OpenBao::start().unwrap();
    let flags = ["--backend-origin", &bao.address(), "--data-key-lifetime", "1"];
    let controller = start_controller(alone.cluster(), &flags).unwrap();
    let keys = OtherKeys::new(&stage, &bao);
    let by_pgp = keys.sealed_by_pgp(&secret("by-pgp", CORE));
    let [by_login, by_token] = ["login", "token"].map(|key| keys.sealed_by_vault(key, &secret(key, CORE)));
    let mut needles = Needles::default();
    needles.add("a value", CORE.as_bytes());
    keys.look_for(&mut needles, &by_pgp, &[("login", &by_login), ("token", &by_token)]);
    let public = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: public}}\ndata: {{value: {MARK}}}\n");
    let stored = keys.stored("stored", CORE, "password");
    let files =
        [("pgp", &by_pgp), ("login", &by_login), ("token", &by_token), ("stored", &stored), ("public", &public)];
    let files = files.map(|(name, text)| (format!("app/{name}.yaml"), text.as_str()));
    let commit = stage.commit(&files.each_ref().map(|(path, text)| (path.as_str(), *text)));
    stage.source();
    stage.declare("app", &format!("path: ./app\nserviceAccountName: deployer\n{}", OtherKeys::SECRETS));
    stage.applied(&commit);
    for name in ["by-pgp", "login", "token", "stored"] {
        assert_eq!(stage.secret_value(name, "password").as_deref(), Some(CORE), "{name}");
    }
    suspend(&stage, "app");
    assert_clean(&controller, &needles);
}

/// Looks for secrets until there are none, after having found what has to be there.
fn assert_clean(controller: &Controller, needles: &Needles) {
    let mut public = Needles::default();
    public.add("what anybody may read", MARK.as_bytes());
    let seen = scan(controller, &public);
    assert!(!seen.is_empty(), "the scan doesn't find what has to be there, so it proves nothing");
    let clean = eventually(CLOSING, "no secret in the controller's memory", || match scan(controller, needles) {
        found if found.is_empty() => Ok(()),
        found => Err(format!("{} copies:\n{}", found.len(), found.join("\n"))),
    });
    clean.unwrap();
}

/// Makes syncs that open everything, by every way, and end well or in the middle of it; then leaves nothing to do.
fn take_through_syncs(stage: &Stage, database: &str) {
    let registry = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: registry}}\ntype: kubernetes.io/dockerconfigjson\nstringData: {{.dockerconfigjson: '{{{CORE}'}}\n"
    );
    let bound = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: bound}}\ndata: {{value: {CORE}}}\n");
    let public = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: public}}\ndata: {{value: {MARK}}}\n");
    let built = "secretGenerator:\n- {name: env, envs: [mail.sops.env]}\n- {name: whole, files: [whole.sops.yaml]}\n";
    stage.commit(&[
        ("app/database.yaml", database),
        ("app/big.yaml", &sops(stage, &secret("big", &big()))),
        ("app/token.yaml", &templated(&sealed(stage, &secret("token", CORE)))),
        ("app/big-token.yaml", &templated(&sealed(stage, &secret("big-token", &big())))),
        ("app/bound.yaml", &stage.sops("x.yaml", &bound, &["--encrypted-regex", "^data$"])),
        ("app/public.yaml", &public),
        ("built/kustomization.yaml", built),
        ("built/mail.sops.env", &stage.sops("mail.sops.env", &format!("PASSWORD={CORE}\n"), &[])),
        ("built/whole.sops.yaml", &stage.sops("whole.sops.yaml", &secret("whole", &big()), &[])),
        ("refused/registry.yaml", &sops(stage, &registry)),
        ("refused/big.yaml", &sops(stage, &secret("more", &big()))),
        ("tampered/tampered.yaml", &sops(stage, &secret("tampered", CORE)).replace("name: tampered", "name: other")),
    ]);
    stage.source();
    let keys = "secrets: {bindInto: [ConfigMap], keysFrom: [{secretRef: {name: sops-age}}]}";
    for (name, _) in SYNCS {
        stage.declare(name, &format!("path: ./{name}\nserviceAccountName: deployer\n{keys}"));
    }
    SYNCS.iter().for_each(|(name, reason)| ended(stage, name, reason));
    let changed = stage.commit(&[("app/database.yaml", &sops(stage, &secret("database", &format!("another-{CORE}"))))]);
    stage.applied(&changed);
    assert_eq!(stage.secret_value("big", "password").map(|value| value.len()), Some(big().len()));
    assert_eq!(stage.secret_value("big-token", "made"), Some(format!("x\"{}\"", big())));
    SYNCS.iter().for_each(|(name, _)| suspend(stage, name));
}

fn ended(stage: &Stage, name: &str, reason: &str) {
    let attempt = || {
        let sync = stage.get(&format!("sync/{name}")).map_err(|failure| failure.to_string())?;
        let ready = condition(&sync, "Ready");
        if ready["reason"] == reason { Ok(()) } else { Err(ready.to_string()) }
    };
    eventually(PATIENCE, &format!("{name} ends as {reason}"), attempt).unwrap();
}

/// Keeps a Sync from trying again.
fn suspend(stage: &Stage, name: &str) {
    let path = stage.path(&format!("sync/{name}")).unwrap();
    stage.cluster.merge(&path, &json!({"spec": {"suspend": true}})).unwrap();
}

fn secret(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: \"{value}\"}}\n")
}

/// Adds templates that take the value through functions of every kind, and one that only uses it.
fn templated(sealed: &str) -> String {
    let made = r#"{{ $d := fromJson (toJson (dict "v" (.password | b64enc | b64dec))) }}{{ range list (get $d "v") }}{{ regexReplaceAll "^" (printf "%s" . | trim | quote) "x" }}{{ end }}"#;
    let used = r#"{{ .password | replace "K" "k" | splitList "q" | join "" | sha256sum }}"#;
    assert!(sealed.contains("\n  template:\n"), "{sealed}");
    sealed
        .replace("\n  template:\n", &format!("\n  template:\n    data:\n      made: '{made}'\n      used: '{used}'\n"))
}

/// Returns a value of about 100 KiB that can be told by any of its pieces.
fn big() -> String {
    (0..2500).map(|line| format!("{line:08}{CORE}")).collect()
}

fn sops(stage: &Stage, plain: &str) -> String {
    stage.sops("x.yaml", plain, &VALUES)
}

fn sealed(stage: &Stage, plain: &str) -> String {
    let certificate = certificate(stage);
    let arguments = ["--cert", certificate.to_str().unwrap(), "--format", "yaml", "--namespace", &stage.namespace];
    stage.upstream.kubeseal(&arguments).unwrap().stdin(plain).text().unwrap()
}

/// Returns the bytes that letters of Bech32 stand for, five bits each (BIP 173), without the bits that are left over.
fn bytes_of_bech32(letters: &str) -> Vec<u8> {
    const ALPHABET: &str = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in letters.chars() {
        bits = bits << 5 | u32::try_from(ALPHABET.find(letter).unwrap()).unwrap();
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}

/// Reads all of a controller's memory that it can write to, and says what was found where.
pub(crate) fn scan(controller: &Controller, needles: &Needles) -> Vec<String> {
    let process = controller.process().id();
    let opened = File::open(format!("/proc/{process}/mem"));
    let memory = opened.expect("whoever reads the memory of a process that is not dumpable needs CAP_SYS_PTRACE");
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    maps.lines().filter_map(Region::parse).flat_map(|region| region.scan(&memory, needles)).collect()
}

/// A line of `/proc/PID/maps`: `start-end permissions offset device inode path`.
struct Region<'a> {
    start: u64,
    end: u64,
    name: &'a str,
}

impl<'a> Region<'a> {
    /// Reads the line of a region that can be written to: a secret can be in no other.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let address = |digits| u64::from_str_radix(digits, 16).unwrap();
        fields.next()?.starts_with("rw").then_some(())?;
        Some(Self { start: address(start), end: address(end), name: fields.nth(3).unwrap_or("the heap or a stack") })
    }

    fn scan(&self, memory: &File, needles: &Needles) -> Vec<String> {
        let hits = needles.find(&self.read(memory));
        hits.iter().map(|hit| format!("{} at {:x} has {hit}", self.name, self.start)).collect()
    }

    /// Reads the region as far as it is still there: the process may have given some of it back since its map was read.
    fn read(&self, memory: &File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.end - self.start).unwrap()];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match memory.read_at(rest, self.start + u64::try_from(filled).unwrap()) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        bytes.truncate(filled);
        bytes
    }
}
