//! What the chart renders, held against an API server: every object is taken, nothing is warned of.

use waxwing_harness::Upstream;

use super::{folder, render};
use crate::stage::{cluster, workspace};

/// Lets the API server judge what was rendered, without storing it, and returns what it and kubectl say.
fn try_on(documents: String) -> Result<String, String> {
    let apply =
        ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename=-"];
    let finished = cluster().kubectl_call(&apply).stdin(documents).run().unwrap();
    match finished.status.success() && !finished.stderr.contains("Warning") {
        true => Ok(finished.text().unwrap()),
        false => Err(finished.stderr),
    }
}

/// Makes a namespace that warns of every pod that is not restricted.
fn restricted(name: &str) -> &str {
    let restrict =
        "labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}";
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, {restrict}}}\n");
    cluster().apply_yaml(&namespace).unwrap();
    name
}

#[test]
fn the_chart_has_nothing_that_helm_complains_about() {
    let upstream = Upstream::new().unwrap();
    upstream.helm(&["lint", "--strict", "--quiet"]).unwrap().arg(folder()).text().unwrap();
}

#[test]
fn the_api_server_takes_the_chart_with_default_values_and_finds_the_pod_restricted() {
    let taken = try_on(render(restricted("chart-default"), &[]).unwrap()).unwrap();
    let kinds = ["customresourcedefinition", "deployment", "service/", "serviceaccount", "clusterrole.", "role."];
    for kind in kinds {
        assert!(taken.contains(kind), "{kind} in {taken}");
    }
    assert_eq!(taken.lines().count(), 18, "{taken}");
}

#[test]
fn several_controllers_are_spread_and_not_all_of_them_are_evicted_at_once() {
    let rendered = render(restricted("chart-several"), &["--set", "replicas=2"]).unwrap();
    assert!(rendered.contains("topologyKey: kubernetes.io/hostname") && rendered.contains("maxUnavailable: 0"));
    let taken = try_on(rendered).unwrap();
    assert!(taken.contains("poddisruptionbudget.policy/waxwing"), "{taken}");
    assert_eq!(taken.lines().count(), 19, "{taken}");
}

#[test]
fn the_api_server_takes_the_chart_with_every_value_set() {
    let definitions = workspace().join("tests/e2e/chart/monitoring.yaml");
    cluster().apply_yaml(&std::fs::read_to_string(definitions).unwrap()).unwrap();
    let crds = ["crd/servicemonitors.monitoring.coreos.com", "crd/prometheusrules.monitoring.coreos.com"];
    cluster().kubectl(&["wait", "--for=condition=Established", "--timeout=60s", crds[0], crds[1]]).unwrap();
    let values = workspace().join("tests/e2e/chart/values.yaml");
    let rendered = render(restricted("chart-full"), &["--values", values.to_str().unwrap()]).unwrap();
    assert!(rendered.contains("honorLabels: true"), "else the labels of a Sync get other names than the alerts have");
    let taken = try_on(rendered).unwrap();
    let kinds = ["servicemonitor.", "prometheusrule.", "configmap/", "networkpolicy.", "persistentvolumeclaim/"];
    for kind in kinds {
        assert!(taken.contains(kind), "{kind} in {taken}");
    }
    assert_eq!(taken.matches("customresourcedefinition").count(), 1, "of SealedSecret alone: {taken}");
}
