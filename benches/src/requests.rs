//! How many requests of ours the API server has served, by its own count.
//!
//! Two FlowSchemas of API Priority and Fairness stand for the controller and for the tenants that it impersonates, and the
//! API server counts what it dispatches by FlowSchema. Watches count once each. They have the priority that the
//! requests of service accounts have anyway, so nothing is served faster for it.

use http::Request;
use kube::Client;

use crate::error::Error;
use crate::stage::{CONTROLLER, NAMESPACES};

const COUNTER: &str = "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"bench-";

/// Returns the FlowSchemas by which requests are counted.
pub(crate) fn flow_schemas() -> String {
    let tenants =
        NAMESPACES.map(|namespace| format!("{{kind: Group, group: {{name: 'system:serviceaccounts:{namespace}'}}}}"));
    let controller = format!("{{kind: User, user: {{name: {CONTROLLER}}}}}");
    flow_schema("bench-controller", &controller) + &flow_schema("bench-tenants", &tenants.join(", "))
}

fn flow_schema(name: &str, subjects: &str) -> String {
    format!(
        r#"---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {{name: {name}}}
spec:
  matchingPrecedence: 100
  distinguisherMethod: {{type: ByUser}}
  priorityLevelConfiguration: {{name: workload-low}}
  rules:
  - subjects: [{subjects}]
    resourceRules: [{{verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*']}}]
    nonResourceRules: [{{verbs: ['*'], nonResourceURLs: ['*']}}]
"#
    )
}

/// Returns how many requests of the controller and its tenants have been served since the API server was started.
pub(crate) async fn served(client: &Client) -> Result<u64, Error> {
    let request = Request::get("/metrics").body(Vec::new()).map_err(kube::Error::HttpError)?;
    let metrics = client.request_text(request).await?;
    let counts = metrics.lines().filter(|line| line.starts_with(COUNTER));
    let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(counts.sum::<f64>() as u64)
}
