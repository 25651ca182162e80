//! What docs/metrics.md says there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// For each metric: its type and its labels.
pub(crate) type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// Returns the page.
pub(crate) fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap()
}

/// Returns the metrics of the page.
pub(crate) fn documented() -> Metrics {
    let page = text();
    let (metrics, _) = page.split_once("\n## Traces").unwrap();
    let rows = metrics.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    };
    rows.map(row).collect()
}
