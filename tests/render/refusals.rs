//! Bad input: what is refused, where it is said to stand, and what is said to do. One table a room, one snapshot each.

use std::error::Error;

use waxwing::render::{RenderError, Rendered};

use crate::repository::{fetched, fixture, repository, told};

type Outcome = Result<(), Box<dyn Error>>;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
const HANDLE: &str = "waxwinghandle0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TOKEN: &str = "ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]";

/// One case: its name and its files.
type Case = (&'static str, Vec<(&'static str, String)>);

fn case(name: &'static str, files: &[(&'static str, &str)]) -> Case {
    (name, files.iter().map(|(path, content)| (*path, (*content).to_owned())).collect())
}

fn refused(outcome: Result<Rendered, Vec<RenderError>>, name: &str) -> String {
    match outcome {
        Ok(_) => panic!("{name} was rendered"),
        Err(errors) => format!("# {name}\n{}\n", told(&errors)),
    }
}

/// Renders the folder `apps` of each case without any program, so that whatever is refused is refused before one starts.
fn all_refused(cases: &[Case]) -> Result<String, Box<dyn Error>> {
    let mut all = String::new();
    for (name, files) in cases {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, content)| (*path, content.as_str())).collect();
        all.push_str(&refused(repository(&files)?.render("apps"), name));
    }
    Ok(all)
}

#[test]
fn malformed_files_are_refused_with_their_place_and_a_remedy() -> Outcome {
    let secret = |body: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{body}\n");
    let cases = [
        case("no such folder", &[("other/a.yaml", CONFIG)]),
        case("a file instead of a folder", &[("apps", CONFIG)]),
        case(
            "broken YAML, and a duplicate key elsewhere",
            &[("apps/a.yaml", &format!("{CONFIG}---\na: [\n")), ("apps/b.yaml", &format!("{CONFIG}kind: Secret\n"))],
        ),
        case("not an object", &[("apps/a.yaml", &format!("{CONFIG}---\nname: values\n"))]),
        case("a list instead of an object", &[("apps/a.json", "[1, 2]")]),
        case("no name", &[("apps/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n")]),
        case("generateName", &[("apps/a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n")]),
        case("a number in stringData", &[("apps/a.yaml", &secret("stringData: {port: 5432}"))]),
        case("a list as data", &[("apps/a.yaml", &secret("data: [a]"))]),
        case("the same object twice", &[("apps/a.yaml", CONFIG), ("apps/b/c.yaml", &format!("---\n{CONFIG}"))]),
    ];
    insta::assert_snapshot!(all_refused(&cases)?);
    Ok(())
}

#[test]
fn damaged_or_misplaced_seals_are_refused_with_their_place_and_a_remedy() -> Outcome {
    let sealed = String::from_utf8(fixture("secret.enc.yaml")?)?;
    let sealed_secret = |spec: &str| {
        format!("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: t}}\nspec: {spec}\n")
    };
    let cases = [
        case("a handle in Git", &[("apps/a.yaml", &format!("{CONFIG}data: {{x: {HANDLE}}}\n"))]),
        case(
            "a handle in base64 in Git",
            &[("apps/a.yaml", &format!("{CONFIG}data: {{x: d2F4d2luZ2hhbmRsZTBhYWFh}}\n"))],
        ),
        case("a handle in an escape", &[("apps/a.yaml", &format!("{CONFIG}data: {{x: \"\\x77axwinghandle0\"}}\n"))]),
        case("a token outside a SOPS file", &[("apps/a.yaml", &format!("{CONFIG}data:\n  x: '{TOKEN}'\n"))]),
        case(
            "a sops block in a later document",
            &[("apps/a.yaml", &format!("{CONFIG}---\n{CONFIG}sops: {{mac: x}}\n"))],
        ),
        case("a damaged token", &[("apps/a.yaml", &sealed.replace(",tag:E/2p", ",tag:!"))]),
        case("no recipients and no mac", &[("apps/a.yaml", &format!("{CONFIG}sops: {{mac: x}}\n"))]),
        case(
            "a value that its rules say is sealed",
            &[("apps/a.yaml", &sealed.replace("    empty: \"\"", "    empty: \"x\""))],
        ),
        case("everything sealed", &[("apps/a.yaml", "fixture:all.enc.yaml")]),
        case("an old SealedSecret", &[("apps/a.yaml", &sealed_secret("{data: AgBb}"))]),
        case(
            "a SealedSecret with a template that uses what is refused",
            &[("apps/a.yaml", &sealed_secret("{encryptedData: {a: AgBb}, template: {data: {b: '{{ now }}'}}}"))],
        ),
        case(
            "a SealedSecret that would be given a token",
            &[(
                "apps/a.yaml",
                &sealed_secret("{encryptedData: {a: AgBb}, template: {type: kubernetes.io/service-account-token}}"),
            )],
        ),
        case(
            "a SealedSecret with a template that is none",
            &[("apps/a.yaml", &sealed_secret("{encryptedData: {a: AgBb}, template: {data: {b: '{{ .a'}}}"))],
        ),
        case("a SealedSecret with a number", &[("apps/a.yaml", &sealed_secret("{encryptedData: {a: 1}}"))]),
        case(
            "a Secret of the same name",
            &[(
                "apps/a.yaml",
                &format!(
                    "{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: t}}\n",
                    sealed_secret("{encryptedData: {}}")
                ),
            )],
        ),
    ];
    insta::assert_snapshot!(all_refused(&cases)?);
    Ok(())
}

#[test]
fn kustomizations_that_would_run_fetch_or_leave_are_refused_before_anything_starts() -> Outcome {
    let kustomization = |name: &'static str, text: &str| case(name, &[("apps/kustomization.yaml", text)]);
    let cases = [
        kustomization(
            "remote bases",
            "resources:\n- https://example.com/base\n- github.com/org/repo//base?ref=v1\n- git@example.com:org/repo\n",
        ),
        kustomization(
            "remote files everywhere",
            "components: ['https://h/x']\ncrds: ['https://h/x']\nconfigurations: ['https://h/x']\nopenapi: {path: 'https://h/x'}\nreplacements: [{path: 'https://h/x'}]\npatches: [{path: 'https://h/x'}]\npatchesJson6902: [{path: 'https://h/x'}]\npatchesStrategicMerge: ['https://h/x']\nconfigMapGenerator: [{files: ['a=https://h/x'], envs: ['https://h/x'], env: 'https://h/x'}]\n",
        ),
        kustomization(
            "absolute paths",
            "resources: [/etc/passwd]\nconfigMapGenerator: [{files: [/etc/passwd, k=/etc/passwd]}]\n",
        ),
        kustomization("paths out of the repository", "resources: [../../x, ../apps/../../y]\n"),
        kustomization("what is not there", "resources: [missing.yaml, ../missing]\npatches: [{path: p.yaml}]\n"),
        kustomization(
            "what runs or is computed elsewhere",
            "helmCharts: [{name: x}]\nhelmGlobals: {chartHome: x}\nhelmChartInflationGenerator: []\ngenerators: [x]\ntransformers: [x]\nvalidators: [x]\n",
        ),
        kustomization("a misspelt field", "resource: [x]\n"),
        kustomization(
            "wrong types",
            "resources: x\npatches: [x, {}, {path: a, patch: b}]\nsecretGenerator: [x, {files: [1]}]\n",
        ),
        kustomization(
            "generator entries",
            "secretGenerator: [{literals: [novalue, '=x'], files: ['=x', 'a=b=c', 'a=']}]\n",
        ),
        case(
            "replacements that would cut sealed values",
            &[
                (
                    "apps/kustomization.yaml",
                    "resources: [db.yaml]\nreplacements:\n- path: one.yaml\n- path: more.yaml\n- source: {kind: Secret, name: db, fieldPath: stringData.password, options: {delimiter: a}}\n  targets: [{select: {kind: Secret}, fieldPaths: [stringData.port], options: {delimiter: '7'}}]\n",
                ),
                (
                    "apps/one.yaml",
                    "source: {name: db, fieldPath: stringData.password, options: {delimiter: a}}\ntargets: []\n",
                ),
                (
                    "apps/more.yaml",
                    "- source: {kind: ConfigMap, name: c, fieldPath: data.x}\n  targets:\n  - {select: {kind: Secret|ConfigMap}, fieldPaths: [data.x], options: {delimiter: a}}\n  - {select: {kind: Deployment}, fieldPaths: [spec.x], options: {delimiter: ':'}}\n",
                ),
                ("apps/db.yaml", "fixture:secret.enc.yaml"),
            ],
        ),
        kustomization("not a mapping", "- x\n"),
        kustomization("two documents", "namePrefix: x\n---\nnamePrefix: y\n"),
        kustomization("itself", "resources: [.]\n"),
        kustomization("a broken inline patch", "patches: [{patch: 'a: ['}]\n"),
        kustomization("a handle in a literal", &format!("configMapGenerator: [{{literals: [a={HANDLE}]}}]\n")),
        case(
            "two kustomizations",
            &[("apps/kustomization.yaml", "namePrefix: x\n"), ("apps/Kustomization", "namePrefix: x\n")],
        ),
        case(
            "a base without a kustomization",
            &[("apps/kustomization.yaml", "resources: [b]\n"), ("apps/b/c.yaml", CONFIG)],
        ),
        case(
            "a circle",
            &[("apps/kustomization.yaml", "resources: [b]\n"), ("apps/b/kustomization.yaml", "resources: [../]\n")],
        ),
        case(
            "a folder for a file",
            &[("apps/kustomization.yaml", "configMapGenerator: [{files: [b]}]\n"), ("apps/b/c.yaml", CONFIG)],
        ),
        case(
            "broken files of a base",
            &[
                ("apps/kustomization.yaml", "resources: [b, c.yaml]\n"),
                ("apps/b/kustomization.yaml", "resources: [d.yaml]\n"),
                ("apps/b/d.yaml", "a: [\n"),
                ("apps/c.yaml", &format!("{CONFIG}data: {{x: {HANDLE}}}\n")),
            ],
        ),
        case(
            "env files",
            &[
                ("apps/kustomization.yaml", "secretGenerator: [{name: x, envs: [a.env, b.enc.json]}]\n"),
                ("apps/a.env", "A=1\nnot a key=2\n"),
                ("apps/b.enc.json", "fixture:secret.enc.json"),
            ],
        ),
        case("a sealed kustomization", &[("apps/kustomization.yaml", "fixture:secret.enc.yaml")]),
        case(
            "a sealed file where none can be",
            &[("apps/kustomization.yaml", "configurations: [c.yaml]\n"), ("apps/c.yaml", "fixture:configmap.enc.yaml")],
        ),
        case(
            "a sealed file whose name hides its format",
            &[
                ("apps/kustomization.yaml", "secretGenerator: [{name: x, files: [secret.txt]}]\n"),
                ("apps/secret.txt", "fixture:secret.enc.yaml"),
            ],
        ),
    ];
    insta::assert_snapshot!(all_refused(&cases)?);
    Ok(())
}

#[test]
fn links_that_leave_the_repository_or_lead_nowhere_are_refused() -> Outcome {
    let git =
        repository(&[("apps/a.yaml", CONFIG), ("built/kustomization.yaml", "resources: [out.yaml, gone.yaml]\n")])?.git;
    for folder in ["apps", "built"] {
        git.symlink("/etc/passwd", &format!("{folder}/out.yaml"))?;
        git.symlink("../../../etc/passwd", &format!("{folder}/up.yaml"))?;
        git.symlink("nothing.yaml", &format!("{folder}/gone.yaml"))?;
        git.symlink("loop.yaml", &format!("{folder}/loop.yaml"))?;
    }
    let repository = fetched(git)?;
    let told = ["apps", "built"].map(|folder| refused(repository.render(folder), folder)).concat();
    insta::assert_snapshot!(told);
    Ok(())
}

#[test]
fn a_file_over_the_limit_is_refused_by_name() -> Outcome {
    let repository =
        repository(&[("apps/big.yaml", &"#".repeat(17 << 20)), ("apps/long.yaml", &"# x\n".repeat(2 << 20))])?;
    insta::assert_snapshot!(refused(repository.render("apps"), "large files"));
    Ok(())
}

#[test]
fn no_truncation_of_a_file_makes_the_render_panic() -> Outcome {
    let sealed = String::from_utf8(fixture("secret.enc.yaml")?)?;
    let kustomization = "resources: [x.yaml, ../a]\npatches:\n- {target: {kind: Secret}, patch: '[{op: add, path: /data/x, value: y}]'}\nsecretGenerator: [{name: g, literals: [a=b], files: [x.yaml], envs: [x.env]}]\n";
    let env = "\u{feff}A=b\n# c\nD\n";
    let mut files: Vec<(String, String)> = vec![("a/kustomization.yaml".to_owned(), "namePrefix: x\n".to_owned())];
    for (index, cut) in (0..kustomization.len()).step_by(7).zip((0..sealed.len()).step_by(31)) {
        let part =
            |text: &str, cut: usize| String::from_utf8_lossy(&text.as_bytes()[..cut.min(text.len())]).into_owned();
        files.push((format!("f{index}/kustomization.yaml"), part(kustomization, index)));
        files.push((format!("f{index}/x.yaml"), part(&sealed, cut)));
        files.push((format!("f{index}/x.env"), part(env, index % (env.len() + 1))));
        files.push((format!("plain/{index}.yaml"), part(&sealed, cut)));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
    let repository = repository(&files)?;
    assert!(repository.render("plain").is_err());
    for index in (0..kustomization.len()).step_by(7) {
        // Whether it is refused depends on the cut; that it ends is what counts.
        let _ = repository.read(&format!("f{index}"));
    }
    Ok(())
}
