//! The chart: what it renders is what an API server takes, bad values are refused, and the controller works with exactly
//! the rights that it gives.

mod rendered;
mod rights;
mod values;

use std::path::PathBuf;

use waxwing_harness::{Failure, Upstream};

use crate::stage::workspace;

fn folder() -> PathBuf {
    workspace().join("charts/waxwing")
}

/// Renders the chart as a release `waxwing` in `namespace`.
fn render(namespace: &str, values: &[&str]) -> Result<String, Failure> {
    let upstream = Upstream::new()?;
    let helm = upstream.helm(&["template", "waxwing", "--namespace", namespace])?;
    helm.args(values).arg(folder()).text()
}
