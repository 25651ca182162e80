//! The files that are generated from the API types: `crds/` and `docs/crd-reference.md`; and what the chart has of them.
//!
//! `make generate` runs these tests with `WAXWING_GENERATE` set, and then they write the files. Without it they compare,
//! and fail where a file is stale.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may stop where it stands"
)]

mod chart;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

#[test]
fn crds_are_those_of_the_types() {
    let crds = waxwing::api::crds();
    let expected: Vec<PathBuf> = crds.iter().map(file_of).collect();
    for (crd, file) in crds.iter().zip(&expected) {
        write_or_compare(file, &yaml_of(crd));
    }
    for entry in fs::read_dir(root().join("crds")).expect("crds/ can be listed") {
        let found = entry.expect("crds/ can be read").path();
        assert!(expected.contains(&found), "{} is no longer generated: delete it", found.display());
    }
}

#[test]
fn the_crd_reference_is_that_of_the_types() {
    write_or_compare(&root().join("docs/crd-reference.md"), &reference::markdown(&waxwing::api::crds()));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file_of(crd: &CustomResourceDefinition) -> PathBuf {
    root().join(format!("crds/{}_{}.yaml", crd.spec.group, crd.spec.names.plural))
}

fn yaml_of(crd: &CustomResourceDefinition) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let body = serde_saphyr::to_string_with_options(crd, options).expect("a definition is plain data");
    format!("# Generated from src/api by `make generate`. Do not edit.\n{body}")
}

fn write_or_compare(path: &Path, expected: &str) {
    if std::env::var_os("WAXWING_GENERATE").is_some() {
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        fs::write(path, expected).expect("the file can be written");
    }
    let actual = fs::read_to_string(path).unwrap_or_default();
    assert!(actual == expected, "{} is stale: run `make generate`", path.display());
}
