//! Holds the architecture in place: who may use whom, the length of the straight line, and one TLS stack.
//!
//! The table is printed in ARCHITECTURE.md, which is held to be the same. What crates may use is held by their `Cargo.toml` files; what rooms of the
//! controller may use is held here, by reading the sources.

#![allow(clippy::unwrap_used, reason = "a test stops where it stands")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// For each room of `src`: the other rooms that it may name.
const ROOMS: [(&str, &[&str]); 11] = [
    ("metrics", &[]),
    ("api", &[]),
    ("source", &[]),
    ("render", &["source"]),
    ("cluster", &["metrics"]),
    ("sealing", &["cluster"]),
    ("unsealing", &["render", "cluster"]),
    ("reconcile", &["metrics", "api", "source", "render", "sealing", "unsealing", "cluster"]),
    ("sealed_objects", &["metrics", "sealing", "unsealing", "cluster", "reconcile"]),
    ("server", &["metrics", "api", "sealing", "unsealing", "cluster", "sealed_objects"]),
    (
        "runtime",
        &[
            "metrics",
            "api",
            "source",
            "render",
            "sealing",
            "unsealing",
            "cluster",
            "reconcile",
            "sealed_objects",
            "server",
        ],
    ),
];

/// For each room of `src`: the crates that it must not name.
const FOREIGN: [(&str, &[&str]); 7] = [
    ("metrics", &["kube", "k8s_openapi", "gix", "reqwest", "tokio", "waxwing_formats", "waxwing_keys", "waxwing_plan"]),
    ("source", &["kube", "k8s_openapi", "waxwing_formats", "waxwing_keys", "waxwing_plan"]),
    ("render", &["kube", "k8s_openapi", "reqwest", "waxwing_keys"]),
    ("api", &["gix", "reqwest", "waxwing_formats", "waxwing_keys"]),
    ("cluster", &["gix", "reqwest"]),
    ("unsealing", &["kube", "k8s_openapi", "gix", "reqwest", "tokio"]),
    ("sealed_objects", &["gix", "reqwest"]),
];

/// Crates that must not be in the lock file, with the reason.
const BANNED: [(&str, &str); 8] = [
    ("openssl", "one TLS stack: rustls with aws-lc-rs"),
    ("openssl-sys", "one TLS stack: rustls with aws-lc-rs"),
    ("native-tls", "one TLS stack: rustls with aws-lc-rs"),
    ("boring", "one TLS stack: rustls with aws-lc-rs"),
    ("serde_yaml", "deprecated, and reads scalars as neither go-yaml does"),
    ("serde_yml", "unsound"),
    ("libyml", "unsound"),
    ("age-plugin", "no plugin runs in the controller"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a room's files that are code, with where they stand.
fn code(room: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for path in sources(&root().join("src").join(room)) {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        lines.extend(code.map(|(number, line)| (format!("{name}:{}", number + 1), line.to_owned())));
    }
    lines
}

/// The words that follow `before` in a line: `crate::render::x` names `render`.
fn named<'a>(line: &'a str, before: &str) -> Vec<&'a str> {
    let rests = line.split(before).skip(1);
    rests.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()).collect()
}

#[test]
fn every_folder_of_the_controller_is_a_room_of_the_table() {
    let folders: BTreeSet<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect());
}

#[test]
fn no_room_names_a_room_that_it_may_not_use() {
    for (room, allowed) in ROOMS {
        for (place, line) in code(room) {
            for other in named(&line, "crate::") {
                let is_room = ROOMS.iter().any(|(name, _)| *name == other);
                let fine = !is_room || other == room || allowed.contains(&other);
                assert!(fine, "{place}: `{room}` may not use `{other}`");
            }
        }
    }
}

#[test]
fn no_room_names_a_crate_that_is_not_its_business() {
    for (room, foreign) in FOREIGN {
        for (place, line) in code(room) {
            let names = |krate: &&&str| line.contains(&format!("{krate}::"));
            if let Some(krate) = foreign.iter().find(names) {
                panic!("{place}: `{room}` may not use the crate `{krate}`");
            }
        }
    }
}

/// The names in code font, as a cell of a table has them; empty where there are none.
fn cell(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_table_in_architecture_md_is_this_one() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = page.split_once("| room | rooms that it may name | crates that it must not name |").unwrap();
    let rows: Vec<String> = table.lines().skip(2).take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
    let foreign = |room: &str| FOREIGN.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, crates)| crates);
    let row = |(room, rooms): &(&str, &[&str])| {
        format!("| `{room}` | {} | {} |", cell(rooms), cell(foreign(room))).replace("|  |", "| |")
    };
    assert_eq!(rows, ROOMS.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn the_straight_line_is_at_most_sixty_lines_long() {
    let text = fs::read_to_string(root().join("src/reconcile/mod.rs")).unwrap();
    let line = text.lines().skip_while(|line| !line.starts_with("pub async fn walk("));
    let length = line.take_while(|line| *line != "}").count();
    assert!((5..60).contains(&length), "`walk` has {length} lines");
}

#[test]
fn no_banned_crate_is_locked() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for (name, reason) in BANNED {
        assert!(!lock.contains(&format!("\nname = \"{name}\"\n")), "{name} is banned: {reason}");
    }
}

/// Built together with `seal`, the controller has an `age` with the feature too: what it calls decides.
#[test]
fn every_binary_that_opens_secrets_wipes_what_it_frees() {
    for main in ["src/main.rs", "cli/src/main.rs", "benches/src/main.rs"] {
        let text = fs::read_to_string(root().join(main)).unwrap();
        let allocator =
            text.split("#[global_allocator]").nth(1).and_then(|rest| rest.lines().nth(1)).unwrap_or_default();
        assert!(allocator.contains("ZeroAlloc<"), "{main} has no allocator that wipes");
    }
}

#[test]
fn the_controller_has_no_way_to_run_a_plugin_of_age() {
    for (folder, words) in [
        ("crates/keys/src", &["plugin::", "PluginV1"][..]),
        ("src", &["plugin::", "PluginV1", "age::", "unwrap_with", "wrap_with", "LockedIdentities"]),
    ] {
        for path in sources(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let found = code.flat_map(|line| words.iter().filter(move |word| has_word(line, word))).next();
            assert!(found.is_none(), "{} names {found:?}", path.display());
        }
    }
    for manifest in ["Cargo.toml", "crates/keys/Cargo.toml"] {
        assert!(!fs::read_to_string(root().join(manifest)).unwrap().contains("\"plugin\""), "{manifest}");
    }
}

#[test]
fn the_controller_has_no_way_to_open_a_file_without_a_check_of_its_code() {
    for folder in ["src", "crates/keys/src", "crates/plan/src"] {
        for path in sources(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let found =
                ["Unverified", "finish_unverified", ".unverified("].into_iter().find(|word| text.contains(word));
            assert!(found.is_none(), "{} names {found:?}", path.display());
        }
    }
    let unlock = fs::read_to_string(root().join("crates/formats/src/sops/unlock.rs")).unwrap();
    for way in ["pub fn finish_unverified(self) -> Result<(Document<Unverified>", "pub fn unverified(self)"] {
        assert!(unlock.contains(way), "the way that is looked for has another name now: {way}");
    }
}

/// What is opened goes to the API server; only `seal` speaks with key/value engines, and with key services in the clear.
#[test]
fn the_controller_has_no_way_to_publish_and_asks_no_key_service_in_the_clear() {
    for (folder, words) in [("src", &["VaultKv", "tonic::"][..]), ("crates/keys/src", &["tonic::"])] {
        for path in sources(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let found = words.iter().find(|word| text.contains(**word));
            assert!(found.is_none(), "{} names {found:?}", path.display());
        }
    }
    assert!(fs::read_to_string(root().join("crates/keys/src/lib.rs")).unwrap().contains("VaultKv"));
    for manifest in ["Cargo.toml", "crates/keys/Cargo.toml"] {
        let own = fs::read_to_string(root().join(manifest)).unwrap();
        assert!(!own.contains("tonic.workspace"), "{manifest}");
    }
}

/// So that neither `gpg` nor anything else is run for a key.
#[test]
fn kustomize_is_the_one_program_that_is_run() {
    let folders = ["src", "crates/formats/src", "crates/keys/src", "crates/plan/src"];
    let running = folders.iter().flat_map(|folder| sources(&root().join(folder))).filter(|path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("Command::new"))
    });
    let running: Vec<PathBuf> = running.collect();
    assert_eq!(running, [root().join("src/render/kustomize.rs")]);
}

/// Tells whether a line has a word that no other word ends with.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric()))
}

#[test]
fn the_plan_hides_the_prefix_that_handles_have() {
    let redact = fs::read_to_string(root().join("crates/plan/src/diff/redact.rs")).unwrap();
    assert!(redact.contains(&format!("\"{}\"", waxwing_formats::Handle::PREFIX)));
}
