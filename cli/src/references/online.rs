//! Whether the secrets that references lead to are there, asked of the stores by the user's own credentials.
//!
//! Each secret is asked for once, whatever refers to it, a few at a time. Where the store tells versions only they are asked for, and nothing is
//! known of single values; elsewhere the secret is read, looked into and dropped. No value is shown.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use futures::StreamExt;
use serde::Serialize;
use waxwing_formats::reference::{Reference, Stored};

use super::asking::Looked;
use super::check::Refused;
use super::fault::StoreFault;
use super::report::{Report, What};
use super::stores::{ASKED_AT_ONCE, UserStores};
use crate::cluster::ContextArgs;
use crate::error::Error;
use crate::output;
use crate::sealed::block_on;

/// After how many secrets a user at a terminal hears of it.
const PROGRESS: usize = 100;

/// What the store has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InStore {
    /// The version, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
}

impl Report {
    /// Asks the stores for everything that was found and is not refused already. Returns how many secrets nobody could be asked for.
    ///
    /// # Errors
    /// Fails if nothing can be waited for on this machine.
    pub(crate) fn ask(&mut self, context: &ContextArgs) -> Result<usize, Error> {
        let stores = UserStores::new(std::mem::take(&mut self.stores), context.clone());
        let wanted: Vec<Stored> = self.wanted();
        let looked = block_on(looked(&stores, wanted)).map_err(|error| Error::Waiting(error.kind()))?;
        for entry in &mut self.found {
            let Some(reference) = reference(&entry.what).filter(|_| entry.refused.is_none()) else { continue };
            match looked.get(&reference.stored()) {
                Some(Ok(Looked::Version(version))) => entry.in_store = Some(InStore { version: Some(version.clone()) }),
                Some(Ok(Looked::Secret(version, secret))) => match secret.value(&reference.pointer, reference.decode) {
                    Ok(_) => entry.in_store = Some(InStore { version: version.clone() }),
                    Err(error) => {
                        let (message, hint) = (error.to_string(), error.hint().to_owned());
                        entry.refused = Some(Refused { error: "no-value", message, hint });
                    }
                },
                // To ask for it would make one.
                Some(Ok(Looked::WouldMake)) => {}
                Some(Err(fault)) => entry.refused = Some(refused(fault)),
                None => {}
            }
        }
        Ok(looked.values().filter(|answer| answer.as_ref().is_err_and(StoreFault::is_unanswered)).count())
    }

    fn wanted(&self) -> Vec<Stored> {
        let open = self.found.iter().filter(|entry| entry.refused.is_none());
        let all = open.filter_map(|entry| reference(&entry.what)).map(|reference| reference.stored());
        let mut all: Vec<Stored> = all.collect();
        all.sort();
        all.dedup();
        all
    }
}

fn refused(fault: &StoreFault) -> Refused {
    Refused { error: fault.word(), message: fault.to_string(), hint: fault.hint().to_owned() }
}

fn reference(what: &What) -> Option<Reference> {
    match what {
        What::Reference { reference, .. } => reference.parse().ok(),
        What::Foreign { .. } | What::Malformed { .. } => None,
    }
}

type Answers = BTreeMap<Stored, Result<Looked, StoreFault>>;

async fn looked(stores: &UserStores, wanted: Vec<Stored>) -> Answers {
    let (count, is_watched) = (wanted.len(), std::io::stderr().is_terminal());
    let ask = |stored: Stored| async move {
        let answer = stores.look(&stored).await;
        (stored, answer)
    };
    let mut answers = Answers::new();
    let mut asked = futures::stream::iter(wanted).map(ask).buffer_unordered(ASKED_AT_ONCE);
    while let Some((stored, answer)) = asked.next().await {
        answers.insert(stored, answer);
        if is_watched && answers.len().is_multiple_of(PROGRESS) {
            output::note(&format!("{} of {count} secrets were looked up", answers.len()));
        }
    }
    answers
}
