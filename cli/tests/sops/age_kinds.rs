//! Age keys of every kind open and seal as with the real sops, wherever they are found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use age::secrecy::SecretString;
use tempfile::TempDir;
use waxwing_harness::{Call, Tools};

use crate::stage::{PLAIN, Program, Row, Stage, compare};

/// A kind of age key: who is sealed for, and what is set so that it opens.
type Kind<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// Adds the throw-away keys, as `keys/NAME`, and SSH keys for a user whose home is `home`.
fn add_keys(stage: &mut Stage) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/keys/tests/fixtures/ssh");
    for entry in fs::read_dir(fixtures).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        stage.files.insert(format!("keys/{}", name.to_string_lossy()), fs::read(path).unwrap());
    }
    for (from, to) in [("keys/ed25519", "home/.ssh/id_ed25519"), ("keys/rsa", "home/.ssh/id_rsa")] {
        stage.files.insert(to.to_owned(), stage.files[from].clone());
    }
}

/// Adds the throw-away age key behind a passphrase, with little work: with as much as the age program takes, the test would do
/// nothing else.
fn add_locked_age_key(stage: &mut Stage) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/keys/tests/fixtures/age/throw-away.txt");
    let key = fs::read(path).unwrap();
    let mut recipient = age::scrypt::Recipient::new(SecretString::from("open sesame".to_owned()));
    recipient.set_work_factor(2);
    let armored = age::encrypt_and_armor(&recipient, &key).unwrap().into_bytes();
    stage.files.insert("keys/locked.age".to_owned(), armored);
    stage.files.insert("keys/locked.bin".to_owned(), age::encrypt(&recipient, &key).unwrap());
}

/// What one program seals for a kind of key, both open.
fn both_open(stage: &Stage, (recipient, variables): Kind<'_>) {
    let mut stage = stage.clone();
    for sealer in [Program::Theirs, Program::Ours] {
        let (_, sealed) = stage.call_with(sealer, &["encrypt", "--age", recipient, "plain.yaml"], "", variables);
        assert_eq!(sealed.status.code(), Some(0), "{sealer:?} {recipient}: {}", sealed.stderr);
        assert!(String::from_utf8_lossy(&sealed.stdout).contains(&format!("recipient: {recipient}\n")));
        stage.files.insert("kind.yaml".to_owned(), sealed.stdout);
        for opener in [Program::Theirs, Program::Ours] {
            let (_, opened) = stage.call_with(opener, &["decrypt", "kind.yaml"], "", variables);
            assert_eq!(String::from_utf8_lossy(&opened.stdout), PLAIN, "{opener:?} {variables:?}: {}", opened.stderr);
        }
    }
}

/// The commands take a kind of key wherever sops does.
fn commands_take(stage: &Stage, (recipient, variables): Kind<'_>) {
    let mut stage = stage.clone();
    let config = format!("creation_rules:\n- age: {recipient}\n");
    stage.files.insert("kind-rules.yaml".to_owned(), config.into_bytes());
    let (_, sealed) = stage.call_with(Program::Theirs, &["encrypt", "--age", recipient, "plain.yaml"], "", variables);
    stage.files.insert("kind.yaml".to_owned(), sealed.stdout);
    let mut different = Vec::new();
    for (words, variables) in [
        (&["decrypt", "kind.yaml"][..], &[][..]),
        (&["rotate", "-i", "--add-age", "OWN", "kind.yaml"], variables),
        (&["rotate", "-i", "--add-age", recipient, "sealed.yaml"], variables),
        (&["--config", "kind-rules.yaml", "encrypt", "plain.yaml"], variables),
        (&["encrypt", "plain.yaml"], &[variables, &[("SOPS_AGE_RECIPIENTS", recipient)]].concat()),
    ] {
        different.extend(compare(&stage, &Row { words, stdin: "", variables }));
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

#[test]
fn ssh_keys_open_and_seal_as_with_sops_wherever_they_are_found() {
    let mut stage = Stage::new();
    add_keys(&mut stage);
    let public = |name: &str| String::from_utf8(stage.files[&format!("keys/{name}.pub")].clone()).unwrap();
    let (ed25519, rsa) = (public("ed25519").trim().to_owned(), public("rsa").trim().to_owned());
    let kinds: [Kind<'_>; 8] = [
        (&ed25519, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/ed25519")]),
        (&ed25519, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/ed25519.pkcs8"), ("SOPS_AGE_KEY_FILE", "none.txt")]),
        (&ed25519, &[("SOPS_AGE_SSH_PRIVATE_KEY_CMD", "cat 'keys/ed25519'")]),
        (&ed25519, &[("HOME", "home")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa"), ("SOPS_AGE_KEY", "nonsense")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa.pkcs1")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa.pkcs8")]),
        (&rsa, &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/other"), ("HOME", "home")]),
    ];
    let stage = &stage;
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || both_open(stage, kind));
        }
        scope.spawn(|| commands_take(stage, kinds[0]));
        scope.spawn(|| commands_take(stage, kinds[4]));
    });
}

#[test]
fn whoever_has_a_key_with_a_passphrase_is_asked_for_it_at_the_terminal() {
    let mut stage = Stage::new();
    add_keys(&mut stage);
    add_locked_age_key(&mut stage);
    stage.files.insert("terminal.py".to_owned(), include_bytes!("../support/terminal.py").to_vec());
    stage.files.insert("locked-home/.ssh/id_rsa".to_owned(), stage.files["keys/rsa.locked"].clone());
    let public = |name: &str| String::from_utf8(stage.files[&format!("keys/{name}.pub")].clone()).unwrap();
    let own = "age1d4cqk0wxqw3tj9rk6dugwd2qfd7pvmv8ht0nw4mdy8v837a5afnq5c9x38";
    let theirs = Tools::locate().unwrap().path("sops").unwrap().display().to_string();
    let stage = &stage;
    let asked = |recipient: &str, variables: &[(&str, &str)], answer: &str| {
        let mut stage = stage.clone();
        let (_, sealed) = stage.call(Program::Theirs, &["encrypt", "--age", recipient, "plain.yaml"]);
        stage.files.insert("kind.yaml".to_owned(), sealed.stdout);
        for program in [theirs.as_str(), ".programs/sops"] {
            // The call of ours makes the link that is run at the terminal.
            let (folder, _) = stage.call(Program::Ours, &["--version"]);
            let words = ["terminal.py", answer, program, "decrypt", "kind.yaml"];
            let mut call = Call::new(Path::new("python3"), folder.path()).args(words).dir(folder.path());
            for (name, value) in variables {
                call = call.env(name, value);
            }
            let opened = call.run().unwrap();
            let (code, text) = match answer {
                "open sesame" => (0, PLAIN),
                _ => (128, ""),
            };
            let shown = (opened.status.code(), String::from_utf8_lossy(&opened.stdout).into_owned());
            assert_eq!(shown, (Some(code), text.to_owned()), "{program} {variables:?}: {}", opened.stderr);
        }
    };
    let (ed25519, rsa) = (public("ed25519").trim().to_owned(), public("rsa").trim().to_owned());
    thread::scope(|scope| {
        for (recipient, variables) in [
            (ed25519.as_str(), [("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/ed25519.locked")]),
            (&rsa, [("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "keys/rsa.locked")]),
            (&rsa, [("HOME", "locked-home")]),
            (own, [("SOPS_AGE_KEY_FILE", "keys/locked.age")]),
            (own, [("SOPS_AGE_KEY_CMD", "cat keys/locked.bin")]),
        ] {
            let asked = &asked;
            scope.spawn(move || {
                asked(recipient, &variables, "open sesame");
                if variables[0].1 == "keys/ed25519.locked" || variables[0].1 == "keys/locked.age" {
                    asked(recipient, &variables, "what");
                }
            });
        }
    });
}

/// A recipient and an identity of the plugin in `support/age-plugin-mirror.py`, and a recipient of one that there is not.
const MIRROR: &str = "age1mirror1washsamfdensafl90n";
const MIRROR_IDENTITY: &str = "AGE-PLUGIN-MIRROR-1WASHSAMFDENS098PAQ";
const NOBODY: &str = "age1nobody1washsamfdenslwcqyy";

#[test]
fn plugins_of_age_wrap_and_unwrap_as_with_sops() {
    let mut stage = Stage::new();
    let programs = TempDir::new().unwrap();
    let plugin = programs.path().join("age-plugin-mirror");
    fs::write(&plugin, include_bytes!("../support/age-plugin-mirror.py")).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let own = stage.own.identity.lines().last().unwrap().to_owned();
    for (name, text) in [
        ("mirror.txt", format!("# a plugin\n{MIRROR_IDENTITY}\n")),
        ("both.txt", format!("{MIRROR_IDENTITY}\r\n{own}\n")),
        ("damaged.txt", MIRROR_IDENTITY.replace("MIRROR", "MIRRORS")),
    ] {
        stage.files.insert(name.to_owned(), text.into_bytes());
    }
    stage.files.insert("terminal.py".to_owned(), include_bytes!("../support/terminal.py").to_vec());
    let kinds: [Kind<'_>; 3] = [
        (MIRROR, &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "mirror.txt")]),
        (MIRROR, &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "both.txt")]),
        (MIRROR, &[("PATH", &path), ("SOPS_AGE_KEY", MIRROR_IDENTITY)]),
    ];
    let (_, sealed) = stage.call_with(Program::Theirs, &["encrypt", "--age", MIRROR, "plain.yaml"], "", kinds[0].1);
    stage.files.insert("mirrored.yaml".to_owned(), sealed.stdout);
    let mut different = Vec::new();
    for (words, variables) in [
        (&["encrypt", "--age", MIRROR, "plain.yaml"][..], &[][..]),
        (&["encrypt", "--age", NOBODY, "plain.yaml"], kinds[0].1),
        (&["encrypt", "--age", &MIRROR.replace("mirror", "mirrors"), "plain.yaml"], kinds[0].1),
        (&["decrypt", "mirrored.yaml"], &[("SOPS_AGE_KEY_FILE", "mirror.txt")]),
        (&["decrypt", "mirrored.yaml"], &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "damaged.txt")]),
        (&["decrypt", "mirrored.yaml"], &[("PATH", &path), ("SOPS_AGE_KEY_FILE", "mirror.txt"), ("MIRROR", "refuses")]),
        (&["encrypt", "--age", MIRROR, "plain.yaml"], &[("PATH", &path), ("MIRROR", "refuses")]),
        (&["encrypt", "--age", MIRROR, "plain.yaml"], &[("PATH", &path), ("MIRROR", "ends")]),
    ] {
        different.extend(compare(&stage, &Row { words, stdin: "", variables }));
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
    let (folder, _) = stage.call(Program::Ours, &["--version"]);
    for program in [Tools::locate().unwrap().path("sops").unwrap(), folder.path().join(".programs/sops")] {
        let words = ["terminal.py", "open sesame", &program.display().to_string(), "decrypt", "mirrored.yaml"];
        let call = Call::new(Path::new("python3"), folder.path()).args(words).dir(folder.path());
        let opened =
            call.env("PATH", &path).env("SOPS_AGE_KEY_FILE", "mirror.txt").env("MIRROR", "asks").run().unwrap();
        assert_eq!(String::from_utf8_lossy(&opened.stdout), PLAIN, "{}: {}", program.display(), opened.stderr);
    }
    let stage = &stage;
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || both_open(stage, kind));
        }
        scope.spawn(|| commands_take(stage, kinds[2]));
    });
}

#[test]
fn post_quantum_keys_open_and_seal_as_with_sops() {
    let mut stage = Stage::new();
    let key = stage.upstream.age_keygen_hybrid().unwrap();
    stage.files.insert("hybrid.txt".to_owned(), key.identity.clone().into_bytes());
    let both = format!("{} {}", key.identity.lines().last().unwrap(), stage.own.identity.lines().last().unwrap());
    let kinds: [Kind<'_>; 3] = [
        (&key.recipient, &[("SOPS_AGE_KEY", &both), ("SOPS_AGE_KEY_FILE", "none.txt")]),
        (&key.recipient, &[("SOPS_AGE_KEY_FILE", "hybrid.txt")]),
        (&key.recipient, &[("SOPS_AGE_KEY_CMD", "cat hybrid.txt")]),
    ];
    let stage = &stage;
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || both_open(stage, kind));
        }
        scope.spawn(|| commands_take(stage, kinds[0]));
    });
}

#[test]
fn a_command_that_prints_identities_is_run_only_if_no_other_identity_opens_the_file() {
    let stage = Stage::new();
    let command = "sh -c 'touch asked; cat key.txt'";
    for (program, file, is_asked) in [
        (Program::Theirs, "key.txt", true),
        (Program::Ours, "key.txt", false),
        (Program::Ours, "other.txt", true),
        (Program::Ours, "none.txt", true),
    ] {
        let variables = [("SOPS_AGE_KEY_FILE", file), ("SOPS_AGE_KEY_CMD", command)];
        let (folder, finished) = stage.call_with(program, &["decrypt", "sealed.yaml"], "", &variables);
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        assert_eq!(folder.path().join("asked").exists(), is_asked, "{program:?} {file}");
    }
}
