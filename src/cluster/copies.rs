//! Annotations in which tools keep a copy of the whole object that they applied, values and all.
//!
//! Metadata of objects is read and kept here, and is public but for these. So they are taken out where metadata comes in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What the names of these annotations end with: `kubectl.kubernetes.io/last-applied-configuration` and that of kubecfg.
const COPY: &str = "/last-applied-configuration";

/// Takes the copies out.
pub fn drop_copies(metadata: &mut ObjectMeta) {
    let Some(annotations) = &mut metadata.annotations else { return };
    annotations.retain(|name, _| !name.ends_with(COPY));
}
