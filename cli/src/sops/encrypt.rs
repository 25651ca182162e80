//! `sops encrypt`, and what every command that makes a file needs: its terms.

use waxwing_formats::sops::{Document, Rule, RuleKind, Sealed, Store};

use super::args::{ContextFlag, CreationFlags, EncryptArgs, Global};
use super::fault::Fault;
use super::place::Place;
use crate::output;
use crate::sealed::{Creation, Groups, Keys, MasterKey, NewTerms, SealedError, Secrecy, seal_anew};

/// Seals a file.
pub(crate) fn run(args: &EncryptArgs, global: &Global) -> Result<(), Fault> {
    let EncryptArgs { file, target, types, creation, context } = args;
    Place::check(file.as_deref(), target)?;
    if file.is_none() && types.filename_override.is_none() {
        return Err(Fault::nameless());
    }
    let place = Place::new(file.as_deref(), types, global)?;
    let plain = place.plain()?;
    let terms = new_terms(&place, creation, context, global)?;
    place.put(written(seal_anew(plain, terms, place.services()), &place)?.as_bytes(), target, Secrecy::Sealed)
}

/// Puts together what the command line and the configuration say about a new file.
pub(crate) fn new_terms(
    place: &Place,
    flags: &CreationFlags,
    context: &ContextFlag,
    global: &Global,
) -> Result<NewTerms, Fault> {
    let (names, context) = (flags.keys.names(), context.context()?);
    let keys = if names.are_none() { Keys::OfTheRule(&context) } else { Keys::Named };
    let creation = match &place.configuration {
        Some(configuration) => configuration.creation(&place.name, keys)?,
        None => None,
    };
    let Creation { groups, shamir_threshold, rules, mac_only_encrypted } = creation.unwrap_or_default();
    let groups = match keys {
        Keys::Named => Groups::one(MasterKey::named(&names, &context)?),
        Keys::OfTheRule(_) => groups,
    };
    if groups.0.iter().all(Vec::is_empty) {
        return Err(Fault::no_recipients());
    }
    let is_binary = place.input == Store::Binary;
    let said = said(flags, global, rules);
    Ok(NewTerms {
        groups,
        shamir_threshold: flags.shamir_secret_sharing_threshold.unwrap_or(shamir_threshold),
        rule: if is_binary { pass_over(&said) } else { Some(only(&said)?) },
        mac_only_encrypted: !is_binary && (global.mac_only_encrypted || mac_only_encrypted),
    })
}

/// Returns all rules that are said. A flag takes the place of the configuration's rule of the same kind, as in sops.
fn said(flags: &CreationFlags, global: &Global, configured: Vec<(RuleKind, String)>) -> Vec<(RuleKind, String)> {
    let mut said = configured;
    for kind in RuleKind::ALL {
        let flag = match kind {
            RuleKind::UnencryptedSuffix => &flags.unencrypted_suffix,
            RuleKind::EncryptedSuffix => &flags.encrypted_suffix,
            RuleKind::UnencryptedRegex => &flags.unencrypted_regex,
            RuleKind::EncryptedRegex => &flags.encrypted_regex,
            RuleKind::UnencryptedCommentRegex => &global.unencrypted_comment_regex,
            RuleKind::EncryptedCommentRegex => &global.encrypted_comment_regex,
        };
        if let Some(text) = flag.as_ref().filter(|text| !text.is_empty()) {
            said.retain(|(other, _)| *other != kind);
            said.push((kind, text.clone()));
        }
    }
    said
}

/// Returns the one rule there may be, or the usual one.
fn only(said: &[(RuleKind, String)]) -> Result<Rule, Fault> {
    match said {
        [] => Ok(Rule::usual()),
        [(kind, text)] => Rule::new(*kind, text).ok_or_else(|| Fault::bad_expression(kind.field())),
        several => {
            let fields = several.iter().map(|(kind, _)| kind.field()).collect::<Vec<_>>().join(" and ");
            Err(Fault::conflicting(&format!("{fields} can't be used together")))
        }
    }
}

/// A binary file has nothing that a rule could select.
fn pass_over(said: &[(RuleKind, String)]) -> Option<Rule> {
    for (kind, _) in said {
        output::note(&format!("{} is passed over: a binary file is sealed as a whole", kind.field()));
    }
    None
}

/// Writes a sealed document, for every command that changes one.
pub(crate) fn written(sealed: Result<Document<Sealed>, SealedError>, place: &Place) -> Result<String, Fault> {
    let sealed = sealed.map_err(|error| place.fault(error))?;
    sealed.text(place.indent()).map_err(|error| place.fault(Fault::of_output(error)))
}
