//! What a diff says, and what it never says.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{manifest, sealed};

const PLAIN: TextStyle = TextStyle { colour: false };

fn handle(digit: char) -> String {
    format!("waxwinghandle0{}", digit.to_string().repeat(64))
}

fn deployment(replicas: u32, image: &str) -> Manifest {
    let containers = json!([{"name": "web", "image": image}, {"name": "log", "image": "log:1"}]);
    let spec = json!({"replicas": replicas, "template": {"spec": {"containers": containers}}});
    manifest("Deployment", "web", json!({"spec": spec}))
}

fn text(old: &[Manifest], new: &[Manifest]) -> String {
    diff_sets(old, new).text(PLAIN)
}

fn fields(old: Value, new: Value) -> Vec<(FieldChange, String, String)> {
    let of = |spec: Value| manifest("Widget", "w", json!({"spec": spec}));
    let found = diff(Some(&of(old)), Some(&of(new))).unwrap().fields;
    found.into_iter().map(|field| (field.change, field.pointer, field.path)).collect()
}

#[test]
fn a_plan_is_read_like_this() {
    let old = [
        manifest(
            "ConfigMap",
            "settings",
            json!({"data": {"mode": "a", "app.conf": "one\ntwo\nthree\nfour\nfive\nsix\n"}}),
        ),
        deployment(2, "web:1"),
        manifest("ConfigMap", "old", json!({"data": {"a": "b"}})),
        manifest("Namespace", "legacy", json!({})),
        manifest("ServiceAccount", "same", json!({})),
        sealed(manifest("Secret", "gone", json!({"data": {"key": handle('a')}})), "/data/key"),
    ];
    let new = [
        deployment(3, "web:2"),
        manifest(
            "ConfigMap",
            "settings",
            json!({"data": {"mode": "a", "app.conf": "one\ntwo\nthree\nfour\nFIVE\nsix\n"}}),
        ),
        manifest("ServiceAccount", "same", json!({})),
        manifest("Namespace", "fresh", json!({"metadata": {"labels": {"team": "shop"}}})),
        sealed(manifest("Secret", "db", json!({"data": {"password": handle('b')}})), "/data/password"),
    ];
    insta::assert_snapshot!(text(&old, &new), @r#"
    + create Namespace/fresh (fresh.yaml:1)
        + metadata.labels.team: "shop"

    ~ change ConfigMap/shop/settings (settings.yaml:1)
        ~ data["app.conf"]:
            ...
              three
              four
            - five
            + FIVE
              six

    + create Secret/shop/db (db.yaml:1)
        + data.password: (sealed) from secrets.enc.yaml at /stringData/password

    ~ change apps/Deployment/shop/web (web.yaml:1)
        ~ spec.replicas: 2 -> 3
        ~ spec.template.spec.containers[web].image: "web:1" -> "web:2"

    - delete Secret/shop/gone (gone.yaml:1)
        - data.key: (sealed)

    - delete ConfigMap/shop/old (old.yaml:1)

      keep Namespace/legacy (legacy.yaml:1)
        it stays in the cluster: its kind is deleted only with waxwing.dev/prune: Confirmed

    2 to create, 2 to change, 2 to delete, 1 unchanged, 1 skipped
    "#);
}

#[test]
fn a_sealed_value_says_that_it_changed_and_where_it_comes_from() {
    let secret = |values: Value, pointers: &[&str]| {
        let object = manifest("Secret", "db", json!({"type": "Opaque", "data": values}));
        pointers.iter().fold(object, |object, pointer| sealed(object, pointer))
    };
    let old = secret(json!({"a": handle('1'), "b": handle('2'), "c": handle('3')}), &["/data/a", "/data/b", "/data/c"]);
    let new = secret(json!({"a": handle('1'), "b": handle('9'), "d": handle('4')}), &["/data/a", "/data/b", "/data/d"]);
    insta::assert_snapshot!(text(&[old], &[new]), @"
    ~ change Secret/shop/db (db.yaml:1)
        ~ data.b: (sealed, changed) from secrets.enc.yaml at /stringData/b
        + data.d: (sealed) from secrets.enc.yaml at /stringData/d
        - data.c: (sealed)

    0 to create, 1 to change, 0 to delete, 0 unchanged
    ");
}

#[test]
fn the_json_form_is_stable() {
    let old = sealed(manifest("Secret", "db", json!({"data": {"a": handle('1')}})), "/data/a");
    let new = sealed(manifest("Secret", "db", json!({"data": {"a": handle('2')}, "type": "Opaque"})), "/data/a");
    let value = serde_json::to_string_pretty(&diff_sets(&[old], &[new])).unwrap();
    insta::assert_snapshot!(value, @r#"
    {
      "summary": {
        "create": 0,
        "change": 1,
        "delete": 0,
        "unchanged": 0
      },
      "objects": [
        {
          "kind": "Secret",
          "namespace": "shop",
          "name": "db",
          "change": "changed",
          "location": {
            "file": "db.yaml",
            "document": 0,
            "line": 1
          },
          "fields": [
            {
              "pointer": "/data/a",
              "path": "data.a",
              "change": "changed",
              "old": {
                "sealed": [
                  {
                    "file": "secrets.enc.yaml",
                    "document": 0,
                    "keyPath": "/stringData/a",
                    "scheme": "sops"
                  }
                ]
              },
              "new": {
                "sealed": [
                  {
                    "file": "secrets.enc.yaml",
                    "document": 0,
                    "keyPath": "/stringData/a",
                    "scheme": "sops"
                  }
                ]
              }
            },
            {
              "pointer": "/type",
              "path": "type",
              "change": "added",
              "new": {
                "value": "Opaque"
              }
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_new_suffix_of_a_generated_name_is_shown_as_a_replacement_with_its_users() {
    let secret = |suffix: &str, digit| {
        sealed(
            manifest("Secret", &format!("db-{suffix}"), json!({"data": {"password": handle(digit)}})),
            "/data/password",
        )
    };
    let web = |suffix: &str| {
        let from = json!([{"name": "db", "secret": {"secretName": format!("db-{suffix}")}}]);
        manifest("Deployment", "web", json!({"spec": {"template": {"spec": {"volumes": from}}}}))
    };
    let old = [secret("2bt9k8g5mh", '1'), web("2bt9k8g5mh")];
    let new = [secret("7fd6cmk4t8", '2'), web("7fd6cmk4t8")];
    insta::assert_snapshot!(text(&old, &new), @r#"
    + create Secret/shop/db-7fd6cmk4t8 (db-7fd6cmk4t8.yaml:1)
        its content changed, so its generator gave it another name
        ~ data.password: (sealed, changed) from secrets.enc.yaml at /stringData/password

    ~ change apps/Deployment/shop/web (web.yaml:1)
        it uses Secret db-7fd6cmk4t8, which is new: its pods are replaced
        ~ spec.template.spec.volumes[db].secret.secretName: "db-2bt9k8g5mh" -> "db-7fd6cmk4t8"

    - delete Secret/shop/db-2bt9k8g5mh (db-2bt9k8g5mh.yaml:1)
        db-7fd6cmk4t8 replaces it
        - data.password: (sealed)

    1 to create, 1 to change, 1 to delete, 0 unchanged
    "#);
}

#[test]
fn names_that_only_look_alike_are_not_paired() {
    let maps = |names: &[&str]| names.iter().map(|name| manifest("ConfigMap", name, json!({}))).collect::<Vec<_>>();
    let renamed = |old: &[&str], new: &[&str]| {
        diff_sets(&maps(old), &maps(new)).objects.iter().any(|object| object.renamed_from.is_some())
    };
    assert!(renamed(&["a-2bt9k8g5mh"], &["a-7fd6cmk4t8"]));
    assert!(!renamed(&["a-2bt9k8g5mh"], &["b-7fd6cmk4t8"]));
    assert!(!renamed(&["a-2bt9k8g5mh"], &["a-production"]));
    assert!(!renamed(&["a-2bt9k8g5mh", "a-2bt9k8g5mk"], &["a-7fd6cmk4t8"]));
    assert!(!renamed(&["a-2bt9k8g5mh"], &["a-2bt9k8g5mh", "a-7fd6cmk4t8"]));
}

#[test]
fn lists_with_names_are_compared_by_name_and_others_by_index() {
    use FieldChange::{Added, Changed, Moved, Removed};
    let one = |change, pointer: &str, path: &str| vec![(change, pointer.to_owned(), path.to_owned())];
    let named = |names: &[&str]| json!({"l": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()});
    assert_eq!(fields(json!({"l": [1, 2]}), json!({"l": [1, 3]})), one(Changed, "/spec/l/1", "spec.l[1]"));
    assert_eq!(fields(json!({"l": [1]}), json!({"l": [1, 3]})), one(Added, "/spec/l/1", "spec.l[1]"));
    assert_eq!(fields(named(&["a", "b"]), named(&["x", "a", "b"])), one(Added, "/spec/l/0/name", "spec.l[x].name"));
    assert_eq!(fields(named(&["x", "a"]), named(&["a"])), one(Removed, "/spec/l/0/name", "spec.l[x].name"));
    assert_eq!(fields(named(&["a", "b"]), named(&["b", "a"])), one(Moved, "/spec/l", "spec.l"));
    assert_eq!(fields(named(&["a", "a"]), named(&["a", "b"])), one(Changed, "/spec/l/1/name", "spec.l[1].name"));
}

#[test]
fn keys_are_escaped_in_pointers_and_quoted_in_paths() {
    let found = fields(json!({"a/b~c": 1, "": 1}), json!({"a/b~c": 2, "": 2}));
    let places: Vec<_> = found.iter().map(|(_, pointer, path)| (pointer.as_str(), path.as_str())).collect();
    assert_eq!(places, [("/spec/a~1b~0c", "spec[\"a/b~c\"]"), ("/spec/", "spec[\"\"]")]);
}

#[test]
fn a_field_of_another_shape_is_removed_and_added() {
    use FieldChange::{Added, Changed, Removed};
    let changes =
        |old, new| fields(old, new).into_iter().map(|(change, pointer, _)| (change, pointer)).collect::<Vec<_>>();
    let at = |change, pointer: &str| (change, pointer.to_owned());
    assert_eq!(changes(json!({"a": 1}), json!({"a": {"b": 1}})), [at(Removed, "/spec/a"), at(Added, "/spec/a/b")]);
    assert_eq!(changes(json!({"a": {"b": 1}}), json!({"a": [1]})), [at(Removed, "/spec/a/b"), at(Added, "/spec/a/0")]);
    assert_eq!(changes(json!({"a": {}}), json!({"a": []})), [at(Changed, "/spec/a")]);
    assert_eq!(changes(json!({"a": null}), json!({})), [at(Removed, "/spec/a")]);
    assert_eq!(changes(json!({}), json!({"a": {}})), [at(Added, "/spec/a")]);
}

#[test]
fn what_belongs_to_the_server_is_no_difference() {
    let plain = manifest("ConfigMap", "a", json!({}));
    let exported = manifest("ConfigMap", "a", json!({"metadata": {"uid": "u", "resourceVersion": "1"}, "status": {}}));
    assert_eq!(diff(Some(&plain), Some(&exported)).unwrap().change, ObjectChange::Unchanged);
    assert_eq!(diff(None, None), None);
    assert!(diff_sets(&[plain], &[exported]).is_empty());
}

#[test]
fn an_object_that_an_annotation_keeps_or_disables_is_not_counted_as_a_change() {
    let annotated = |name: &str, value: &str, data: &str| {
        manifest("ConfigMap", "a", json!({"metadata": {"annotations": {name: value}}, "data": {"a": data}}))
    };
    let kept = annotated("waxwing.dev/prune", "Disabled", "1");
    let disabled = |data| annotated("waxwing.dev/reconcile", "Disabled", data);
    insta::assert_snapshot!(text(&[kept], &[]), @"
      keep ConfigMap/shop/a (a.yaml:1)
        it stays in the cluster: an annotation of waxwing.dev keeps it

    0 to create, 0 to change, 0 to delete, 0 unchanged, 1 skipped
    ");
    insta::assert_snapshot!(text(&[disabled("1")], &[disabled("2")]), @r#"
      skip ConfigMap/shop/a (a.yaml:1)
        waxwing.dev/reconcile: Disabled leaves it alone
        ~ data.a: "1" -> "2"

    0 to create, 0 to change, 0 to delete, 0 unchanged, 1 skipped
    "#);
}

#[test]
fn long_objects_and_values_are_cut_in_the_text_and_whole_in_the_fields() {
    let many: serde_json::Map<_, _> = (0..150).map(|n| (format!("k{n:03}"), json!("v"))).collect();
    let plan = diff_sets(&[], &[manifest("ConfigMap", "a", json!({"data": many}))]);
    assert_eq!(plan.objects[0].fields.len(), 150);
    assert!(plan.text(PLAIN).contains("... and 50 more lines"));
    let long = diff_sets(&[], &[manifest("ConfigMap", "a", json!({"data": {"k": "é".repeat(1000)}}))]);
    assert!(long.text(PLAIN).contains("... (1002 characters)"));
}

#[test]
fn nothing_in_git_can_steer_the_terminal() {
    let evil = "\u{1b}[2J\u{202e}\u{9b}31m\r";
    let mut object = manifest("ConfigMap", "a", json!({"data": {evil: evil, "lines": format!("a\n{evil}")}}));
    object.id.name = evil.to_owned();
    object.location.as_mut().unwrap().file = evil.to_owned();
    let text = diff_sets(&[], &[object]).text(PLAIN);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}'));
}

#[test]
fn colour_is_only_in_the_signs() {
    let text =
        diff_sets(&[], &[manifest("ConfigMap", "a", json!({"data": {"k": "v"}}))]).text(TextStyle { colour: true });
    assert!(text.starts_with("\u{1b}[32m+\u{1b}[0m create ConfigMap/shop/a"), "{text:?}");
}

/// Every place in which a sealed text could stand, for one handle.
fn everywhere(handle: &str, encoded: &[String]) -> Vec<Manifest> {
    let mut objects = vec![
        manifest("Secret", "s", json!({"data": {"k": handle}, "stringData": {"k": "plain secret"}})),
        sealed(manifest("ConfigMap", "bound", json!({"data": {"k": format!("url://{handle}@host")}})), "/data/k"),
        manifest("ConfigMap", "unknown", json!({"data": {handle: "v", "k": handle}})),
        manifest("Widget", "list", json!({"spec": {"items": [{"name": handle}, {"name": "b"}], "args": [handle, 1]}})),
        manifest("Widget", "moved", json!({"spec": {"items": [{"name": "b"}, {"name": handle}]}})),
        manifest("ConfigMap", "token", json!({"data": {"k": "ENC[AES256_GCM,data:c2VhbGVk,iv:x,tag:y,type:str]"}})),
        manifest("ConfigMap", handle, json!({"data": {"base64": encoded, "lines": format!("a\n{handle}\n")}})),
        manifest(
            "ConfigMap",
            "applied",
            json!({"metadata": {"annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "plain secret"}}}),
        ),
    ];
    let mut sealed_secret = manifest("Widget", "ss", json!({"spec": {"encryptedData": {"k": "c2VhbGVk"}}}));
    sealed_secret.id.kind = crate::GroupKind::new("bitnami.com", "SealedSecret");
    objects.push(sealed_secret);
    objects
}

#[test]
fn no_handle_and_no_sealed_text_appears_in_any_output() {
    // `waxwinghandle0` and digits behind 0, 1 and 2 other bytes, in base64
    let encoded =
        ["d2F4d2luZ2hhbmRsZTAwMDAw", "eHdheHdpbmdoYW5kbGUwMDAw", "eHh3YXh3aW5naGFuZGxlMDAw"].map(str::to_owned);
    let (before, after) = (everywhere(&handle('a'), &encoded), everywhere(&handle('b'), &[]));
    let mut reordered = everywhere(&handle('a'), &encoded);
    reordered[3] = manifest("Widget", "list", json!({"spec": {"items": [{"name": "b"}, {"name": handle('a')}]}}));
    for (old, new) in
        [(&before, &after), (&after, &before), (&before, &vec![]), (&vec![], &after), (&before, &reordered)]
    {
        let plan = diff_sets(old, new);
        let outputs = [
            plan.text(PLAIN),
            plan.text(TextStyle { colour: true }),
            serde_json::to_string(&plan).unwrap(),
            format!("{:?}", plan.objects),
        ];
        for output in outputs {
            for sealed in [
                "waxwinghandle0",
                "aaaaaaaaaa",
                "bbbbbbbbbb",
                "hhbmRs",
                "ghhbmRsZ",
                "huZGxl",
                "bmdoYW5kbGU",
                "c2VhbGVk",
                "plain secret",
                "ENC[",
            ] {
                assert!(!output.contains(sealed), "{sealed} in {output}");
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4i64).prop_map(Value::from),
        "[ab/~]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab/~n]{0,2}|name", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_diff_is_empty_only_for_equal_objects_and_its_pointers_lead_to_its_values(old in tree(), new in tree()) {
        let of = |spec: &Value| manifest("Widget", "w", json!({"spec": spec}));
        let (before, after) = (of(&old), of(&new));
        let found = diff(Some(&before), Some(&after)).unwrap();
        prop_assert_eq!(found.fields.is_empty(), old == new);
        for field in found.fields.iter().filter(|field| field.change != FieldChange::Moved) {
            let side = if field.new.is_some() { (&after, &field.new) } else { (&before, &field.old) };
            let expected = side.0.body.pointer(&field.pointer).cloned().map(Shown::Value);
            prop_assert_eq!(&expected, side.1);
        }
    }
}
