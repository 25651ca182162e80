//! `seal`: Secrets in, SealedSecrets out.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use rand_core::OsRng;
use serde_json::Value;
use waxwing_formats::sealed_secret::{PlainSecret, PublicKey, Scope, seal};

use crate::certificate::CertificateArgs;
use crate::error::{DocumentError, Error, Wrong};
use crate::input::{self, Document};
use crate::output::{self, Format};

/// What `seal` takes when no command is named.
#[derive(Args)]
pub(crate) struct SealArgs {
    /// Read Secrets from this file instead of standard input; `-` is standard input
    #[arg(short = 'f', long = "secret-file", value_name = "FILE")]
    file: Option<PathBuf>,

    /// Permit a Secret without any value
    #[arg(long)]
    allow_empty_data: bool,

    #[command(flatten)]
    sealing: SealingArgs,
}

/// How to seal, for every command that does.
#[derive(Args)]
pub(crate) struct SealingArgs {
    /// Bind what is sealed to its name and namespace, to its namespace, or to neither
    ///
    /// A sealed value opens only where it is bound to. `strict` binds it to name and namespace, `namespace-wide` to the
    /// namespace, `cluster-wide` to the cluster alone, so that whoever may create SealedSecrets anywhere can open it. Default:
    /// what the annotations of the Secret say, else strict.
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    scope: Option<Scope>,

    /// Seal for this namespace, where the Secret names none
    ///
    /// Default: the namespace of the kubeconfig's context, else `default`.
    #[arg(short, long, value_name = "NAME", value_parser = input::dns_label)]
    namespace: Option<String>,

    /// Print in this form
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Format::Yaml)]
    output: Format,

    #[command(flatten)]
    certificate: CertificateArgs,
}

fn parse_scope(text: &str) -> Result<Scope, waxwing_formats::sealed_secret::ParseScopeError> {
    text.parse()
}

/// Seals every Secret of the input and prints all of them, or none.
pub(crate) fn run(args: &SealArgs) -> Result<(), Error> {
    let documents = input::documents(args.file.as_deref())?;
    let mut secrets = Vec::new();
    let mut wrong = Vec::new();
    for document in documents {
        match plain_secret(document, args) {
            Ok(secret) => secrets.push(secret),
            Err(error) => wrong.push(error),
        }
    }
    if !wrong.is_empty() {
        return Err(Error::Several(wrong));
    }
    args.sealing.seal_and_print(secrets)
}

/// Takes a Secret out of a document, and checks what can be checked without a certificate.
fn plain_secret(document: Document, args: &SealArgs) -> Result<PlainSecret, Wrong> {
    let at = |error: DocumentError| Wrong::at(&document.place, &error, Some(error.hint().to_owned()));
    let found = document.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if found == waxwing_formats::sealed_secret::KIND {
        return Err(at(DocumentError::SealedAlready));
    }
    let secret = PlainSecret::from_manifest(document.value).map_err(|error| at(error.into()))?;
    if secret.keys().next().is_none() && !args.allow_empty_data {
        return Err(at(DocumentError::Empty));
    }
    match (&args.sealing.namespace, secret.namespace()) {
        (Some(flag), Some(own)) if flag != own => {
            Err(at(DocumentError::NamespaceMismatch { flag: flag.clone(), own: own.to_owned() }))
        }
        _ => Ok(secret),
    }
}

impl SealingArgs {
    /// Fetches the certificate, seals `secrets` and prints them.
    pub(crate) fn seal_and_print(&self, mut secrets: Vec<PlainSecret>) -> Result<(), Error> {
        for secret in &mut secrets {
            self.fill_in_namespace(secret)?;
        }
        let key = PublicKey::from_certificate_pem(&self.certificate.fetch()?, Timestamp::now())?;
        let sealed: Result<Vec<_>, _> = secrets
            .iter()
            .map(|secret| seal(secret, self.scope.unwrap_or_else(|| secret.scope()), &key, &mut OsRng))
            .collect();
        output::print(&output::documents(&sealed?, self.output)?)
    }

    /// Gives a Secret without a namespace the one that `kubectl apply` would give it, unless it is to be opened anywhere.
    fn fill_in_namespace(&self, secret: &mut PlainSecret) -> Result<(), Error> {
        let scope = self.scope.unwrap_or_else(|| secret.scope());
        if secret.namespace().is_some() {
            return Ok(());
        }
        if let Some(namespace) = &self.namespace {
            secret.set_namespace(namespace.as_str());
        } else if scope != Scope::ClusterWide {
            let namespace = self.certificate.cluster.default_namespace()?;
            output::note(&format!(
                "{} has no namespace; it is sealed for {namespace}, use --namespace to choose another",
                secret.name()
            ));
            secret.set_namespace(namespace);
        }
        Ok(())
    }
}
