//! What is refused, in which words, and that nothing is changed then.

use std::fs;

use crate::stage::{Program, Stage};

#[test]
fn mistakes_are_told_with_what_to_do_and_leave_every_file_as_it_was() {
    let mut stage = Stage::new();
    for (name, rule) in [
        ("bad-rule.yaml", "encrypted_regex: '('"),
        ("two-rules.yaml", "encrypted_regex: a\n  encrypted_suffix: b"),
        ("huawei.yaml", "hckms: ['eu-de:k']"),
        ("no-match.yaml", "path_regex: ^never$"),
        ("no-list.yaml", "age: {a: b}"),
    ] {
        let text = format!("creation_rules:\n- {rule}\n").into_bytes();
        stage.files.insert(name.to_owned(), text);
    }
    stage.files.insert("a".to_owned(), b"user: admin\n".to_vec());
    stage.files.insert("nul.env".to_owned(), b"A=a\0b\n".to_vec());
    let sealed = stage.call(Program::Ours, &["encrypt", "--age", "OWN", "nul.env"]).1.stdout;
    stage.files.insert("nul.env".to_owned(), sealed);
    let mut report = String::new();
    for words in [
        &[][..],
        &["-d", "-e", "sealed.yaml"],
        &["decrypt", "-i", "--output", "x", "sealed.yaml"],
        &["decrypt", "-i"],
        &["encrypt"],
        &["encrypt", "plain.yaml"],
        &["encrypt", "--age", "someone", "plain.yaml"],
        &["encrypt", "--age", "OWN", "--encrypted-regex", "(", "plain.yaml"],
        &["encrypt", "--age", "OWN", "--encrypted-regex", "a", "--unencrypted-regex", "b", "-i", "plain.yaml"],
        &["encrypt", "--age", "OWN", "--encrypted-suffix", "a", "plain.bin"],
        &["--config", "bad-rule.yaml", "encrypt", "plain.yaml"],
        &["--config", "bad-path.yaml", "encrypt", "plain.yaml"],
        &["--config", "two-rules.yaml", "encrypt", "plain.yaml"],
        &["--config", "huawei.yaml", "encrypt", "plain.yaml"],
        &["encrypt", "--hckms", "eu-de:k", "plain.yaml"],
        &["-e", "--hckms", "eu-de:k", "plain.yaml"],
        &["edit", "--hckms", "eu-de:k", "new.yaml"],
        &["rotate", "-i", "--add-hckms", "eu-de:k", "sealed.yaml"],
        &["rotate", "-i", "--rm-hckms", "eu-de:k", "sealed.yaml"],
        &["-r", "-i", "--add-hckms", "eu-de:k", "sealed.yaml"],
        &["-r", "-i", "--rm-hckms", "eu-de:k", "sealed.yaml"],
        &["groups", "add", "-f", "sealed.yaml", "-i", "--hckms", "eu-de:k"],
        &["decrypt", "--keyservice", "127.0.0.1:5000", "sealed.yaml"],
        &["decrypt", "--enable-local-keyservice=false", "sealed.yaml"],
        &["encrypt", "--enable-local-keyservice=false", "--age", "OWN", "plain.yaml"],
        &["decrypt", "--enable-local-keyservice=false", "--keyservice", "tcp://0.0.0.0:1", "sealed.yaml"],
        &["keyservice", "--address", "none"],
        &["keyservice", "--network", "udp"],
        &["publish", "sealed.yaml"],
        &["--config", "rules.yaml", "publish"],
        &["--config", "rules.yaml", "publish", "sealed.yaml"],
        &["--config", "rules.yaml", "publish", "both"],
        &["--config", "no-match.yaml", "encrypt", "plain.yaml"],
        &["--config", "no-list.yaml", "encrypt", "plain.yaml"],
        &["--config", "none.yaml", "encrypt", "plain.yaml"],
        &["encrypt", "--age", "OWN", "-i", "list.yaml"],
        &["encrypt", "--age", "OWN", "--output-type", "dotenv", "plain.yaml"],
        &["decrypt", "-i", "tampered.yaml"],
        &["decrypt", "moved.yaml"],
        &["decrypt", "plain.yaml"],
        &["decrypt", "--input-type", "yaml", "a"],
        &["decrypt", "--output-type", "binary", "sealed.yaml"],
        &["decrypt", "--output", "none/x.yaml", "sealed.yaml"],
        &["decrypt", "--extract", "[\"nested\"", "sealed.yaml"],
        &["decrypt", "--extract", "[\"nested\"][0]", "sealed.yaml"],
        &["set", "sealed.yaml", "[\"nested\"][\"list\"][\"key\"]", "1"],
        &["set", "sealed.yaml", "[\"user\"]", "hunter2"],
        &["set", "sealed.yaml", "\"hunter2\"", "[\"user\"]"],
        &["set", "sealed.yaml", "[\"user\"]", "my", "hunter2"],
        &["--set", "[\"user\"]\"my] hunter2\"", "sealed.yaml"],
        &["--set", "[\"user\"]", "sealed.yaml"],
        &["--set=[\"user\"]", "sealed.yaml", "hunter2"],
        &["unset", "sealed.yaml", "[\"none\"]"],
        &["rotate", "-i", "--rm-age", "OWN", "sealed.yaml"],
        &["updatekeys", "--yes", "sealed.yaml"],
        &["updatekeys", "--yes", "none.yaml", "sealed.yaml"],
        &["filestatus", "plain.bin"],
        &["exec-env", "nul.env", "echo hunter2"],
        &["exec-env", "sealed.env", "echo", "hunter2"],
        &["exec-file", "sealed.env", "echo", "--hunter2"],
        &["decrypt", "--ignore-mac", "moved.yaml"],
        &["decrypt", "--ignore-mac", "others.yaml"],
        &["groups", "add", "-f", "sealed.yaml", "-i"],
        &["groups", "add", "-f", "sealed.yaml", "-i", "--age", "someone"],
        &["groups", "add", "-f", "three.yaml", "-i", "--age", "OWN", "--shamir-secret-sharing-threshold", "1"],
        &["groups", "add", "-f", "three.yaml", "-i", "--age", "OWN", "--shamir-secret-sharing-threshold", "9"],
        &["groups", "delete", "-f", "three.yaml", "-i", "3"],
        &["groups", "delete", "-f", "quorum.yaml", "-i", "0"],
        &["groups", "delete", "-f", "sealed.yaml", "-i", "0"],
        &["groups", "add", "--age", "OWN"],
        &["exec-env", "--user", "no-such-user", "sealed.env", "echo hunter2"],
        &["exec-env", "--background", "--same-process", "sealed.env", "echo hunter2"],
        &["exec-file", "--background", "sealed.env", "echo hunter2"],
    ] {
        let (folder, finished) = stage.call(Program::Ours, words);
        let told = finished.stderr.replace(&folder.path().display().to_string(), "FOLDER");
        let told = told.replace(&stage.own.recipient, "OWN").replace(&stage.other.recipient, "OTHER");
        assert!(!told.contains("hunter2") && !told.contains("AGE-SECRET"), "{told}");
        report.push_str(&format!(
            "$ sops {}\n{told}exit code {:?}\n\n",
            words.join(" "),
            finished.status.code().unwrap()
        ));
        for (name, bytes) in &stage.files {
            assert_eq!(&fs::read(folder.path().join(name)).unwrap(), bytes, "{words:?} changed {name}");
        }
    }
    insta::assert_snapshot!(report);
}
