//! PGP keys under the command line of sops: what sops seals with the real gpg opens here, and the reverse, and both end alike.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop where it stands")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use regex::Regex;
use tempfile::TempDir;
use waxwing_harness::{Call, Finished, Gnupg, Tools, Upstream};

#[path = "sops_pgp/older_files.rs"]
mod older_files;

const PLAIN: &str = "user: admin\npassword: hunter2\n";

/// Which program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Theirs,
    Ours,
}

const BOTH: [Program; 2] = [Program::Theirs, Program::Ours];

/// GnuPG with keys, sops, and a folder to work in.
struct Desk {
    upstream: Upstream,
    gnupg: Gnupg,
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk =
            Self { upstream: Upstream::new().unwrap(), gnupg: Gnupg::new().unwrap(), folder: TempDir::new().unwrap() };
        symlink(env!("CARGO_BIN_EXE_seal"), desk.path("sops")).unwrap();
        desk.write("plain.yaml", PLAIN);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Makes a script, and returns where it is.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        self.write(name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o700)).unwrap();
        self.path(name)
    }

    fn call(&self, program: Program, words: &[&str]) -> Call {
        let call = match program {
            Program::Theirs => self.upstream.sops(words).unwrap(),
            Program::Ours => Call::new(&self.path("sops"), self.folder.path()).args(words),
        };
        let gpg = Tools::locate().unwrap().path("gpg").unwrap();
        call.dir(self.folder.path()).env("GNUPGHOME", self.gnupg.home()).env("SOPS_GPG_EXEC", gpg)
    }

    /// Runs a program, which must succeed.
    fn text(&self, program: Program, words: &[&str]) -> String {
        self.call(program, words).text().unwrap()
    }

    fn run(&self, program: Program, words: &[&str]) -> Finished {
        self.call(program, words).run().unwrap()
    }

    /// Returns the fingerprints of what belongs to a key beside itself.
    fn parts(&self, name: &str) -> Vec<String> {
        let listed = self.gnupg.gpg(&["--with-colons", "--list-keys", name]).unwrap().text().unwrap();
        let all = listed.lines().filter_map(|line| line.strip_prefix("fpr:"));
        all.skip(1).map(|part| part.trim_matches(':').to_owned()).collect()
    }

    /// Returns what gpg says of the first message in a sealed file.
    fn packets(&self, sealed: &str) -> String {
        let message: Vec<&str> = sealed.lines().skip_while(|line| !line.contains("BEGIN PGP")).map(str::trim).collect();
        let message = message.join("\n");
        let (message, _) = message.split_once("\nfp:").unwrap();
        let packets = self.gnupg.gpg(&["--list-packets"]).unwrap().stdin(message).run().unwrap();
        String::from_utf8(packets.stdout).unwrap()
    }

    /// Seals with one, and opens with both.
    fn round_trip(&self, words: &[&str], name: &str) {
        for sealer in BOTH {
            let sealed = self.text(sealer, words);
            assert!(sealed.contains(&format!("fp: {name}")) || sealed.contains(&format!("fp: \"{name}\"")), "{sealed}");
            self.write("sealed.yaml", sealed);
            for opener in BOTH {
                let opened = self.text(opener, &["decrypt", "sealed.yaml"]);
                assert_eq!(opened, PLAIN, "sealed by {sealer:?}, opened by {opener:?}");
            }
        }
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/keys/tests/fixtures/pgp");
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn what_either_seals_for_a_key_of_gpg_opens_with_both_however_the_key_is_named() {
    let desk = Desk::new();
    for (user, signing, encrypting) in [("ec", "ed25519", "cv25519"), ("rsa", "rsa2048", "rsa2048")] {
        let named = desk.gnupg.make_key(user, signing, encrypting, "").unwrap();
        desk.round_trip(&["encrypt", "--pgp", &named, "plain.yaml"], &named);
        desk.round_trip(&["-e", "-p", &named.to_lowercase(), "plain.yaml"], &named.to_lowercase());
        for name in [format!("0x{named}"), named[24..].to_owned(), format!("0x{}", &named[24..])] {
            desk.round_trip(&["encrypt", "--pgp", &name, "plain.yaml"], &name);
        }
        let spaced = format!("{} {}", &named[..20], &named[20..]);
        desk.round_trip(&["encrypt", "--pgp", &spaced, "plain.yaml"], &named);
        for sealer in BOTH {
            let call = desk.call(sealer, &["encrypt", "plain.yaml"]).env("SOPS_PGP_FP", &named);
            assert!(call.text().unwrap().contains(&named));
        }
    }
}

#[test]
fn gpg_wraps_for_keys_of_kinds_that_are_not_known_here_and_judges_them() {
    let desk = Desk::new();
    let gpg = Tools::locate().unwrap().path("gpg").unwrap();
    let seen = desk.path("seen").display().to_string();
    let spy = desk.program("spy", &format!("{{ echo \"$@\"; env; }} >> {seen}\nexec {} \"$@\"", gpg.display()));
    let silent = desk.program("silent", &format!("case \"$*\" in *--export*) exec {} \"$@\" ;; esac", gpg.display()));
    for kind in ["elgamal", "brainpool"] {
        let import = desk.gnupg.gpg(&["--import"]).unwrap().stdin(fixture(&format!("{kind}.asc")));
        assert!(import.run().unwrap().status.success());
        let named = desk.gnupg.fingerprint(kind).unwrap();
        desk.round_trip(&["encrypt", "--pgp", &named, "plain.yaml"], &named);
        let words = ["encrypt", "--pgp", &named, "plain.yaml"];
        desk.write("sealed.yaml", desk.call(Program::Ours, &words).env("SOPS_GPG_EXEC", &spy).text().unwrap());
        assert_eq!(desk.text(Program::Theirs, &["decrypt", "sealed.yaml"]), PLAIN);
        // The data key goes over standard input: what is seen of it elsewhere is the name of the key.
        let seen = fs::read_to_string(desk.path("seen")).unwrap();
        let wanted = format!("--trust-model always --recipient {named} --armor --encrypt");
        assert!(seen.lines().any(|line| line.ends_with(&wanted)), "{seen}");
        let refused = desk.call(Program::Ours, &words).env("SOPS_GPG_EXEC", &silent).run().unwrap();
        assert!(refused.stdout.is_empty() && refused.stderr.contains("silent gave no message"), "{}", refused.stderr);
    }
    // A part of such a kind that is newer than one that is known is the one that counts, as for gpg.
    desk.gnupg.gpg(&["--import"]).unwrap().stdin(fixture("curve25519.asc")).run().unwrap();
    let named = desk.gnupg.fingerprint("curve25519").unwrap();
    let unlocked = |words: &[&str]| desk.gnupg.gpg(&["--passphrase", ""]).unwrap().args(words).text().unwrap();
    unlocked(&["--quick-add-key", &named, "brainpoolP256r1", "encrypt", "never"]);
    let newest = desk.parts(&named).pop().unwrap();
    for sealer in BOTH {
        let sealed = desk.text(sealer, &["encrypt", "--pgp", &named, "plain.yaml"]);
        let packets = desk.packets(&sealed);
        assert!(packets.contains(&format!("keyid {}", &newest[24..])), "{sealer:?}: {packets}");
    }
    // gpg refuses what it refuses from others too.
    let named = desk.gnupg.fingerprint("brainpool").unwrap();
    unlocked(&["--quick-set-expire", &named, "1d"]);
    let later = desk.program("later", &format!("exec {} --faked-system-time 20991231T000000 \"$@\"", gpg.display()));
    for sealer in BOTH {
        let words = ["encrypt", "--pgp", &named, "plain.yaml"];
        let refused = desk.call(sealer, &words).env("SOPS_GPG_EXEC", &later).run().unwrap();
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{sealer:?}: {}", refused.stderr);
    }
}

#[test]
fn groups_the_editor_and_the_older_flags_take_pgp_keys() {
    let desk = Desk::new();
    let named = desk.gnupg.make_key("shop", "ed25519", "cv25519", "").unwrap();
    let age = desk.upstream.age_keygen().unwrap();
    desk.write("age.txt", &age.identity);
    desk.program("write.sh", &format!("printf '{}' > \"$1\"", PLAIN.replace('\n', "\\n")));
    let text = |program, words: &[&str]| {
        let call = desk.call(program, words).env("SOPS_AGE_KEY_FILE", "age.txt").env("EDITOR", "./write.sh");
        call.text().unwrap()
    };
    for (writer, reader) in [(Program::Theirs, Program::Ours), (Program::Ours, Program::Theirs)] {
        text(writer, &["edit", "-p", &named, "new.yaml"]);
        fs::rename(desk.path("new.yaml"), desk.path("sealed.yaml")).unwrap();
        assert_eq!(desk.text(reader, &["decrypt", "sealed.yaml"]), PLAIN);
        desk.write("sealed.yaml", text(writer, &["encrypt", "--age", &age.recipient, "plain.yaml"]));
        text(writer, &["-r", "-i", "--add-pgp", &named, "sealed.yaml"]);
        assert_eq!(desk.text(reader, &["decrypt", "sealed.yaml"]), PLAIN);
        text(writer, &["-r", "-i", "--rm-pgp", &named, "sealed.yaml"]);
        assert_eq!(desk.run(reader, &["decrypt", "sealed.yaml"]).status.code(), Some(128));
        text(writer, &["groups", "add", "-f", "sealed.yaml", "-i", "--pgp", &named]);
        assert_eq!(desk.run(reader, &["decrypt", "sealed.yaml"]).status.code(), Some(128));
        assert_eq!(text(reader, &["decrypt", "sealed.yaml"]), PLAIN);
    }
}

#[test]
fn one_of_several_parts_is_meant_by_its_fingerprint_with_a_mark() {
    let desk = Desk::new();
    let named = desk.gnupg.make_key("shop", "ed25519", "cv25519", "").unwrap();
    desk.gnupg.gpg(&["--passphrase", "", "--quick-add-key", &named, "rsa2048", "encrypt"]).unwrap().text().unwrap();
    for part in desk.parts(&named) {
        desk.round_trip(&["encrypt", "--pgp", &format!("{part}!"), "plain.yaml"], &format!("{part}!"));
        for sealer in BOTH {
            let sealed = desk.text(sealer, &["encrypt", "--pgp", &format!("{part}!"), "plain.yaml"]);
            let packets = desk.packets(&sealed);
            assert!(packets.contains(&format!("keyid {}", &part[24..])), "{sealer:?}: {packets}");
        }
    }
}

#[test]
fn rules_name_pgp_keys_and_shares_go_to_age_and_pgp() {
    let desk = Desk::new();
    let named = desk.gnupg.make_key("shop", "ed25519", "cv25519", "").unwrap();
    let age = desk.upstream.age_keygen().unwrap();
    desk.write("key.txt", &age.identity);
    desk.write(
        ".sops.yaml",
        format!(
            "creation_rules:\n- path_regex: flat\n  pgp: '{} {}'\n- path_regex: shares\n  shamir_threshold: 2\n  key_groups:\n  - age: [{}]\n  - pgp: [{named}]\n",
            &named[..20], &named[20..], age.recipient
        ),
    );
    for sealer in BOTH {
        for name in ["flat.yaml", "shares.yaml"] {
            desk.write(name, PLAIN);
            desk.text(sealer, &["encrypt", "-i", name]);
            for opener in BOTH {
                let words = ["decrypt", name];
                let opened = desk.call(opener, &words).env("SOPS_AGE_KEY_FILE", "key.txt").text().unwrap();
                assert_eq!(opened, PLAIN, "{sealer:?}, {opener:?}: {name}");
                let alone = desk.run(opener, &words);
                assert_eq!(alone.status.code(), Some(if name == "flat.yaml" { 0 } else { 128 }), "{}", alone.stderr);
            }
        }
    }
}

#[test]
fn pgp_keys_are_added_and_removed_and_follow_the_rules() {
    let desk = Desk::new();
    let named = desk.gnupg.make_key("shop", "ed25519", "cv25519", "").unwrap();
    let other = desk.gnupg.make_key("other", "rsa2048", "rsa2048", "").unwrap();
    desk.write("rules.yaml", format!("creation_rules: [{{pgp: ['{named}', '{other}']}}]\n"));
    for program in BOTH {
        let sealed = desk.text(program, &["encrypt", "--pgp", &named, "plain.yaml"]);
        desk.write("sealed.yaml", sealed);
        let rotated = desk.text(program, &["rotate", "--add-pgp", &other, "--rm-pgp", &named, "sealed.yaml"]);
        assert!(rotated.contains(&other) && !rotated.contains(&named), "{rotated}");
        desk.text(program, &["--config", "rules.yaml", "updatekeys", "--yes", "sealed.yaml"]);
        let updated = fs::read_to_string(desk.path("sealed.yaml")).unwrap();
        assert!(updated.contains(&other) && updated.contains(&named), "{updated}");
        desk.text(program, &["set", "sealed.yaml", "[\"user\"]", "\"root\""]);
        assert_eq!(desk.text(program, &["decrypt", "sealed.yaml"]), PLAIN.replace("admin", "root"));
    }
}

#[test]
fn a_keyring_of_the_older_form_is_read_without_gpg() {
    let desk = Desk::new();
    let named = {
        desk.gnupg.gpg(&["--import"]).unwrap().stdin(fixture("rsa.asc")).text().unwrap();
        desk.gnupg.fingerprint("rsa").unwrap()
    };
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("pubring.gpg"), fixture("pubring.gpg")).unwrap();
    fs::write(home.path().join("secring.gpg"), fixture("rsa.gpg")).unwrap();
    let with_rings = |call: Call| call.env("GNUPGHOME", home.path()).env("SOPS_GPG_EXEC", "/none/gpg");
    for sealer in BOTH {
        let sealed = with_rings(desk.call(sealer, &["encrypt", "--pgp", &named, "plain.yaml"])).text().unwrap();
        desk.write("sealed.yaml", sealed);
        for opener in BOTH {
            assert_eq!(with_rings(desk.call(opener, &["decrypt", "sealed.yaml"])).text().unwrap(), PLAIN);
            assert_eq!(desk.text(opener, &["decrypt", "sealed.yaml"]), PLAIN);
        }
    }
    // What sops made long before this test.
    desk.write("older.yaml", fixture("sops.yaml"));
    for opener in BOTH {
        assert_eq!(with_rings(desk.call(opener, &["decrypt", "older.yaml"])).text().unwrap(), "password: hunter2\n");
    }
    // In the folder of the user where there is no variable; sops asks for that in another way.
    fs::rename(home.path(), desk.path(".gnupg")).unwrap();
    let call =
        desk.call(Program::Ours, &["decrypt", "sealed.yaml"]).env("GNUPGHOME", "").env("HOME", desk.folder.path());
    assert_eq!(call.env("SOPS_GPG_EXEC", "/none/gpg").text().unwrap(), PLAIN);
}

#[test]
fn a_key_with_a_passphrase_is_left_to_the_agent() {
    let desk = Desk::new();
    let named = desk.gnupg.make_key("locked", "ed25519", "cv25519", "open sesame").unwrap();
    let sealed = desk.text(Program::Ours, &["encrypt", "--pgp", &named, "plain.yaml"]);
    desk.write("sealed.yaml", sealed);
    // An agent that nobody can tell a passphrase.
    let kill = |desk: &Desk| {
        let gpgconf = Tools::locate().unwrap().path("gpgconf").unwrap();
        Call::new(&gpgconf, desk.gnupg.home())
            .env("GNUPGHOME", desk.gnupg.home())
            .args(["--kill", "all"])
            .text()
            .unwrap();
    };
    kill(&desk);
    for opener in BOTH {
        assert_eq!(desk.run(opener, &["decrypt", "sealed.yaml"]).status.code(), Some(128));
    }
    let pinentry = desk.program(
        "pinentry",
        "echo OK\nwhile read -r word rest; do\ncase $word in\nGETPIN) echo 'D open sesame' ;;\nBYE) echo OK; exit ;;\nesac\necho OK\ndone",
    );
    for opener in BOTH {
        fs::write(desk.gnupg.home().join("gpg-agent.conf"), format!("pinentry-program {}\n", pinentry.display()))
            .unwrap();
        kill(&desk);
        assert_eq!(desk.text(opener, &["decrypt", "sealed.yaml"]), PLAIN);
    }
}

/// A gpg-agent that asks with a program of the test's, at a socket.
struct AgentDesk {
    desk: Desk,
    socket: PathBuf,
}

impl AgentDesk {
    fn new() -> Self {
        let mut agent = Self { desk: Desk::new(), socket: PathBuf::new() };
        agent.socket = agent.gpgconf(&["--list-dirs", "agent-socket"]).trim().into();
        agent
    }

    fn gpgconf(&self, words: &[&str]) -> String {
        let gpgconf = Tools::locate().unwrap().path("gpgconf").unwrap();
        let home = self.desk.gnupg.home();
        Call::new(&gpgconf, home).env("GNUPGHOME", home).args(words).text().unwrap()
    }

    /// Starts the agent anew, whose user types this each time.
    fn start(&self, passphrase: &str) {
        let asked = self.desk.path("asked");
        drop(fs::remove_file(&asked));
        let script = format!(
            "echo OK\nwhile read -r word rest; do\ncase $word in\nGETPIN) echo >> {}; echo 'D {passphrase}' ;;\nBYE) echo OK; exit ;;\nesac\necho OK\ndone",
            asked.display()
        );
        let pinentry = self.desk.program("pinentry", &script);
        let settings = format!("pinentry-program {}\n", pinentry.display());
        fs::write(self.desk.gnupg.home().join("gpg-agent.conf"), settings).unwrap();
        self.gpgconf(&["--kill", "gpg-agent"]);
        self.gpgconf(&["--launch", "gpg-agent"]);
    }

    fn asked(&self) -> usize {
        fs::read_to_string(self.desk.path("asked")).unwrap_or_default().lines().count()
    }

    fn decrypt(&self, program: Program, identity: &str) -> Finished {
        let call = self.desk.call(program, &["decrypt", "sealed.yaml"]).env("SOPS_AGE_KEY_FILE", identity);
        // Without a type of terminal sops tells the agent something that it refuses.
        call.env("GPG_AGENT_INFO", format!("{}:0:1", self.socket.display())).env("TERM", "dumb").run().unwrap()
    }
}

#[test]
fn an_agent_that_runs_is_asked_for_the_passphrase_of_an_identity_file_as_by_sops() {
    let agent = AgentDesk::new();
    let key = agent.desk.upstream.age_keygen().unwrap();
    let mut recipient = age::scrypt::Recipient::new("open sesame".to_owned().into());
    recipient.set_work_factor(2);
    agent.desk.write("locked.age", age::encrypt_and_armor(&recipient, key.identity.as_bytes()).unwrap());
    agent.desk.write("locked.bin", age::encrypt(&recipient, key.identity.as_bytes()).unwrap());
    let sealed = agent.desk.text(Program::Theirs, &["encrypt", "--age", &key.recipient, "plain.yaml"]);
    agent.desk.write("sealed.yaml", sealed);
    for (first, second, identity) in [
        (Program::Theirs, Program::Ours, "locked.age"),
        (Program::Ours, Program::Theirs, "locked.age"),
        (Program::Ours, Program::Theirs, "locked.bin"),
    ] {
        agent.start("open sesame");
        for program in [first, second] {
            let opened = agent.decrypt(program, identity);
            assert_eq!(String::from_utf8_lossy(&opened.stdout), PLAIN, "{program:?} {identity}: {}", opened.stderr);
            assert_eq!(agent.asked(), 1, "what one was told the other does not ask for");
        }
    }
    agent.start("what");
    for (program, asked) in [(Program::Theirs, 1), (Program::Ours, 2), (Program::Ours, 3)] {
        let refused = agent.decrypt(program, "locked.age");
        assert_eq!((refused.status.code(), agent.asked()), (Some(128), asked), "{program:?}: {}", refused.stderr);
    }
    // Where there is no variable, it is looked for in the user's folder.
    agent.start("open sesame");
    fs::create_dir(agent.desk.path(".gnupg")).unwrap();
    symlink(&agent.socket, agent.desk.path(".gnupg/S.gpg-agent")).unwrap();
    let call = agent.desk.call(Program::Ours, &["decrypt", "sealed.yaml"]).env("SOPS_AGE_KEY_FILE", "locked.age");
    assert_eq!(call.env("HOME", agent.desk.folder.path()).text().unwrap(), PLAIN);
    assert_eq!(agent.asked(), 1);
}

#[test]
fn gpg_gets_nothing_secret_and_is_not_run_for_other_keys() {
    let desk = Desk::new();
    let named = desk.gnupg.make_key("shop", "ed25519", "cv25519", "").unwrap();
    let gpg = Tools::locate().unwrap().path("gpg").unwrap();
    let seen = desk.path("seen").display().to_string();
    let spy = desk.program("spy", &format!("{{ echo \"$@\"; env; }} >> {seen}\nexec {} \"$@\"", gpg.display()));
    let age = desk.upstream.age_keygen().unwrap();
    let secret = age.identity.lines().last().unwrap();
    let ours = |words: &[&str]| {
        desk.call(Program::Ours, words).env("SOPS_GPG_EXEC", &spy).env("SOPS_AGE_KEY", secret).text().unwrap()
    };
    let sealed = ours(&["encrypt", "--age", &age.recipient, "plain.yaml"]);
    desk.write("aged.yaml", sealed);
    assert_eq!(ours(&["decrypt", "aged.yaml"]), PLAIN);
    let both = ours(&["encrypt", "--age", &age.recipient, "--pgp", &named, "plain.yaml"]);
    desk.write("both.yaml", both);
    fs::rename(desk.path("seen"), desk.path("seen-sealing")).unwrap();
    assert_eq!(ours(&["decrypt", "both.yaml"]), PLAIN);
    assert!(!desk.path("seen").exists(), "gpg was run where age opens the file");
    desk.write("sealed.yaml", ours(&["encrypt", "--pgp", &named, "plain.yaml"]));
    assert_eq!(ours(&["decrypt", "sealed.yaml"]), PLAIN);
    let seen = fs::read_to_string(desk.path("seen")).unwrap();
    assert!(seen.contains("--decrypt") && seen.contains(&format!("--export {named}")), "{seen}");
    assert!(!seen.contains(secret) && !seen.contains("hunter2"), "{seen}");
}

#[test]
fn each_failure_is_told_with_the_exit_code_of_sops_and_what_to_do() {
    let desk = Desk::new();
    let named = desk.gnupg.make_key("shop", "ed25519", "cv25519", "").unwrap();
    desk.write("sealed.yaml", desk.text(Program::Theirs, &["encrypt", "--pgp", &named, "plain.yaml"]));
    let elsewhere = Gnupg::new().unwrap();
    for (name, file) in
        [("expired", "expired.pub.asc"), ("revoked", "revoked.pub.asc"), ("signs-only", "signs-only.pub.asc")]
    {
        elsewhere.gpg(&["--import"]).unwrap().stdin(fixture(file)).text().unwrap();
        assert!(!elsewhere.fingerprint(name).unwrap().is_empty());
    }
    let of = |user: &str| elsewhere.fingerprint(user).unwrap();
    desk.program("much", "yes");
    let unknown = "0123456789ABCDEF0123456789ABCDEF01234567";
    let (open, seal) =
        (["decrypt", "sealed.yaml"], |name: &str| ["encrypt", "--pgp", name, "plain.yaml"].map(str::to_owned));
    let open = || open.map(str::to_owned).to_vec();
    let usual = Tools::locate().unwrap().path("gpg").unwrap().display().to_string();
    let much = desk.path("much").display().to_string();
    let of_keys = Regex::new("encrypted with [^;]*; (\"[^;]*; )?").unwrap();
    let mut report = String::new();
    for (case, words, gpg) in [
        ("no private key", open(), usual.as_str()),
        ("no gpg", open(), "/none/gpg"),
        ("a gpg that gives nothing", open(), "/bin/true"),
        ("a gpg that gives too much", open(), &much),
        ("a key that is not there", seal(unknown).to_vec(), &usual),
        ("no fingerprint", seal("someone@example.com").to_vec(), &usual),
        ("expired", seal(&of("expired")).to_vec(), &usual),
        ("revoked", seal(&of("revoked")).to_vec(), &usual),
        ("a key that signs", seal(&of("signs-only")).to_vec(), &usual),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = |program| {
            let call = desk.call(program, &words).env("GNUPGHOME", elsewhere.home());
            call.env("SOPS_GPG_EXEC", gpg).run().unwrap()
        };
        let ours = ended(Program::Ours);
        // The real sops reads all that a program has to say.
        if case != "a gpg that gives too much" {
            let theirs = ended(Program::Theirs);
            assert_eq!(ours.status.code(), theirs.status.code(), "{case}: {} {}", ours.stderr, theirs.stderr);
        }
        let names = [of("expired"), of("revoked"), of("signs-only"), named.clone()];
        let told = names.iter().fold(ours.stderr, |told, name| told.replace(name, "FINGERPRINT"));
        let told = told.replace(&usual, "gpg").replace(&much, "much");
        let told = of_keys.replace_all(&told, "");
        report.push_str(&format!("{case}\n{told}exit code {:?}\n\n", ours.status.code().unwrap()));
    }
    insta::assert_snapshot!(report);
}
