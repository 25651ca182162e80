//! The steps from files to requests, in this process: what the controller does between reading and applying.

use std::path::Path;
use std::time::{Duration, Instant};

use waxwing::render::{self, RenderOptions, Rendered, Scope};
use waxwing::source::WorkingFolder;
use waxwing::unsealing::{self, SyncKeys};
use waxwing_formats::Salt;
use waxwing_formats::reference::ForeignStores;
use waxwing_plan::Manifest;

use crate::error::{Error, other};
use crate::stage::NAMESPACES;

/// Reads and renders a folder, and returns how long that took.
pub(crate) fn rendered(folder: &Path) -> Result<(Rendered, Duration), Error> {
    let start = Instant::now();
    let (files, path) = WorkingFolder::around(folder).map_err(other)?;
    let salt = Salt::new([7; 32]);
    let options = RenderOptions {
        default_namespace: NAMESPACES[0].to_owned(),
        kustomize: "kustomize".into(),
        timeout: Duration::from_secs(60),
    };
    let sources = render::read(&files, &path, &salt, &ForeignStores::default()).map_err(first)?;
    let rendered = render::render(sources, &options, &salt, &|_| Some(Scope::Namespaced)).map_err(first)?;
    Ok((rendered, start.elapsed()))
}

/// Opens all that a render needs, and returns how long that took, and how much of it the opening of what is sealed.
pub(crate) fn open(rendered: &Rendered, keys: &SyncKeys<'_>) -> Result<(Duration, Duration), Error> {
    let sent: Vec<&Manifest> = rendered.manifests().iter().collect();
    let start = Instant::now();
    let opened =
        unsealing::open(rendered, &sent, &[], keys, &Default::default(), &Default::default()).map_err(first)?;
    let time = start.elapsed();
    match opened.requests.len() == sent.len() {
        true => Ok((time, opened.effort.iter().map(|effort| effort.took).sum())),
        false => Err(Error::Setting("not everything was opened")),
    }
}

fn first<E: std::fmt::Display>(errors: Vec<E>) -> Error {
    errors.first().map_or(Error::Setting("refused without a reason"), other)
}

/// Does `work` with each item, on all cores, and returns how long that took.
pub(crate) fn on_all_cores<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for chunk in items.chunks(items.len().div_ceil(cores).max(1)) {
            scope.spawn(|| chunk.iter().for_each(&work));
        }
    });
    start.elapsed()
}
