//! Asking a server for a revision over HTTP, and receiving it into a mirror.
//!
//! One `ls-refs` says which commit a name leads to; a pack is asked for only when the mirror does not have that commit.
//! Whether the mirror may stand in for the server where no name is asked for is NOT decided here, but by the job.
//! History is NOT fetched: each fetch is of depth 1. Follows gitprotocol-v2.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gix::progress::Discard;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::http::Transport;
use gix::remote::{Direction, fetch, ref_map};
use sha2::{Digest, Sha256};

use super::error::{SourceError, wire_error};
use super::http::{Session, Wire};
use super::mirror::{MAX_OBJECT_BYTES, Mirror, git_store_error};
use super::remote::{Reference, Remote};
use super::shelf::Filled;

/// One conversation with a server.
pub(super) struct Conversation<'a> {
    pub(super) remote: &'a Remote,
    pub(super) session: Arc<Session>,
    pub(super) interrupt: &'a AtomicBool,
    pub(super) limit: u64,
    /// The time that the whole fetch has, for messages.
    pub(super) timeout: std::time::Duration,
}

type Prepared<'a> = fetch::Prepare<'static, 'a, Transport<Wire>>;

impl Conversation<'_> {
    /// Finds out which commit the reference leads to, and receives it if `mirror` lacks it.
    ///
    /// # Errors
    ///
    /// Fails as [`SourceError`] says, for faults that are not the mirror's.
    pub(super) fn fill(&self, mirror: &Mirror) -> Result<Filled, SourceError> {
        let repository = match mirror.repository() {
            Ok(repository) => repository,
            Err(error) => return Ok(Filled::NotReceived(error)),
        };
        let spec = self.refspec();
        let prepared = self.list_refs(&repository, &spec, true)?;
        if prepared.ref_map().object_hash != mirror.hash() {
            return Ok(Filled::OtherHash(prepared.ref_map().object_hash));
        }
        let Some(id) = self.tip(&prepared.ref_map().remote_refs) else {
            return Err(self.why_not_found(&repository));
        };
        if mirror.has(&id) {
            return Ok(Filled::Done(id));
        }
        match self.receive(prepared) {
            Ok(_) => {
                mirror.count_fetch();
                Ok(Filled::Done(id))
            }
            Err(_) if self.session.fault().is_some() => Err(self.wire_error()),
            Err(error) if error.downcast_any_ref::<std::io::Error>().is_some_and(is_storage) => {
                Err(git_store_error(mirror.path(), &error))
            }
            Err(error) if error.is_resource_exhausted() => {
                Err(SourceError::ObjectTooLarge { url: self.remote.url.clone(), limit: MAX_OBJECT_BYTES })
            }
            Err(_) => Ok(Filled::NotReceived(self.not_received())),
        }
    }

    /// Maps what is asked for to a flat local name, since names of branches that came and went may collide as folders.
    fn refspec(&self) -> String {
        let remote_name = match &self.remote.reference {
            Reference::Commit(id) => id.to_string(),
            reference => reference.full_name().unwrap_or_default(),
        };
        let local = hex::encode(Sha256::digest(&remote_name));
        format!("+{remote_name}:refs/waxwing/{local}")
    }

    fn list_refs<'r>(
        &self,
        repository: &'r gix::Repository,
        spec: &str,
        filter: bool,
    ) -> Result<Prepared<'r>, SourceError> {
        let url = gix::url::parse(self.remote.url.as_str()).map_err(|_| self.protocol_error())?;
        let transport = Transport::new_http(Wire(Arc::clone(&self.session)), url.clone(), Protocol::V2, false);
        let options = ref_map::Options { prefix_from_spec_as_filter_on_remote: filter, ..Default::default() };
        repository
            .remote_at_without_url_rewrite(url)
            .and_then(|remote| remote.with_fetch_tags(fetch::Tags::None).with_refspecs([spec], Direction::Fetch))
            .and_then(|remote| {
                remote
                    .to_connection_with_transport(transport)
                    .with_credentials(|_| Ok(None))
                    .with_transport_options(Box::new(()))
                    .prepare_fetch(Discard, options)
            })
            .map_err(|_| self.wire_error())
    }

    fn tip(&self, refs: &[Ref]) -> Option<gix::ObjectId> {
        let Some(wanted) = self.remote.reference.full_name() else {
            return self.exact_commit();
        };
        refs.iter().find_map(|found| match found {
            Ref::Peeled { full_ref_name, object, .. }
            | Ref::Direct { full_ref_name, object }
            | Ref::Symbolic { full_ref_name, object, .. }
                if *full_ref_name == wanted.as_str() =>
            {
                Some(*object)
            }
            _ => None,
        })
    }

    fn exact_commit(&self) -> Option<gix::ObjectId> {
        match &self.remote.reference {
            Reference::Commit(id) => Some(id.0),
            Reference::Branch(_) | Reference::Tag(_) => None,
        }
    }

    /// Tells an empty repository from a name that is not there, which takes a list of all names.
    fn why_not_found(&self, repository: &gix::Repository) -> SourceError {
        let url = self.remote.url.clone();
        match self.list_refs(repository, "+refs/*:refs/waxwing/all/*", false) {
            Err(error) => error,
            Ok(all) if all.ref_map().remote_refs.iter().all(is_unborn) => SourceError::Empty { url },
            Ok(_) => SourceError::ReferenceNotFound { url, reference: self.remote.reference.clone() },
        }
    }

    fn receive(&self, prepared: Prepared<'_>) -> gix::Result<fetch::Outcome> {
        prepared.with_shallow(fetch::Shallow::DepthAtRemote(std::num::NonZeroU32::MIN)).receive(Discard, self.interrupt)
    }

    /// A server that lists names properly but refuses an exact commit does not have it, or does not give it out.
    fn not_received(&self) -> SourceError {
        let url = self.remote.url.clone();
        match &self.remote.reference {
            reference @ Reference::Commit(_) => SourceError::ReferenceNotFound { url, reference: reference.clone() },
            Reference::Branch(_) | Reference::Tag(_) => self.protocol_error(),
        }
    }

    fn wire_error(&self) -> SourceError {
        match self.session.fault() {
            Some(fault) => wire_error(fault, self.remote, self.limit, self.timeout),
            None => self.protocol_error(),
        }
    }

    fn protocol_error(&self) -> SourceError {
        SourceError::Protocol { url: self.remote.url.clone() }
    }
}

fn is_unborn(found: &Ref) -> bool {
    matches!(found, Ref::Unborn { .. })
}

fn is_storage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | PermissionDenied | ReadOnlyFilesystem)
}
