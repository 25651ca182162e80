//! Which events start which reconcile: the watches on GitSources and Syncs, and the news from one to the other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::select;
use futures::{Stream, StreamExt};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backend_status::{self, BackendNews};
use super::context::Context;
use super::queue::{Times, give_turns, received};
use super::watched::Watched;
use super::{fetch, forget, measure, sync};
use crate::api::{ClusterSecretBackend, GitSource, SecretBackend, Sync};
use crate::cluster::News;
use crate::metrics::Kind;

/// How often data keys and tokens are looked at whose time may be over.
const EXPIRING: Duration = Duration::from_secs(10);

/// How many backends of a kind are looked at, at the same time.
const BACKENDS_AT_ONCE: usize = 4;

/// What starts reconciles beside the resources themselves.
pub struct Heard {
    /// GitSources that have news for their Syncs.
    pub sources: mpsc::UnboundedReceiver<ObjectRef<GitSource>>,
    /// What happened to applied objects.
    pub objects: mpsc::UnboundedReceiver<News>,
    /// The Syncs that this wakes.
    pub woken: mpsc::UnboundedReceiver<ObjectRef<Sync>>,
    /// Backends of which there is something to say.
    pub backends: BackendNews,
}

/// The backends that there are.
pub struct WatchedBackends {
    /// Those of namespaces.
    pub own: Watched<SecretBackend>,
    /// Those of the whole cluster.
    pub of_cluster: Watched<ClusterSecretBackend>,
}

/// Reconciles until `stop` is cancelled, and then until what runs has ended.
pub async fn run(
    context: Arc<Context>,
    sources: Watched<GitSource>,
    syncs: Watched<Sync>,
    backends: WatchedBackends,
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
    let WatchedBackends { own, of_cluster } = backends;
    let known = Known { own: own.cache(), of_cluster: of_cluster.cache() };
    let BackendNews { own: of_own, of_cluster: of_others } = heard.backends;
    let turns = futures::future::join(
        say_of_backends(own, of_own, &context, &stop),
        say_of_backends(of_cluster, of_others, &context, &stop),
    );
    let reconciles = futures::future::join(reconciles, turns);
    tokio::select! {
        _ = reconciles => {}
        () = forget::run(&context) => {}
        () = expire(&context, &known) => {}
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

/// Looks at the backends of a kind, from when this controller leads, and says of each what there is to say.
async fn say_of_backends<B>(
    backends: Watched<B>,
    news: mpsc::UnboundedReceiver<ObjectRef<B>>,
    context: &Arc<Context>,
    stop: &CancellationToken,
) where
    B: backend_status::Backend + std::fmt::Debug + DeserializeOwned + Send + std::marker::Sync + 'static,
{
    let (cache, open) = (backends.cache(), backends.filled());
    let asking = from_when_it_leads(cache.clone(), select(backends.asking(), received(news)), &context.leading);
    let times = Times { at_once: BACKENDS_AT_ONCE, open, stop };
    let turns = give_turns(asking, times, |backend| backend_status::reconcile(cache.get(&backend), context.clone()));
    tokio::select! {
        () = turns => {}
        // A server that does not answer is not waited for then.
        () = stop.cancelled() => {}
    }
}

/// The backends that are known. A kind that can't be watched has none.
struct Known {
    own: Store<SecretBackend>,
    of_cluster: Store<ClusterSecretBackend>,
}

impl Known {
    /// Returns the uids of all of them.
    fn uids(&self) -> HashSet<String> {
        let own = self.own.state().into_iter().filter_map(|backend| backend.uid());
        own.chain(self.of_cluster.state().into_iter().filter_map(|backend| backend.uid())).collect()
    }
}

/// Takes data keys and tokens out of memory soon after their time is over, or their backend gone: one that was known and is not any more.
/// One that is not known yet may be in use already.
async fn expire(context: &Context, backends: &Known) {
    let mut known = HashSet::new();
    loop {
        tokio::time::sleep(EXPIRING).await;
        let now = backends.uids();
        let gone: HashSet<String> = known.difference(&now).cloned().collect();
        known = now;
        if !gone.is_empty() {
            context.data_keys.forget(|holder| gone.contains(&holder.backend));
            context.logins.forget_those_of(&gone);
            context.backends.forget(&gone);
        }
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
