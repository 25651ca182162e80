//! Key services over gRPC: either program asks that of the other, over a socket and over TCP, for each command that needs a key; and what
//! our own does beyond that of sops.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use waxwing_harness::{Call, Finished, Gnupg, Tools, eventually};

use crate::WORK;
use crate::running::{PATIENCE, Running};
use crate::services::Program::{self, Ours, Theirs};
use crate::services::{PLAIN, STAGE, masked};

const ELSEWHERE: &str = "--enable-local-keyservice=false";

/// Prepares a program with nothing of the user's environment.
fn command(program: Program, folder: &Path, words: &[&str], variables: &[(&str, &Path)]) -> Command {
    let mut command = match program {
        Theirs => Command::new(Tools::locate().unwrap().path("sops").unwrap()),
        Ours => Command::new(env!("CARGO_BIN_EXE_seal")),
    };
    let path = std::env::var_os("PATH").unwrap();
    command.env_clear().env("PATH", path).env("HOME", folder).current_dir(folder);
    if program == Ours {
        command.arg("sops");
    }
    command.args(words).envs(variables.iter().copied());
    command
}

/// Starts a key service that has the age key, credentials for AWS and Vault, and these variables.
pub(crate) fn start(program: Program, network: &str, variables: &[(&str, &Path)]) -> Running {
    let stage = &*STAGE;
    let folder = stage.folder(&[WORK]);
    let mut command = command(program, folder.path(), &[], variables);
    command.env("SOPS_AGE_KEY_FILE", "age.txt").env("VAULT_TOKEN", stage.bao.root_token());
    command.env("AWS_ACCESS_KEY_ID", "AKIAOFTHESERVICE").env("AWS_SECRET_ACCESS_KEY", "hunter2-access-key");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ENDPOINT_URL", stage.moto.address());
    Running::start(command, network, folder)
}

/// Runs a program that has no keys, and must succeed.
fn text(program: Program, folder: &Path, words: &[&str]) -> String {
    STAGE.call(program, folder, words).text().unwrap()
}

#[test]
fn either_seals_and_opens_with_a_key_service_of_the_other_over_a_socket_and_over_tcp() {
    let gnupg = Gnupg::new().unwrap();
    let pgp = gnupg.make_key("a@example.com", "ed25519", "cv25519", "").unwrap();
    let gpg = Tools::locate().unwrap().path("gpg").unwrap();
    let variables = [("GNUPGHOME", gnupg.home()), ("SOPS_GPG_EXEC", gpg.as_path())];
    let context = ["--kms", "<ARN1>+<ROLE>", "--encryption-context", "app:shop,stage:test"];
    let keys = [
        &["--age", "<AGE>"][..],
        &["--pgp", &pgp],
        &["--hc-vault-transit", "<URI1>"],
        &["--kms", "<ARN1>"],
        &context,
        &["--kms", "<ALIAS>", "--aws-profile", "work"],
    ];
    thread::scope(|scope| {
        for (server, network) in [(Theirs, "unix"), (Theirs, "tcp"), (Ours, "unix"), (Ours, "tcp")] {
            let keys = if network == "unix" { &keys[..] } else { &keys[..1] };
            let variables = &variables;
            scope.spawn(move || {
                let service = start(server, network, variables);
                let at = ["--keyservice", &service.address, ELSEWHERE];
                let folder = STAGE.folder(&[]);
                for key in keys {
                    let sealers = if server == Ours { &[Theirs, Ours][..] } else { &[Ours] };
                    for &sealer in sealers {
                        let words = [&["encrypt"], &at[..], key, &["plain.yaml"]].concat();
                        let sealed = text(sealer, folder.path(), &words);
                        fs::write(folder.path().join("sealed.yaml"), sealed).unwrap();
                        for opener in [Theirs, Ours] {
                            let words = [&["decrypt"], &at[..], &["sealed.yaml"]].concat();
                            assert_eq!(text(opener, folder.path(), &words), PLAIN, "{server:?} {sealer:?} {key:?}");
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn every_command_asks_key_services_as_with_sops() {
    let service = start(Theirs, "unix", &[]);
    let stage = &*STAGE;
    let groups = "creation_rules: [{path_regex: groups, key_groups: [{age: [<AGE>]}, {hc_vault: [<URI1>]}]}, {hc_vault_transit_uri: <URI2>}]\n";
    let files = [
        (".sops.yaml", groups),
        ("edit.sh", "#!/bin/sh\nsed -i s/admin/root/ \"$1\"\necho new: 1 >> \"$1\"\n"),
        ("x.json", "1"),
    ];
    let at = ["--keyservice", &service.address, ELSEWHERE];
    let mut different = Vec::new();
    for words in [
        &["encrypt", "@", "-i", "plain.yaml"][..],
        &["encrypt", "@", "--filename-override", "groups.yaml", "plain.yaml"],
        &["decrypt", "@", "sealed.yaml"],
        &["decrypt", "@", "groups.yaml"],
        &["edit", "@", "sealed.yaml"],
        &["edit", "@", "new.yaml"],
        &["set", "@", "sealed.yaml", "[\"user\"]", "\"root\""],
        &["unset", "@", "sealed.yaml", "[\"user\"]"],
        &["rotate", "@", "-i", "--add-hc-vault-transit", "<URI2>", "sealed.yaml"],
        &["updatekeys", "@", "--yes", "sealed.yaml"],
        &["groups", "add", "@", "-f", "sealed.yaml", "-i", "--age", "<AGE>"],
        &["groups", "delete", "@", "-f", "groups.yaml", "-i", "--shamir-secret-sharing-threshold", "1", "1"],
        &["exec-env", "@", "sealed.yaml", "echo $password"],
        &["exec-file", "@", "sealed.yaml", "cat {}"],
        &["@", "-e", "--hc-vault-transit", "<URI1>", "plain.yaml"],
        &["@", "-d", "sealed.yaml"],
        &["@", "-r", "sealed.yaml"],
        &["@", "--set", "[\"user\"] \"root\"", "sealed.yaml"],
        &["@", "sealed.yaml"],
    ] {
        let words: Vec<&str> =
            words.iter().flat_map(|word| if *word == "@" { at.to_vec() } else { vec![*word] }).collect();
        let mut left = Vec::new();
        for program in [Theirs, Ours] {
            let folder = stage.folder(&files);
            let path = |name: &str| folder.path().join(name);
            let script = fs::Permissions::from_mode(0o700);
            fs::set_permissions(path("edit.sh"), script).unwrap();
            for (name, rule) in [("sealed.yaml", "--age"), ("groups.yaml", "--filename-override")] {
                let named = if rule == "--age" { "<AGE>" } else { "groups.yaml" };
                let sealed = text(Theirs, folder.path(), &["encrypt", at[0], at[1], rule, named, "plain.yaml"]);
                fs::write(path(name), sealed).unwrap();
            }
            let ran = stage.call(program, folder.path(), &words).env("EDITOR", "./edit.sh").run().unwrap();
            let files = ["plain.yaml", "sealed.yaml", "groups.yaml", "new.yaml"].map(|name| {
                let opened = stage.call(Theirs, folder.path(), &["decrypt", at[0], at[1], name]).run().unwrap().stdout;
                (masked(&fs::read_to_string(path(name)).unwrap_or_default()), String::from_utf8(opened).unwrap())
            });
            let printed = if words[0] == "updatekeys" { String::new() } else { String::from_utf8(ran.stdout).unwrap() };
            left.push((
                ran.status.code(),
                masked(&printed),
                if words.contains(&"new.yaml") { Vec::new() } else { files.to_vec() },
            ));
            assert_eq!(ran.status.code(), Some(0), "{program:?} {words:?}: {}", ran.stderr);
        }
        if left[0] != left[1] {
            different.push(format!("{words:?}\ntheirs: {:?}\nours: {:?}", left[0], left[1]));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

/// Runs `seal` itself, which has no keys but what these variables name.
fn seal(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Finished {
    let call = Call::new(Path::new(env!("CARGO_BIN_EXE_seal")), folder).dir(folder).args(words);
    variables.iter().fold(call.env("EDITOR", "./edit.sh"), |call, (name, value)| call.env(name, value)).run().unwrap()
}

#[test]
fn the_verbs_of_seal_that_open_files_ask_key_services_as_those_of_sops_do() {
    let (service, stage) = (start(Theirs, "unix", &[]), &*STAGE);
    let files = [
        (".sops.yaml", "creation_rules: [{hc_vault_transit_uri: <URI2>}]\n"),
        ("edit.sh", "#!/bin/sh\nsed -i s/admin/root/ \"$1\"\necho new: 1 >> \"$1\"\n"),
    ];
    let (at, theirs) = (service.address.as_str(), ["--keyservice", &service.address, ELSEWHERE]);
    let by_variables = [("SOPS_KEYSERVICE", at), ("SOPS_ENABLE_LOCAL_KEYSERVICE", "false")];
    let changed = PLAIN.replace("admin", "root") + "new: 1\n";
    for (words, variables, wanted) in [
        (&["edit", "--keyservice", at, ELSEWHERE, "sealed.yaml"][..], &[][..], &changed),
        (&["edit", "sealed.yaml"], &by_variables, &changed),
        (&["rotate", "--keyservice", at, "sealed.yaml"], &[], &PLAIN.to_owned()),
        (&["rotate", "sealed.yaml"], &by_variables, &PLAIN.to_owned()),
        (
            &["rotate", "--only-recipients", "--keyservice", "unix:///none/keys.sock", "--keyservice", at, "."],
            &[],
            &PLAIN.to_owned(),
        ),
    ] {
        let folder = stage.folder(&files);
        fs::set_permissions(folder.path().join("edit.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        let sealed = text(Theirs, folder.path(), &["encrypt", theirs[0], theirs[1], "--age", "<AGE>", "plain.yaml"]);
        fs::write(folder.path().join("sealed.yaml"), sealed).unwrap();
        let ran = seal(folder.path(), words, variables);
        assert_eq!(ran.status.code(), Some(0), "{words:?}: {}", ran.stderr);
        let opened = text(Theirs, folder.path(), &[&["decrypt"], &theirs[..], &["sealed.yaml"]].concat());
        assert_eq!(&opened, wanted, "{words:?}");
        let ran = seal(folder.path(), &[&["edit"], &theirs[..], &["new.yaml"]].concat(), &[]);
        assert_eq!(ran.status.code(), Some(0), "{}", ran.stderr);
        text(Theirs, folder.path(), &[&["decrypt"], &theirs[..], &["new.yaml"]].concat());
    }
}

#[test]
fn verbs_of_seal_that_may_ask_nobody_say_so() {
    let stage = &*STAGE;
    let folder = stage.folder(&[]);
    let own = [("SOPS_AGE_KEY_FILE", "age.txt")];
    let sealed = stage.text(Theirs, folder.path(), &["encrypt", "--age", "<AGE>", "plain.yaml"], &own);
    fs::write(folder.path().join("sealed.yaml"), &sealed).unwrap();
    for words in [["edit", ELSEWHERE, "sealed.yaml"], ["rotate", ELSEWHERE, "sealed.yaml"]] {
        let ran = seal(folder.path(), &words, &own);
        let told = "error: there is no key service to ask\nhint: leave --enable-local-keyservice out, or name a key service with --keyservice\n";
        assert_eq!((ran.status.code(), ran.stderr.as_str()), (Some(1), told), "{words:?}");
    }
    let ran = seal(folder.path(), &["rotate", "--keyservice", "tcp://192.0.2.1", "sealed.yaml"], &own);
    assert!(ran.status.code() == Some(1) && ran.stderr.contains("is no address of a key service"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(folder.path().join("sealed.yaml")).unwrap(), sealed);
}

#[test]
fn a_service_answers_others_while_it_waits_for_a_server_of_the_first() {
    let (service, stage) = (start(Ours, "unix", &[]), &*STAGE);
    let at = ["--keyservice", &service.address, ELSEWHERE];
    let folder = stage.folder(&[]);
    let seal = |key: &[&str]| text(Theirs, folder.path(), &[&["encrypt"], &at[..], key, &["plain.yaml"]].concat());
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let vault = format!("http://{}", held.local_addr().unwrap());
    let of_vault = seal(&["--hc-vault-transit", "<URI1>"]).replace(&stage.bao.address(), &vault);
    fs::write(folder.path().join("vault.yaml"), of_vault).unwrap();
    fs::write(folder.path().join("age.yaml"), seal(&["--age", "<AGE>"])).unwrap();
    let decrypt = |program, name| stage.call(program, folder.path(), &[&["decrypt"], &at[..], &[name]].concat());
    held.set_nonblocking(true).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| decrypt(Theirs, "vault.yaml").run().unwrap());
        // The server of the first question is called, and says nothing.
        let called = eventually(PATIENCE, "a call", || held.accept()).unwrap();
        for program in [Theirs, Ours] {
            assert_eq!(decrypt(program, "age.yaml").text().unwrap(), PLAIN);
        }
        assert!(!first.is_finished());
        drop((called, held));
        assert_ne!(first.join().unwrap().status.code(), Some(0));
    });
}

#[test]
fn keys_of_huawei_cloud_are_refused_by_name_with_a_way_out() {
    let (service, stage) = (start(Ours, "unix", &[]), &*STAGE);
    let at = ["--keyservice", &service.address, ELSEWHERE];
    let folder = stage.folder(&[]);
    let key = "tr-west-1:12345678-1234-1234-1234-123456789012";
    let sealed = text(Theirs, folder.path(), &[&["encrypt"], &at[..], &["--age", "<AGE>", "plain.yaml"]].concat());
    let age = sealed.find("    age:\n").unwrap();
    let end = sealed.find("    lastmodified").unwrap();
    let entry = format!(
        "    hckms:\n        - key_id: {key}\n          created_at: \"2026-01-01T00:00:00Z\"\n          enc: hunter2\n"
    );
    fs::write(folder.path().join("sealed.yaml"), [&sealed[..age], &entry, &sealed[end..]].concat()).unwrap();
    let mut report = String::new();
    for (program, words) in [
        (Theirs, [&["encrypt"], &at[..], &["--hckms", key, "plain.yaml"]].concat()),
        (Theirs, [&["decrypt"], &at[..], &["sealed.yaml"]].concat()),
        (Ours, [&["encrypt"], &at[..], &["--hckms", key, "plain.yaml"]].concat()),
        (Ours, [&["decrypt"], &at[..], &["sealed.yaml"]].concat()),
        (Ours, vec!["decrypt", "sealed.yaml"]),
        (Ours, vec!["rotate", "--add-hckms", key, "sealed.yaml"]),
        (Ours, vec!["updatekeys", "--yes", "sealed.yaml"]),
    ] {
        let ran = stage.call(program, folder.path(), &words).run().unwrap();
        assert!(!ran.status.success() && ran.stdout.is_empty(), "{words:?}: {}", ran.stderr);
        if program == Ours {
            report.push_str(&format!("{}: {}\n", words[0], ran.stderr.replace(&service.address, "SERVICE")));
        }
    }
    let log = service.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("hckms") || line.contains("huawei")).collect();
    assert!(!log.contains("hunter2"), "{log}");
    insta::assert_snapshot!(format!("{report}what the service says:\n{}\n", told.join("\n")));
}

#[test]
fn keys_at_hand_come_first_and_then_each_service_in_its_order_until_one_does_it() {
    let (service, stage) = (start(Ours, "tcp", &[]), &*STAGE);
    let folder = stage.folder(&[]);
    let (nobody, good) = ("unix:///none/keys.sock", service.address.as_str());
    let own = [("SOPS_AGE_KEY_FILE", "age.txt")];
    let sealed =
        stage.text(Ours, folder.path(), &["encrypt", "--keyservice", good, "--age", "<AGE>", "plain.yaml"], &[]);
    fs::write(folder.path().join("sealed.yaml"), sealed).unwrap();
    let opened = stage.text(Ours, folder.path(), &["decrypt", "--keyservice", good, "sealed.yaml"], &own);
    assert_eq!(opened, PLAIN);
    let asked = |service: &Running| service.log().lines().filter(|line| line.contains("a data key with")).count();
    assert_eq!(asked(&service), 0, "{}", service.log());
    let both = format!("{nobody},{good}");
    for (words, variables) in [
        (&["decrypt", "--keyservice", good, "sealed.yaml"][..], &[][..]),
        (&["decrypt", "--keyservice", nobody, "--keyservice", good, "sealed.yaml"], &[]),
        (&["--keyservice", nobody, "--keyservice", good, "decrypt", "sealed.yaml"], &[]),
        (&["decrypt", "sealed.yaml"], &[("SOPS_KEYSERVICE", both.as_str())]),
        (&["decrypt", ELSEWHERE, "--keyservice", good, "sealed.yaml"], &own[..]),
        (&["decrypt", "--keyservice", good, "sealed.yaml"], &[own[0], ("SOPS_ENABLE_LOCAL_KEYSERVICE", "false")]),
    ] {
        let before = asked(&service);
        let ran = stage.call(Ours, folder.path(), words);
        let ran = variables.iter().fold(ran, |call, (name, value)| call.env(name, value)).run().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout), PLAIN, "{words:?} {}", ran.stderr);
        assert_eq!(asked(&service), before + 1, "{words:?}: {}", service.log());
    }
    let words = ["encrypt", "--keyservice", nobody, "--keyservice", good, "--hc-vault-transit", "<URI1>", "plain.yaml"];
    stage.call(Ours, folder.path(), &words).text().unwrap();
    assert!(service.log().contains("wrapped a data key with hc_vault http://127.0.0.1"), "{}", service.log());
}

/// A key service that asks at its standard input, and is ended when this is dropped.
struct Asking(Child);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_service_that_prompts_asks_before_each_answer_and_takes_no_answer_for_a_no() {
    let stage = &*STAGE;
    let folder = stage.folder(&[]);
    let socket = folder.path().join("keys.sock");
    let words = ["keyservice", "--net", "unix", "--addr", "keys.sock", "--prompt", "--verbose"];
    let mut command = command(Ours, folder.path(), &words, &[]);
    command.env("SOPS_AGE_KEY_FILE", "age.txt").stdin(Stdio::piped());
    let (said, asked) = (folder.path().join("said"), folder.path().join("asked"));
    command.stdout(fs::File::create(&asked).unwrap()).stderr(fs::File::create(&said).unwrap());
    let mut service = Asking(command.spawn().unwrap());
    eventually(PATIENCE, "the socket", || UnixStream::connect(&socket)).unwrap();
    let at = ["--keyservice", &format!("unix://{}", socket.display()), ELSEWHERE];
    let mut stdin = service.0.stdin.take().unwrap();
    stdin.write_all(b"y\nwhat\ny\nn\n").unwrap();
    let client = folder.path().join("client");
    fs::create_dir(&client).unwrap();
    fs::write(client.join("plain.yaml"), PLAIN).unwrap();
    let sealed = text(Theirs, &client, &[&["encrypt"], &at[..], &["--age", "<AGE>", "plain.yaml"]].concat());
    fs::write(client.join("sealed.yaml"), sealed).unwrap();
    let decrypt = [&["decrypt"], &at[..], &["sealed.yaml"]].concat();
    assert_eq!(text(Ours, &client, &decrypt), PLAIN);
    assert_eq!(stage.call(Ours, &client, &decrypt).run().unwrap().status.code(), Some(128));
    drop(stdin);
    let refused = stage.call(Ours, &client, &decrypt).run().unwrap();
    assert!(refused.stderr.contains("it refuses (PermissionDenied)"), "{}", refused.stderr);
    let (asked, said) = (fs::read_to_string(asked).unwrap(), fs::read_to_string(said).unwrap());
    let age = &stage.names.iter().find(|(word, _)| *word == "<AGE>").unwrap().1;
    let question = |what: &str| format!("A client wants to {what} age {age}. Answer it? (y/n): ");
    let (wrap, unwrap) = (question("wrap a data key for"), question("unwrap a data key with"));
    assert_eq!(asked, format!("{wrap}{unwrap}{unwrap}{unwrap}{unwrap}"));
    let lines: Vec<&str> = said.lines().skip(1).collect();
    let not = format!("note: did not unwrap a data key with age {age}: nobody agreed");
    let wanted =
        [format!("note: wrapped a data key with age {age}"), format!("note: unwrapped a data key with age {age}")];
    assert_eq!(lines, [wanted[0].as_str(), &wanted[1], &not, &not]);
}

#[test]
fn the_socket_of_a_service_is_its_users_alone_and_gone_when_it_ends() {
    let mut service = start(Ours, "unix", &[]);
    let metadata = fs::metadata(service.socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let second = |address: &str| {
        let words = ["keyservice", "--network", "unix", "--address", address];
        command(Ours, service.folder.path(), &words, &[]).output().unwrap()
    };
    for address in ["keys.sock", "@keys", "none/keys.sock", "age.txt"] {
        let refused = second(address);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{address}: {told}");
        assert!(told.starts_with(&format!("error: failed to listen on {address}: ")), "{told}");
    }
    assert!(service.socket().exists(), "who can't listen leaves the socket of the other");
    service.process.terminate();
    assert_eq!(service.process.wait(PATIENCE).unwrap().code(), Some(0));
    assert!(!service.socket().exists());

    for signal in [Signal::INT, Signal::HUP, Signal::QUIT] {
        // Whatever is ignored where the tests run.
        let mut service = started_by(&["env", "--default-signal=HUP"]);
        send(signal, &service);
        assert_eq!(service.process.wait(PATIENCE).unwrap().code(), Some(0), "{signal:?}");
        assert!(!service.socket().exists(), "{signal:?}");
    }
    let mut service = start(Ours, "unix", &[]);
    fs::rename(service.socket(), service.folder.path().join("moved")).unwrap();
    fs::write(service.socket(), "of somebody else").unwrap();
    service.process.terminate();
    assert_eq!(service.process.wait(PATIENCE).unwrap().code(), Some(0));
    assert!(service.socket().exists(), "what has taken its place is left");
}

#[test]
fn a_service_that_is_to_outlive_its_terminal_does() {
    let service = started_by(&["nohup"]);
    send(Signal::HUP, &service);
    let at = ["--keyservice", &service.address, ELSEWHERE];
    let words = [&["encrypt"], &at[..], &["--age", "<AGE>", "plain.yaml"]].concat();
    assert!(text(Theirs, service.folder.path(), &words).contains("BEGIN AGE ENCRYPTED FILE"));
}

/// Starts a service of ours at a socket by a command that runs another one.
fn started_by(words: &[&str]) -> Running {
    let folder = STAGE.folder(&[]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args([env!("CARGO_BIN_EXE_seal"), "sops"]).env_clear().env("HOME", folder.path());
    command.env("PATH", std::env::var_os("PATH").unwrap());
    Running::start(command, "unix", folder)
}

fn send(signal: Signal, service: &Running) {
    let id = i32::try_from(service.process.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}
