//! What went wrong, with the exit code that sops gives it (`cmd/sops/codes/codes.go` of sops 3.13.3).

use std::fmt;
use std::io;
use std::path::Path;

use waxwing_formats::sops::{PathError, SealError, SopsError, UnlockError};
use waxwing_keys::ServiceError;

use crate::error::with_causes;
use crate::output;
use crate::sealed::{CreationError, DestinationError, MasterKeyError, NOBODY_TO_ASK, SealedError, service_hint};

/// A failure with its exit code.
#[derive(Debug)]
pub(crate) struct Fault {
    code: u8,
    fact: String,
    /// Whether the fact names the file that it is about.
    names_file: bool,
    hint: Option<String>,
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fact)
    }
}

const GENERIC: u8 = 1;
const UNREADABLE: u8 = 2;
const UNWRITABLE: u8 = 3;
const NOT_DUMPED: u8 = 4;
const BAD_CONTEXT: u8 = 6;
const NOT_JSON: u8 = 7;
const CONFLICTING: u8 = 8;
const NOT_SEALED: u8 = 23;
const NOT_OPENED: u8 = 25;
const NEW_WITH_CHANGED_KEYS: u8 = 49;
const MAC: u8 = 51;
const BAD_PATH: u8 = 91;
const EMPTY: u8 = 92;
const NO_FILE: u8 = 100;
const ORDERED_TWICE: u8 = 112;
const NO_KEY: u8 = 128;
const INTERRUPTED: u8 = 85;
const UNCHANGED: u8 = 200;
const NO_EDITOR: u8 = 201;
const SEALED_ALREADY: u8 = 203;

impl Fault {
    fn new(code: u8, fact: impl Into<String>, hint: Option<&str>) -> Self {
        Self { code, fact: fact.into(), names_file: false, hint: hint.map(str::to_owned) }
    }

    fn with_name(self) -> Self {
        Self { names_file: true, ..self }
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Tells whether the user has left the file as it was.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.code == UNCHANGED
    }

    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// Names the file that it is about; nothing for standard input.
    pub(crate) fn in_file(self, file: Option<&Path>) -> Self {
        if self.names_file {
            return self;
        }
        let name = name_of(file);
        Self { fact: format!("{name}: {}", self.fact), names_file: true, ..self }
    }

    /// No file was named.
    pub(crate) fn no_file() -> Self {
        Self::new(NO_FILE, "no file is named", Some("name a file, or a command: see `sops --help`"))
    }

    /// No file was named whose groups could change; sops reads one without a name.
    pub(crate) fn no_group_file() -> Self {
        Self::new(UNREADABLE, "no file is named", Some("name it with --file"))
    }

    /// There is no file of this name.
    pub(crate) fn no_such_file(file: &Path) -> Self {
        Self::new(NO_FILE, format!("there is no file {}", file.display()), None).with_name()
    }

    /// Recipients of a file that does not exist can't change.
    pub(crate) fn no_file_to_change(file: &Path) -> Self {
        let fact = format!("there is no file {} whose recipients could change", file.display());
        Self::new(NEW_WITH_CHANGED_KEYS, fact, Some("make it with `sops edit`")).with_name()
    }

    /// Flags contradict each other.
    pub(crate) fn conflicting(fact: &str) -> Self {
        Self::new(CONFLICTING, fact, None)
    }

    /// Standard input has no name that says what it is.
    pub(crate) fn nameless() -> Self {
        let hint = "pass --filename-override NAME: its ending says the format, and its path which rule holds";
        Self::new(CONFLICTING, "standard input has no name, from which a format and a rule could follow", Some(hint))
    }

    /// There is nobody to seal for.
    pub(crate) fn no_recipients() -> Self {
        let hint = "pass --age RECIPIENT, or write creation_rules into .sops.yaml";
        Self::new(GENERIC, "there is no recipient to seal for, and no .sops.yaml that names one", Some(hint))
    }

    /// An expression of the command line does not compile.
    pub(crate) fn bad_expression(flag: &str) -> Self {
        let hint = "write the expression in the syntax of Go (RE2); sops would leave everything in the clear";
        Self::new(GENERIC, format!("--{} is not a valid expression", flag.replace('_', "-")), Some(hint))
    }

    /// A path of the command line is malformed.
    pub(crate) fn bad_path(path: &str) -> Self {
        Self::new(BAD_PATH, format!("{path:?} is not a path"), Some(r#"write it as '["key"]["other key"][0]'"#))
    }

    /// The path of a value to set or take out is malformed. What was passed may be the value, so it is not shown.
    pub(crate) fn bad_index() -> Self {
        Self::new(NOT_JSON, "the path to the value is malformed", Some(r#"write it as '["key"]["other key"][0]'"#))
    }

    /// There is no value to set.
    pub(crate) fn no_value() -> Self {
        let hint = "pass it as JSON, or better pass --value-file FILE or --value-stdin";
        Self::new(NO_FILE, "there is no value to set", Some(hint))
    }

    /// Nobody answers a question.
    pub(crate) fn unanswered(file: &Path) -> Self {
        Self::new(GENERIC, format!("nobody says whether to go on with {}", file.display()), Some("pass --yes"))
            .with_name()
    }

    /// What should be set is not of the form PATH VALUE.
    pub(crate) fn bad_set() -> Self {
        Self::new(
            NOT_JSON,
            "--set has no path and value",
            Some(r#"write --set '["key"] "value"', where the value is JSON"#),
        )
    }

    /// What should be set is not JSON.
    pub(crate) fn not_json() -> Self {
        Self::new(
            NOT_JSON,
            "the value is not JSON",
            Some(r#"write text in quotes, and quote that for the shell: '"text"'"#),
        )
    }

    /// The user's editor left the file as it was.
    pub(crate) fn unchanged() -> Self {
        Self::new(UNCHANGED, "the file was not changed", None)
    }

    /// The editor can't be run.
    pub(crate) fn no_editor(fact: String) -> Self {
        Self::new(NO_EDITOR, fact, Some("name one in SOPS_EDITOR or EDITOR"))
    }

    /// Nobody may be asked for keys.
    pub(crate) fn no_key_service() -> Self {
        Self::new(NO_KEY, "there is no key service to ask", Some(NOBODY_TO_ASK))
    }

    /// There is no configuration that says where files are published to.
    pub(crate) fn no_destinations() -> Self {
        let hint = "write destination_rules into .sops.yaml";
        Self::new(GENERIC, "there is no .sops.yaml that says where files are published to", Some(hint))
    }

    /// A folder is to be published, and nobody said that it may be one.
    pub(crate) fn not_recursive(path: &Path) -> Self {
        Self::new(GENERIC, format!("{} is a folder", path.display()), Some("pass --recursive")).with_name()
    }

    /// What is to be published can't be read.
    pub(crate) fn not_published(path: &Path, error: &io::Error) -> Self {
        Self { code: GENERIC, ..Self::unreadable(Some(path), error) }
    }

    /// Without its ending a file has no name.
    pub(crate) fn nameless_there(file: &Path) -> Self {
        let fact = format!("{} has no name that it could be published under", file.display());
        Self::new(GENERIC, fact, Some("leave --omit-extensions and omit_extensions out")).with_name()
    }

    /// The user does not want a file to be published.
    pub(crate) fn canceled(file: &Path) -> Self {
        Self::new(GENERIC, format!("{} was not to be published", file.display()), None).with_name()
    }

    /// A server does not take what is published.
    pub(crate) fn of_destination(place: &str, error: &ServiceError) -> Self {
        Self::new(GENERIC, format!("failed to publish to {place}: {}", with_causes(error)), service_hint(error))
    }

    /// A key service can't listen where it should.
    pub(crate) fn not_listening(address: &str, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => Some("end the other service; remove the socket if there is none any more"),
            io::ErrorKind::InvalidInput => Some("name ADDRESS:PORT, or with --network unix the path of a socket"),
            _ => None,
        };
        Self::new(GENERIC, format!("failed to listen on {address}: {error}"), hint)
    }

    /// A kind of key stands twice in the order.
    pub(crate) fn ordered_twice(kind: &str) -> Self {
        Self::new(ORDERED_TWICE, format!("--decryption-order names {kind:?} twice"), None)
    }

    /// A value can't stand in a variable.
    pub(crate) fn of_environment(error: SopsError) -> Self {
        Self::new(GENERIC, with_causes(&error), Some("use `sops exec-file`, which takes any file"))
    }

    /// A key can't be the name of a variable.
    pub(crate) fn bad_variable(name: &str) -> Self {
        Self::new(GENERIC, format!("the key {name:?} can't be the name of a variable"), Some("use `sops exec-file`"))
    }

    /// The command of `exec-env` or `exec-file` can't be run. A secret may stand in it, so it is not shown.
    pub(crate) fn not_run(verb: &str, error: &io::Error) -> Self {
        Self::new(GENERIC, format!("failed to run the command of {verb}: {error}"), None)
    }

    /// The command failed, with a code that is now ours.
    pub(crate) fn of_command(code: u8, how: &str) -> Self {
        Self::new(code, format!("the command ended{how} with exit code {code}"), None)
    }

    /// A command can't be run as another user.
    pub(crate) fn not_as(name: &str, why: &str) -> Self {
        Self::new(
            GENERIC,
            format!("failed to become the user {name:?}: {why}"),
            Some("only root can become another user"),
        )
    }

    /// The file for a command would be gone before the command reads it.
    pub(crate) fn no_background() -> Self {
        let hint = "leave --background out, and send the command to the background in its shell";
        let fact = "--background can't be used with exec-file: the file is removed when this program ends";
        Self::new(CONFLICTING, fact, Some(hint))
    }

    /// A key group that is not there should go.
    pub(crate) fn no_such_group(index: usize, groups: usize) -> Self {
        Self::new(GENERIC, format!("there is no key group {index}: the file has {groups}, counted from 0"), None)
    }

    /// More key groups would be needed than there are.
    pub(crate) fn too_few_groups(threshold: usize, groups: usize) -> Self {
        let fact = format!("{threshold} key groups would be needed to open it, of {groups}");
        Self::new(GENERIC, fact, Some("pass --shamir-secret-sharing-threshold with a smaller number"))
    }

    /// Nobody wrapped the data key of a file that is edited first.
    pub(crate) fn without_key(error: SealedError) -> Self {
        Self { code: NO_KEY, ..error.into() }
    }

    /// Takes back the code of its own that a failure has in other commands.
    pub(crate) fn without_code(self) -> Self {
        Self { code: GENERIC, ..self }
    }

    /// Somebody asked the program to end.
    pub(crate) fn interrupted() -> Self {
        Self::new(INTERRUPTED, "asked to end: the file is left as it was", None)
    }

    /// Tells of what failed for so many files, if anything did; the last of it is the failure of all.
    pub(crate) fn of_several(mut failed: Vec<Self>, all: usize) -> Result<(), Self> {
        let count = failed.len();
        let Some(last) = failed.pop() else {
            return Ok(());
        };
        for fault in &failed {
            output::complain_of(fault, fault.hint());
        }
        let fact = format!("{} ({count} of {all} files failed)", last.fact);
        Err(if all == 1 { last } else { Self { code: GENERIC, fact, ..last } })
    }

    /// There is a second file for a command that takes one.
    pub(crate) fn second_file() -> Self {
        Self::new(GENERIC, "there is more than one file", Some("only -d, `decrypt` and `updatekeys` take several"))
    }

    /// A file can't be read.
    pub(crate) fn unreadable(file: Option<&Path>, error: &io::Error) -> Self {
        let fault = Self::new(UNREADABLE, format!("failed to read {}: {error}", name_of(file)), None);
        Self { names_file: file.is_some(), ..fault }
    }

    /// The folder in which the program was called can't be found.
    pub(crate) fn no_working_folder(error: &io::Error) -> Self {
        let hint = "change to a folder that there is, or name the configuration with --config";
        Self::new(UNREADABLE, format!("failed to find the working folder: {error}"), Some(hint))
    }

    /// A file whose status is asked for can't be read.
    pub(crate) fn no_status(file: &Path, error: &io::Error) -> Self {
        Self { code: GENERIC, ..Self::unreadable(Some(file), error) }
    }

    /// A file can't be written.
    pub(crate) fn unwritable(file: &Path, error: &io::Error) -> Self {
        Self::new(UNWRITABLE, format!("failed to write {}: {error}", file.display()), None).with_name()
    }

    /// The file in the clear can't be sealed as it is.
    pub(crate) fn of_plain(error: SopsError) -> Self {
        let code = match error {
            SopsError::AlreadySealed => SEALED_ALREADY,
            SopsError::NothingToSeal => EMPTY,
            _ => UNREADABLE,
        };
        Self::new(code, with_causes(&error), Some(error.hint()))
    }

    /// What was opened can't be written in the format that was asked for.
    pub(crate) fn of_output(error: SopsError) -> Self {
        Self::new(NOT_DUMPED, with_causes(&error), Some(error.hint()))
    }

    /// Passes on why a SealedSecret can't be sealed as it was edited.
    pub(crate) fn of_items(error: &crate::sealing::EditError) -> Self {
        Self { hint: error.hint(), ..Self::new(GENERIC, with_causes(error), None) }
    }

    /// Passes on a failure to print.
    pub(crate) fn from_cli(error: &crate::error::Error) -> Self {
        Self { hint: error.hint(), ..Self::new(UNWRITABLE, with_causes(error), None) }
    }
}

/// Names a file, or standard input.
pub(super) fn name_of(file: Option<&Path>) -> String {
    file.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string())
}

impl From<SealedError> for Fault {
    fn from(error: SealedError) -> Self {
        let code = match &error {
            SealedError::Unlock(UnlockError::NoKey { .. }) => NO_KEY,
            SealedError::Unlock(UnlockError::NoMac | UnlockError::MacDamaged | UnlockError::MacMismatch) => MAC,
            SealedError::Unlock(_) => NOT_OPENED,
            SealedError::Seal(SealError::File(_)) => NOT_DUMPED,
            SealedError::Path(PathError::File(SopsError::AlreadySealed)) => SEALED_ALREADY,
            SealedError::Seal(SealError::NoRecipient | SealError::Threshold { .. } | SealError::Randomness(_)) => {
                GENERIC
            }
            SealedError::Seal(_) => NOT_SEALED,
            SealedError::File(_)
            | SealedError::Wrap(_)
            | SealedError::Plugin(_)
            | SealedError::Pgp { .. }
            | SealedError::Service { .. }
            | SealedError::Version { .. }
            | SealedError::KeyServices { .. }
            | SealedError::NobodyToAsk
            | SealedError::Path(_) => GENERIC,
        };
        Self::new(code, with_causes(&error), error.hint())
    }
}

impl From<CreationError> for Fault {
    fn from(error: CreationError) -> Self {
        let names_file = matches!(error, CreationError::NoRule { .. });
        Self { names_file, ..Self::new(GENERIC, with_causes(&error), error.hint()) }
    }
}

impl From<MasterKeyError> for Fault {
    fn from(error: MasterKeyError) -> Self {
        let code = if matches!(error, MasterKeyError::Context) { BAD_CONTEXT } else { GENERIC };
        Self::new(code, with_causes(&error), Some(error.hint()))
    }
}

impl From<DestinationError> for Fault {
    fn from(error: DestinationError) -> Self {
        let names_file = matches!(error, DestinationError::NoRule { .. });
        Self { names_file, ..Self::new(GENERIC, with_causes(&error), Some(error.hint())) }
    }
}
