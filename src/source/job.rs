//! The blocking part of a fetch: it decides between what the mirror has, adding to it, and a new mirror.
//!
//! It runs on a thread that may block, with the shelf of its URL for itself. It does NOT wait for other fetches.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gix::hash;
use tokio::runtime::Handle;

use super::error::SourceError;
use super::fetch::Conversation;
use super::http::{self, Session};
use super::local::LocalRepository;
use super::mirror::{Mirror, ObjectFault};
use super::remote::{Reference, Remote};
use super::revision::CommitId;
use super::shelf::{Filled, Shelf};
use super::store::Settings;
use super::tree::Tree;

/// One fetch.
pub(super) struct Job {
    pub(super) remote: Arc<Remote>,
    pub(super) settings: Settings,
    pub(super) deadline: Instant,
    pub(super) interrupt: Arc<AtomicBool>,
    pub(super) runtime: Handle,
}

impl Job {
    /// Brings the commit into the shelf if it is not there, and returns its tree. Damage is repaired once.
    ///
    /// # Errors
    ///
    /// Fails as [`SourceError`] says.
    pub(super) fn run(&self, shelf: &mut Shelf) -> Result<Arc<Tree>, SourceError> {
        let done = match self.attempt(shelf) {
            Err(SourceError::StoreDamaged { path, .. }) => {
                tracing::warn!(path = %path.display(), "a mirror is damaged and is fetched anew");
                self.attempt(shelf)
            }
            done => done,
        };
        let tree = done?;
        shelf.note(&self.remote.holder, &self.remote.revision(&tree))?;
        Ok(tree)
    }

    fn attempt(&self, shelf: &mut Shelf) -> Result<Arc<Tree>, SourceError> {
        let commit = match self.remote.url.local_path() {
            Some(_) => self.copy(shelf)?,
            None => self.converse(shelf)?,
        };
        let url = || self.remote.url.clone();
        shelf.tree(CommitId(commit), self.settings.max_file_bytes).map_err(|fault| match fault {
            ObjectFault::OtherKind | ObjectFault::TooLarge(_) => {
                SourceError::NotACommit { url: url(), reference: self.remote.reference.clone() }
            }
            ObjectFault::Missing | ObjectFault::Damaged => {
                SourceError::StoreDamaged { url: url(), path: shelf.folder().to_owned() }
            }
        })
    }

    fn copy(&self, shelf: &mut Shelf) -> Result<gix::ObjectId, SourceError> {
        if !self.remote.credentials.login.is_anonymous() {
            return Err(SourceError::CredentialsNotUsable { url: self.remote.url.clone() });
        }
        let local = LocalRepository::open(&self.remote, &self.interrupt)?;
        let commit = local.tip()?;
        match self.usable_mirror(shelf).filter(|mirror| mirror.hash() == local.hash()) {
            Some(mirror) if mirror.has(&commit) => {}
            Some(mirror) => {
                mirror.count_fetch();
                local.copy_commit(&commit, &mirror).map_err(|error| self.blame(&mirror, error))?;
            }
            None => {
                shelf.replace(local.hash(), |mirror| {
                    local.copy_commit(&commit, mirror)?;
                    Ok(Filled::Done(commit))
                })?;
            }
        }
        Ok(commit)
    }

    /// Takes a mirror for damaged that can't be written, unless there is no space: a new one shows.
    fn blame(&self, mirror: &Mirror, error: SourceError) -> SourceError {
        match error {
            SourceError::Store { path, .. } => {
                mirror.condemn();
                SourceError::StoreDamaged { url: self.remote.url.clone(), path }
            }
            error => error,
        }
    }

    fn converse(&self, shelf: &mut Shelf) -> Result<gix::ObjectId, SourceError> {
        let conversation = self.conversation()?;
        let mut hash = hash::Kind::Sha1;
        if let Some(mirror) = self.usable_mirror(shelf) {
            if self.is_unproven(shelf, &mirror) {
                return self.commit_in(shelf.try_out(mirror.hash(), |empty| conversation.fill(empty))?);
            }
            match conversation.fill(&mirror)? {
                Filled::Done(commit) => return Ok(commit),
                Filled::OtherHash(other) => hash = other,
                // Perhaps the mirror is to blame: a new one shows.
                Filled::NotReceived(_) => hash = mirror.hash(),
            }
        }
        self.converse_anew(shelf, &conversation, hash)
    }

    /// Tells whether the mirror has the exact commit that is asked for, but for another source's sake. An id is no proof
    /// that the server would give the commit to this one too, so it has to give it again.
    fn is_unproven(&self, shelf: &Shelf, mirror: &Mirror) -> bool {
        match &self.remote.reference {
            Reference::Commit(id) => {
                let noted = shelf.noted(&self.remote.holder).map(|revision| revision.commit);
                noted != Some(*id) && mirror.has(&id.0)
            }
            // The server itself says which commit a name leads to.
            Reference::Branch(_) | Reference::Tag(_) => false,
        }
    }

    /// Fills a new mirror; what the server hashes with is known only when it has answered.
    fn converse_anew(
        &self,
        shelf: &mut Shelf,
        conversation: &Conversation<'_>,
        hash: hash::Kind,
    ) -> Result<gix::ObjectId, SourceError> {
        let mut filled = shelf.replace(hash, |mirror| conversation.fill(mirror))?;
        if let Filled::OtherHash(other) = filled {
            filled = shelf.replace(other, |mirror| conversation.fill(mirror))?;
        }
        self.commit_in(filled)
    }

    fn commit_in(&self, filled: Filled) -> Result<gix::ObjectId, SourceError> {
        match filled {
            Filled::Done(commit) => Ok(commit),
            Filled::NotReceived(error) => Err(error),
            Filled::OtherHash(_) => Err(SourceError::Protocol { url: self.remote.url.clone() }),
        }
    }

    fn usable_mirror(&self, shelf: &Shelf) -> Option<Arc<Mirror>> {
        shelf.usable_mirror(self.settings.max_fetches)
    }

    fn conversation(&self) -> Result<Conversation<'_>, SourceError> {
        Ok(Conversation {
            remote: &self.remote,
            session: Arc::new(self.session()?),
            interrupt: &self.interrupt,
            limit: self.settings.max_fetch_bytes,
            timeout: self.remote.timeout.min(self.settings.max_timeout),
        })
    }

    fn session(&self) -> Result<Session, SourceError> {
        let Remote { url, credentials, .. } = &*self.remote;
        if !credentials.login.is_anonymous() && !url.is_encrypted() {
            return Err(SourceError::CredentialsNotUsable { url: url.clone() });
        }
        let authorization = credentials
            .login
            .authorization()
            .map_err(|source| SourceError::CredentialsMalformed { url: url.clone(), source })?;
        let client =
            http::client(credentials.ca_pem.as_deref()).map_err(|_| SourceError::CaMalformed { url: url.clone() })?;
        Ok(Session {
            base: url.as_str().to_owned(),
            client,
            authorization,
            runtime: self.runtime.clone(),
            deadline: self.deadline,
            budget: Mutex::new(self.settings.max_fetch_bytes),
            fault: Mutex::default(),
        })
    }
}
