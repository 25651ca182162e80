//! Keys of both clouds, asked of a key service over gRPC: it alone has credentials.

use std::fs;
use std::process::Command;

use tempfile::TempDir;
use waxwing_harness::Tools;

use crate::Program::{self, Ours, Theirs};
use crate::running::Running;
use crate::{Stage, Variables, joined};

/// Starts a key service with these variables and no others.
fn start(program: Program, stage: &Stage, variables: &Variables) -> Running {
    let folder = TempDir::new().unwrap();
    let mut command = match program {
        Theirs => Command::new(Tools::locate().unwrap().path("sops").unwrap()),
        Ours => Command::new(stage.path().join("sops")),
    };
    command.env_clear().env("HOME", folder.path()).current_dir(folder.path());
    command.env("SSL_CERT_FILE", stage.path().join("ca.pem")).envs(variables.iter().cloned());
    Running::start(command, "unix", folder)
}

#[test]
fn either_seals_and_opens_with_keys_of_both_clouds_that_a_service_of_the_other_has() {
    let stage = Stage::new();
    let newest = stage.vault.rsplit_once('/').unwrap().0;
    let both = joined(&[stage.with_google(), stage.with_azure()]);
    let none = Variables::new();
    for server in [Theirs, Ours] {
        let service = start(server, &stage, &both);
        let at = ["--keyservice", &service.address, "--enable-local-keyservice=false"];
        for key in [["--gcp-kms", &stage.gcp], ["--azure-kv", &stage.vault]] {
            let mut metadata = Vec::new();
            for sealer in [Theirs, Ours] {
                let sealed = stage.sealed(sealer, &[&at[..], &key].concat(), &none);
                let lines = sealed.lines().filter(|line| {
                    !["enc:", "created_at:", "lastmodified:", "mac:", "ENC["].iter().any(|one| line.contains(one))
                });
                metadata.push(lines.map(str::to_owned).collect::<Vec<_>>());
                stage.write("sealed.yaml", sealed);
                for opener in [Theirs, Ours] {
                    let words = [&["decrypt"], &at[..], &["sealed.yaml"]].concat();
                    assert_eq!(
                        stage.text(opener, &words, &none),
                        crate::PLAIN,
                        "{server:?} {sealer:?} {opener:?} {key:?}"
                    );
                }
            }
            assert_eq!(metadata.first(), metadata.last(), "{server:?} {key:?}");
        }
        assert!(stage.opens(Ours, &both), "a key that a service wrapped for is a key as any other");
        // Which version is the newest is looked up by the client, as an answer does not say it.
        let version = format!("version: {}", stage.vault.rsplit_once('/').unwrap().1);
        for program in [Theirs, Ours] {
            let words = [&at[..], &["--azure-kv", newest]].concat();
            let sealed = stage.sealed(program, &words, &stage.with_azure());
            assert!(sealed.contains(&version), "{server:?} {program:?}: {sealed}");
            stage.write("sealed.yaml", sealed);
            for opener in [Theirs, Ours] {
                let opened = stage.text(opener, &[&["decrypt"], &at[..], &["sealed.yaml"]].concat(), &none);
                assert_eq!(opened, crate::PLAIN, "{server:?} {program:?} {opener:?}");
            }
            let words = [&["encrypt"], &words[..], &["plain.yaml"]].concat();
            let finished = stage.call(program, &words, &stage.at_azure());
            assert!(
                !finished.status.success() && finished.stdout.is_empty(),
                "nobody says which version is the newest"
            );
            assert!(
                program == Theirs || finished.stderr.contains("hint: write the version behind the name"),
                "{}",
                finished.stderr
            );
        }
    }
    assert!(stage.google.count(":encrypt") == 4 && stage.google.count(":decrypt") == 8);
}

#[test]
fn what_a_service_has_no_credentials_for_stays_closed_and_is_told() {
    let stage = Stage::new();
    stage.write("sealed.yaml", stage.sealed(Theirs, &["--gcp-kms", &stage.gcp], &stage.with_google()));
    let service = start(Ours, &stage, &stage.at_google());
    let words = ["decrypt", "--keyservice", &service.address, "--enable-local-keyservice=false", "sealed.yaml"];
    for program in [Theirs, Ours] {
        let finished = stage.call(program, &words, &stage.with_google());
        assert!(finished.status.code() == Some(128) && finished.stdout.is_empty(), "{program:?} {}", finished.stderr);
    }
    let log = fs::read_to_string(service.process.log()).unwrap();
    assert!(log.contains(&format!("did not unwrap a data key with gcp_kms {}: ", stage.gcp)), "{log}");
}
