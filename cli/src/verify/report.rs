//! What was found, as text, as JSON, and as SARIF 2.1.0 for code scanning
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>).

use std::collections::HashSet;
use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};
use waxwing::source::RepoPath;

use super::lines::Lines;

/// What was looked at and what was found.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    /// How many files were looked at.
    pub(crate) files: usize,
    /// How many of them are sealed: SOPS files, and files with SealedSecrets.
    pub(crate) sealed: usize,
    /// What was found, in the order of the checks, then of the places.
    pub(crate) findings: Vec<Finding>,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    /// A Secret has a value in the clear.
    PlainSecret,
    /// A value is in the clear that a rule of `.sops.yaml` wants sealed.
    PlainValue,
    /// A private key.
    PrivateKey,
    /// Others can open a file than the rule says.
    Recipients,
    /// A sealed file that can't be opened as it is.
    Damaged,
    /// A SealedSecret of another cluster than that of the certificate.
    OtherKey,
    /// A SealedSecret that was changed after it was sealed in what its values are bound to.
    Binding,
    /// A certificate that nothing can be sealed with any more.
    ExpiredCertificate,
    /// A file that could not be looked into.
    NotRead,
}

impl Check {
    const ALL: [Self; 9] = [
        Self::PlainSecret,
        Self::PlainValue,
        Self::PrivateKey,
        Self::Recipients,
        Self::Damaged,
        Self::OtherKey,
        Self::Binding,
        Self::ExpiredCertificate,
        Self::NotRead,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PlainSecret => "plain-secret",
            Self::PlainValue => "plain-value",
            Self::PrivateKey => "private-key",
            Self::Recipients => "recipients",
            Self::Damaged => "damaged",
            Self::OtherKey => "other-key",
            Self::Binding => "binding",
            Self::ExpiredCertificate => "expired-certificate",
            Self::NotRead => "not-read",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::PlainSecret => "A Secret has a value in the clear",
            Self::PlainValue => "A value is in the clear that a rule of .sops.yaml wants sealed",
            Self::PrivateKey => "A private key is in the clear",
            Self::Recipients => "The recipients of a sealed file are not those of its rule in .sops.yaml",
            Self::Damaged => "A sealed file can't be opened as it is",
            Self::OtherKey => "A SealedSecret was sealed for another cluster than that of the certificate",
            Self::Binding => "A SealedSecret was renamed, moved or given another scope after it was sealed",
            Self::ExpiredCertificate => "A certificate has expired",
            Self::NotRead => "A file could not be looked into",
        }
    }

    /// Says what the user can do.
    fn hint(self) -> &'static str {
        match self {
            Self::PlainSecret => {
                "seal it with `seal` or `seal sops encrypt --in-place`; if it was committed before, take a new secret"
            }
            Self::PlainValue => "seal the file with `seal sops encrypt --in-place`, or narrow the rule in .sops.yaml",
            Self::PrivateKey => "take it out, and if it was committed before, make a new key and rotate what it opens",
            Self::Recipients => "run `seal sops updatekeys FILE`; who could open it before still knows its data key",
            Self::Damaged => "restore the file from its last good revision, or seal it again",
            Self::OtherKey => "seal it again with the certificate of its cluster, which `seal cert` prints",
            Self::Binding => {
                "seal it again under the name, namespace and scope that it has now, or give it back those that it had"
            }
            Self::ExpiredCertificate => "fetch the newest one with `seal cert`",
            Self::NotRead => "mend the file, or name only what shall be looked at",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// It should not be committed.
    Error,
    /// It may be meant.
    Warning,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    /// The path from the root of the repository.
    file: String,
    /// The document, from 0, in a file with several.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<usize>,
    /// The JSON pointer of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_path: Option<String>,
    /// The line that it begins on, from 1, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

impl Place {
    /// Names a file as a whole.
    pub(crate) fn file(file: &RepoPath) -> Self {
        Self { file: file.to_string(), document: None, key_path: None, line: None }
    }

    /// Names a line of a file.
    pub(crate) fn line(file: &RepoPath, line: usize) -> Self {
        Self { line: Some(line), ..Self::file(file) }
    }

    /// Names a value in a document of so many.
    pub(crate) fn value(file: &RepoPath, (document, documents): (usize, usize), path: &dyn fmt::Display) -> Self {
        let document = (documents > 1).then_some(document);
        Self { file: file.to_string(), document, key_path: Some(path.to_string()), line: None }
    }

    /// Looks up on which line of the file a value stands.
    pub(super) fn find_line(&mut self, lines: &Lines<'_>) {
        if let Some(path) = &self.key_path {
            self.line = lines.of(self.document.unwrap_or_default(), path);
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        self.key_path.as_ref().map_or(Ok(()), |path| write!(f, ", {path}"))
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) check: Check,
    #[serde(flatten)]
    pub(crate) place: Place,
    /// What is wrong; never a value.
    pub(crate) message: String,
}

impl Finding {
    /// Says what should not be committed as it is.
    pub(crate) fn error(check: Check, place: Place, message: impl Into<String>) -> Self {
        Self { level: Level::Error, check, place, message: message.into() }
    }

    /// Says what may be meant.
    pub(crate) fn warning(check: Check, place: Place, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, check, place, message: message.into() }
    }
}

impl Report {
    /// Puts the findings in order, and leaves out what is said twice: a value of a Secret may be under a rule as well.
    pub(crate) fn settle(&mut self) {
        let of_secrets = self.findings.iter().filter(|finding| finding.check == Check::PlainSecret);
        let secrets: HashSet<Place> = of_secrets.map(|finding| finding.place.clone()).collect();
        self.findings.retain(|finding| finding.check != Check::PlainValue || !secrets.contains(&finding.place));
        self.findings.sort();
        self.findings.dedup();
    }

    /// Tells whether something should not be committed.
    pub(crate) fn has_errors(&self) -> bool {
        self.count(Level::Error) > 0
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Writes it for people: a line for each finding, and below those of a kind what to do about them.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for group in self.findings.chunk_by(|one, next| (one.level, one.check) == (next.level, next.check)) {
            for Finding { level, check, place, message } in group {
                let level = if *level == Level::Error { "error" } else { "warning" };
                let _ = writeln!(text, "{level}: {place}: {message} ({})", check.name());
            }
            let _ = writeln!(text, "hint: {}\n", group.first().map_or("", |finding| finding.check.hint()));
        }
        let counts = [
            counted(self.files, "file"),
            format!("{} sealed", self.sealed),
            counted(self.count(Level::Error), "error"),
            counted(self.count(Level::Warning), "warning"),
        ];
        text + &counts.join(", ") + "\n"
    }

    /// Returns it as a SARIF log with one run.
    pub(crate) fn sarif(&self) -> Value {
        let rule = |check: Check| {
            json!({
                "id": check.name(),
                "shortDescription": {"text": check.about()},
                "help": {"text": check.hint()},
            })
        };
        let result = |finding: &Finding| {
            let members =
                finding.place.key_path.iter().map(|path| json!({"fullyQualifiedName": path, "kind": "member"}));
            let location = json!({
                "physicalLocation": {
                    "artifactLocation": {"uri": uri(&finding.place.file), "uriBaseId": "SRCROOT"},
                    // Code scanning wants a line of everything; that of a file as a whole is the first.
                    "region": {"startLine": finding.place.line.unwrap_or(1)},
                },
                "logicalLocations": members.collect::<Vec<_>>(),
            });
            json!({
                "ruleId": finding.check.name(),
                "level": finding.level,
                "message": {"text": format!("{}: {}", finding.place, finding.message)},
                "locations": [location],
            })
        };
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "seal verify",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": Check::ALL.map(rule),
                }},
                "results": self.findings.iter().map(result).collect::<Vec<_>>(),
            }],
        })
    }
}

/// Writes how many there are of something.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Writes a path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}
