//! Keys of key services: what the real sops seals with them opens here, what is sealed here opens there, and both find the same
//! credentials. AWS is moto, Vault is OpenBao.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

#[path = "../../crates/keys/tests/support/canned.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the keys")]
mod canned;
#[path = "sops_services/keyservice.rs"]
mod keyservice;
#[path = "sops_services/keyservice_foreign.rs"]
mod keyservice_foreign;
#[path = "sops_services/publish.rs"]
mod publish;
#[path = "sops_services/references.rs"]
mod references;
#[path = "support/keyservice.rs"]
mod running;
#[path = "support/services.rs"]
mod services;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use canned::{Canned, answer};
use services::Program::{Ours, Theirs};
use services::{PLAIN, REGION, STAGE, masked};
use waxwing_harness::{Authority, Moto, OpenBao};

/// A profile of the AWS configuration of the user whose home a folder is.
const WORK: (&str, &str) = (
    ".aws/config",
    "[profile work]\naws_access_key_id = AKIAOFTHEPROFILE\naws_secret_access_key = hunter2-access-key\n",
);

/// Lets both seal, compares what they wrote, and lets each open what the other sealed.
fn exchange(files: &[(&str, &str)], words: &[&str], variables: &[(&str, &str)]) {
    let stage = &*STAGE;
    let mut sealed = Vec::new();
    for program in [Theirs, Ours] {
        let folder = stage.folder(files);
        sealed.push(stage.text(program, folder.path(), words, variables));
    }
    assert_eq!(masked(&sealed[0]), masked(&sealed[1]), "{words:?}");
    let name = words.last().unwrap().replace("plain", "sealed");
    let mut opened = Vec::new();
    for (opener, text) in [(Ours, &sealed[0]), (Theirs, &sealed[1]), (Ours, &sealed[1])] {
        let folder = stage.folder(&[]);
        fs::write(folder.path().join(&name), text).unwrap();
        opened.push(stage.text(opener, folder.path(), &["decrypt", &name], variables));
    }
    assert!(opened[0].contains("hunter2"), "{words:?}: {}", opened[0]);
    assert!(opened.iter().all(|text| text == &opened[0]), "{words:?}: {opened:?}");
}

#[test]
fn what_one_seals_with_keys_of_services_the_other_opens() {
    let json = r#"{"password": "hunter2"}"#;
    let files =
        [("plain.json", json), ("plain.env", "PASSWORD=hunter2\n"), ("plain.ini", "[db]\npassword = hunter2\n")];
    let context = ["--encryption-context", "app:shop,stage:test"];
    thread::scope(|scope| {
        for words in [
            &["--kms", "<ARN1>"][..],
            &["--kms", "<ALIAS>"],
            &["--kms", "<ARN1>+<ROLE>"],
            &["--kms", "<ARN1>,<ARN2>"],
            &["--hc-vault-transit", "<URI1>"],
            &["--hc-vault-transit", "<URI1>,<URI2>", "--kms", "<ARN2>+<ROLE>", "--age", "<AGE>"],
        ] {
            scope.spawn(move || exchange(&[], &[&["encrypt"], words, &["plain.yaml"]].concat(), &[]));
        }
        scope.spawn(|| exchange(&[], &[&["encrypt", "--kms", "<ARN1>"], &context[..], &["plain.yaml"]].concat(), &[]));
        for name in ["plain.json", "plain.env", "plain.ini", "plain.yaml"] {
            let words =
                ["encrypt", "--kms", "<ARN1>", "--hc-vault-transit", "<URI1>", "--encryption-context", "a:b", name];
            scope.spawn(move || exchange(&files, &words, &[]));
        }
        let variables = [("SOPS_KMS_ARN", "<ARN1>"), ("SOPS_VAULT_URIS", "<URI2>")];
        scope.spawn(move || exchange(&[], &["encrypt", "plain.yaml"], &variables));
    });
}

#[test]
fn rules_name_keys_of_services_with_context_role_and_groups() {
    let flat = "creation_rules: [{kms: '<ARN1>+<ROLE>,<ARN2>', hc_vault_transit_uri: <URI1>, age: <AGE>}]\n";
    let listed = "creation_rules: [{kms: [<ARN1>, <ARN2>], hc_vault_transit_uri: [<URI1>, <URI2>]}]\n";
    let all = "creation_rules: [{key_groups: [{kms: [{arn: <ARN1>}]}, {hc_vault: [<URI1>]}]}]\n";
    let groups = "creation_rules:\n- shamir_threshold: 2\n  key_groups:\n  - kms: [{arn: <ARN1>, role: <ROLE>, context: {app: shop}}]\n  - hc_vault: [<URI1>, <URI2>]\n  - age: [<AGE>]\n";
    thread::scope(|scope| {
        for rules in [flat, listed, groups, all] {
            scope.spawn(move || exchange(&[(".sops.yaml", rules)], &["encrypt", "plain.yaml"], &[]));
        }
        let words = ["-e", "--encryption-context", "app:shop", "plain.yaml"];
        scope.spawn(move || exchange(&[(".sops.yaml", flat)], &words, &[]));
    });
}

#[test]
fn rotate_and_updatekeys_change_keys_of_services_as_sops_does() {
    let stage = &*STAGE;
    let rules = "creation_rules:\n- key_groups:\n  - kms: [{arn: <ARN1>, context: {app: shop}}]\n    hc_vault: [<URI2>]\n  - age: [<AGE>]\n";
    let both = ["encrypt", "-i", "--kms", "<ARN1>,<ALIAS>", "--hc-vault-transit", "<URI1>", "plain.yaml"];
    for words in [
        &["rotate", "-i", "--rm-kms", "<ALIAS>", "plain.yaml"][..],
        &["rotate", "-i", "--rm-hc-vault-transit", "<URI1>", "--add-kms", "<ARN2>", "plain.yaml"],
        &["rotate", "-i", "--add-hc-vault-transit", "<URI2>", "--rm-kms", "<ARN1>,<ALIAS>", "plain.yaml"],
        &["rotate", "-i", "--add-kms", "<ARN2>+<ROLE>", "--encryption-context", "app:shop", "plain.yaml"],
        &["rotate", "-i", "--decryption-order", "kms,hc_vault", "plain.yaml"],
        &["-r", "-i", "--rm-kms", "<ALIAS>", "--add-hc-vault-transit", "<URI2>", "plain.yaml"],
        &["-r", "-i", "--add-kms", "<ARN2>", "--rm-hc-vault-transit", "<URI1>", "plain.yaml"],
        &[
            "groups",
            "add",
            "-f",
            "plain.yaml",
            "-i",
            "--kms",
            "<ARN2>",
            "--aws-profile",
            "work",
            "--encryption-context",
            "app:shop",
            "--hc-vault-transit",
            "<URI2>",
        ],
        &["--config", "rules.yaml", "updatekeys", "--yes", "plain.yaml"],
    ] {
        let mut left = Vec::new();
        for (sealer, changer, opener) in [(Ours, Theirs, Ours), (Theirs, Ours, Theirs)] {
            let folder = stage.folder(&[("rules.yaml", rules), WORK]);
            stage.text(sealer, folder.path(), &both, &[]);
            stage.text(changer, folder.path(), words, &[]);
            let variables = [("SOPS_AGE_KEY_FILE", "age.txt")];
            assert_eq!(stage.text(opener, folder.path(), &["decrypt", "plain.yaml"], &variables), PLAIN, "{words:?}");
            left.push(masked(&fs::read_to_string(folder.path().join("plain.yaml")).unwrap()));
        }
        assert_eq!(left[0], left[1], "{words:?}");
    }
}

#[test]
fn files_of_before_3_3_open_whatever_sops_did_to_their_encryption_context() {
    let stage = &*STAGE;
    let folder = stage.folder(&[]);
    // What sops did: one of the values for all of the names.
    let words = ["encrypt", "--kms", "<ARN1>", "--encryption-context", "app:test,stage:test", "plain.yaml"];
    let sealed = stage.text(Theirs, folder.path(), &words, &[]).replace("app: test", "app: shop");
    let older = sealed.replace("version: 3.13.3", "version: 3.2.0");
    assert_ne!(sealed, older);
    for (text, is_open) in [(&sealed, false), (&older, true)] {
        for program in [Theirs, Ours] {
            fs::write(folder.path().join("sealed.yaml"), text).unwrap();
            let opened = stage.run(program, folder.path(), &["decrypt", "sealed.yaml"], &[]);
            // sops also prints what it found, where the plain text is expected.
            let opened = String::from_utf8(opened.stdout).unwrap();
            assert_eq!(opened.ends_with(PLAIN), is_open, "{program:?}: {opened}");
        }
    }
    let variables = [("EDITOR", "sed -i s/admin/root/")];
    stage.text(Ours, folder.path(), &["edit", "sealed.yaml"], &variables);
    for program in [Theirs, Ours] {
        let opened = stage.text(program, folder.path(), &["decrypt", "sealed.yaml"], &[]);
        assert!(opened.ends_with(&PLAIN.replace("admin", "root")), "{program:?}: {opened}");
    }
}

#[test]
fn an_edited_file_and_a_sealed_one_name_the_profile_of_aws() {
    let stage = &*STAGE;
    let editor = ("write.sh", "#!/bin/sh\nprintf 'user: admin\\npassword: hunter2\\n' > \"$1\"\n");
    let context = ["--encryption-context", "app:shop"];
    let mut left = Vec::new();
    for program in [Theirs, Ours] {
        let folder = stage.folder(&[WORK, editor]);
        fs::set_permissions(folder.path().join("write.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        let variables = [("EDITOR", "./write.sh"), ("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
        let edit = [
            "edit",
            "--kms",
            "<ARN1>",
            "--aws-profile",
            "work",
            "--encryption-context",
            "app:shop",
            "--hc-vault-transit",
            "<URI1>",
            "new.yaml",
        ];
        stage.text(program, folder.path(), &edit, &variables);
        let encrypt =
            ["encrypt", "-i", "--kms", "<ARN1>", "--aws-profile", "work", context[0], context[1], "plain.yaml"];
        stage.text(program, folder.path(), &encrypt, &variables);
        for name in ["new.yaml", "plain.yaml"] {
            for opener in [Theirs, Ours] {
                let opened = stage.text(
                    opener,
                    folder.path(),
                    &["decrypt", name],
                    &[variables[1], variables[2], ("VAULT_TOKEN", "none")],
                );
                assert_eq!(opened, PLAIN, "{program:?} {opener:?} {name}");
            }
            left.push(masked(&fs::read_to_string(folder.path().join(name)).unwrap()));
        }
    }
    assert_eq!(left[..2], left[2..]);
    assert!(left[0].contains("aws_profile: work"), "{}", left[0]);
}

#[test]
fn of_shamir_groups_those_that_are_at_hand_suffice() {
    let stage = &*STAGE;
    let rules = "creation_rules:\n- shamir_threshold: 2\n  key_groups:\n  - kms: [{arn: <ARN1>}]\n  - hc_vault: [<URI1>]\n  - age: [<AGE>]\n";
    let folder = stage.folder(&[(".sops.yaml", rules)]);
    stage.text(Theirs, folder.path(), &["encrypt", "-i", "plain.yaml"], &[]);
    let (no_vault, age) = (("VAULT_TOKEN", "none"), ("SOPS_AGE_KEY_FILE", "age.txt"));
    let no_aws = ("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1");
    for (variables, code) in [
        (&[][..], 0),
        (&[no_vault, age], 0),
        (&[no_aws, age], 0),
        (&[no_aws], 128),
        (&[no_vault], 128),
        (&[no_aws, no_vault, age], 128),
    ] {
        for program in [Theirs, Ours] {
            let finished = stage.run(program, folder.path(), &["decrypt", "plain.yaml"], variables);
            assert_eq!(finished.status.code(), Some(code), "{program:?} {variables:?}: {}", finished.stderr);
            assert_eq!(finished.stdout, if code == 0 { PLAIN.as_bytes() } else { b"" });
        }
    }
}

/// Counts who connects to a port that nobody listens on any more, and hangs up.
fn count(port: u16) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let counted = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&counted);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counting.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    counted
}

#[test]
fn a_file_whose_age_key_is_at_hand_calls_no_service_unless_that_is_asked_for() {
    let stage = &*STAGE;
    let (mut moto, mut bao) = (Moto::start().unwrap(), OpenBao::start().unwrap());
    bao.mount_transit(None, "transit").unwrap();
    bao.make_key(None, "transit", "k").unwrap();
    let (arn, uri) = (moto.make_key(REGION).unwrap(), format!("{}/v1/transit/keys/k", bao.address()));
    let folder = stage.folder(&[]);
    let aws = moto.address();
    let variables = [("AWS_ENDPOINT_URL", aws.as_str()), ("SOPS_AGE_KEY_FILE", "age.txt"), ("AWS_MAX_ATTEMPTS", "1")];
    let words = ["encrypt", "-i", "--kms", &arn, "--hc-vault-transit", &uri, "--age", "<AGE>", "plain.yaml"];
    stage.text(Ours, folder.path(), &words, &variables);
    moto.stop();
    bao.stop();
    let (of_aws, of_vault) = (count(moto.port()), count(bao.port()));
    for (order, aws, vault) in [
        (&[][..], 0, 0),
        (&["--decryption-order", "age,kms,hc_vault"], 0, 0),
        (&["--decryption-order", "kms,age"], 1, 0),
        (&["--decryption-order", "hc_vault,kms"], 2, 1),
    ] {
        let words = [order, &["decrypt", "plain.yaml"]].concat();
        assert_eq!(stage.text(Ours, folder.path(), &words, &variables), PLAIN);
        let counted = [&of_aws, &of_vault].map(|count| count.load(Ordering::SeqCst));
        assert_eq!(counted, [aws, vault], "{order:?}");
    }
}

/// Answers as the metadata service of a machine in EC2 does.
fn of_metadata(path: &str) -> String {
    let keys = r#"{"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"AKIAOFMACHINE","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
    match path {
        "/latest/api/token" => answer("200 OK\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600", "token"),
        "/latest/meta-data/iam/security-credentials/" => answer("200 OK", "role"),
        "/latest/meta-data/iam/security-credentials/role" => answer("200 OK", keys),
        _ => answer("404 Not Found", ""),
    }
}

#[test]
fn credentials_of_aws_are_found_where_sops_finds_them() {
    let stage = &*STAGE;
    let config = "[profile prod]\naws_access_key_id = AKIAOFPROD\naws_secret_access_key = s\n\
        [profile program]\ncredential_process = cat process.json\n\
        [profile session]\nsso_start_url = https://sso.example.com/start\nsso_region = eu-central-1\n\
        sso_account_id = 1\nsso_role_name = dev\n[profile role]\nrole_arn = <ROLE>\nsource_profile = prod\nregion = us-east-1\n";
    let process = r#"{"Version": 1, "AccessKeyId": "AKIAOFPROGRAM", "SecretAccessKey": "s"}"#;
    let logged_in = r#"{"accessToken":"t","expiresAt":"2099-01-01T00:00:00Z","region":"eu-central-1","startUrl":"https://sso.example.com/start"}"#;
    let of_session = r#"{"roleCredentials":{"accessKeyId":"AKIAOFSESSION","secretAccessKey":"s","sessionToken":"t","expiration":4102444800000}}"#;
    let container =
        r#"{"AccessKeyId":"AKIAOFCONTAINER","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
    let files = [
        (".aws/config", config),
        (".aws/credentials", "[default]\naws_access_key_id = AKIAOFDEFAULT\naws_secret_access_key = s\n"),
        ("process.json", process),
        // The cache of a login is named by the SHA-1 of its address.
        (".aws/sso/cache/9ad544bfa11b39c042ecaec2e1b51e4dfb5ec648.json", logged_in),
        ("token", "a.b.c"),
    ];
    let (keys, secret) = (("AWS_ACCESS_KEY_ID", "AKIAOFKEYS"), ("AWS_SECRET_ACCESS_KEY", "s"));
    let nowhere = [("AWS_SHARED_CREDENTIALS_FILE", "none"), ("AWS_CONFIG_FILE", "none")];
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "token"),
        ("AWS_ROLE_ARN", "<ROLE>"),
        ("AWS_REGION", REGION),
        nowhere[0],
        nowhere[1],
    ];
    let host = Canned::serve(&[&answer("200 OK", container)]).address();
    let portal = Canned::serve(&[&answer("200 OK", of_session)]).address();
    let session = [("AWS_ENDPOINT_URL_SSO", portal.as_str())];
    let pod = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", host.as_str()), nowhere[0], nowhere[1]];
    let metadata = Canned::answering(|path, _| of_metadata(path)).address();
    let machine = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "false"),
        nowhere[0],
        nowhere[1],
    ];
    for (arn, flags, variables, found) in [
        ("<ARN1>", &[][..], &[keys, secret][..], "AKIAOFKEYS"),
        ("<ARN1>", &[], &[], "AKIAOFDEFAULT"),
        ("<ARN1>", &[], &[("AWS_PROFILE", "prod")], "AKIAOFPROD"),
        ("<ARN1>", &[], &[("AWS_PROFILE", "prod"), keys, secret], "AKIAOFKEYS"),
        ("<ARN1>", &["--aws-profile", "prod"], &[keys, secret], "AKIAOFPROD"),
        ("<ARN1>", &["--aws-profile", "program"], &[], "AKIAOFPROGRAM"),
        ("<ARN1>", &["--aws-profile", "session"], &session, "AKIAOFSESSION"),
        ("<ARN1>", &["--aws-profile", "role"], &[], "ASIA"),
        ("<ARN1>", &[], &web, "ASIA"),
        ("<ARN1>", &[], &pod, "AKIAOFCONTAINER"),
        ("<ARN1>", &[], &machine, "AKIAOFMACHINE"),
        ("<ARN1>", &["--aws-profile", "missing"], &[keys, secret], ""),
        ("<ARN1>", &[], &nowhere, ""),
        ("<ARN1>+<ROLE>", &[], &[keys, secret], "ASIA"),
        ("<ARN1>+<ROLE>", &["--aws-profile", "prod"], &[], "ASIA"),
        ("<ARN1>+<ROLE>", &[], &nowhere, ""),
    ] {
        for program in [Theirs, Ours] {
            let folder = stage.folder(&files);
            let kms = Canned::serve(&[&answer("400 Bad Request", r#"{"__type":"DisabledException"}"#)]);
            let words = [&["encrypt", "--kms", arn], flags, &["plain.yaml"]].concat();
            let call = stage.call(program, folder.path(), &words).env("AWS_ENDPOINT_URL_KMS", kms.address());
            let call = call.env("AWS_ENDPOINT_URL_STS", stage.moto.address());
            let ran =
                variables.iter().fold(call, |call, (name, value)| call.env(name, stage.filled(value))).run().unwrap();
            let asked = kms.asked();
            let signed = asked.first().and_then(|asked| asked.split("Credential=").nth(1)).unwrap_or_default();
            let id = signed.split('/').next().unwrap();
            let is_found = if found.is_empty() { id.is_empty() } else { id.starts_with(found) };
            assert!(is_found, "{program:?} {words:?} {variables:?}: {id:?} {}", ran.stderr);
            assert_eq!(ran.status.code(), Some(1), "{program:?} {words:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn services_are_called_over_the_proxies_of_the_environment() {
    let stage = &*STAGE;
    for (words, endpoint, path) in [
        (["--kms", "<ARN1>"], "http://kms.example.com", "http://kms.example.com/"),
        (["--hc-vault-transit", "http://vault.example.com/v1/t/keys/k"], "", "http://vault.example.com/v1/t/encrypt/k"),
    ] {
        for program in [Theirs, Ours] {
            let (folder, proxy) = (stage.folder(&[]), Canned::serve(&[&answer("403 Forbidden", "")]));
            let variables = [("AWS_ENDPOINT_URL_KMS", endpoint), ("HTTP_PROXY", &proxy.address())];
            let words = [&["encrypt"], &words[..], &["plain.yaml"]].concat();
            let ran = stage.run(program, folder.path(), &words, &variables);
            assert_eq!(ran.status.code(), Some(1), "{program:?}: {}", ran.stderr);
            let asked = proxy.asked();
            assert!(asked.first().is_some_and(|asked| asked.contains(path)), "{program:?}: {asked:?} {}", ran.stderr);
        }
    }
}

#[test]
fn a_session_of_a_role_has_the_name_that_sops_gives_it() {
    let stage = &*STAGE;
    let refused = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>hunter2</Message></Error></ErrorResponse>";
    let mut sent = Vec::new();
    for program in [Theirs, Ours] {
        let sts = Canned::serve(&[&answer("403 Forbidden", refused)]);
        let folder = stage.folder(&[]);
        let address = sts.address();
        let variables = [("AWS_ENDPOINT_URL_STS", address.as_str())];
        let ran = stage.run(program, folder.path(), &["encrypt", "--kms", "<ARN1>+<ROLE>", "plain.yaml"], &variables);
        assert_eq!((ran.status.code(), ran.stdout.len()), (Some(1), 0), "{}", ran.stderr);
        let asked = sts.asked().remove(0);
        let mut fields: Vec<String> = asked.lines().last().unwrap().split('&').map(str::to_owned).collect();
        fields.sort();
        sent.push(fields);
        if program == Ours {
            assert!(ran.stderr.contains("AWS STS does not allow it (AccessDenied)"), "{}", ran.stderr);
        }
    }
    assert_eq!(sent[0], sent[1]);
    assert!(sent[0].iter().any(|field| field.starts_with("RoleSessionName=sops%40")), "{sent:?}");
}

#[test]
fn tokens_namespaces_and_authorities_of_vault_are_found_where_sops_finds_them() {
    let stage = &*STAGE;
    let pem = stage.authority.pem();
    let files = [
        (".vault-token", "root-of-a-test\n"),
        ("ca.pem", pem.as_str()),
        ("authorities/one/ca.pem", &pem),
        ("authorities/two.pem", &pem),
        ("other.pem", &Authority::new("another").unwrap().pem()),
    ];
    for (uri, variables, code) in [
        ("<URI1>", &[][..], 0),
        ("<URI1>", &[("VAULT_TOKEN", "root-of-a-test"), ("HOME", "/none")], 0),
        ("<URI1>", &[("VAULT_TOKEN", "none")], 1),
        ("<URI1>", &[("HOME", "/none")], 1),
        ("<URITEAM>", &[("VAULT_NAMESPACE", "team")], 0),
        ("<URITLS>", &[("VAULT_CACERT", "ca.pem")], 0),
        ("<URITLS>", &[("VAULT_CACERT_BYTES", &pem)], 0),
        ("<URITLS>", &[("VAULT_CAPATH", "authorities")], 0),
        ("<URITLS>", &[("VAULT_CACERT", "other.pem")], 1),
        ("<URITLS>", &[("VAULT_CACERT", "none.pem")], 1),
        ("<URITLS>", &[], 1),
    ] {
        let folders = [Theirs, Ours].map(|program| {
            let folder = stage.folder(&files);
            let call = stage.call(
                program,
                folder.path(),
                &["encrypt", "--output", "sealed.yaml", "--hc-vault-transit", uri, "plain.yaml"],
            );
            let ran = variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run().unwrap();
            assert_eq!(ran.status.code(), Some(code), "{program:?} {uri} {variables:?}: {}", ran.stderr);
            folder
        });
        for (program, folder) in [Ours, Theirs].into_iter().zip(&folders).filter(|_| code == 0) {
            let call = stage.call(program, folder.path(), &["decrypt", "sealed.yaml"]);
            let ran = variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run().unwrap();
            assert_eq!(ran.stdout, PLAIN.as_bytes(), "{program:?} {uri} {variables:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn servers_that_the_user_does_not_allow_are_not_called() {
    let stage = &*STAGE;
    let address = stage.bao.address();
    let folder = stage.folder(&[]);
    stage.text(Theirs, folder.path(), &["encrypt", "-i", "--hc-vault-transit", "<URI1>", "plain.yaml"], &[]);
    let with_others = format!("https://vault.example.com, {address}/");
    for (allowed, theirs, ours) in [
        ("", 0, 0),
        ("all", 0, 0),
        (address.as_str(), 0, 0),
        (&with_others, 0, 0),
        ("none", 128, 128),
        ("https://vault.example.com", 128, 128),
        ("https://vault.example.com,", 128, 128),
        // An address as a whole or not at all.
        (&format!("{address},vault"), 0, 128),
    ] {
        for (program, code) in [(Theirs, theirs), (Ours, ours)] {
            let ran =
                stage.run(program, folder.path(), &["decrypt", "plain.yaml"], &[("SOPS_HC_VAULT_ALLOWLIST", allowed)]);
            assert_eq!(ran.status.code(), Some(code), "{program:?} {allowed}: {}", ran.stderr);
        }
    }
    let words = ["encrypt", "--hc-vault-transit", "<URITLS>", "plain.yaml"];
    for (skip, code) in [("true", 1), ("1", 1), ("", 1), ("false", 1)] {
        let folder = stage.folder(&[]);
        let ran = stage.run(Ours, folder.path(), &words, &[("VAULT_SKIP_VERIFY", skip)]);
        assert_eq!(ran.status.code(), Some(code), "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("VAULT_SKIP_VERIFY"), ["true", "1"].contains(&skip), "{}", ran.stderr);
    }
}

#[test]
fn what_a_service_refuses_is_told_with_what_to_do_and_without_secrets() {
    let stage = &*STAGE;
    let denied = stage.bao.make_token(None, r#"path "transit/encrypt/other" { capabilities = ["update"] }"#).unwrap();
    let sealed = stage.folder(&[]);
    let words = [
        "encrypt",
        "-i",
        "--kms",
        "<ARN1>",
        "--encryption-context",
        "a:b",
        "--hc-vault-transit",
        "<URI1>",
        "plain.yaml",
    ];
    stage.text(Ours, sealed.path(), &words, &[]);
    let sealed = fs::read_to_string(sealed.path().join("plain.yaml")).unwrap();
    let changed = sealed.replace("a: b", "a: c");
    let missing = format!("arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000");
    let token = ("VAULT_TOKEN", denied.as_str());
    let away = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let mut report = String::new();
    for (words, variables) in [
        (&["encrypt", "--kms", &missing, "plain.yaml"][..], &[][..]),
        (&["encrypt", "--kms", "<ARN1>", "plain.yaml"], &[away]),
        (&["encrypt", "--kms", "<ARN1>", "plain.yaml"], &nobody),
        (&["encrypt", "--hc-vault-transit", "<URI1>", "plain.yaml"], &[token]),
        (&["encrypt", "--hc-vault-transit", "<URI1>", "plain.yaml"], &[("VAULT_TOKEN", "")]),
        (&["encrypt", "--hc-vault-transit", "<URI1>", "plain.yaml"], &[("VAULT_TOKEN", "hunter2\n2")]),
        (&["encrypt", "--hc-vault-transit", "http://127.0.0.1:1/v1/transit/keys/k", "plain.yaml"], &[]),
        (&["encrypt", "--hc-vault-transit", "<URI1>", "plain.yaml"], &[("SOPS_HC_VAULT_ALLOWLIST", "none")]),
        (&["encrypt", "--hc-vault-transit", "<URI1>", "plain.yaml"], &[("VAULT_SKIP_VERIFY", "true")]),
        (&["decrypt", "sealed.yaml"], &[token, away]),
        (&["decrypt", "changed.yaml"], &[("VAULT_TOKEN", "")]),
    ] {
        let folder = stage.folder(&[("sealed.yaml", &sealed), ("changed.yaml", &changed)]);
        let ran = stage.run(Ours, folder.path(), words, variables);
        let told = format!("{}{}", String::from_utf8_lossy(&ran.stdout), ran.stderr);
        for secret in ["hunter2", denied.as_str(), "root-of-a-test", "AKIA"] {
            assert!(!told.contains(secret), "{words:?}: {told}");
        }
        let address = stage.bao.address();
        let named = stage.names.iter().fold(told, |told, (word, name)| told.replace(name.as_str(), word));
        let named = named.replace(&address, "VAULT").replace("VAULT/transit/mine", "<URI1>");
        report.push_str(&format!(
            "$ sops {} {variables:?}\n{named}exit code {:?}\n\n",
            words.join(" "),
            ran.status.code().unwrap()
        ));
    }
    let report = report.replace(&denied, "DENIED").replace("hunter2\\n2", "MALFORMED");
    insta::assert_snapshot!(report);
}
