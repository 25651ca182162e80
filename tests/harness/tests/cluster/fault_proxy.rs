//! Proves that the proxy passes requests on with their credentials, writes them down, and breaks what it is told to.

use std::time::{Duration, Instant};

use http::StatusCode;
use waxwing_harness::{Call, Cluster, Failure, Fault, FaultProxy, Rule, Tools};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Asks for the ConfigMaps through the proxy, and returns how kubectl ended and what it complained about.
fn ask(cluster: &Cluster, proxy: &FaultProxy) -> Result<(bool, String), Failure> {
    let call =
        Call::new(&Tools::locate()?.path("kubectl")?, cluster.logs()).arg("--kubeconfig").arg(proxy.kubeconfig());
    let finished = call.args(["get", "--raw", MAPS]).run()?;
    Ok((finished.status.success(), finished.stderr))
}

#[test]
fn requests_are_passed_on_written_down_and_broken_by_rule() -> Result<(), Failure> {
    let cluster = Cluster::shared()?;
    let proxy = FaultProxy::start(cluster)?;
    assert_eq!(ask(cluster, &proxy)?, (true, String::new()));
    assert_eq!(proxy.requests().iter().map(|request| request.status).collect::<Vec<_>>(), [Some(StatusCode::OK)]);

    let table = [
        (Fault::Answer(StatusCode::GONE), "the proxy of this test says so"),
        (Fault::LoseAnswer, "EOF"),
        // Whether the head of the answer got out before the connection broke, nobody can say.
        (Fault::CutAfter(10), "EOF"),
    ];
    for (fault, told) in table {
        proxy.inject(Rule::new(fault).verb("get").on(MAPS).every(2).times(1));
        assert!(ask(cluster, &proxy)?.0, "{fault:?} is for every second request");
        let (fine, complaint) = ask(cluster, &proxy)?;
        assert!(!fine && complaint.contains(told), "{fault:?}: {complaint}");
        assert_eq!(proxy.requests().last().and_then(|request| request.fault), Some(fault));
        assert!(ask(cluster, &proxy)?.0, "{fault:?} was for one request");
        proxy.lift();
    }

    let (since, pause) = (Instant::now(), Duration::from_millis(300));
    proxy.inject(Rule::new(Fault::Delay(pause)).unless("nothing"));
    assert!(ask(cluster, &proxy)?.0 && since.elapsed() >= pause);
    proxy.lift();
    proxy.stop();
    let (fine, complaint) = ask(cluster, &proxy)?;
    assert!(!fine && complaint.contains("refused"), "{complaint}");
    proxy.restart()?;
    assert!(ask(cluster, &proxy)?.0);
    Ok(())
}
