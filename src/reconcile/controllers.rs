//! Which events start which reconcile: the watches on GitSources and Syncs, and the news from one to the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::select;
use futures::{Stream, StreamExt};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::queue::{Times, give_turns, received};
use super::watched::Watched;
use super::{fetch, forget, measure, sync};
use crate::api::{GitSource, Sync};
use crate::cluster::News;
use crate::metrics::Kind;

/// How often data keys and tokens are looked at whose time may be over.
const EXPIRING: Duration = Duration::from_secs(10);

/// What starts reconciles beside the resources themselves.
pub struct Heard {
    /// GitSources that have news for their Syncs.
    pub sources: mpsc::UnboundedReceiver<ObjectRef<GitSource>>,
    /// What happened to applied objects.
    pub objects: mpsc::UnboundedReceiver<News>,
    /// The Syncs that this wakes.
    pub woken: mpsc::UnboundedReceiver<ObjectRef<Sync>>,
}

/// Reconciles until `stop` is cancelled, and then until what runs has ended.
pub async fn run(
    context: Arc<Context>,
    sources: Watched<GitSource>,
    syncs: Watched<Sync>,
    heard: Heard,
    concurrency: u16,
    stop: CancellationToken,
) {
    let times = |open| Times { at_once: usize::from(concurrency), open, stop: &stop };
    let (of_sources, of_syncs) = (times(sources.filled()), times(syncs.filled()));
    let others = select(users_of(heard.sources, syncs.cache()), received(heard.woken));
    let others = others.inspect(|sync| measure::sync_is_woken(sync, &context.metrics));
    let syncs = from_when_it_leads(syncs.cache(), syncs.asking(), &context.leading);
    let syncs = syncs.inspect(|sync| measure::asks(Kind::Sync, sync, &context.metrics));
    let sources = from_when_it_leads(sources.cache(), sources.asking(), &context.leading);
    let sources = sources.inspect(|source| measure::asks(Kind::GitSource, source, &context.metrics));
    let reconciles = futures::future::join(
        give_turns(sources, of_sources, |source| fetch::reconcile(source, context.clone())),
        give_turns(select(syncs, others), of_syncs, |sync| sync::reconcile(sync, context.clone())),
    );
    tokio::select! {
        _ = reconciles => {}
        () = forget::run(&context) => {}
        () = expire(&context) => {}
        () = context.alarms.listen(heard.objects, &context.marks) => {}
    }
}

/// Leaves unheard who asks while another controller leads, but for keeping the cache up to date. Once this one leads, all that are there
/// ask, as they do after a start.
fn from_when_it_leads<K>(
    cache: Store<K>,
    asking: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    leading: &CancellationToken,
) -> impl Stream<Item = ObjectRef<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + std::marker::Sync + 'static,
{
    let (mut asking, leading) = (Box::pin(asking), leading.clone());
    let all = async move {
        asking.as_mut().take_until(Box::pin(leading.cancelled())).for_each(async |_| ()).await;
        let known: Vec<_> = cache.state().iter().map(|object| ObjectRef::from_obj(&**object)).collect();
        futures::stream::iter(known).chain(asking)
    };
    futures::stream::once(all).flatten()
}

/// Takes data keys and tokens out of memory soon after their time is over.
async fn expire(context: &Context) {
    loop {
        tokio::time::sleep(EXPIRING).await;
        context.data_keys.expire(Instant::now());
        context.logins.expire(Instant::now());
    }
}

/// Turns news of a GitSource into the Syncs that use it.
fn users_of(
    news: mpsc::UnboundedReceiver<ObjectRef<GitSource>>,
    syncs: Store<Sync>,
) -> impl Stream<Item = ObjectRef<Sync>> + Send + 'static {
    received(news).flat_map(move |source| {
        let uses = |sync: &Arc<Sync>| sync.namespace() == source.namespace && sync.spec.source_ref.name == source.name;
        let users: Vec<_> = syncs.state().into_iter().filter(uses).map(|sync| ObjectRef::from_obj(&*sync)).collect();
        futures::stream::iter(users)
    })
}
