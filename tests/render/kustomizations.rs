//! Folders with a kustomization, built by the real program over handles.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use waxwing::render::{PlaintextPolicy, judge, render};

use crate::repository::{Repository, fixture, kustomize, options, readable, repository, salt, scope_of, told};

type Outcome = Result<(), Box<dyn Error>>;

/// An overlay over a base beside it, with every way in which a sealed value can come in.
const OVERLAY: &[(&str, &str)] = &[
    ("apps/base/kustomization.yaml", "resources: [web.yaml, db.enc.yaml, token.yaml]\n"),
    (
        "apps/base/web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      containers:\n      - name: web\n        image: web\n        envFrom: [{secretRef: {name: env}}]\n",
    ),
    ("apps/base/db.enc.yaml", "fixture:secret.enc.yaml"),
    (
        "apps/base/token.yaml",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: token}\nspec: {encryptedData: {t: AgBb}}\n",
    ),
    (
        "apps/parts/kustomization.yml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{path: replicas.yaml, target: {kind: Deployment}}]\n",
    ),
    ("apps/parts/replicas.yaml", "- {op: add, path: /spec/replicas, value: 3}\n"),
    (
        "apps/shop/kustomization.yaml",
        "namespace: shop\nnamePrefix: eu-\nresources: [../base]\ncomponents: [../parts]\npatches:\n- path: patch.enc.yaml\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec: {paused: true}\nsecretGenerator:\n- name: env\n  envs: [app.enc.env]\n- name: files\n  files: [app.enc.bin, again=app.enc.bin]\nconfigMapGenerator:\n- name: plain\n  files: [motd.txt]\n  literals: [a=b]\nreplacements:\n- path: replacement.yaml\n",
    ),
    (
        "apps/shop/replacement.yaml",
        "source: {kind: Secret, name: db, fieldPath: stringData.password}\ntargets:\n- select: {kind: Secret, name: db}\n  fieldPaths: [stringData.url]\n  options: {create: true}\n",
    ),
    ("apps/shop/patch.enc.yaml", "fixture:patch.enc.yaml"),
    ("apps/shop/app.enc.env", "fixture:app.enc.env"),
    ("apps/shop/app.enc.bin", "fixture:app.enc.bin"),
    ("apps/shop/motd.txt", "hello\n"),
];

#[test]
fn an_overlay_with_every_kind_of_sealed_input_is_built_over_handles() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let rendered = repository(OVERLAY)?.render_with("apps/shop", kustomize).map_err(|errors| told(&errors))?;
    insta::assert_snapshot!(readable(&rendered));
    let sops: Vec<&str> = rendered.sops_files().map(|file| file.path.as_str()).collect();
    assert_eq!(
        sops,
        ["apps/base/db.enc.yaml", "apps/shop/app.enc.bin", "apps/shop/app.enc.env", "apps/shop/patch.enc.yaml"]
    );
    assert!(rendered.plaintext().is_empty());
    Ok(())
}

#[test]
fn the_closure_names_every_file_that_went_in() -> Outcome {
    let files = repository(OVERLAY)?.read("apps/shop").map_err(|errors| told(&errors))?;
    let closure: Vec<&str> = files.closure().keys().map(String::as_str).collect();
    let mut expected: Vec<&str> = OVERLAY.iter().map(|(path, _)| *path).collect();
    expected.sort_unstable();
    assert_eq!(closure, expected);
    Ok(())
}

#[test]
fn a_generated_name_is_stable_and_changes_with_the_ciphertext() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let sealed = String::from_utf8(fixture("app.enc.env")?)?;
    let rotated = sealed.replacen("data:OUd/jd8=", "data:OUd/jd8A", 1);
    let kustomization = "secretGenerator: [{name: env, envs: [app.env]}]\n";
    let name = |env: &str, other: &str| -> Result<String, Box<dyn Error>> {
        let repository = repository(&[("kustomization.yaml", kustomization), ("app.env", env), ("x.txt", other)])?;
        let rendered = repository.render_with("", kustomize.clone()).map_err(|errors| told(&errors))?;
        Ok(rendered.manifests()[0].id.name.clone())
    };
    assert_eq!(name(&sealed, "one")?, name(&sealed, "two")?);
    assert_ne!(name(&sealed, "one")?, name(&rotated, "one")?);
    Ok(())
}

#[test]
fn plain_files_and_built_folders_stand_side_by_side() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let repository = repository(&[
        ("a.yaml", &config("a")),
        ("b/Kustomization", "namePrefix: built-\nresources: [c.yaml]\n"),
        ("b/c.yaml", &config("c")),
        ("d/e.yaml", &config("e")),
    ])?;
    let rendered = repository.render_with("", kustomize).map_err(|errors| told(&errors))?;
    let ids: Vec<String> = rendered.manifests().iter().map(|manifest| manifest.id.to_string()).collect();
    assert_eq!(ids, ["ConfigMap/default/a", "ConfigMap/default/e", "ConfigMap/default/built-c"]);
    Ok(())
}

/// Secrets in clear text, by every way into a kustomization whose target is named.
const CLEAR_TEXT: &[(&str, &str)] = &[
    (
        "kustomization.yaml",
        "resources: [s.yaml]\nsecretGenerator:\n- name: g\n  literals: ['l=hunter2', \"q='hunter2'\", 'e=']\n  envs: [e.env]\n  files: [f.txt]\npatches:\n- patch: |-\n    {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {p: hunter2}}\n- target: {kind: Secret, name: s}\n  patch: |-\n    - {op: add, path: /stringData/j, value: hunter2}\n- path: patch.yaml\n  target: {kind: Secret, name: s}\nreplacements:\n- source: {kind: ConfigMap, name: c, fieldPath: data.v}\n  targets: [{select: {kind: Secret, name: s}, fieldPaths: [stringData.r], options: {create: true}}]\nconfigMapGenerator: [{name: c, literals: [v=public], options: {disableNameSuffixHash: true}}]\n",
    ),
    ("s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {s: hunter2}\n"),
    ("patch.yaml", "stringData: {f: hunter2}\nkind: x\nmetadata: {name: x}\n"),
    ("e.env", "\u{feff}# comment\n  K=hunter2\nEMPTY=\nALONE\n"),
    ("f.txt", "hunter2\n"),
];

/// Secrets in clear text in patches that find their target by a name, a label or a regular expression, or name it
/// themselves.
const VAGUE_PATCHES: &[(&str, &str)] = &[
    (
        "kustomization.yaml",
        r#"resources: [s.yaml]
patches:
- target: {name: s}
  patch: '[{op: add, path: /stringData/name, value: hunter2}]'
- target: {kind: Secr.*, version: v1}
  patch: '[{op: add, path: /stringData/regex, value: hunter2}]'
- target: {labelSelector: app=s}
  patch: '[{op: add, path: /data, value: {parent: aHVudGVyMg==}}]'
- target: {group: "", kind: "(?i)secret"}
  path: patch.yaml
- target: {namespace: .*}
  patch: '{apiVersion: v1, kind: List, items: [{kind: x, metadata: {name: x}, stringData: {list: hunter2, again: hunter2}}]}'
- target: {name: s}
  patch: '[{op: replace, path: /stringData/again, value: overwritten}]'
patchesJson6902:
- target: {version: v1, name: s|t}
  patch: '[{op: add, path: /stringData/old, value: hunter2}]'
patchesStrategicMerge:
- '{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {itself: hunter2}}'
"#,
    ),
    (
        "s.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop, labels: {app: s}}\nstringData: {s: hunter2}\n",
    ),
    ("patch.yaml", "stringData: {f: hunter2, gone: null}\nkind: x\nmetadata: {name: x}\n"),
];

#[test]
fn a_patch_that_does_not_name_the_kind_brings_no_clear_text_of_a_secret_to_kustomize() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let rendered = repository(VAGUE_PATCHES)?.render_with("", kustomize).map_err(|errors| told(&errors))?;
    let all = format!("{:?}", rendered.manifests());
    assert!(!all.contains("hunter2") && !all.contains("aHVudGVyMg") && !all.contains("overwritten"));
    insta::assert_snapshot!(readable(&rendered));
    insta::assert_snapshot!(
        "plaintext of vague patches is denied",
        told(&judge(rendered.plaintext(), PlaintextPolicy::Deny).expect_err("they are denied"))
    );
    Ok(())
}

#[test]
fn a_patch_that_does_not_name_the_kind_changes_what_is_no_secret_as_kustomize_would() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let kustomization = |target: &str| {
        let cut = "{kind: ConfigMap, name: c, fieldPath: data.image, options: {delimiter: ':', index: 0}}";
        format!(
            "resources: [t.yaml, db.yaml]\nconfigMapGenerator: [{{name: c, literals: [image=none]}}]\npatches:\n- target: {{{target}}}\n  patch: |-\n    - {{op: add, path: /data/image, value: 'web:1.2'}}\n    - {{op: add, path: /data/quoted, value: \"a\\\"b\\\\c\\né\"}}\n    - {{op: add, path: /data/empty, value: ''}}\n- target: {{labelSelector: app=t}}\n  patch: '[{{op: add, path: /data/more, value: {{number: 5, flag: true, list: [a, 1.5]}}}}]'\nreplacements:\n- source: {cut}\n  targets: [{{select: {{kind: Thing}}, fieldPaths: [spec.tag]}}]\n"
        )
    };
    let render = |target: &str| -> Result<String, Box<dyn Error>> {
        let repository = repository(&[
            ("kustomization.yaml", &kustomization(target)),
            (
                "t.yaml",
                "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t, labels: {app: t}}\ndata: {}\nspec: {tag: none}\n",
            ),
            ("db.yaml", "fixture:secret.enc.yaml"),
        ])?;
        let rendered = repository.render_with("", kustomize.clone()).map_err(|errors| told(&errors))?;
        assert!(rendered.plaintext().is_empty());
        Ok(readable(&rendered))
    };
    let vague = render("name: c.*")?;
    assert_eq!(vague, render("kind: ConfigMap, name: c")?);
    insta::assert_snapshot!(vague);
    Ok(())
}

#[test]
fn a_value_that_a_patch_brings_into_a_secret_and_elsewhere_stays_secret_everywhere() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let repository = repository(&[
        (
            "kustomization.yaml",
            "resources: [s.yaml, c.yaml]\npatches: [{target: {name: x}, patch: '[{op: add, path: /data/k, value: aHVudGVyMg==}]'}]\n",
        ),
        ("s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {}\n"),
        ("c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {}\n"),
    ])?;
    let rendered = repository.render_with("", kustomize).map_err(|errors| told(&errors))?;
    assert_eq!(rendered.plaintext().len(), 1);
    assert!(!format!("{:?}", rendered.manifests()).contains("aHVudGVyMg"));
    Ok(())
}

#[test]
fn patches_that_could_bring_clear_text_of_a_secret_into_a_message_are_refused_before_anything_starts() -> Outcome {
    let patches = [
        ("a test", "name: s", "[{op: test, path: /data/k, value: hunter2}]"),
        ("a test of a Secret", "kind: Secret", "[{op: test, path: /stringData, value: {k: hunter2}}]"),
        ("no path", "name: s", "[{op: add, pth: /data/k, value: hunter2}]"),
        ("a path without a slash", "kind: Secret", "[{op: add, path: x/data/k, value: hunter2}]"),
        ("an operation without a list", "name: s", "{op: add, path: /data/k, value: hunter2}"),
        ("no kind", "kind: Secret", "{metadata: {name: s}, data: {k: hunter2}}"),
        ("no target and no kind", "", "{metadata: {name: s}, data: {k: hunter2}}"),
        ("text", "name: s", "hunter2"),
        ("a number", "kind: Secret", "[{op: add, path: /stringData/k, value: 5}]"),
    ];
    let mut all = String::new();
    for (name, target, patch) in patches {
        let target = if target.is_empty() { String::new() } else { format!("target: {{{target}}}, ") };
        let kustomization = format!("patches: [{{{target}patch: '{patch}'}}]\n");
        let errors = repository(&[("kustomization.yaml", &kustomization)])?.read("").map(drop).expect_err(name);
        all.push_str(&format!("# {name}\n{}\n", told(&errors)));
    }
    assert!(!all.contains("hunter2"), "{all}");
    insta::assert_snapshot!(all);
    Ok(())
}

#[test]
fn a_build_that_may_have_failed_for_a_vague_patch_says_how_to_name_its_kind() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let repository = repository(&[
        (
            "kustomization.yaml",
            "resources: [c.yaml]\npatches: [{target: {name: c}, patch: '[{op: add, path: /data/image, value: web:1.2}]'}]\nreplacements:\n- source: {kind: ConfigMap, name: c, fieldPath: data.image, options: {delimiter: ':', index: 1}}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.tag]}]\n",
        ),
        ("c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {image: none, tag: none}\n"),
    ])?;
    let errors = repository.render_with("", kustomize).expect_err("a handle has no second piece");
    insta::assert_snapshot!(told(&errors));
    Ok(())
}

#[test]
fn a_number_that_a_vague_patch_brings_into_a_secret_is_refused() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let repository = repository(&[
        (
            "kustomization.yaml",
            "resources: [s.yaml]\npatches: [{target: {name: s}, patch: '[{op: add, path: /stringData/pin, value: 1234}]'}]\n",
        ),
        ("s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {}\n"),
    ])?;
    let errors = repository.render_with("", kustomize).expect_err("the API server takes text only");
    assert_eq!(
        told(&errors),
        "kustomization.yaml:1, document 0, /patches/0/patch/0/value: the value is not a string\n  hint: quote the value\n"
    );
    Ok(())
}

#[test]
fn kustomize_never_sees_secret_values_in_clear_text_and_all_of_them_are_reported() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let rendered = repository(CLEAR_TEXT)?.render_with("", kustomize).map_err(|errors| told(&errors))?;
    let all = format!("{:?}", rendered.manifests());
    assert!(!all.contains("hunter2") && !all.contains("aHVudGVyMg") && !all.contains("cHVibGlj"));
    insta::assert_snapshot!(readable(&rendered));
    insta::assert_snapshot!(
        "plaintext of a kustomization is denied",
        told(&judge(rendered.plaintext(), PlaintextPolicy::Deny).expect_err("they are denied"))
    );
    Ok(())
}

/// Returns a script in place of Kustomize, and makes it runnable.
fn program(repository: &Repository, script: &str) -> Result<PathBuf, Box<dyn Error>> {
    let path = repository.git.tree().join("program");
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
    Ok(path)
}

/// A script that writes down what a renderer can see: its folder, environment, arguments, input and limit.
fn spy(seen: &Path) -> String {
    let seen = seen.display();
    format!(
        "#!/bin/sh\nset -e\n/bin/mkdir {seen}\n/bin/cp -r . {seen}/files\n/usr/bin/env > {seen}/environment\n\
         echo \"$@\" > {seen}/arguments\n/bin/cat > {seen}/input\n/usr/bin/stat -c %a . > {seen}/mode\n\
         until [ \"$(ulimit -v)\" != unlimited ]; do :; done\nulimit -v > {seen}/limit\n"
    )
}

fn everything_in(folder: &Path, all: &mut String) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => everything_in(&path, all)?,
            false => all.push_str(&format!("{}\n{}\n", path.display(), String::from_utf8_lossy(&fs::read(&path)?))),
        }
    }
    Ok(())
}

#[test]
fn the_renderer_gets_nothing_but_handles_three_variables_and_no_input() -> Outcome {
    for (files, folder) in [(CLEAR_TEXT, ""), (VAGUE_PATCHES, ""), (OVERLAY, "apps/shop")] {
        let repository = repository(files)?;
        let seen = repository.git.tree().join("seen");
        let program = program(&repository, &spy(&seen))?;
        repository.render_with(folder, program).map_err(|errors| told(&errors))?;
        let of = |name: &str| fs::read_to_string(seen.join(name));
        let names = of("environment")?;
        let names =
            names.lines().filter_map(|line| Some(line.split_once('=')?.0)).filter(|name| !OF_THE_SHELL.contains(name));
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        assert_eq!(names, ["GOMEMLIMIT", "HTTPS_PROXY", "HTTP_PROXY"]);
        assert_eq!((of("input")?.as_str(), of("mode")?.trim(), of("limit")?.trim()), ("", "700", "2097152"));
        let mut all = String::new();
        everything_in(&seen, &mut all)?;
        for secret in ["hunter2", "aHVudGVyMg", "68756e746572", "ENC[", "AgBb"] {
            assert!(!all.contains(secret), "{secret} stands in what the renderer sees");
        }
        assert!(all.contains("waxwinghandle0"));
        let staged = of("arguments")?;
        let staged = staged.split_whitespace().last().ok_or("no argument")?.to_owned();
        assert!(!Path::new(&staged).exists(), "the folder is gone afterwards");
    }
    Ok(())
}

/// Variables that a shell sets itself.
const OF_THE_SHELL: [&str; 4] = ["PWD", "OLDPWD", "SHLVL", "_"];

#[test]
fn a_renderer_that_does_not_end_is_stopped_with_its_children() -> Outcome {
    let repository = repository(&[("kustomization.yaml", "namePrefix: x\n")])?;
    let pid = repository.git.tree().join("pid");
    let program = program(&repository, &format!("#!/bin/sh\n/bin/sleep 600 & echo $! > {}\nwait\n", pid.display()))?;
    let mut options = options(program);
    options.timeout = Duration::from_millis(500);
    let files = repository.read("").map_err(|errors| told(&errors))?;
    let errors = render(files, &options, &salt(), &scope_of).expect_err("it takes too long");
    assert_eq!(
        told(&errors),
        "kustomization.yaml: kustomize did not finish within 500ms and was stopped\n  hint: raise spec.timeout, or split the kustomization over several Syncs\n"
    );
    let child = fs::read_to_string(pid)?;
    waxwing_harness::eventually(Duration::from_secs(10), "the end of the renderer's child", || {
        let state = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") { Ok(()) } else { Err("it still runs") }
    })?;
    Ok(())
}

#[test]
fn what_kustomize_complains_about_is_told_in_words_of_the_repository() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let repository = repository(&[
        ("apps/a/kustomization.yaml", "resources: [../b, ../c.yaml, d.yaml]\n"),
        ("apps/b/kustomization.yaml", "bases: [../c]\n"),
        ("apps/c/kustomization.yaml", "resources: [x.yaml]\n"),
        ("apps/c/x.yaml", config),
        ("apps/c.yaml", config),
        ("apps/a/d.yaml", "a: b\n"),
    ])?;
    let errors = repository.render_with("apps/a", kustomize).expect_err("the same object stands there twice");
    insta::assert_snapshot!(told(&errors));
    Ok(())
}

#[test]
fn a_replacement_may_take_a_piece_of_what_is_not_sealed() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {image: 'web:1.2', tag: none}\n";
    let cut = "resources: [c.yaml, db.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: c, fieldPath: data.image, options: {delimiter: ':', index: 1}}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.tag]}]\n";
    let repository =
        repository(&[("kustomization.yaml", cut), ("c.yaml", config), ("db.yaml", "fixture:secret.enc.yaml")])?;
    let rendered = repository.render_with("", kustomize).map_err(|errors| told(&errors))?;
    assert!(readable(&rendered).contains(r#""tag":"1.2""#), "{}", readable(&rendered));
    Ok(())
}

#[test]
fn a_missing_program_is_named() -> Outcome {
    let repository = repository(&[("kustomization.yaml", "namePrefix: x\n")])?;
    let errors = repository.render("").expect_err("there is no such program");
    insta::assert_snapshot!(told(&errors));
    Ok(())
}
