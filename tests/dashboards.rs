//! Holds the dashboard and the alert rules of the chart to the metrics of docs/metrics.md, which `tests/e2e/metrics.rs` holds
//! to what a running controller serves: every metric that they name is there, and has every label that they name.
//!
//! This reads as much of PromQL as that takes: names, `{...}` behind them, and the labels of `by`, `on` and the like. It is no
//! check of the expressions themselves.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops where it stands")]

#[path = "e2e/metrics/page.rs"]
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use page::{Metrics, documented};
use serde_json::Value;

/// Labels that Prometheus adds to what it scrapes.
const ADDED: [&str; 3] = ["instance", "job", "pod"];
/// What histograms are made of.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("charts/waxwing/alerts/waxwing.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("charts/waxwing/dashboards/waxwing.json")).unwrap()
}

/// Returns the texts of all fields of these names, at any depth.
fn texts<'a>(value: &'a Value, names: &[&str]) -> Vec<&'a str> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(text) if names.contains(&name.as_str()) => vec![text],
                _ => texts(value, names),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| texts(item, names)).collect(),
        _ => Vec::new(),
    }
}

/// An expression without what stands in quotes.
fn unquoted(expression: &str) -> String {
    expression.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics that an expression names, each with the labels in the braces behind it.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let text = unquoted(expression);
    let mut found = Vec::new();
    for (start, _) in text.match_indices("waxwing_").chain(text.match_indices("process_")) {
        let rest = &text[start..];
        let name: String = rest.chars().take_while(|c| is_of_a_name(*c)).collect();
        let braces = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let matchers = braces.map(|(inside, _)| inside.split(',').map(label_of).collect());
        found.push((name, matchers.unwrap_or_default()));
    }
    found
}

fn label_of(matcher: &str) -> String {
    matcher.trim().chars().take_while(|c| is_of_a_name(*c)).collect()
}

/// The labels that an expression groups or matches by.
fn grouped(expression: &str) -> Vec<String> {
    let words = ["by (", "on (", "without (", "ignoring (", "group_left (", "group_right ("];
    let lists = words.iter().flat_map(|word| expression.split(word).skip(1));
    let labels = lists.flat_map(|rest| rest.split(')').next().unwrap().split(','));
    labels.map(|label| label.trim().to_owned()).filter(|label| label != "le").collect()
}

/// The labels that a text for people takes from its series: `{{ $labels.name }}` in alerts, `{{name}}` in legends.
fn told(text: &str) -> Vec<String> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let names = inside.map(|inside| inside.trim().trim_start_matches("$labels.").to_owned());
    names.filter(|name| !name.starts_with("$value")).collect()
}

/// What is wrong with an expression and the texts about it.
fn faults(metrics: &Metrics, expression: &str, texts: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<String> = ADDED.map(str::to_owned).into();
    for (name, labels) in named(expression) {
        let base = PARTS.iter().find_map(|part| name.strip_suffix(part));
        let base = base.filter(|base| metrics.get(*base).is_some_and(|(kind, _)| kind == "histogram"));
        let Some((kind, has)) = metrics.get(base.unwrap_or(&name)) else {
            faults.push(format!("{expression}: there is no {name}"));
            continue;
        };
        if kind == "histogram" && base.is_none() {
            faults.push(format!("{expression}: {name} is a histogram"));
        }
        let missing = labels.iter().filter(|label| !has.contains(*label) && !ADDED.contains(&label.as_str()));
        faults.extend(missing.map(|label| format!("{expression}: {name} has no label {label}")));
        known.extend(has.iter().cloned());
    }
    let used = grouped(expression).into_iter().chain(texts.iter().flat_map(|text| told(text)));
    faults.extend(used.filter(|label| !known.contains(label)).map(|label| format!("{expression}: no label {label}")));
    if named(expression).is_empty() {
        faults.push(format!("{expression}: names no metric"));
    }
    faults
}

#[test]
fn alerts_name_only_metrics_and_labels_that_there_are() {
    let metrics = documented();
    for alert in alerts() {
        let texts = texts(&alert["annotations"], &["summary", "description"]);
        assert_eq!(faults(&metrics, alert["expr"].as_str().unwrap(), &texts), [""; 0], "{}", alert["alert"]);
    }
}

#[test]
fn every_alert_says_how_bad_it_is_what_is_the_matter_and_where_to_read_on() {
    let (alerts, operating) = (alerts(), read("docs/operating.md"));
    assert!(alerts.len() >= 10);
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(name.starts_with("Waxwing"), "{name}");
        assert!(["critical", "warning", "info"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
        let text = |field: &str| alert["annotations"][field].as_str().unwrap().to_owned();
        assert!(!text("summary").ends_with('.') && text("description").ends_with(['.', '}']), "{name}");
        assert_eq!(text("runbook"), format!("docs/operating.md#alert-{name}"));
        assert!(
            operating.contains(&format!("<a id=\"alert-{name}\"></a>")),
            "docs/operating.md has nothing about {name}"
        );
    }
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    assert_eq!(names.len(), alerts.len(), "each name stands once");
}

#[test]
fn the_dashboard_names_only_metrics_and_labels_that_there_are() {
    let (metrics, dashboard) = (documented(), dashboard());
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let texts = texts(target, &["legendFormat"]);
            let found = faults(&metrics, target["expr"].as_str().unwrap(), &texts);
            assert_eq!(found, [""; 0], "{}", panel["title"]);
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    for query in variables.filter_map(|variable| variable["query"]["query"].as_str()) {
        let (metric, label) = query.strip_prefix("label_values(").unwrap().split_once(',').unwrap();
        let metric = metric.split('{').next().unwrap();
        assert!(metrics[metric].1.contains(label.trim_end_matches(')').trim()), "{query}");
    }
}

#[test]
fn every_metric_of_our_own_is_on_the_dashboard() {
    let dashboard = dashboard();
    let shown = texts(&dashboard, &["expr"]).join("\n");
    let missing: Vec<String> = documented().into_keys().filter(|name| !shown.contains(name.as_str())).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn no_two_panels_overlap_and_each_says_what_it_shows() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let place = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)) && x < 24, "{} at {x}, {y}", panel["title"]);
            }
        }
        let described = panel["type"] == "row" || panel["description"].as_str().is_some_and(|text| text.ends_with('.'));
        assert!(described, "{}", panel["title"]);
    }
}
