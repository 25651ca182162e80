//! Commands that need no network call nobody: no check for a new version, nothing counted, nobody asked for a name. They run in a network of
//! their own, whose kernel counts what goes out or would have. Not here: what others are asked for on purpose.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::{Folder, run};
use waxwing_harness::{AgeKey, Call, Failure, Upstream, in_own_network};

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {password: hunter2}\n";

/// Returns the counters of this network that grow when somebody sends something, or has no way to (`proc_net(5)`): of both versions of IP,
/// over which TCP and UDP go.
fn sent() -> Vec<(String, u64)> {
    let read = |path: &str| fs::read_to_string(path).expect("the kernel counts");
    let (old, new) = (read("/proc/net/snmp"), read("/proc/net/snmp6"));
    let lines: Vec<_> = old.lines().collect();
    let pairs = lines.chunks(2).flat_map(|pair| {
        let (kind, names) = pair[0].split_once(':').expect("names of counters");
        let numbers = pair[1].split_once(':').expect("counters").1;
        let names = names.split_whitespace().map(move |name| format!("{kind}{name}"));
        names.zip(numbers.split_whitespace().map(|number| number.parse().unwrap_or_default()))
    });
    let new = new.lines().filter_map(|line| {
        let (name, number) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    });
    let counts = ["OutRequests", "OutNoRoutes", "OutDiscards", "OutDatagrams", "ActiveOpens"];
    pairs.chain(new).filter(|(name, _)| counts.iter().any(|count| name.ends_with(count))).collect()
}

/// A folder that is a repository, with a key and files of all kinds.
fn desk(own: &AgeKey) -> Result<Folder, Failure> {
    let folder = Folder::new();
    folder.write(".sops.yaml", format!("creation_rules:\n- path_regex: env$\n  age: {}\n", own.recipient));
    folder.write("secret.yaml", SECRET);
    folder.write("a.env", "PASSWORD=hunter2\n");
    fs::create_dir(folder.path().join("plain")).expect("a folder can be made");
    folder.write("plain/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n");
    folder.write(".gitignore", "bin\n");
    fs::create_dir(folder.path().join("bin")).expect("a folder can be made");
    for name in ["sops", "kubeseal"] {
        symlink(env!("CARGO_BIN_EXE_seal"), folder.path().join("bin").join(name)).expect("a link can be made");
    }
    for words in [&["init", "--quiet"][..], &["add", "a.env"]] {
        Call::new(Path::new("/usr/bin/git"), folder.path()).args(words).text()?;
    }
    Ok(folder)
}

/// Prepares a call; of the two programs that `seal` stands for by their names.
fn call(folder: &Folder, words: &[&str]) -> Call {
    match words {
        [name @ ("sops" | "kubeseal"), words @ ..] => {
            Call::new(&folder.path().join("bin").join(name), folder.path()).args(words)
        }
        words => folder.call(words),
    }
}

/// The calls, each with what is written to its standard input and the code that it ends with.
const CALLS: &[(&[&str], &str, i32)] = &[
    (&["--version"], "", 0),
    (&["--help"], "", 0),
    (&["completion", "bash"], "", 0),
    (&["new", "token", "-n", "shop", "--cert", "cluster.pem", "--from-literal", "password=hunter2"], "", 0),
    (&["--cert", "cluster.pem"], SECRET, 0),
    (&["kubeseal", "--version"], "", 0),
    (&["kubeseal", "--cert", "cluster.pem", "-f", "secret.yaml", "-w", "sealed.yaml", "-o", "yaml"], "", 0),
    (&["kubeseal", "--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", "sealed.yaml"], "", 0),
    (&["edit", "--cert", "cluster.pem", "--from-stdin", "password", "sealed.yaml"], "swordfish", 0),
    (&["rotate", "--recovery-private-key", "cluster.key", "--cert", "cluster.pem", "sealed.yaml"], "", 0),
    (&["sops", "--version"], "", 0),
    (&["sops", "--version", "--check-for-updates"], "", 0),
    (&["sops", "encrypt", "--in-place", "a.env"], "", 0),
    (&["sops", "decrypt", "a.env"], "", 0),
    (&["sops", "updatekeys", "--yes", "a.env"], "", 0),
    (&["sops", "exec-env", "a.env", "true"], "", 0),
    (&["rotate", "a.env"], "", 0),
    (&["audit", "recipients", "."], "", 0),
    (&["refs", "list", "."], "", 0),
    (&["verify"], "", 2),
    (&["verify", "--staged"], "", 0),
    (&["verify", "--cert", "cluster.pem", "sealed.yaml"], "", 0),
    (&["plan", "plain", "--against", "plain"], "", 0),
];

#[test]
fn commands_that_need_no_network_call_nobody() -> Result<(), Failure> {
    in_own_network("commands_that_need_no_network_call_nobody", || {
        let own = Upstream::new()?.age_keygen()?;
        let folder = desk(&own)?;
        let start = sent();
        assert!(start.iter().any(|(name, _)| name == "IpOutNoRoutes"), "{start:?}");
        for (words, stdin, code) in CALLS {
            let ran = run(call(&folder, words).stdin(*stdin).env("SOPS_AGE_KEY", &own.identity));
            assert_eq!(ran.code, Some(*code), "{words:?}: {ran:?}");
            assert_eq!(sent(), start, "{words:?}");
        }
        // Whoever calls is seen: an address to which no way leads, and one of this machine.
        for place in ["https://192.0.2.9/", "https://[2001:db8::9]/", "https://127.0.0.1:1/"] {
            let before = sent();
            let ran = folder.seal(&["--cert", place], SECRET);
            assert_eq!(ran.code, Some(1), "{place}: {ran:?}");
            assert_ne!(sent(), before, "{place}");
        }
        Ok(())
    })
}
