//! Puts a server that runs beside the cluster behind a Service, so that the API server's proxy reaches it.
//!
//! The proxy goes only to an endpoint that belongs to a Pod which has this very address in its status. So there is
//! such a Pod; nothing runs in it.

use serde_json::json;

use crate::failure::Failure;
use crate::own_network::OWN_ADDRESS;

use super::Cluster;

impl Cluster {
    /// Makes the Service `name`, whose one port leads to `port` at [`OWN_ADDRESS`]. Works in a network of the test's
    /// own ([`crate::in_own_network`]).
    ///
    /// # Errors
    /// [`Failure::Run`] when the API server refuses.
    pub fn expose(&self, namespace: &str, name: &str, port: u16) -> Result<(), Failure> {
        let metadata = json!({ "name": name, "namespace": namespace });
        let ports = json!([{ "name": "http", "port": port }]);
        let target = json!({ "kind": "Pod", "name": name, "namespace": namespace });
        let addresses = json!([{ "ip": OWN_ADDRESS, "targetRef": target }]);
        let pod = json!({ "automountServiceAccountToken": false, "containers": [{ "name": name, "image": name }] });
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": { "ports": ports } },
            { "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata,
              "subsets": [{ "addresses": addresses, "ports": ports }] },
            { "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod },
        ]});
        self.apply_yaml(&list.to_string())?;
        let status = json!({ "status": { "podIP": OWN_ADDRESS, "podIPs": [{ "ip": OWN_ADDRESS }] } }).to_string();
        let patch = ["patch", "pod", "--namespace", namespace, name, "--subresource=status", "--type=merge", "--patch"];
        self.kubectl_call(&patch).arg(status).text().map(drop)
    }
}
