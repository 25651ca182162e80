//! Single items of SealedSecret files: `seal edit` exchanges them, `seal rotate` seals them again with the newest key, and both keep every
//! other byte. What comes out is opened by the real kubeseal.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use support::{Folder, Ran, run};
use waxwing_formats::yaml;
use waxwing_harness::{Failure, Upstream};

const FIXTURES: &str = "../crates/formats/tests/fixtures/sealed_secret/keys";
const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: shop, labels: {app: shop}}
stringData: {password: hunter2, user: admin}
";

/// A folder with the certificate that is the newest one, an older key's, and what the real kubeseal sealed with that.
struct Desk {
    folder: Folder,
    upstream: Upstream,
}

impl Desk {
    fn new() -> Result<Self, Failure> {
        let desk = Self { folder: Folder::new(), upstream: Upstream::new()? };
        for name in ["newer.crt", "newer.key", "throw-away.crt", "throw-away.key"] {
            let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURES).join(name);
            fs::copy(fixture, desk.path(name)).unwrap();
        }
        desk.folder.write("db.yaml", desk.sealed(SECRET, "throw-away.crt", &["-o", "yaml"])?);
        Ok(desk)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Seals with the real kubeseal.
    fn sealed(&self, secret: &str, certificate: &str, more: &[&str]) -> Result<String, Failure> {
        let call = self.upstream.kubeseal(&["--cert", &self.path(certificate)])?;
        call.args(more).stdin(secret).text()
    }

    /// Returns the values of what the real kubeseal opens with a key.
    fn opened(&self, name: &str, key: &str) -> Option<Value> {
        self.secret(name, key).map(|secret| secret["data"].clone())
    }

    /// Opens with the real kubeseal and a key.
    fn secret(&self, name: &str, key: &str) -> Option<Value> {
        let key = self.path(key);
        let call = self.upstream.kubeseal(&["--recovery-unseal", "--recovery-private-key", &key]).unwrap();
        let finished = call.stdin(self.text(name)).run().unwrap();
        finished.status.success().then(|| serde_json::from_slice(&finished.stdout).unwrap())
    }

    /// Opens the blob of the deprecated form as if it were an item, which is sealed alike.
    fn opened_blob(&self, text: &str, key: &str) -> Value {
        let mut object = yaml::manifests(text.as_bytes()).unwrap().remove(0).value;
        object["spec"] = json!({"encryptedData": {"whole": object["spec"]["data"]}});
        self.folder.write("item.json", object.to_string());
        self.opened("item.json", key).unwrap()["whole"].clone()
    }

    fn seal(&self, arguments: &[&str], stdin: &str) -> Ran {
        let ran = run(self.folder.call(arguments).stdin(stdin));
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains("hunter") && !all.contains("swordfish"), "{ran:?}");
        ran
    }

    /// Edits with a script, which gets the sheet.
    fn edit(&self, script: &str, arguments: &[&str]) -> Ran {
        self.folder.write("edit.sh", format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path("edit.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        let call = self.folder.call(&["edit", "--cert", "newer.crt"]).args(arguments);
        let ran = run(call.env("EDITOR", self.path("edit.sh")));
        assert!(!ran.stderr.contains("swordfish") && ran.stdout.is_empty(), "{ran:?}");
        ran
    }
}

fn base64(text: &str) -> Value {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text).into()
}

/// Returns the lines that are not of both texts.
fn changed<'t>(text: &'t str, other: &str) -> Vec<&'t str> {
    let others: Vec<_> = other.lines().collect();
    text.lines().filter(|line| !others.contains(line)).collect()
}

#[test]
fn items_are_exchanged_in_the_editor_without_seeing_the_old_ones_and_every_other_byte_stays() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let file = format!("# of the shop\n{}# the end\n", desk.text("db.yaml"));
    desk.folder.write("db.yaml", &file);
    let script = "cp \"$1\" sheet; sed -i 's/^password: .*/password: swordfish/; /^user:/d' \"$1\"; echo 'port: \"5432\"' >> \"$1\"";
    let ran = desk.edit(script, &["db.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(desk.text("sheet"));
    let after = desk.text("db.yaml");
    let lines = |lines: Vec<&str>| {
        lines.iter().map(|line| line.split(':').next().unwrap().trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(changed(&file, &after)), ["password", "user"]);
    assert_eq!(lines(changed(&after, &file)), ["password", "port"]);
    let data = json!({"password": base64("swordfish"), "port": base64("5432")});
    assert_eq!(desk.opened("db.yaml", "newer.key"), Some(data));
    let ran = desk.edit("true", &["db.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "note: nothing was changed, so the file is as it was\n"));
    assert_eq!(desk.text("db.yaml"), after);
    Ok(())
}

#[test]
fn values_come_from_files_and_standard_input_and_are_bound_to_what_the_file_says() -> Result<(), Failure> {
    let desk = Desk::new()?;
    desk.folder.write("bytes", "swordfish\n");
    for (name, scope, form) in [
        ("strict.json", "strict", "json"),
        ("space.yaml", "namespace-wide", "yaml"),
        ("wide.json", "cluster-wide", "json"),
    ] {
        let sealed = desk.sealed(SECRET, "newer.crt", &["--scope", scope, "-o", form])?;
        desk.folder.write(name, &sealed);
        let words =
            ["edit", "--cert", "newer.crt", "--from-file", "new=bytes", "--from-stdin", "password", "--remove", "user"];
        let ran = desk.seal(&[&words[..], &[name]].concat(), "swordfish");
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
        let data = json!({"new": base64("swordfish\n"), "password": base64("swordfish")});
        assert_eq!(desk.opened(name, "newer.key"), Some(data), "{scope}");
        let (old, new) = (sealed.lines().count(), desk.text(name).lines().count());
        assert_eq!(old, new, "{scope}");
    }
    let several = format!("{}---\n{}", desk.text("space.yaml"), desk.text("db.yaml"));
    desk.folder.write("several.yaml", &several);
    let script = "sed -i 's/^user: .*/user: swordfish/' \"$1\"";
    assert_eq!(desk.edit(script, &["several.yaml"]).code, Some(0));
    let ours = desk.text("several.yaml");
    assert_eq!(changed(&ours, &several).len(), 1, "the user of the second");
    // Kustomize may give a namespace that the file does not name.
    let bare = desk
        .text("strict.json")
        .replace("      \"namespace\": \"shop\"", "      \"x\": \"y\"")
        .replace("    \"namespace\": \"shop\"\n", "    \"generation\": 1\n");
    desk.folder.write("bare.json", &bare);
    let words = ["edit", "--cert", "newer.crt", "--from-stdin", "password", "bare.json"];
    let refused = desk.seal(&words, "swordfish");
    assert_eq!(refused.code, Some(1), "{}", desk.text("bare.json"));
    assert!(refused.stderr.contains("names no namespace"), "{refused:?}");
    assert_eq!(desk.seal(&[&words[..], &["--namespace", "shop"]].concat(), "swordfish").code, Some(0));
    desk.folder
        .write("bare.json", desk.text("bare.json").replace("    \"generation\": 1\n", "    \"namespace\": \"shop\"\n"));
    assert_eq!(desk.opened("bare.json", "newer.key").unwrap()["password"], base64("swordfish"));
    Ok(())
}

#[test]
fn what_can_not_be_edited_is_as_it_was_and_the_user_is_told_why() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let sealed = desk.text("db.yaml");
    let deprecated = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: shop}\nspec: {data: AgA=}\n";
    let anchor = sealed.replace("    password: ", "    password: &a ").replace("    user: ", "    user: *a # ");
    for (name, text) in [
        ("plain.yaml", SECRET),
        ("deprecated.yaml", deprecated),
        ("two.yaml", &format!("{sealed}---\n{sealed}")),
        ("alias.yaml", &anchor),
        ("broken.yaml", &sealed.replace("spec:", "spec: [")),
    ] {
        desk.folder.write(name, text);
    }
    desk.folder.write("binary", b"\xff");
    let mut told = String::new();
    let values = ["--from-stdin", "password"];
    for (name, more) in [
        ("plain.yaml", &values[..]),
        ("missing.yaml", &values),
        ("deprecated.yaml", &values),
        ("two.yaml", &values),
        ("alias.yaml", &values),
        ("broken.yaml", &values),
        ("db.yaml", &["--from-stdin", "password", "--from-file", "password=binary"]),
        ("db.yaml", &["--from-file", "a b=binary"]),
        ("db.yaml", &["--from-file", "password=nowhere"]),
        ("db.yaml", &["--remove", "nothing"]),
        ("db.yaml", &["--remove", "password", "--remove", "user"]),
        ("db.yaml", &["--cert", "expired.pem", "--from-stdin", "password"]),
    ] {
        let before = fs::read(desk.path(name)).ok();
        let certificate = if more.contains(&"--cert") { &[][..] } else { &["--cert", "newer.crt"] };
        let ran = desk.seal(&[&["edit"], certificate, more, &[name]].concat(), "swordfish");
        assert_eq!(ran.code, Some(1), "{name} {more:?}: {ran:?}");
        assert_eq!(fs::read(desk.path(name)).ok(), before);
        told.push_str(&format!("{name} {}\n{}", more.join(" "), ran.stderr));
    }
    for script in [
        "echo 'port: 5432' >> \"$1\"",
        "echo 'new: <sealed>' >> \"$1\"",
        "echo 'a b: x' >> \"$1\"",
        "echo '- swordfish' > \"$1\"",
        "printf -- '---\\na: swordfish\\n' >> \"$1\"",
        "echo 'x: [swordfish' >> \"$1\"",
        "printf 'swordfish: a\\nswordfish: b\\n' >> \"$1\"",
        "printf 'a: &a {swordfish: x}\\nswordfish: y\\n<<: *a\\n' >> \"$1\"",
        "echo 'swordfish: 7' >> \"$1\"",
        "echo > \"$1\"",
        "echo 'a: swordfish' >> \"$1\"; echo '# mine' >> db.yaml",
        "exit 3",
    ] {
        desk.folder.write("db.yaml", &sealed);
        let ran = desk.edit(script, &["db.yaml"]);
        assert_eq!(ran.code, Some(1), "{script}: {ran:?}");
        assert!(desk.text("db.yaml").starts_with(&sealed));
        told.push_str(&format!("{script}\n{}", ran.stderr.replace(&desk.path(""), "FOLDER/")));
    }
    insta::assert_snapshot!(told);
    Ok(())
}

#[test]
fn items_of_older_keys_are_sealed_again_with_private_keys_and_all_else_stays() -> Result<(), Failure> {
    let desk = Desk::new()?;
    fs::create_dir(desk.path("app")).unwrap();
    let new = desk.sealed(SECRET, "newer.crt", &["-o", "yaml"])?;
    let item = new.lines().find(|line| line.starts_with("    user: ")).unwrap();
    let old = desk.text("db.yaml");
    let mixed: String = old
        .lines()
        .map(|line| if line.starts_with("    user: ") { item } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    let mixed = format!("# mixed\n{mixed}");
    desk.folder.write("app/mixed.yaml", &mixed);
    desk.folder.write("app/new.yaml", &new);
    desk.folder.write("app/wide.json", desk.sealed(SECRET, "throw-away.crt", &["--scope", "cluster-wide"])?);
    desk.folder.write("app/renamed.yaml", old.replace("  name: db", "  name: other"));
    desk.folder.write(
        "app/rescoped.json",
        desk.text("app/wide.json").replace("cluster-wide\": \"true", "cluster-wide\": \"no"),
    );
    desk.folder.write("app/cut.yaml", old.replace("    user: ", "    user: '!' # "));
    desk.folder.write("app/text.yaml", "about: SealedSecret\n");
    desk.folder.write("app/chart.yaml", "kind: SealedSecret\n{{ if }}\n");
    // Names may not steer the terminal.
    let steering = old.replace("    user: ", "    \"\\e[2J\\nuser\": ").replace("  name: db", "  name: \"\\e[2Jdb\"");
    desk.folder.write("app/steering.yaml", steering);
    fs::remove_file(desk.path("db.yaml")).unwrap();
    let before = ["mixed.yaml", "new.yaml", "renamed.yaml", "rescoped.json", "cut.yaml"]
        .map(|name| desk.text(&format!("app/{name}")));

    let ran = desk.seal(&["rotate", "--dry-run", "app"], "");
    let note = "note: 8 files with SealedSecrets not looked into: pass --service-account or --recovery-private-key\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "no sealed files\n"));
    assert!(
        ran.stderr.starts_with("note: ") && ran.stderr.contains("files with SealedSecrets not looked into"),
        "{note} {ran:?}"
    );
    let with = ["--recovery-private-key", "throw-away.key,newer.key", "--cert", "newer.crt"];
    let planned = desk.seal(&[&["rotate", "--dry-run"], &with[..], &["app"]].concat(), "");
    let done = desk.seal(&[&["rotate"], &with[..], &["app"]].concat(), "");
    assert_eq!((planned.code, done.code), (Some(1), Some(1)), "five can't be rotated");
    insta::assert_snapshot!(format!("{}\n{}\n{}", planned.stdout, done.stdout, done.stderr));

    let after = desk.text("app/mixed.yaml");
    assert_eq!(changed(&after, &mixed).len(), 1, "{after}");
    assert!(changed(&after, &mixed)[0].starts_with("    password: "));
    for name in ["mixed.yaml", "new.yaml", "wide.json"] {
        let data = json!({"password": base64("hunter2"), "user": base64("admin")});
        assert_eq!(desk.opened(&format!("app/{name}"), "newer.key"), Some(data), "{name}");
    }
    let now = ["new.yaml", "renamed.yaml", "rescoped.json", "cut.yaml"].map(|name| desk.text(&format!("app/{name}")));
    assert_eq!(now, before[1..], "what is right or does not open is left");
    assert!(!done.stdout.contains('\u{1b}') && !done.stderr.contains('\u{1b}'), "{done:?}");
    for name in ["renamed.yaml", "rescoped.json", "cut.yaml", "chart.yaml", "steering.yaml"] {
        fs::remove_file(desk.path(&format!("app/{name}"))).unwrap();
    }
    let again = desk.seal(&[&["rotate", "--dry-run", "-o", "json"], &with[..], &["app"]].concat(), "");
    let report: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((again.code, &report["left"], &report["planned"]), (Some(0), &json!(3), &json!(0)), "{again:?}");
    Ok(())
}

#[test]
fn what_was_sealed_as_a_whole_is_sealed_again_as_a_whole_and_all_outside_of_spec_stays() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "shop"}},
        "type": "example.com/login", "data": {"user": base64("admin")}, "stringData": {"password": "hunter2"}});
    let blob = |text: &str| -> Result<String, Failure> {
        let words = ["--raw", "--name", "db", "--namespace", "shop"];
        Ok(desk.sealed(text, "throw-away.crt", &words)?.trim_end().to_owned())
    };
    let (blob, other) = (blob(&whole.to_string())?, blob("hunter2, but no Secret")?);
    let head =
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: shop} # of the shop\n";
    let object = json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"data": blob, "encryptedData": {}}});
    let yaml = format!("# first\n{head}spec:\n  data: {blob}\n  template: {{type: ignored}}\n\n# last\nstatus: {{}}\n");
    fs::create_dir(desk.path("app")).unwrap();
    for (name, text) in [
        ("block.yaml", yaml.clone()),
        ("crlf.yaml", yaml.replace('\n', "\r\n")),
        ("flow.yaml", format!("{head}spec: {{data: {blob}}}\n")),
        ("line.json", object.to_string()),
        ("lines.json", format!("{object:#}\n")),
        ("several.yaml", format!("{head}spec:\n  data: |\n    {blob}\n---\n{}", desk.text("db.yaml"))),
        ("other.yaml", format!("{head}spec:\n  data: {other}\n")),
        ("both.yaml", format!("{head}spec:\n  data: {blob}\n  encryptedData: {{a: AgA=}}\n")),
        ("anchor.yaml", format!("{head}spec: &spec\n  data: {blob}\nstatus: *spec\n")),
    ] {
        desk.folder.write(&format!("app/{name}"), text);
    }
    let refused = ["both.yaml", "anchor.yaml"].map(|name| format!("app/{name}"));
    let before = refused.each_ref().map(|name| desk.text(name));
    let with = ["--recovery-private-key", "throw-away.key,newer.key", "--cert", "newer.crt"];
    let planned = desk.seal(&[&["rotate", "--dry-run"], &with[..], &["app"]].concat(), "");
    let done = desk.seal(&[&["rotate"], &with[..], &["app"]].concat(), "");
    assert_eq!((planned.code, done.code), (Some(1), Some(1)), "two can't be rotated: {planned:?} {done:?}");
    insta::assert_snapshot!(format!("{}\n{}\n{}", planned.stdout, done.stdout, done.stderr));
    assert_eq!(refused.each_ref().map(|name| desk.text(name)), before);
    for name in ["block.yaml", "crlf.yaml", "flow.yaml", "line.json", "lines.json"] {
        let text = desk.text(&format!("app/{name}"));
        assert!(!text.contains(&blob), "{name}");
        assert_eq!(desk.opened_blob(&text, "newer.key"), base64(&whole.to_string()), "{name}");
    }
    let block = desk.text("app/block.yaml");
    assert_eq!(desk.text("app/crlf.yaml").lines().count(), block.lines().count());
    let hidden = |line: &str| line.split(": AQ").next().unwrap().to_owned();
    insta::assert_snapshot!("block", block.lines().map(hidden).collect::<Vec<_>>().join("\n"));
    fs::write(desk.path("one.yaml"), desk.text("app/several.yaml").split("---\n").last().unwrap()).unwrap();
    assert_eq!(desk.opened("one.yaml", "newer.key").unwrap()["password"], base64("hunter2"), "its neighbour too");
    Ok(())
}
