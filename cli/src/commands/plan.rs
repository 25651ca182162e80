//! `seal plan`: what a change in Git means, without a cluster and without any key.
//!
//! Both sides are rendered as the controller renders them, and compared with handles in place of secrets. So the output
//! is public: it names the secret keys that change, and can name nothing more.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rand_core::{OsRng, RngCore};
use waxwing::render::{self, PlaintextPolicy, RenderError, RenderOptions, Rendered, Scope, bindings};
use waxwing::source::{CheckoutError, Files, RepoPath, TreeError, WorkingFolder, revision_in};
use waxwing_formats::Salt;
use waxwing_formats::reference::ForeignStores;
use waxwing_plan::diff::{TextStyle, diff_sets};
use waxwing_plan::{GroupKind, Manifest, builtin_scope, duplicates};

use crate::args::Outcome;
use crate::error::{Error, Wrong};
use crate::{input, output};

/// Show what a change in Git means
///
/// Renders a folder as the controller does, before and after, and prints the objects and fields that differ. It needs no
/// cluster and no key: of a sealed value it says only that it changed. The folder is taken as it lies on the disk, with
/// changes that are not committed. Kinds that Kubernetes doesn't have itself are taken to live in namespaces.
///
/// Exits with 0 where nothing differs, with 2 where something does, and with 1 where the folder can't be rendered.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PlanArgs {
    /// The folder that a Sync names in its path
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Compare with this Git revision, or with this folder, which is meant where there is one of that name
    #[arg(long, value_name = "REV|DIR", default_value = "HEAD")]
    against: String,

    /// Take objects that name no namespace to be in this one, as in the namespace of the Sync
    #[arg(short, long, value_name = "NAME", default_value = "default", value_parser = input::dns_label)]
    namespace: String,

    /// Print in this form
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    output: Form,

    /// Colour the text
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    color: Color,

    /// Judge Secrets in clear text as a Sync with this `spec.secrets.plaintext` does
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Plaintext::Deny)]
    plaintext: Plaintext,

    /// Permit sealed values in this kind too, as `spec.secrets.bindInto` of a Sync does; may come several times
    #[arg(long, value_name = "GROUP/KIND")]
    bind_into: Vec<waxwing::api::KindName>,

    /// Run this program to build kustomizations; a bare name is looked up in PATH
    #[arg(long, value_name = "PROGRAM", default_value = "kustomize")]
    kustomize: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  seal plan clusters/prod
  seal plan clusters/prod --against origin/main -o json
  seal plan overlays/staging --against overlays/prod";

/// The form of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to say to Secrets in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Plaintext {
    /// They are refused
    Deny,
    /// They are named
    Warn,
    /// They are taken
    Allow,
}

/// How long one build of a kustomization may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Renders both sides, compares them and prints the difference.
pub(crate) fn run(args: &PlanArgs) -> Result<Outcome, Error> {
    let (files, path) = on_disk(&args.folder)?;
    let renderer = Renderer::new(args)?;
    let new = renderer.render(&files, &path)?;
    judge(&new, args)?;
    let old = before(args, &path, &renderer)?;

    let diff = diff_sets(&old, new.manifests());
    match args.output {
        Form::Text => output::print(&diff.text(TextStyle { colour: args.color.is_on() }))?,
        Form::Json => output::print(&output::json(&diff)?)?,
    }
    Ok(if diff.is_empty() { Outcome::Done } else { Outcome::Found })
}

/// Renders what to compare with: another folder, or the same one in another revision, where it may not exist yet.
fn before(args: &PlanArgs, path: &RepoPath, renderer: &Renderer) -> Result<Vec<Manifest>, Error> {
    let other = Path::new(&args.against);
    if other.is_dir() {
        let (files, path) = on_disk(other)?;
        return Ok(renderer.render(&files, &path)?.manifests().to_vec());
    }
    let tree = revision_in(&args.folder, &args.against)?;
    match tree.find(path) {
        Err(TreeError::NotFound(_)) => Ok(Vec::new()),
        _ => Ok(renderer.render(&tree, path)?.manifests().to_vec()),
    }
}

/// Opens the checkout around a folder, or the folder alone, and returns the folder's path in it.
fn on_disk(folder: &Path) -> Result<(WorkingFolder, RepoPath), CheckoutError> {
    WorkingFolder::around(folder).map_err(|source| CheckoutError::Folder { path: folder.to_owned(), source })
}

/// Renders both sides in the same way, so that what is the same gets the same handles.
struct Renderer {
    options: RenderOptions,
    salt: Salt,
    foreign: ForeignStores,
}

impl Renderer {
    fn new(args: &PlanArgs) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        OsRng.try_fill_bytes(&mut bytes).map_err(Error::Randomness)?;
        let options = RenderOptions {
            default_namespace: args.namespace.clone(),
            kustomize: program(&args.kustomize),
            timeout: PATIENCE,
        };
        Ok(Self { options, salt: Salt::new(bytes), foreign: ForeignStores::default() })
    }

    fn render(&self, files: &dyn Files, path: &RepoPath) -> Result<Rendered, Error> {
        let files = render::read(files, path, &self.salt, &self.foreign).map_err(several)?;
        let rendered = render::render(files, &self.options, &self.salt, &scope_of).map_err(several)?;
        match duplicates(rendered.manifests()) {
            errors if errors.is_empty() => Ok(rendered),
            errors => Err(Error::Several(errors.iter().map(|error| Wrong::new(error, None)).collect())),
        }
    }
}

/// Refuses what the controller would refuse before it opens anything.
fn program(name: &Path) -> PathBuf {
    let path = std::env::var_os("PATH");
    render::find_program(name, path.as_deref()).unwrap_or_else(|| name.to_owned())
}

fn judge(rendered: &Rendered, args: &PlanArgs) -> Result<(), Error> {
    for found in render::judge(rendered.plaintext(), args.plaintext.into()).map_err(several)? {
        output::note(&format!("{}, {}: a secret value in clear text", found.location, found.key_path));
    }
    let bind_into: Vec<_> = args.bind_into.iter().map(|kind| kind.get().clone()).collect();
    let check = |manifest| bindings::check(manifest, &bind_into).err().unwrap_or_default();
    let errors: Vec<_> = rendered.manifests().iter().flat_map(check).collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::Several(errors.iter().map(|error| Wrong::new(error, Some(error.hint()))).collect())),
    }
}

fn several(errors: Vec<RenderError>) -> Error {
    Error::Several(errors.iter().map(|error| Wrong::at(&error.place, &error.fault, error.hint())).collect())
}

fn scope_of(kind: &GroupKind) -> Option<Scope> {
    builtin_scope(kind).map(|scope| match scope {
        waxwing_plan::Scope::Cluster => Scope::Cluster,
        waxwing_plan::Scope::Namespaced => Scope::Namespaced,
    })
}

impl From<Plaintext> for PlaintextPolicy {
    fn from(policy: Plaintext) -> Self {
        match policy {
            Plaintext::Deny => Self::Deny,
            Plaintext::Warn => Self::Warn,
            Plaintext::Allow => Self::Allow,
        }
    }
}

impl Color {
    fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                std::io::stdout().is_terminal() && !unwanted
            }
        }
    }
}
