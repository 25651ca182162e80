//! What `seal` asks the controller about SealedSecrets: with a token for its audience, and only what the owner of the token may do at
//! the API server. Served with and without `--sealed-secrets`, also through the API server's proxy.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};
use waxwing_harness::{ClusterOptions, Controller, Failure, eventually, in_own_network};

use super::http::{answer, begun_at};
use super::scene::{KEYS, Scene, merge, shared};
use crate::stage::{Alone, PATIENCE, further_cluster, start_controller};

pub(super) const VERIFY: &str = "/v1/waxwing/verify";
pub(super) const ROTATE: &str = "/v1/waxwing/rotate";

/// Makes a ServiceAccount that may do this to the SealedSecrets of a namespace, or to one of them.
pub(super) fn account(scene: &Scene, name: &str, verbs: &[&str], on: &[&str]) {
    let metadata = json!({"name": name, "namespace": scene.namespace});
    scene.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
    let (api, group) = ("rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io");
    let rule =
        json!({"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets"], "verbs": verbs, "resourceNames": on});
    scene.apply(&json!({"apiVersion": api, "kind": "Role", "metadata": metadata, "rules": [rule]}));
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": scene.namespace});
    let role = json!({"apiGroup": group, "kind": "Role", "name": name});
    scene.apply(&json!({"apiVersion": api, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject]}));
}

/// Returns a token of an account of the namespace.
fn token(scene: &Scene, account: &str, more: &[&str]) -> String {
    let arguments = [&["create", "token", "--namespace", &scene.namespace, account], more].concat();
    scene.cluster.kubectl(&arguments).unwrap().trim().to_owned()
}

pub(super) fn own_token(scene: &Scene, account: &str) -> String {
    token(scene, account, &["--audience", "waxwing"])
}

/// Signs a token as the API server does, that is good for so many seconds from now.
fn signed(scene: &Scene, account: &str, seconds: i64) -> String {
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}", scene.namespace);
    let uid = scene.cluster.get(&path).unwrap()["metadata"]["uid"].clone();
    let now = Timestamp::now().as_second();
    let claims = json!({"iss": "https://kubernetes.default.svc.cluster.local", "aud": ["waxwing"], "exp": now + seconds,
        "iat": now - 3600, "nbf": now - 3600, "sub": format!("system:serviceaccount:{}:{account}", scene.namespace),
        "kubernetes.io": {"namespace": scene.namespace, "serviceaccount": {"name": account, "uid": uid}}});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT"})), part(&claims));
    let pem = std::fs::read_to_string(scene.cluster.kubeconfig().with_file_name("accounts.key")).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &STANDARD.decode(der).unwrap()).unwrap();
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Asks once it is the asker's turn.
pub(super) fn ask(controller: &Controller, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let attempt = || match controller.post(path, headers, body).unwrap() {
        (429, _) => Err("it is not its turn"),
        (code, text) => Ok((code, serde_json::from_str(&text).unwrap_or(Value::String(text)))),
    };
    eventually(PATIENCE, "a turn", attempt).unwrap()
}

pub(super) fn with(token: &str) -> String {
    format!("X-Waxwing-Token: {token}\r\n")
}

#[test]
fn only_whoever_shows_a_token_for_this_audience_and_has_the_right_is_answered() {
    let (controller, scene, elsewhere) = (&shared().1, Scene::new("asking"), Scene::new("asking-elsewhere"));
    let sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]).to_string();
    account(&scene, "reader", &["get"], &[]);
    account(&scene, "writer", &["update"], &[]);
    account(&scene, "nobody", &["list"], &[]);
    account(&scene, "of-login", &["get", "update"], &["login"]);
    account(&scene, "of-another", &["get", "update"], &["another"]);
    account(&scene, "gone", &["get"], &[]);
    account(&elsewhere, "neighbour", &["get", "update"], &[]);
    let gone = own_token(&scene, "gone");
    scene.cluster.kubectl(&["delete", "serviceaccount", "--namespace", &scene.namespace, "gone"]).unwrap();
    let reader = own_token(&scene, "reader");
    let nobody = [
        ("no token", String::new()),
        ("the token as the API server wants it", format!("Authorization: Bearer {reader}\r\n")),
        ("two tokens", with(&reader) + &with(&reader)),
        ("no token of anybody", with("a.b.c")),
        ("something else", with("hunter2")),
        ("one for the API server", with(&token(&scene, "reader", &[]))),
        ("one for somebody else", with(&token(&scene, "reader", &["--audience", "vault"]))),
        ("one that is over", with(&signed(&scene, "reader", -60))),
        ("one that somebody changed", with(&format!("{}x", &reader[..reader.len() - 8]))),
        ("one of an account that is gone", with(&gone)),
    ];
    for (what, headers) in nobody {
        for path in [VERIFY, ROTATE] {
            let (code, told) = ask(controller, path, &headers, &sealed);
            assert_eq!((code, &told["reason"]), (401, &json!("Unauthenticated")), "{what}");
        }
    }
    assert_eq!(ask(controller, VERIFY, &with(&signed(&scene, "reader", 600)), &sealed).0, 200, "it is else a good one");
    for (who, headers, verify, rotate) in [
        ("reader", with(&reader), 200, 403),
        ("writer", with(&own_token(&scene, "writer")), 403, 200),
        ("nobody", with(&own_token(&scene, "nobody")), 403, 403),
        ("of-login", with(&own_token(&scene, "of-login")), 200, 200),
        ("of-another", with(&own_token(&scene, "of-another")), 403, 403),
        ("neighbour", with(&own_token(&elsewhere, "neighbour")), 403, 403),
    ] {
        let codes = [VERIFY, ROTATE].map(|path| ask(controller, path, &headers, &sealed));
        assert_eq!([codes[0].0, codes[1].0], [verify, rotate], "{who}: {codes:?}");
        for (_, told) in codes.iter().filter(|(code, _)| *code == 403) {
            assert_eq!(told["reason"], "Forbidden");
        }
    }
    let log = controller.log();
    assert!(!log.contains(&reader) && !log.contains(reader.split('.').nth(2).unwrap()));
}

#[test]
fn each_item_is_told_its_key_and_scope_or_why_it_does_not_open_and_is_sealed_again_only_with_all_others() {
    let (controller, scene) = (&shared().1, Scene::new("items"));
    account(&scene, "reader", &["get", "update"], &[]);
    let headers = with(&own_token(&scene, "reader"));
    let own = json!({"metadata": {"labels": {"app": "shop"}}, "stringData": {"a": "1", "b": "2"}});
    let good = scene.sealed("login", &own, &[]);
    let item = |name: &str, more: &[&str]| {
        scene.sealed(name, &json!({"stringData": {"x": "1"}}), more)["spec"]["encryptedData"]["x"].clone()
    };
    let mut mixed = good.clone();
    merge(
        &mut mixed,
        &json!({"spec": {"encryptedData": {"c": item("other", &[]), "d": item("login", &["--scope", "cluster-wide"]),
            "e": "!", "f": super::bad_input::changed(&item("login", &[]))}}}),
    );
    let (code, told) = ask(controller, VERIFY, &headers, &mixed.to_string());
    let items = told["items"].as_array().unwrap();
    let of = |item: &Value| item["error"]["reason"].as_str().or(item["scope"].as_str()).unwrap_or_default().to_owned();
    let told: Vec<_> = items.iter().map(|item| (item["item"].as_str().unwrap(), of(item))).collect();
    let expected = ["strict", "strict", "SealedElsewhere", "OtherScope", "Malformed", "Damaged"];
    let expected: Vec<_> = ["a", "b", "c", "d", "e", "f"].into_iter().zip(expected.map(str::to_owned)).collect();
    assert_eq!((code, told), (200, expected));
    assert!(items[0]["key"].as_str().unwrap().starts_with("SHA256:"));
    let key = items[0]["keyName"].as_str().unwrap();
    assert!(scene.cluster.get(&format!("/api/v1/namespaces/{KEYS}/secrets/{key}")).is_ok());
    let scope = &items[3]["error"];
    assert!(scope["message"].as_str().unwrap().contains("sealed with scope cluster-wide"), "{scope}");
    assert!(scope["hint"].as_str().unwrap().contains("sealedsecrets.bitnami.com/cluster-wide"), "{scope}");

    let (code, told) = ask(controller, ROTATE, &headers, &mixed.to_string());
    assert_eq!((code, &told["reason"]), (422, &json!("Unopened")));
    let refused: Vec<_> = told["items"].as_array().unwrap().iter().map(|item| item["item"].clone()).collect();
    assert_eq!(refused, ["c", "d", "e", "f"]);

    let mut templated = good.clone();
    templated["spec"]["template"]["data"] = json!({"fails": "{{ fail .a }}"});
    let (code, told) = ask(controller, ROTATE, &headers, &templated.to_string());
    assert_eq!((code, &told["resealed"]), (200, &json!(2)), "{told}");
    let again = &told["sealedSecret"];
    assert_eq!(again["spec"]["template"], templated["spec"]["template"], "a template is kept, and not run");
    assert_ne!(again["spec"]["encryptedData"]["a"], good["spec"]["encryptedData"]["a"]);
    let mut again = again.clone();
    again["spec"]["template"].as_object_mut().unwrap().remove("data");
    scene.apply(&again);
    scene.values("login", &[("a", "1"), ("b", "2")]);
}

#[test]
fn what_is_no_sealed_secret_or_too_much_is_refused_in_words() {
    let (controller, scene) = (&shared().1, Scene::new("refused"));
    account(&scene, "reader", &["get", "update"], &[]);
    let headers = with(&own_token(&scene, "reader"));
    let sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]);
    let without = |field: &str| {
        let mut sealed = sealed.clone();
        sealed["metadata"].as_object_mut().unwrap().remove(field);
        sealed.to_string()
    };
    let mut long = sealed.clone();
    long["metadata"]["name"] = "x".repeat(254).into();
    for (body, code, reason) in [
        (String::new(), 400, "Malformed"),
        ("{".to_owned(), 400, "Malformed"),
        (format!("{sealed}\n---\n{sealed}"), 400, "Malformed"),
        (without("name"), 400, "Malformed"),
        (without("namespace"), 400, "Malformed"),
        (r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}"#.to_owned(), 400, "Malformed"),
        (long.to_string(), 400, "Malformed"),
        ("x".repeat(5 << 20), 413, "TooLarge"),
        (wide(&sealed), 413, "TooLarge"),
        (with_items(&sealed, 4_001), 413, "TooLarge"),
    ] {
        for path in [VERIFY, ROTATE] {
            let (answered, told) = ask(controller, path, &headers, &body);
            assert_eq!((answered, &told["reason"]), (code, &json!(reason)), "{}", &body[..body.len().min(200)]);
            assert!(told["message"].is_string() && told["hint"].is_string());
        }
    }
    // Of who may not ask about it nothing is read but the names.
    account(&scene, "nobody", &["list"], &[]);
    let (code, told) = ask(controller, VERIFY, &with(&own_token(&scene, "nobody")), &wide(&sealed));
    assert_eq!((code, &told["reason"]), (403, &json!("Forbidden")));
    let broken = begun_at(controller, VERIFY, &format!("{headers}Transfer-Encoding: chunked"), "no length\r\n{");
    assert!(answer(broken).starts_with("HTTP/1.1 400 "));
    assert_eq!(controller.get(VERIFY).unwrap().0, 405);
    // One asks too often, and another is answered.
    let codes: Vec<u16> = (0..120).map(|_| controller.post(VERIFY, &headers, "{").unwrap().0).collect();
    assert!(codes.contains(&400) && codes.iter().all(|code| matches!(code, 400 | 429)), "{codes:?}");
    let neighbour = Scene::new("patient");
    account(&neighbour, "patient", &["get"], &[]);
    let patient = with(&own_token(&neighbour, "patient"));
    let theirs = neighbour.sealed("login", &json!({"stringData": {"a": "1"}}), &[]).to_string();
    assert_eq!(ask(controller, VERIFY, &patient, &theirs).0, 200);
    // Who sends slowly has taken his one place: what he asks beside waits for it, and nobody else does.
    account(&neighbour, "slow", &["get"], &[]);
    let own = with(&own_token(&neighbour, "slow"));
    let whole = format!("{own}Content-Length: {}", theirs.len());
    let slow = begun_at(controller, VERIFY, &format!("{own}Content-Length: 100"), "{");
    let beside: Vec<_> = (0..6).map(|_| begun_at(controller, VERIFY, &whole, &theirs)).collect();
    assert_eq!(ask(controller, VERIFY, &patient, &theirs).0, 200);
    drop(slow);
    for waiting in beside {
        let answered = answer(waiting);
        assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    }
}

/// Returns it with 3 MiB of numbers, of which each takes a hundred times its length in memory.
pub(super) fn wide(sealed: &Value) -> String {
    let mut sealed = sealed.clone();
    sealed["spec"]["template"]["x"] = "here".into();
    sealed.to_string().replace("\"here\"", &format!("[{}1]", "1,".repeat(3 << 19)))
}

/// Returns it with so many items.
fn with_items(sealed: &Value, number: usize) -> String {
    let mut sealed = sealed.clone();
    let items = (0..number).map(|item| (item.to_string(), "AgA=".into()));
    sealed["spec"]["encryptedData"] = Value::Object(items.collect());
    sealed.to_string()
}

#[test]
fn the_api_server_s_proxy_passes_the_token_on_and_no_flag_is_needed() -> Result<(), Failure> {
    let test = "sealed_objects::authenticated::the_api_server_s_proxy_passes_the_token_on_and_no_flag_is_needed";
    in_own_network(test, || {
        let cluster = further_cluster(ClusterOptions { controller_manager: true, ..ClusterOptions::default() });
        let controller = start_controller(cluster, &["--namespace", KEYS])?;
        eventually(PATIENCE, "the Service", || cluster.expose(KEYS, "waxwing", controller.port()))?;
        let scene = Scene::on(cluster, "proxied", &controller.get("/v1/cert.pem")?.1);
        account(&scene, "reader", &["get"], &[]);
        let sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]).to_string();
        let token = own_token(&scene, "reader");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ask = |path: &str, token: &str| {
            let proxy = format!("/api/v1/namespaces/{KEYS}/services/http:waxwing:http/proxy{path}");
            let request = http::Request::post(proxy).header("X-Waxwing-Token", token);
            let request = request.body(Body::from(sealed.clone().into_bytes())).unwrap();
            runtime.block_on(async { cluster.client().unwrap().send(request).await.unwrap().status().as_u16() })
        };
        let reached = || if ask(VERIFY, &token) == 200 { Ok(()) } else { Err("it is not reached yet") };
        eventually(PATIENCE, "an answer through the proxy", reached)?;
        assert_eq!([ask(ROTATE, &token), ask(VERIFY, "a.b.c"), ask("/v1/verify", &token)], [403, 401, 404]);
        Ok(())
    })
}

#[test]
fn while_the_api_server_cannot_be_asked_nobody_is_answered() {
    let alone = Alone::new();
    let cluster = alone.cluster();
    let controller = start_controller(cluster, &["--namespace", KEYS]).unwrap();
    let scene = Scene::on(cluster, "unasked", &controller.get("/v1/cert.pem").unwrap().1);
    account(&scene, "reader", &["get"], &[]);
    let headers = with(&own_token(&scene, "reader"));
    let sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]).to_string();
    cluster.stop_api_server();
    let (code, told) = ask(&controller, VERIFY, &headers, &sealed);
    cluster.start_api_server().unwrap();
    assert_eq!((code, &told["reason"]), (503, &json!("Unavailable")));
    let answered = || match ask(&controller, VERIFY, &headers, &sealed) {
        (200, told) => Ok(told),
        other => Err(format!("{other:?}")),
    };
    let told = eventually(PATIENCE, "an answer", answered).unwrap();
    assert_eq!(told["items"][0]["item"], "a");
    drop(controller);
    cluster.kubectl(&["delete", "namespace", "--wait=false", &scene.namespace]).unwrap();
}
