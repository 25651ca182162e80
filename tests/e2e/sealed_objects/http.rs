//! What the real kubeseal asks the controller, through the API server's service proxy: the certificate, whether a SealedSecret opens, and
//! the same sealed with the newest key. And what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use waxwing_harness::{ClusterOptions, Controller, Failure, eventually, in_own_network};

use super::authenticated::wide;
use super::scene::{KEYS, Scene, base64, shared, start};
use crate::stage::{PATIENCE, further_cluster, workspace};

const SERVICE: &str = "sealed-secrets-controller";
const SECRET: &str = r#"{"metadata": {"labels": {"app": "shop"}, "annotations": {"note": "x"}}, "type": "example.com/login",
    "stringData": {"a": "1", "b": "2"}}"#;

#[test]
fn kubeseal_fetches_validates_and_re_encrypts_through_the_api_server() -> Result<(), Failure> {
    let test = "sealed_objects::http::kubeseal_fetches_validates_and_re_encrypts_through_the_api_server";
    in_own_network(test, || {
        let cluster = further_cluster(ClusterOptions { controller_manager: true, ..ClusterOptions::default() });
        let controller = start(cluster, &["--rate-limit=1000"]);
        eventually(PATIENCE, "the Service", || cluster.expose(KEYS, SERVICE, controller.port()))?;
        let scene = Scene::on(cluster, "asked", &controller.get("/v1/cert.pem")?.1);
        let kubeseal = |arguments: &[&str], input: &str| {
            let call = scene.upstream.kubeseal(arguments)?.arg("--kubeconfig").arg(cluster.kubeconfig());
            call.stdin(input).run()
        };
        let fetched = eventually(PATIENCE, "the certificate", || kubeseal(&["--fetch-cert"], "")?.text())?;
        assert_eq!(fetched, controller.get("/v1/cert.pem")?.1);

        let mut sealed = scene.sealed("login", &serde_json::from_str(SECRET).unwrap(), &[]);
        sealed["metadata"]["labels"] = json!({"own": "y"});
        sealed["spec"]["template"]["data"] = json!({"rendered": "{{ .a }}"});
        assert!(kubeseal(&["--validate"], &sealed.to_string())?.status.success());
        let mut renamed = sealed.clone();
        renamed["metadata"]["name"] = "other".into();
        let refused = kubeseal(&["--validate"], &renamed.to_string())?;
        assert!(
            !refused.status.success() && refused.stderr.contains("unable to decrypt sealed secret"),
            "{}",
            refused.stderr
        );

        drop(controller);
        let controller = start(cluster, &["--rate-limit=1000", "--key-cutoff-time=Fri, 01 Jan 2100 00:00:00 +0000"]);
        cluster.expose(KEYS, SERVICE, controller.port())?;
        let again =
            eventually(PATIENCE, "it sealed again", || kubeseal(&["--re-encrypt"], &sealed.to_string())?.text())?;
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["spec"]["template"]["metadata"]["labels"], json!({"app": "shop"}));
        assert_eq!(again["spec"]["template"]["type"], "example.com/login");
        assert_eq!(again["metadata"]["labels"], json!({"own": "y"}));
        let items = |of: &Value| of["spec"]["encryptedData"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(items(&again), items(&sealed), "a template is not rendered");
        assert_eq!(again["spec"]["template"]["data"], sealed["spec"]["template"]["data"]);
        only_the_newest_key(&scene, &controller, &again);
        Ok(())
    })
}

/// Takes all but the newest key away, and applies what was sealed again.
fn only_the_newest_key(scene: &Scene, controller: &Controller, sealed: &Value) {
    let newest = controller.get("/v1/cert.pem").unwrap().1;
    let path = format!("/api/v1/namespaces/{KEYS}/secrets");
    for key in scene.cluster.get(&path).unwrap()["items"].as_array().unwrap() {
        let name = key["metadata"]["name"].as_str().unwrap();
        if name.starts_with("sealed-secrets-key") && key["data"]["tls.crt"] != base64(&newest) {
            scene.cluster.delete(&format!("{path}/{name}")).unwrap();
        }
    }
    let mut bare = sealed.clone();
    bare["spec"]["template"].as_object_mut().unwrap().remove("data");
    bare["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    bare["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    scene.apply(&bare);
    scene.values("login", &[("a", "1"), ("b", "2")]);
}

#[test]
fn the_scope_of_what_is_sealed_again_is_the_one_under_which_it_opened() {
    let scene = Scene::new("rescope");
    let controller = &shared().1;
    let mut sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]);
    let wide = json!({"sealedsecrets.bitnami.com/cluster-wide": "true"});
    sealed["spec"]["template"]["metadata"]["annotations"] = wide.clone();
    let again =
        eventually(PATIENCE, "a turn", || match controller.post("/v1/rotate", "", &sealed.to_string()).unwrap() {
            (200, text) => Ok(serde_json::from_str::<Value>(&text).unwrap()),
            (code, _) => Err(code.to_string()),
        });
    let mut again = again.unwrap();
    // As if it were cluster-wide, in another place, it opens no more than it did before.
    again["metadata"]["annotations"] = wide;
    again["metadata"]["name"] = "stolen".into();
    scene.apply(&again);
    assert!(scene.refusal("stolen").starts_with("no key could decrypt secret (a)"));
    assert!(scene.secret("stolen").is_none());
}

#[test]
fn who_asks_too_much_too_often_or_for_what_is_none_is_told_a_code_and_nothing_else() {
    let controller = &shared().1;
    let scene = Scene::new("limits");
    let sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]);
    let mut elsewhere = sealed.clone();
    elsewhere["metadata"]["name"] = "other".into();
    let two = format!("{sealed}\n---\n{sealed}");
    let ask = |path: &str, body: &str| {
        let attempt = || match controller.post(path, "", body).unwrap() {
            (429, _) => Err("it is not its turn"),
            answer => Ok(answer),
        };
        eventually(PATIENCE, "a turn", attempt).unwrap()
    };
    let none = String::new();
    for (path, body, code) in [
        ("/v1/verify", sealed.to_string(), 200),
        ("/v1/verify", elsewhere.to_string(), 409),
        ("/v1/rotate", elsewhere.to_string(), 500),
        ("/v1/verify", two, 500),
        ("/v1/verify", "{".to_owned(), 500),
        ("/v1/verify", r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}"#.to_owned(), 500),
        ("/v1/rotate", none.clone(), 500),
        ("/v1/verify", "x".repeat(5 << 20), 413),
        ("/v1/verify", wide(&sealed), 500),
        ("/v1/rotate", wide(&sealed), 500),
        ("/v1/verify", format!("# YAML\n{}", wide(&sealed)), 500),
        ("/v1/verify", format!("# YAML\n{sealed}"), 200),
    ] {
        assert_eq!(ask(path, &body), (code, none.clone()), "{path} {}", &body[..body.len().min(200)]);
    }
    // Who sends slowly is in nobody's way.
    let slow: Vec<_> = (0..6).map(|_| begun(controller, "Content-Length: 100", "{")).collect();
    assert_eq!(ask("/v1/verify", &sealed.to_string()), (200, none.clone()));
    drop(slow);
    let broken = begun(controller, "Transfer-Encoding: chunked", "no length\r\n{");
    assert!(answer(broken).starts_with("HTTP/1.1 400 "));
    // Whatever the headers say about who asks.
    let codes: Vec<u16> = (0..12)
        .map(|from| controller.post("/v1/verify", &format!("X-Forwarded-For: 10.0.0.{from}\r\n"), "{").unwrap().0)
        .collect();
    assert!(codes.iter().filter(|code| **code == 429).count() >= 6, "{codes:?}");
    assert_eq!(controller.get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    let counted = "sealed_secrets_controller_http_requests_total{path=\"/v1/verify\",code=\"409\",method=\"post\"} 1";
    assert!(controller.get("/metrics").unwrap().1.contains(counted));
}

/// Begins a request whose body doesn't end.
fn begun(controller: &Controller, header: &str, body: &str) -> TcpStream {
    begun_at(controller, "/v1/verify", header, body)
}

pub(super) fn begun_at(controller: &Controller, path: &str, header: &str, body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(("127.0.0.1", controller.port())).unwrap();
    write!(connection, "POST {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n{body}").unwrap();
    connection
}

pub(super) fn answer(mut connection: TcpStream) -> String {
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = [0; 64];
    let len = connection.read(&mut head).unwrap();
    String::from_utf8_lossy(&head[..len]).into_owned()
}

#[test]
fn whoever_opens_connections_and_neither_sends_nor_reads_takes_little_memory_and_no_probe_s_place() {
    let scene = Scene::new("crowded");
    let mut controller = start(scene.cluster, &["--rate-limit=1000"]);
    let probes = |controller: &Controller| ["/healthz", "/readyz"].map(|path| controller.get(path).unwrap().0);
    let mut long = TcpStream::connect(("127.0.0.1", controller.port())).unwrap();
    let _ = write!(long, "GET /v1/cert.pem HTTP/1.1\r\nX: {}", "x".repeat(1 << 20));
    assert!(answer(long).starts_with("HTTP/1.1 431 "));

    // Headers that don't end: the first make room for the others.
    let headless: Vec<_> = (0..300)
        .map(|_| {
            let mut connection = TcpStream::connect(("127.0.0.1", controller.port())).unwrap();
            let _ = write!(connection, "GET /v1/cert.pem HTTP/1.1\r\nX: {}", "x".repeat(32 << 10));
            connection
        })
        .collect();
    assert_eq!(probes(&controller), [200, 200]);
    for mut closed in headless.iter().take(300 - 256) {
        closed.set_read_timeout(Some(PATIENCE)).unwrap();
        let ended = closed.read(&mut [0; 64]);
        let is_over = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(ended.as_ref().is_ok_and(|len| *len == 0) || ended.as_ref().is_err_and(is_over), "{ended:?}");
    }

    // Bodies that don't end: who asks for something is told so, and a probe is answered.
    let all_places = || {
        let slow: Vec<_> = (0..200).map(|_| begun(&controller, "Content-Length: 100", "{")).collect();
        let told = (controller.get("/v1/cert.pem").unwrap().0, probes(&controller));
        if told == (503, [200, 200]) { Ok(slow) } else { Err(format!("{told:?}")) }
    };
    drop((headless, eventually(PATIENCE, "all places taken", all_places).unwrap()));

    // Answers that nobody reads hold so much and no more.
    let mut sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]);
    sealed["spec"]["template"]["x"] = "x".repeat(3 << 20).into();
    let sealed = sealed.to_string();
    let asked = || {
        let mut connection = begun_at(&controller, "/v1/rotate", &format!("Content-Length: {}", sealed.len()), "");
        let _ = connection.write_all(sealed.as_bytes()); // Who is refused may not have read all of it.
        connection
    };
    let answered = || eventually(PATIENCE, "a place", || is_answered(&asked()).then_some(()).ok_or("not yet"));
    answered().unwrap();
    let unread: Vec<_> = (0..40).map(|_| asked()).collect();
    let held = unread.iter().filter(|connection| is_answered(connection)).count();
    assert!((5..22).contains(&held), "{held}");
    let resident = resident(&controller);
    assert!(resident < 400 << 20, "{resident}");
    assert_eq!(probes(&controller), [200, 200]);
    drop(unread);
    answered().unwrap();

    let open = begun(&controller, "Content-Length: 100", "{");
    let headless = TcpStream::connect(("127.0.0.1", controller.port())).unwrap();
    assert!(controller.terminate(PATIENCE).unwrap().success());
    drop((open, headless));
}

/// Tells whether an answer begins with success, of which the rest isn't read.
fn is_answered(mut connection: &TcpStream) -> bool {
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = [0; 12];
    connection.read_exact(&mut head).is_ok() && head.ends_with(b"200")
}

/// Returns how much memory a controller has in use, in bytes.
fn resident(controller: &Controller) -> u64 {
    let metrics = controller.get("/metrics").unwrap().1;
    let value = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    value.unwrap().parse().unwrap()
}

#[test]
fn the_metrics_of_the_sealed_secrets_controller_are_served_as_the_page_says() {
    let scene = Scene::new("counted");
    let mut sealed = scene.sealed("login", &json!({"stringData": {"a": "1"}}), &[]);
    sealed["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "shop"});
    sealed["metadata"]["name"] = "renamed".into();
    scene.apply(&sealed);
    scene.refusal("renamed");
    let page = std::fs::read_to_string(workspace().join("docs/from-sealed-secrets.md")).unwrap();
    let (_, section) = page.split_once("\n## Metrics\n").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `sealed_secrets_controller_"));
    let names: Vec<&str> = rows.map(|line| line.split('`').nth(1).unwrap()).collect();
    assert_eq!(names.len(), 6);
    let text = || shared().1.get("/metrics").unwrap().1;
    let of_it = format!(
        "sealed_secrets_controller_condition_info{{namespace=\"{}\",name=\"renamed\",condition=\"Synced\",ss_app_kubernetes_io_instance=\"shop\"}} -1\n",
        scene.namespace
    );
    let failed = format!(
        "sealed_secrets_controller_unseal_errors_total{{reason=\"unseal\",namespace=\"{}\"}} ",
        scene.namespace
    );
    let served = || {
        let text = text();
        let is_missing = |name: &&&str| !text.lines().any(|line| line.starts_with(**name));
        let missing: Vec<_> = names.iter().filter(is_missing).collect();
        if missing.is_empty() && text.contains(&of_it) && text.contains(&failed) {
            Ok(())
        } else {
            Err(format!("{missing:?} in {text}"))
        }
    };
    eventually(PATIENCE, "the metrics", served).unwrap();
    scene.cluster.delete(&scene.sealed_path("renamed")).unwrap();
    let forgotten = || if text().contains(&of_it) { Err("it is still there") } else { Ok(()) };
    eventually(PATIENCE, "what is gone forgotten", forgotten).unwrap();
}
