//! Where a sealed value may end, judged on rendered manifests.

use std::error::Error;

use waxwing::render::{Rendered, bindings};
use waxwing_plan::GroupKind;

use crate::repository::{kustomize, repository, told};

type Outcome = Result<(), Box<dyn Error>>;

/// Copies the sealed password of the Secret `db` to `target`, as Kustomize does on its way.
fn copied_to(target: &str, options: &str) -> Result<Option<Result<Rendered, String>>, Box<dyn Error>> {
    let Some(kustomize) = kustomize() else { return Ok(None) };
    let (object, field) = target.split_once(' ').ok_or("a target is an object and a field")?;
    let (kind, name) = object.split_once('/').ok_or("an object is a kind and a name")?;
    let kustomization = format!(
        "resources: [db.yaml, others.yaml]\nreplacements:\n- source: {{kind: Secret, name: db, fieldPath: stringData.password}}\n  targets:\n  - select: {{kind: {kind}, name: {name}}}\n    fieldPaths: ['{field}']\n    options: {{{options}}}\n"
    );
    let others = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {l: x}}\ntype: Opaque\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: 'a,b'}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {containers: [{name: web, image: web, args: [x], env: [{name: E, value: v}], ports: [{containerPort: 80, protocol: TCP, name: http}]}], volumes: [{name: v, projected: {sources: [{secret: {name: s, items: [{key: k, path: p}]}}]}}]}}}\n---\napiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {list: [{id: x, deep: {er: z}}], inner: {lists: [[{a: z}]]}, text: z, map: {key: z}}\n";
    let repository = repository(&[
        ("kustomization.yaml", &kustomization),
        ("db.yaml", "fixture:secret.enc.yaml"),
        ("others.yaml", others),
    ])?;
    Ok(Some(repository.render_with("", kustomize).map_err(|errors| told(&errors))))
}

fn judged(rendered: &Rendered, bind_into: &[GroupKind]) -> String {
    let errors =
        rendered.manifests().iter().filter_map(|manifest| bindings::check(manifest, bind_into).err()).flatten();
    let told: Vec<String> = errors.map(|error| format!("{error}\n  hint: {}\n", error.hint())).collect();
    if told.is_empty() { "allowed\n".to_owned() } else { told.concat() }
}

#[test]
fn sealed_values_end_in_the_data_of_a_secret_or_where_the_sync_says_and_nowhere_else() -> Outcome {
    let named =
        [GroupKind::new("", "ConfigMap"), GroupKind::new("apps", "Deployment"), GroupKind::new("example.com", "Thing")];
    let targets = [
        "Secret/s stringData.x",
        "Secret/s metadata.labels.l",
        "Secret/s metadata.annotations.a",
        "Secret/s type",
        "Secret/s metadata.name",
        "ConfigMap/c data.k",
        "ConfigMap/c metadata.labels.x",
        "Deployment/d spec.template.spec.containers.0.args.0",
        "Deployment/d spec.template.spec.containers.0.name",
        "Deployment/d spec.template.spec.containers.0.env.0.value",
        "Deployment/d spec.template.spec.containers.0.image",
        "Deployment/d spec.template.spec.containers.0.env.0.name",
        "Deployment/d spec.template.spec.containers.0.ports.0.protocol",
        "Deployment/d spec.template.spec.volumes.0.projected.sources.0.secret.items.0.path",
        "Thing/t spec.text",
        "Thing/t spec.list.0.id",
        "Thing/t spec.list.0.deep.er",
        "Thing/t spec.inner.lists.0.0.a",
        "Thing/t spec.map.key",
        "Thing/t kind",
    ];
    let mut all = String::new();
    for target in targets {
        let Some(outcome) = copied_to(target, "create: true")? else { return Ok(()) };
        match outcome {
            Ok(rendered) => all.push_str(&format!(
                "# {target}\nby default: {}with bindInto: {}\n",
                judged(&rendered, &[]),
                judged(&rendered, &named)
            )),
            Err(refusal) => all.push_str(&format!("# {target}\nrefused: {refusal}\n")),
        }
    }
    insta::assert_snapshot!(all);
    Ok(())
}

#[test]
fn a_part_of_a_value_takes_a_handle_as_well() -> Outcome {
    let Some(outcome) = copied_to("ConfigMap/c data.k", "delimiter: ',', index: 1")? else { return Ok(()) };
    let rendered = outcome?;
    let config = rendered.manifests().iter().find(|manifest| manifest.id.name == "c").ok_or("no ConfigMap")?;
    assert!(config.body["data"]["k"].as_str().is_some_and(|text| text.starts_with("a,waxwinghandle0")));
    assert_eq!(config.secrets["/data/k"][0].key_path, "/stringData/password");
    Ok(())
}

#[test]
fn cut_encoded_or_moved_handles_are_refused() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let sealed =
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: t}\nspec: {encryptedData: {t: AgBb}}\n";
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: 'Basic x', j: 'a'}\n";
    let generated = "secretGenerator: [{name: g, files: [k=app.bin], options: {disableNameSuffixHash: true}}]\nresources: [t.yaml, c.yaml]\n";
    let copy =
        |source: &str, target: &str| format!("{generated}replacements:\n- source: {source}\n  targets: [{target}]\n");
    let cases = [
        (
            "a piece of a handle",
            copy(
                "{kind: SealedSecret, name: t, fieldPath: spec.encryptedData.t, options: {delimiter: '3', index: 0}}",
                "{select: {kind: ConfigMap, name: c}, fieldPaths: [data.k]}",
            ),
        ),
        (
            "base64 inside of text",
            copy(
                "{kind: Secret, name: g, fieldPath: data.k}",
                "{select: {kind: ConfigMap, name: c}, fieldPaths: [data.k], options: {delimiter: ' ', index: 1}}",
            ),
        ),
        (
            "base64 in stringData",
            copy(
                "{kind: Secret, name: g, fieldPath: data.k}",
                "{select: {kind: Secret, name: g}, fieldPaths: [stringData.x], options: {create: true}}",
            ),
        ),
        (
            "an item of a SealedSecret elsewhere",
            copy(
                "{kind: SealedSecret, name: t, fieldPath: spec.encryptedData.t}",
                "{select: {kind: ConfigMap, name: c}, fieldPaths: [data.k]}",
            ),
        ),
        (
            "something else in a SealedSecret",
            copy(
                "{kind: Secret, name: g, fieldPath: data.k}",
                "{select: {kind: SealedSecret, name: t}, fieldPaths: [spec.encryptedData.t]}",
            ),
        ),
    ];
    let mut all = String::new();
    for (name, kustomization) in cases {
        let repository = repository(&[
            ("kustomization.yaml", &kustomization),
            ("t.yaml", sealed),
            ("c.yaml", config),
            ("app.bin", "fixture:app.enc.bin"),
        ])?;
        match repository.render_with("", kustomize.clone()) {
            Ok(rendered) => panic!("{name} was rendered: {rendered:?}"),
            Err(errors) => all.push_str(&format!("# {name}\n{}\n", told(&errors))),
        }
    }
    insta::assert_snapshot!(all);
    Ok(())
}
