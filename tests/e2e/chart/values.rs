//! Values that can't work are refused before anything is installed. That each value is documented and used is held by
//! `tests/generated/chart.rs`.

use waxwing_harness::Upstream;

use super::folder;

/// Arguments of `helm template`, and the value that its refusal names.
const REFUSED: [(&[&str], &str); 28] = [
    (&["--set", "replicas=two"], "/replicas"),
    (&["--set", "replicas=-1"], "/replicas"),
    (&["--set", "replicas=2,state.persistence.enabled=true"], "replicas has to be 1 with state.persistence.enabled"),
    (&["--set", "leaderElection.leaseName=Waxwing"], "/leaderElection/leaseName"),
    (&["--set", "leaderElection.leaseDuration=15000ms"], "/leaderElection/leaseDuration"),
    (&["--set", "replicaCount=2"], "replicaCount"),
    (&["--set", "image.name=waxwing"], "name"),
    (&["--set", "image.repository=Not An Image"], "/image/repository"),
    (&["--set", "image.digest=sha256:1"], "/image/digest"),
    (&["--set", "image.pullPolicy=Sometimes"], "/image/pullPolicy"),
    (&["--set-string", "crds.install=no"], "/crds/install"),
    (&["--set", "controller.watchNamespaces=shop"], "/controller/watchNamespaces"),
    (&["--set", "controller.watchNamespaces={Shop}"], "/controller/watchNamespaces/0"),
    (&["--set", "controller.watchNamespaces={shop,shop}"], "/controller/watchNamespaces"),
    (&["--set", "controller.concurrency=0"], "/controller/concurrency"),
    (&["--set", "controller.logFormat=xml"], "/controller/logFormat"),
    (&["--set", "controller.otlpEndpoint=collector"], "/controller/otlpEndpoint"),
    (&["--set", "controller.extraArgs={allow-file-sources}"], "/controller/extraArgs/0"),
    (&["--set", "state.sizeLimit=much"], "/state/sizeLimit"),
    (&["--set", "state.persistence.accessModes={ReadOnlyMany}"], "/state/persistence/accessModes/0"),
    (&["--set", "rbac.follow[0].verbs={delete}"], "/rbac/follow/0"),
    (&["--set", "rbac.extraFollow[0].resources={pods/exec}"], "/rbac/extraFollow/0"),
    (&["--set", "metrics.serviceMonitor.interval=often"], "/metrics/serviceMonitor/interval"),
    (&["--set", "service.port=0"], "/service/port"),
    (&["--set", "controller.keyRenewPeriod=30d"], "/controller/keyRenewPeriod"),
    (&["--set", "sealedSecrets.rateLimit=0"], "/sealedSecrets/rateLimit"),
    (&["--set", "sealedSecrets.service.name=Sealed"], "/sealedSecrets/service/name"),
    (&["--set", "serviceAccount.create=false"], "serviceAccount.name"),
];

#[test]
fn values_that_cannot_work_are_refused_by_name() {
    let upstream = Upstream::new().unwrap();
    for (arguments, named) in REFUSED {
        let helm = upstream.helm(&["template", "waxwing"]).unwrap().args(arguments);
        let finished = helm.arg(folder()).run().unwrap();
        let refused = !finished.status.success() && finished.stderr.contains(named);
        assert!(refused, "{arguments:?}: {}", finished.stderr);
    }
}
