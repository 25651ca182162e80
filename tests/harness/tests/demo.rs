//! Proves that the demo runs to its end, shows what it says, and leaves nothing behind.
//!
//! It runs the programs that stand beside it, as `cargo test --workspace` builds them.

#![expect(clippy::expect_used, reason = "a test stops where it stands, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use waxwing_harness::processes_in;

/// Runs the demo with nothing on its standard input, so that it keeps running no longer than it takes to say how.
fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(arguments)
        .env("KUBECONFIG", "/nonexistent/kubeconfig-of-the-user")
        .stdin(Stdio::null())
        .output()
        .expect("the program was built with this test")
}

#[test]
fn the_demo_shows_an_arrival_a_refusal_and_another_arrival_and_leaves_nothing_behind() {
    let output = demo(&["--keep"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}\n{errors}");
    assert_eq!(errors, "");
    assert!(!shown.contains("throw-away"), "no value is shown");
    assert!(!shown.contains('\x1b'), "no colour where there is no terminal");
    for folder in folders(&shown) {
        assert!(!folder.exists(), "{} is still there", folder.display());
        assert_eq!(processes_in(&folder).expect("this is Linux"), Vec::<String>::new());
    }
    insta::assert_snapshot!(masked(&shown));
}

#[test]
fn an_unknown_argument_is_refused_with_a_hint() {
    let output = demo(&["--keeep"]);
    assert_eq!(output.status.code(), Some(1));
    let hint = "hint: make demo and make demo KEEP=1 are the two ways to run it";
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("error: unknown argument \"--keeep\"\n{hint}\n"));
}

/// Returns the folders of the cluster, the repository and the controller, as the demo shows them to visitors.
fn folders(shown: &str) -> Vec<PathBuf> {
    let places = ["export KUBECONFIG=", "cd /", "less "];
    let words = shown.lines().filter_map(|line| {
        let line = line.trim();
        let place = places.iter().find(|place| line.starts_with(**place))?;
        line.strip_prefix(place.trim_end_matches('/'))?.split(' ').next()
    });
    let found: Vec<PathBuf> = words.filter_map(|word| Path::new(word).parent().map(Path::to_owned)).collect();
    assert_eq!(found.len(), 3, "{shown}");
    found
}

/// Replaces what is another in each run, and leaves out what the controller says while it waits.
fn masked(shown: &str) -> String {
    let mut waiting = false;
    let lines = shown.lines().filter(|line| {
        waiting &= !line.contains("Ready=True") && !line.contains("Ready=False");
        let shown = !waiting;
        waiting |= line.ends_with("the Sync's condition Ready ...");
        shown
    });
    let masked = lines.map(|line| line.split(' ').map(mask).collect::<Vec<_>>().join(" "));
    masked.collect::<Vec<_>>().join("\n")
}

fn mask(word: &str) -> String {
    let id = |length: usize| word.len() == length && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bare = word.rsplit(':').next().unwrap_or_default();
    match word {
        _ if id(40) || id(12) => "x".repeat(word.len()),
        _ if word.starts_with("main@sha1:") => word.replace(bare, "COMMIT"),
        _ if word.starts_with("SHA256:") => "SHA256:FINGERPRINT".to_owned(),
        _ if word.starts_with("http://127.0.0.1:") => "http://127.0.0.1:PORT/v1/cert.pem".to_owned(),
        _ if word.contains('.') && !word.ends_with('.') && word.parse::<f64>().is_ok() => "TIME".to_owned(),
        _ => match word.find('/').filter(|_| word.contains("/waxwing-") || word.ends_with("/kubectl")) {
            Some(start) => format!("{}PATH/{}", &word[..start], word.rsplit('/').next().unwrap_or_default()),
            None => word.to_owned(),
        },
    }
}
