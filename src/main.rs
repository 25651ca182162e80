//! The `waxwing` binary: arguments in, exit code out; everything else is in the library.

use clap::Parser;
use mimalloc::MiMalloc;
use waxwing::runtime::{Args, StartError, harden, speak, start};
use zeroizing_alloc::ZeroAlloc;

/// Wipes every allocation when it is freed, so that a value is not left behind in a buffer of some library.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

/// The exit code of a controller that failed.
const FAILED: i32 = 1;
/// That of one that led and whose lease another one has: it is to be started anew, and follows then.
const LOST_LEASE: i32 = 3;

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let code = match run(args).await {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error:#}");
            let is_lost = error.downcast_ref::<StartError>().is_some_and(StartError::is_lost_lease);
            if is_lost { LOST_LEASE } else { FAILED }
        }
    };
    // At once: a fetch or a render that was cut off goes on in a thread of its own, and there is nothing to wait for.
    std::process::exit(code)
}

async fn run(args: Args) -> anyhow::Result<()> {
    // Only the first call can install a provider, and this is it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let telemetry = speak(&args)?;
    harden()?;
    let ended = Box::pin(start(args)).await;
    telemetry.end().await;
    Ok(ended?)
}
