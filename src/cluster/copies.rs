//! Takes the annotations out in which tools keep a copy of the whole object that they applied, values and all.
//!
//! Metadata of objects is read and kept here, and is public but for these. So they are taken out where metadata comes in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use waxwing_formats::is_copy_of_the_object;

/// Takes the copies out.
pub fn drop_copies(metadata: &mut ObjectMeta) {
    let Some(annotations) = &mut metadata.annotations else { return };
    annotations.retain(|name, _| !is_copy_of_the_object(name));
}
