//! A controller at the most talkative log level of which all is kept that it wrote anywhere, and the search for secrets
//! in that: in its output and files, in the traces that it sent, in what it gave to its children, in its requests, and in the
//! objects of its cluster.
//!
//! The leak canary and the table of bad input share it, so that each failure is made once and read by both. Not here:
//! memory, which no test from outside can read.

mod collector;
mod needles;
mod spy;
mod traces;

use std::sync::{Mutex, MutexGuard, OnceLock};

use waxwing_harness::{Cluster, ClusterOptions, Controller, ControllerOptions, OpenBao};

use crate::stage::{PATIENCE, further_cluster};
use collector::{Collector, Spans};
use spy::{Spy, working_folder};
use traces::Trace;

pub(crate) use needles::Needles;
pub(crate) use traces::{Target, is_apply};

/// A cluster that writes down every request, and a controller that says all it can and whose child is a spy.
pub(crate) struct Watched {
    pub(crate) cluster: &'static Cluster,
    /// The one server that its backends may lead to.
    pub(crate) bao: OpenBao,
    controller: Mutex<Controller>,
    spy: Spy,
    collector: Collector,
}

/// Returns the one such controller of this test binary.
pub(crate) fn watched() -> &'static Watched {
    static WATCHED: OnceLock<Watched> = OnceLock::new();
    WATCHED.get_or_init(Watched::start)
}

impl Watched {
    fn start() -> Self {
        let cluster = further_cluster(ClusterOptions { audit: true, ..ClusterOptions::default() });
        let spy = Spy::new();
        let collector = Collector::start();
        let bao = OpenBao::start().unwrap();
        let arguments = [
            "--allow-file-sources",
            "--log-level=trace",
            &format!("--otlp-endpoint={}", collector.address()),
            &format!("--backend-origin={}", bao.address()),
        ];
        let mut options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &arguments);
        options.kustomize = Some(spy.program());
        let controller = Mutex::new(Controller::start(cluster, options).unwrap());
        Self { cluster, bao, controller, spy, collector }
    }

    /// Returns the spans that the controller has sent; all of them once it has ended.
    pub(crate) fn spans(&self) -> Spans {
        self.collector.spans()
    }

    /// Returns the controller.
    pub(crate) fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller.lock().unwrap()
    }

    /// Ends the controller, reads all that it left except what may hold secrets, and returns where one of the secrets
    /// was found.
    pub(crate) fn leaks(&self, needles: &Needles, targets: &[Target], marks: &[(&str, &str)]) -> Vec<String> {
        let traces = self.end(targets);
        assert_whole(&traces, marks);
        let leaks = traces.iter().flat_map(|Trace { place, bytes }| {
            needles.find(bytes).into_iter().map(move |found| format!("{place} has {found}"))
        });
        leaks.collect()
    }

    fn end(&self, targets: &[Target]) -> Vec<Trace> {
        let mut controller = self.controller();
        let mut traces = traces::answers(&controller);
        controller.terminate(PATIENCE).unwrap();
        traces.extend(traces::files(controller.dir()));
        traces.extend(traces::spans(self.collector.bodies()));
        traces.extend(traces::objects(self.cluster, targets));
        traces.extend(traces::requests(self.cluster, targets));
        for call in self.spy.calls() {
            assert!(!working_folder(&call).exists(), "the folder of a render is gone after it");
            traces.extend(traces::files(&call));
        }
        traces
    }
}

/// Checks that what was read is what was meant to be read: in each kind of place stands something that has to be there.
fn assert_whole(traces: &[Trace], marks: &[(&str, &str)]) {
    for (place, mark) in marks {
        let mut there = traces.iter().filter(|trace| trace.place.contains(place));
        let marked = there.any(|trace| String::from_utf8_lossy(&trace.bytes).contains(mark));
        assert!(marked, "{mark} stands nowhere in what was read of {place}");
    }
}
