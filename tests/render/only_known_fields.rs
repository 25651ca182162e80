//! What reaches Kustomize: fields that were looked at, under their exact names, and files that were checked.
//!
//! Kustomize folds the letters of field names, so every table here has its keys in several spellings. The spy in place
//! of Kustomize tells whether it was started at all.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use waxwing::render::{Fault, render};

use crate::repository::{Repository, kustomize, options, readable, repository, salt, scope_of, told};

type Outcome = Result<(), Box<dyn Error>>;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
/// What stands in a file outside of the repository, and must never be seen.
const OUTSIDE: &str = "content-of-a-file-outside";

/// Every mapping of a kustomization, as text with `KEY` where one of its fields stands, and its fields.
const MAPPINGS: &[(&str, &[&str])] = &[
    (
        "KEY: VALUE",
        &[
            "apiVersion",
            "kind",
            "metadata",
            "openapi",
            "namePrefix",
            "nameSuffix",
            "namespace",
            "commonLabels",
            "labels",
            "commonAnnotations",
            "patchesStrategicMerge",
            "patchesJson6902",
            "patches",
            "images",
            "imageTags",
            "replacements",
            "replicas",
            "vars",
            "sortOptions",
            "resources",
            "components",
            "crds",
            "bases",
            "configMapGenerator",
            "secretGenerator",
            "helmGlobals",
            "helmCharts",
            "helmChartInflationGenerator",
            "generatorOptions",
            "configurations",
            "generators",
            "transformers",
            "validators",
            "buildMetadata",
        ],
    ),
    ("metadata: {KEY: VALUE}", &["name", "namespace", "labels", "annotations"]),
    ("openapi: {KEY: VALUE}", &["path", "version"]),
    (
        "labels: [{KEY: VALUE}]",
        &["pairs", "includeSelectors", "includeTemplates", "includeVolumeClaimTemplates", "fields"],
    ),
    ("labels: [{fields: [{KEY: VALUE}]}]", &["group", "version", "kind", "path", "create"]),
    ("patches: [{patch: '{}', KEY: VALUE}]", &["path", "patch", "target", "options"]),
    ("patchesJson6902: [{patch: '{}', KEY: VALUE}]", &["path", "patch", "target", "options"]),
    ("patches: [{patch: '{}', target: {KEY: VALUE}}]", SELECTOR),
    ("patchesJson6902: [{patch: '{}', target: {KEY: VALUE}}]", SELECTOR),
    ("patches: [{patch: '{}', options: {KEY: VALUE}}]", &["allowNameChange", "allowKindChange"]),
    ("images: [{KEY: VALUE}]", &["name", "newName", "tagSuffix", "newTag", "digest"]),
    ("imageTags: [{KEY: VALUE}]", &["name", "newName", "tagSuffix", "newTag", "digest"]),
    ("replacements: [{KEY: VALUE}]", &["path", "source", "sourceValue", "targets"]),
    (
        "replacements: [{source: {KEY: VALUE}}]",
        &["group", "version", "kind", "name", "namespace", "fieldPath", "options"],
    ),
    ("replacements: [{source: {options: {KEY: VALUE}}}]", &["delimiter", "index", "encoding", "create"]),
    ("replacements: [{targets: [{KEY: VALUE}]}]", &["select", "reject", "fieldPaths", "options"]),
    ("replacements: [{targets: [{select: {KEY: VALUE}}]}]", SELECTOR),
    ("replacements: [{targets: [{reject: [{KEY: VALUE}]}]}]", SELECTOR),
    ("replacements: [{targets: [{options: {KEY: VALUE}}]}]", &["delimiter", "index", "encoding", "create"]),
    ("replicas: [{KEY: VALUE}]", &["name", "count"]),
    ("vars: [{KEY: VALUE}]", &["name", "objref", "fieldref"]),
    ("vars: [{objref: {KEY: VALUE}}]", &["apiVersion", "group", "version", "kind", "name", "namespace"]),
    ("vars: [{fieldref: {KEY: VALUE}}]", &["fieldPath"]),
    ("sortOptions: {KEY: VALUE}", &["order", "legacySortOptions"]),
    ("sortOptions: {legacySortOptions: {KEY: VALUE}}", &["orderFirst", "orderLast"]),
    ("configMapGenerator: [{KEY: VALUE}]", GENERATOR),
    ("secretGenerator: [{KEY: VALUE}]", GENERATOR),
    ("generatorOptions: {KEY: VALUE}", GENERATOR_OPTIONS),
    ("configMapGenerator: [{options: {KEY: VALUE}}]", GENERATOR_OPTIONS),
    ("secretGenerator: [{options: {KEY: VALUE}}]", GENERATOR_OPTIONS),
];
const SELECTOR: &[&str] = &["group", "version", "kind", "name", "namespace", "annotationSelector", "labelSelector"];
const GENERATOR: &[&str] = &["name", "namespace", "behavior", "type", "literals", "files", "envs", "env", "options"];
const GENERATOR_OPTIONS: &[&str] = &["labels", "annotations", "disableNameSuffixHash", "immutable"];

/// Returns spellings that Go's `encoding/json` takes for the field, and one that nothing takes for it.
fn other_spellings(field: &str) -> Vec<String> {
    let mut first = field.chars();
    let capital = first.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(first).collect();
    let mut all = vec![
        capital,
        field.to_uppercase(),
        field.to_lowercase(),
        field.replace('s', "\u{17f}"),
        field.replace('k', "\u{212a}"),
        field.replace(['s', 'S'], "\u{17f}").replace(['k', 'K'], "\u{212a}"),
        format!("{field} "),
    ];
    all.retain(|spelling| spelling != field);
    all
}

/// Returns a program in place of Kustomize that prints `printed`, and the file that it makes when it is started.
fn spy(repository: &Repository, printed: &str) -> Result<(PathBuf, PathBuf), Box<dyn Error>> {
    let (program, started) = (repository.git.tree().join("spy"), repository.git.tree().join("started"));
    let printed_file = repository.git.tree().join("printed");
    fs::write(&printed_file, printed)?;
    let script = format!("#!/bin/sh\necho > {}\n/bin/cat {}\n", started.display(), printed_file.display());
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
    Ok((program, started))
}

#[test]
fn a_field_in_any_spelling_but_its_own_is_refused_before_kustomize_starts() -> Outcome {
    let mut cases = Vec::new();
    for (mapping, fields) in MAPPINGS {
        for spelling in fields.iter().flat_map(|field| other_spellings(field)) {
            for value in ["[/etc/hostname]", "/etc/hostname", "{path: /etc/hostname}", "null"] {
                let quoted = serde_json::to_string(&spelling)?;
                cases.push((mapping.replace("VALUE", value).replace("KEY", &quoted), spelling.clone()));
            }
        }
    }
    let paths: Vec<String> = (0..cases.len()).map(|index| format!("f{index}/kustomization.yaml")).collect();
    let files: Vec<(&str, &str)> =
        paths.iter().zip(&cases).map(|(path, (text, _))| (path.as_str(), text.as_str())).collect();
    let repository = repository(&files)?;
    let (program, started) = spy(&repository, "")?;
    for (index, (text, spelling)) in cases.iter().enumerate() {
        let Err(errors) = repository.render_with(&format!("f{index}"), program.clone()) else {
            panic!("{text} was rendered");
        };
        let named = |fault: &Fault| matches!(fault, Fault::UnknownField { field } if field == spelling);
        assert!(errors.iter().any(|error| named(error.fault.as_ref())), "{text}: {}", told(&errors));
    }
    assert!(cases.len() > 2_000 && !started.exists());
    Ok(())
}

#[test]
fn the_exact_name_of_every_field_is_known() -> Outcome {
    let mut texts = Vec::new();
    for (mapping, fields) in MAPPINGS {
        let fields =
            fields.iter().filter(|field| (*mapping, **field) != ("configMapGenerator: [{KEY: VALUE}]", "type"));
        let mapping = mapping.replace("patch: '{}', KEY", "KEY").replace("VALUE", "null");
        texts.extend(fields.map(|field| mapping.replace("KEY", field)));
    }
    let paths: Vec<String> = (0..texts.len()).map(|index| format!("f{index}/kustomization.yaml")).collect();
    let files: Vec<(&str, &str)> =
        paths.iter().zip(&texts).map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let repository = repository(&files)?;
    for (index, text) in texts.iter().enumerate() {
        let told = repository.read(&format!("f{index}")).err().map(|errors| told(&errors)).unwrap_or_default();
        assert!(!told.contains("not a field"), "{text}: {told}");
    }
    Ok(())
}

#[test]
fn a_kustomization_can_not_come_in_as_an_ordinary_file() -> Outcome {
    let evil = format!("configMapGenerator: [{{name: t, files: [{}]}}]\n", "/etc/hostname");
    let entries = [
        "resources: [../evil/NAME, ../evil]",
        "resources: [../evil, ../evil/NAME]",
        "bases: [../evil/NAME]",
        "resources: [../link.yaml, ../evil]",
        "components: [../evil/NAME]",
        "crds: [../evil/NAME]",
        "configurations: [../evil/NAME]",
        "openapi: {path: ../evil/NAME}",
        "replacements: [{path: ../evil/NAME}]",
        "patches: [{path: ../evil/NAME}]",
        "patchesJson6902: [{path: ../evil/NAME}]",
        "patchesStrategicMerge: [../evil/NAME]",
        "configMapGenerator: [{name: c, files: [../evil/NAME]}]",
        "configMapGenerator: [{name: c, envs: [../evil/NAME]}]",
        "configMapGenerator: [{name: c, env: ../evil/NAME}]",
        "secretGenerator: [{name: c, files: [k=../evil/NAME]}]",
    ];
    for name in ["kustomization.yaml", "kustomization.yml", "Kustomization"] {
        let evil_file = format!("evil/{name}");
        let texts: Vec<String> = entries.iter().map(|entry| entry.replace("NAME", name)).collect();
        let paths: Vec<String> = (0..texts.len()).map(|index| format!("f{index}/kustomization.yaml")).collect();
        let mut files: Vec<(&str, &str)> =
            paths.iter().zip(&texts).map(|(path, text)| (path.as_str(), text.as_str())).collect();
        files.push((&evil_file, &evil));
        let git = repository(&files)?.git;
        git.symlink(&evil_file, "link.yaml")?;
        let repository = crate::repository::fetched(git)?;
        let (program, started) = spy(&repository, "")?;
        for (index, text) in texts.iter().enumerate() {
            let Err(errors) = repository.render_with(&format!("f{index}"), program.clone()) else {
                panic!("{text} was rendered");
            };
            let told = told(&errors);
            let expected =
                if text.starts_with("components") { "is not a folder" } else { "is the file of a kustomization" };
            assert!(told.contains(expected), "{text}: {told}");
        }
        assert!(!started.exists());
    }
    Ok(())
}

#[test]
fn a_file_outside_of_the_repository_never_comes_out_of_the_real_kustomize() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let outside = tempfile::NamedTempFile::new()?;
    fs::write(outside.path(), OUTSIDE)?;
    let path = outside.path().display();
    let name = outside.path().file_name().ok_or("a file has a name")?.to_string_lossy().into_owned();
    let up = format!("../../../../../../../../../..{path}");
    let mut texts = Vec::new();
    for path in [path.to_string(), up, format!("file://{path}")] {
        for field in ["files", "Files", "FILES", "file\u{17f}", "envs", "Envs", "env\u{17f}", "env", "Env"] {
            for generator in ["configMapGenerator", "secretGenerator", "ConfigMapGenerator", "\u{17f}ecretGenerator"] {
                let list = if field.to_lowercase() == "env" { path.clone() } else { format!("['{path}', 'k={path}']") };
                texts.push(format!("{generator}: [{{name: t, {field}: {list}}}]\n"));
            }
        }
        for field in ["resources", "Resources", "re\u{17f}ources", "crds", "Crds", "configurations", "Configurations"] {
            texts.push(format!("{field}: ['{path}']\n"));
        }
        for field in ["path", "Path", "PATH"] {
            texts.push(format!("openapi: {{{field}: '{path}'}}\n"));
            texts.push(format!("replacements: [{{{field}: '{path}'}}]\n"));
            texts.push(format!("patches: [{{{field}: '{path}'}}]\n"));
        }
    }
    let evil = format!("configMapGenerator: [{{name: t, files: ['k={path}']}}]\n");
    let paths: Vec<String> = (0..texts.len()).map(|index| format!("f{index}/kustomization.yaml")).collect();
    let mut files: Vec<(&str, &str)> =
        paths.iter().zip(&texts).map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.extend([
        ("evil/kustomization.yaml", evil.as_str()),
        ("first/kustomization.yaml", "resources: [../evil/kustomization.yaml, ../evil]\n"),
        ("last/kustomization.yaml", "resources: [../evil, ../evil/kustomization.yaml]\n"),
    ]);
    let repository = repository(&files)?;
    let folders = (0..texts.len()).map(|index| format!("f{index}")).chain(["first".into(), "last".into()]);
    for folder in folders {
        match repository.render_with(&folder, kustomize.clone()) {
            Ok(rendered) => panic!("{folder} was rendered: {}", readable(&rendered)),
            Err(errors) => assert!(!told(&errors).contains(OUTSIDE), "{folder} of {name}"),
        }
    }
    Ok(())
}

#[test]
fn one_file_may_be_a_resource_and_have_other_uses_too() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let repository = repository(&[
        (
            "kustomization.yaml",
            "resources: [c.yaml, a, b]\nopenapi: {path: c.yaml}\nconfigMapGenerator: [{name: g, files: [c.yaml]}]\n",
        ),
        ("c.yaml", CONFIG),
        ("a/kustomization.yaml", "resources: [../base]\nnamePrefix: a-\n"),
        ("b/kustomization.yaml", "resources: [../base]\nnamePrefix: b-\n"),
        ("base/kustomization.yaml", "resources: [d.yaml]\n"),
        ("base/d.yaml", &CONFIG.replace("name: c", "name: d")),
    ])?;
    let rendered = repository.render_with("", kustomize).map_err(|errors| told(&errors))?;
    let names: Vec<&str> = rendered.manifests().iter().map(|manifest| manifest.id.name.as_str()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(["c", "a-d", "b-d"].iter().all(|name| names.contains(name)), "{names:?}");
    Ok(())
}

#[test]
fn an_object_of_kustomizes_own_group_in_its_output_is_refused() -> Outcome {
    let own = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: k}\n";
    let listed =
        format!("apiVersion: v1\nkind: List\nitems: [{}]\n", "{apiVersion: kustomize.config.k8s.io/v1, kind: X}");
    let repository = repository(&[("kustomization.yaml", "namePrefix: x\n")])?;
    for printed in [own, &format!("{CONFIG}---\n{own}"), &listed] {
        let (program, _) = spy(&repository, printed)?;
        let errors = repository.render_with("", program).expect_err("nothing may be hidden");
        assert!(matches!(errors.as_slice(), [error] if matches!(*error.fault, Fault::KustomizeObject)));
    }
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let smuggled = crate::repository::repository(&[("kustomization.yaml", "resources: [k.yaml]\n"), ("k.yaml", own)])?;
    let errors = smuggled.render_with("", kustomize).expect_err("nothing may be hidden");
    assert_eq!(
        told(&errors),
        "kustomization.yaml: kustomize printed an object that is its own input, of the group kustomize.config.k8s.io\n  hint: take it out of `resources`, and name the folder of a kustomization there\n"
    );
    Ok(())
}

#[test]
fn all_builds_of_a_render_share_one_time_limit() -> Outcome {
    let repository = repository(&[
        ("a/kustomization.yaml", "namePrefix: x\n"),
        ("b/kustomization.yaml", "namePrefix: x\n"),
        ("c/kustomization.yaml", "namePrefix: x\n"),
    ])?;
    let program = repository.git.tree().join("slow");
    fs::write(&program, "#!/bin/sh\n/bin/sleep 0.5\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
    let mut options = options(program);
    options.timeout = Duration::from_millis(1_200);
    let files = repository.read("").map_err(|errors| told(&errors))?;
    let errors = render(files, &options, &salt(), &scope_of).expect_err("together they take longer");
    assert!(matches!(errors.as_slice(), [error] if matches!(*error.fault, Fault::TimedOut(_))));
    Ok(())
}
