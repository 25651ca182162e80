//! What somebody else did to a file: entries and tokens of other files, shares in the wrong number, texts made to break a reader, and
//! runs that are cut off while they write. Nothing of it opens, nothing is half written, and the real sops agrees where it can.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use waxwing_harness::Call;

use crate::stage::Program::{Ours, Theirs};
use crate::stage::{Stage, ours};

/// Returns what lies between two marks, without them.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap() + from.len();
    &text[start..start + text[start..].find(to).unwrap()]
}

fn text(stage: &Stage, name: &str) -> String {
    String::from_utf8(stage.files[name].clone()).unwrap()
}

/// Seals `plain.yaml` with the real sops.
fn sealed(stage: &Stage, words: &[&str]) -> String {
    let ran = stage.call(Theirs, &[words, &["plain.yaml"]].concat()).1;
    assert!(ran.status.success(), "{}", ran.stderr);
    String::from_utf8(ran.stdout).unwrap()
}

/// The entry of the one recipient of a file.
fn entry(sealed: &str) -> &str {
    between(sealed, "    age:\n", "    lastmodified:")
}

#[test]
fn a_recipient_that_was_added_with_the_key_of_another_file_opens_nothing_and_keeps_nobody_out() {
    let mut stage = Stage::new();
    let (own, others) = (text(&stage, "sealed.yaml"), text(&stage, "others.yaml"));
    let added = own.replacen(entry(&own), &format!("{}{}", entry(&others), entry(&own)), 1);
    stage.files.insert("added.yaml".to_owned(), added.clone().into_bytes());
    stage
        .files
        .insert("both.txt".to_owned(), (text(&stage, "key.txt") + "\n" + &text(&stage, "other.txt")).into_bytes());
    for (keys, opens) in [("key.txt", true), ("both.txt", true), ("other.txt", false)] {
        let ran = stage.call_with(Ours, &["decrypt", "added.yaml"], "", &[("SOPS_AGE_KEY_FILE", keys)]).1;
        assert_eq!(ran.stdout == stage.files["plain.yaml"], opens, "{keys}: {}", ran.stderr);
        assert_eq!(ran.status.code(), Some(if opens { 0 } else { 128 }), "{keys}: {}", ran.stderr);
        if !opens {
            assert!(
                ran.stdout.is_empty() && ran.stderr.contains("a key that does not open this file"),
                "{}",
                ran.stderr
            );
        }
        // It takes the first key that unwraps to anything.
        let theirs = stage.call_with(Theirs, &["decrypt", "added.yaml"], "", &[("SOPS_AGE_KEY_FILE", keys)]).1;
        assert_eq!(theirs.status.success(), keys == "key.txt", "{keys}: {}", theirs.stderr);
    }
}

#[test]
fn a_token_of_another_file_or_place_is_refused_with_its_place() {
    let mut stage = Stage::new();
    let (own, others) = (text(&stage, "sealed.yaml"), text(&stage, "others.yaml"));
    let token = |text: &str, key: &str| between(text, &format!("\n{key}: "), "\n").to_owned();
    let (user, password) = (token(&own, "user"), token(&own, "password"));
    let rows = [
        ("rekeyed", own.replace(&password, &token(&others, "password"))),
        ("swapped", own.replace(&user, "-").replace(&password, &user).replace("user: -", &format!("user: {password}"))),
        ("doubled", own.replace(&user, &password)),
        ("code of another", own.replace(between(&own, "    mac: ", "\n"), between(&others, "    mac: ", "\n"))),
    ];
    for (what, text) in rows {
        assert_ne!(text, own);
        stage.files.insert("x.yaml".to_owned(), text.into_bytes());
        for program in [Theirs, Ours] {
            let ran = stage.call(program, &["decrypt", "x.yaml"]).1;
            assert!(!ran.status.success() && ran.stdout.is_empty(), "{what}: {program:?}");
            assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
            let place = if what == "code of another" { "x.yaml" } else { "x.yaml: document 0, /" };
            assert!(program == Theirs || ran.stderr.contains(place), "{what}: {}", ran.stderr);
        }
    }
}

#[test]
fn shares_in_the_wrong_number_or_of_another_file_open_nothing_else() {
    let mut stage = Stage::new();
    // Two of three groups are needed; the first two are for one's own key, the third for that of another.
    let seal = || sealed(&stage, &["--config", "rules.yaml", "encrypt", "--filename-override", "three/x.yaml"]);
    let (three, foreign) = (seal(), seal());
    let groups = |text: &str| {
        let all = between(text, "    key_groups:\n", "    lastmodified:").to_owned();
        let starts: Vec<usize> = all.match_indices("        - age:\n").map(|(at, _)| at).chain([all.len()]).collect();
        starts.windows(2).map(|pair| all[pair[0]..pair[1]].to_owned()).collect::<Vec<_>>()
    };
    let (own, other) = (groups(&three), groups(&foreign));
    assert_eq!(own.len(), 3);
    let with = |groups: &[&str]| three.replace(&own.concat(), &groups.concat());
    let rows = [
        ("as it is", three.clone(), true),
        ("one share twice", with(&[&own[0], &own[0], &own[2]]), false),
        ("one group", with(&[&own[0]]), false),
        ("one group and that of another", with(&[&own[0], &own[2]]), false),
        ("no groups", with(&[]), false),
        ("a share of another file", with(&[&own[0], &other[1], &own[2]]), false),
        ("a share of another file more", with(&[&other[0], &own[0], &own[1]]), true),
        ("all are said to be needed", three.replace("shamir_threshold: 2", "shamir_threshold: 3"), false),
        ("one is said to be enough", three.replace("shamir_threshold: 2", "shamir_threshold: 1"), false),
        ("more than there are", three.replace("shamir_threshold: 2", "shamir_threshold: 300"), false),
        ("not a number", three.replace("shamir_threshold: 2", "shamir_threshold: two"), false),
    ];
    let mut told = String::new();
    for (what, text, opens) in rows {
        assert_eq!(text == three, what == "as it is", "{what}");
        stage.files.insert("x.yaml".to_owned(), text.into_bytes());
        let ran = stage.call(Ours, &["decrypt", "x.yaml"]).1;
        assert_eq!(ran.status.success(), opens, "{what}: {}", ran.stderr);
        assert_eq!(ran.stdout == stage.files["plain.yaml"], opens, "{what}");
        assert!(opens || ran.stdout.is_empty(), "{what}");
        let theirs = stage.call(Theirs, &["decrypt", "x.yaml"]).1;
        assert!(theirs.stdout.is_empty() || theirs.stdout == stage.files["plain.yaml"], "{what}");
        let stderr = ran.stderr.replace(&stage.own.recipient, "OWN").replace(&stage.other.recipient, "OTHER");
        told.push_str(&format!(
            "{what}: sops {}\n{stderr}\n",
            if theirs.status.success() { "opens it" } else { "refuses" }
        ));
    }
    insta::assert_snapshot!(told);
}

/// Texts that are too long, too deep or no text, by the name of a file.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let long = "k".repeat(1 << 20);
    let block: String = (0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    vec![
        ("long.yaml", format!("{long}: hunter2\n").into()),
        ("long.json", format!("{{\"{long}\": \"hunter2\"}}").into()),
        ("long.env", format!("{long}=hunter2\n").into()),
        ("long.ini", format!("[{long}]\n{long} = hunter2\n").into()),
        ("deep.yaml", format!("password: hunter2\na: {}{}\n", "[".repeat(10_000), "]".repeat(10_000)).into()),
        ("block.yaml", format!("password: hunter2\n{block}").into()),
        ("mappings.yaml", format!("password: hunter2\na: {}{}\n", "{a: ".repeat(10_000), "}".repeat(10_000)).into()),
        (
            "deep.json",
            format!("{{\"password\": \"hunter2\", \"a\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000)).into(),
        ),
        ("bytes.yaml", b"password: hunter2\nb: \xff\xfe\n".into()),
        ("bytes.json", b"{\"password\": \"hunter2\", \"b\": \"\xff\"}".into()),
        ("bytes.env", b"PASSWORD=hunter2\nB=\xff\n".into()),
        ("bytes.ini", b"[a]\npassword = hunter2\nb = \xff\n".into()),
        ("bytes.bin", b"hunter2\xff\0".into()),
        ("wide.yaml", "password: hunter2\n".encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ]
}

#[test]
fn texts_made_to_break_a_reader_are_sealed_to_what_they_are_or_refused_by_name() {
    let mut stage = Stage::new();
    let key = stage.own.recipient.clone();
    for (name, bytes) in hostile() {
        stage.files.insert(name.to_owned(), bytes.clone());
        let ran = stage.call(Ours, &["encrypt", "--age", &key, name]).1;
        let told = ran.stderr.get(..300).unwrap_or(&ran.stderr).to_owned();
        assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("panicked"), "{name}: {told}");
        if ran.status.success() {
            stage.files.insert(name.to_owned(), ran.stdout);
            let [theirs, own] = [Theirs, Ours].map(|program| stage.call(program, &["decrypt", name]).1);
            assert!(own.status.success() && own.stdout == theirs.stdout, "{name}: {}", own.stderr);
        } else {
            assert!(ran.stdout.is_empty() && ran.stderr.starts_with(&format!("error: {name}: ")), "{name}: {told}");
            assert!(matches!(ran.status.code(), Some(2 | 23)), "{name}: {:?}", ran.status);
        }
        stage.files.remove(name);
    }
}

#[test]
fn texts_made_to_break_a_reader_do_not_open_where_they_were_put_into_a_sealed_file() {
    let mut stage = Stage::new();
    for (name, bytes) in hostile() {
        let ending = name.rsplit('.').next().unwrap();
        let sealed = stage.files[&format!("sealed.{ending}")].clone();
        let bytes = match ending {
            // The rest of an object stands behind its first brace.
            "json" => [&bytes[..bytes.len() - 1], b",", &sealed[1..]].concat(),
            "bin" => [&bytes[..], &sealed].concat(),
            _ => [&bytes[..], &sealed].concat(),
        };
        stage.files.insert(name.to_owned(), bytes);
        let ran = stage.call(Ours, &["decrypt", name]).1;
        let told = ran.stderr.get(..300).unwrap_or(&ran.stderr).to_owned();
        assert!(!ran.status.success() && ran.stdout.is_empty(), "{name}: {told}");
        assert!(ran.status.code().is_some_and(|code| code != 101), "{name}: {:?} {told}", ran.status);
        assert!(!ran.stderr.contains("hunter2") && told.contains(name), "{name}: {told}");
        stage.files.remove(name);
    }
}

/// Runs a command that may write no file of more than four blocks, which ends it or is an error to it.
fn cut_off(folder: &Path, is_killed: bool, words: &[&str]) -> waxwing_harness::Finished {
    let trap = if is_killed { "trap - XFSZ" } else { "trap '' XFSZ" };
    let call = Call::new(Path::new("bash"), folder).args(["-c", &format!("{trap}; ulimit -f 4; exec \"$@\"")]);
    let call = call.arg("bash").arg(folder.join(".programs/sops")).args(words).dir(folder);
    let call = call.env("SOPS_AGE_KEY_FILE", "key.txt").env("EDITOR", "./edit.sh");
    // What is left of the text that was to be edited goes with the folder.
    call.env("XDG_RUNTIME_DIR", folder).run().unwrap()
}

#[test]
fn a_run_that_is_cut_off_while_it_writes_leaves_the_old_file() {
    let mut stage = Stage::new();
    let large = format!("user: admin\ntext: {}\n", "x".repeat(30_000));
    stage.files.insert("plain.yaml".to_owned(), large.clone().into_bytes());
    let old = sealed(&stage, &["encrypt", "--age", &stage.own.recipient]);
    let rules = format!("creation_rules: [{{age: [{}, {}]}}]\n", stage.own.recipient, stage.other.recipient);
    let other = stage.other.recipient.as_str();
    for words in [
        &["encrypt", "-i", "--age", other, "plain.yaml"][..],
        &["-e", "-i", "plain.yaml"],
        &["decrypt", "-i", "sealed.yaml"],
        &["rotate", "-i", "sealed.yaml"],
        &["rotate", "-i", "--add-age", other, "sealed.yaml"],
        &["set", "sealed.yaml", "[\"user\"]", "\"root\""],
        &["unset", "sealed.yaml", "[\"user\"]"],
        &["updatekeys", "--yes", "sealed.yaml"],
        &["groups", "add", "-f", "sealed.yaml", "-i", "--age", other],
        &["edit", "sealed.yaml"],
        &["decrypt", "--output", "plain.yaml", "sealed.yaml"],
    ] {
        for is_killed in [true, false] {
            let folder = TempDir::new().unwrap();
            let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
            ours(folder.path());
            write("key.txt", &stage.own.identity);
            write("edit.sh", "#!/bin/sh\nsed -i s/admin/root/ \"$1\"\n");
            for (name, text) in [("plain.yaml", &large), ("sealed.yaml", &old), (".sops.yaml", &rules)] {
                write(name, text);
            }
            let ran = cut_off(folder.path(), is_killed, words);
            assert!(!ran.status.success(), "{words:?}");
            assert!(is_killed || ran.status.code().is_some(), "{words:?}: {}", ran.stderr);
            for (name, text) in [("plain.yaml", &large), ("sealed.yaml", &old)] {
                assert_eq!(&fs::read_to_string(folder.path().join(name)).unwrap(), text, "{words:?}: {name}");
            }
            let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let left = entries.filter(|name| name.to_string_lossy().starts_with(".seal-")).count();
            assert!(is_killed || left == 0, "{words:?}: whoever hears of it tidies up");
        }
    }
}
