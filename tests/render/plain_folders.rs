//! Folders of YAML and JSON without a kustomization.

use std::error::Error;
use std::path::PathBuf;

use waxwing::render::{PlaintextPolicy, Scope, judge, read, render};
use waxwing::source::WorkingFolder;
use waxwing_formats::reference::ForeignStores;
use waxwing_plan::GroupKind;

use crate::repository::{fetched, fixture, options, readable, repository, salt, told};

type Outcome = Result<(), Box<dyn Error>>;

#[test]
fn files_of_a_folder_become_manifests_with_their_lists_unfolded_and_namespaces_filled_in() -> Outcome {
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: shop, namespace: x}}\n- apiVersion: v1\n  kind: ConfigMapList\n  items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {on: 'yes'}}]\n";
    let repository = repository(&[
        (
            "apps/b.yaml",
            "# nothing\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, creationTimestamp: null}\nspec: {paused: yes, replicas: 010}\nstatus: {}\n---\n",
        ),
        ("apps/a/list.yml", list),
        ("apps/a/one.json", "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\"}}"),
        ("apps/a/notes.txt", "apiVersion: nonsense"),
        ("apps/.hidden/x.yaml", "not: an object"),
        ("apps/k.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Component\nmetadata: {name: x}\n"),
        ("elsewhere.yaml", "not: an object"),
    ])?;
    let rendered = repository.render("./apps").map_err(|errors| told(&errors))?;
    insta::assert_snapshot!(readable(&rendered));
    Ok(())
}

#[test]
fn sealed_values_become_handles_that_name_where_they_stand() -> Outcome {
    let sealed_secret = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: token\n  annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}\nspec:\n  encryptedData:\n    a: AgBb\n    b: AgBc\n  template: {type: kubernetes.io/tls, metadata: {labels: {x: z}}}\n";
    let repository = repository(&[
        ("apps/secret.yaml", "fixture:secret.enc.yaml"),
        ("apps/secret.json", "fixture:secret.enc.json"),
        ("apps/two.yaml", "fixture:two.enc.yaml"),
        ("apps/config.yaml", "fixture:configmap.enc.yaml"),
        ("apps/token.yaml", sealed_secret),
    ])?;
    let rendered = repository.render("apps").map_err(|errors| told(&errors))?;
    insta::assert_snapshot!(readable(&rendered));
    let sops: Vec<&str> = rendered.sops_files().map(|file| file.path.as_str()).collect();
    assert_eq!(sops, ["apps/config.yaml", "apps/secret.json", "apps/secret.yaml", "apps/two.yaml"]);
    assert!(rendered.plaintext().is_empty());
    Ok(())
}

#[test]
fn what_templates_make_has_a_handle_that_covers_their_text_and_every_item() -> Outcome {
    let sealed_secret = |a: &str, text: &str| {
        format!(
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: token}}\nspec:\n  encryptedData: {{a: {a}, b: AgBc, c: AgBd}}\n  template:\n    data: {{url: '{text}', b: null, c: unused}}\n"
        )
    };
    let data = |sealed_secret: String| -> Result<_, Box<dyn std::error::Error>> {
        let rendered = repository(&[("token.yaml", &sealed_secret)])?.render("").map_err(|errors| told(&errors))?;
        let manifest = &rendered.manifests()[0];
        let opened: Vec<&str> = rendered.sealed_bindings(&manifest.id).map(|(item, _)| item).collect();
        assert_eq!(opened, ["a", "b", "c"], "what templates may use is opened, also what the Secret is not to have");
        Ok(manifest.body["data"].clone())
    };
    let first = data(sealed_secret("AgBb", "{{ .a }}@{{ .b }}"))?;
    assert_eq!(first.as_object().ok_or("no data")?.keys().collect::<Vec<_>>(), ["a", "c", "url"]);
    assert_eq!(first, data(sealed_secret("AgBb", "{{ .a }}@{{ .b }}"))?);
    for other in [sealed_secret("AgBb", "{{ .a }}"), sealed_secret("AgBe", "{{ .a }}@{{ .b }}")] {
        let other = data(other)?;
        assert_ne!(first["url"], other["url"]);
        assert_eq!(first["c"], other["c"], "a sealed value is never replaced");
    }
    Ok(())
}

#[test]
fn the_items_of_a_sealed_secret_are_bound_to_its_rendered_name_namespace_and_scope() -> Outcome {
    let sealed_secret = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: token\n  annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}\nspec: {encryptedData: {a: AgBb, b: AgBc}}\n";
    let repository = repository(&[("token.yaml", sealed_secret)])?;
    let rendered = repository.render("").map_err(|errors| told(&errors))?;
    let id = &rendered.manifests()[0].id;
    let bound = rendered.sealed_bindings(id);
    let bound: Vec<String> =
        bound.map(|(key, binding)| format!("{key} {} {}/{}", binding.scope, binding.namespace, binding.name)).collect();
    assert_eq!(id.to_string(), "Secret/default/token");
    assert_eq!(bound, ["a namespace-wide default/token", "b namespace-wide default/token"]);
    Ok(())
}

#[test]
fn handles_are_the_same_in_every_render_and_others_when_the_ciphertext_changes() -> Outcome {
    let one = repository(&[("secret.yaml", "fixture:secret.enc.yaml")])?;
    let again = repository(&[("secret.yaml", "fixture:secret.enc.yaml"), ("unrelated.txt", "x")])?;
    let sealed = String::from_utf8(fixture("secret.enc.yaml")?)?;
    let other =
        repository(&[("secret.yaml", &sealed.replace("data:hqqIYxuggPxk7LUCYXIw", "data:hqqIYxuggPxk7LUCYXIx"))])?;
    let body = |repository: &crate::repository::Repository| -> Result<_, String> {
        let rendered = repository.render("").map_err(|errors| told(&errors))?;
        Ok((rendered.manifests()[0].body.clone(), rendered.closure_key().clone()))
    };
    assert_eq!(body(&one)?, body(&again)?);
    assert_ne!(body(&one)?.0, body(&other)?.0);
    assert_ne!(body(&one)?.1, body(&other)?.1);
    Ok(())
}

#[test]
fn secret_values_in_clear_text_are_reported_and_never_stand_in_a_manifest() -> Outcome {
    let plain = "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\ndata: {a: aHVudGVyMg==, empty: ''}\nstringData: {b: hunter2, a: wins}\n";
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: listed}, stringData: {c: hunter2}}\n";
    let repository =
        repository(&[("plain.yaml", plain), ("list.yaml", list), ("partly.yaml", "fixture:partly.enc.yaml")])?;
    let rendered = repository.render("").map_err(|errors| told(&errors))?;
    let all = format!("{:?}", rendered.manifests());
    assert!(!all.contains("hunter2") && !all.contains("aHVudGVyMg") && !all.contains("in the clear"));
    insta::assert_snapshot!(readable(&rendered));
    insta::assert_snapshot!(
        "plaintext is denied",
        told(&judge(rendered.plaintext(), PlaintextPolicy::Deny).expect_err("they are denied"))
    );
    assert_eq!(judge(rendered.plaintext(), PlaintextPolicy::Warn).map(<[_]>::len).ok(), Some(5));
    assert_eq!(judge(rendered.plaintext(), PlaintextPolicy::Allow).map(<[_]>::len).ok(), Some(0));
    Ok(())
}

#[test]
fn links_to_files_outside_the_folder_count_and_links_to_folders_do_not() -> Outcome {
    let repository = repository(&[
        ("shared/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"),
        ("apps/d.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\n"),
    ])?;
    let git = repository.git;
    git.symlink("../shared/c.yaml", "apps/c.yaml")?;
    git.symlink("d.yaml", "apps/again.yaml")?;
    git.symlink("..", "apps/circle")?;
    let rendered = fetched(git)?.render("apps").map_err(|errors| told(&errors))?;
    let ids: Vec<String> = rendered.manifests().iter().map(|manifest| manifest.id.to_string()).collect();
    assert_eq!(ids, ["ConfigMap/default/c", "ConfigMap/default/d"]);
    Ok(())
}

#[test]
fn kinds_that_the_render_defines_have_the_scope_of_their_definition() -> Outcome {
    let definition = |kind: &str, scope: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: x{kind}}}\nspec: {{group: example.com, scope: {scope}, names: {{kind: {kind}}}}}\n"
        )
    };
    let object = |kind: &str| format!("apiVersion: example.com/v1\nkind: {kind}\nmetadata: {{name: x}}\n");
    let repository = repository(&[
        ("a.yaml", &object("Wide")),
        ("b.yaml", &object("Narrow")),
        ("c.yaml", &object("Unknown")),
        ("z.yaml", &format!("{}---\n{}", definition("Wide", "Cluster"), definition("Narrow", "Namespaced"))),
    ])?;
    let options = options(PathBuf::new());
    let unknown = |kind: &GroupKind| (kind.group != "example.com").then_some(Scope::Cluster);
    let files = repository.read("").map_err(|errors| told(&errors))?;
    let rendered = render(files, &options, &salt(), &unknown).map_err(|errors| told(&errors))?;
    let ids: Vec<String> = rendered.manifests().iter().take(3).map(|manifest| manifest.id.to_string()).collect();
    assert_eq!(ids, ["example.com/Wide/x", "example.com/Narrow/default/x", "example.com/Unknown/default/x"]);
    Ok(())
}

#[test]
fn a_working_tree_renders_like_the_commit_that_it_becomes() -> Outcome {
    let repository = repository(&[
        ("base/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"),
        ("apps/a/secret.yaml", "fixture:secret.enc.yaml"),
        ("apps/.hidden.yaml", "not: an object"),
    ])?;
    repository.git.symlink("../base/c.yaml", "apps/c.yaml")?;
    let (folder, path) = WorkingFolder::around(&repository.git.tree().join("apps"))?;
    let uncommitted = read(&folder, &path, &salt(), &ForeignStores::default()).map_err(|errors| told(&errors))?;
    let committed = fetched(repository.git)?.read("apps").map_err(|errors| told(&errors))?;
    assert_eq!(path.as_str(), "apps");
    assert_eq!(uncommitted.closure(), committed.closure());
    assert_eq!(uncommitted.closure_key(&options(PathBuf::new())), committed.closure_key(&options(PathBuf::new())));
    Ok(())
}

#[test]
fn a_working_tree_is_not_left_through_its_links() -> Outcome {
    let repository = repository(&[("apps/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")])?;
    repository.git.symlink("/etc/passwd", "apps/out.yaml")?;
    repository.git.symlink("loop.yaml", "apps/loop.yaml")?;
    repository.git.symlink("nothing.yaml", "apps/gone.yaml")?;
    let (folder, path) = WorkingFolder::around(&repository.git.tree().join("apps"))?;
    let errors = read(&folder, &path, &salt(), &ForeignStores::default())
        .err()
        .ok_or("links out of the folder were followed")?;
    insta::assert_snapshot!(told(&errors));
    Ok(())
}
