//! Which file is meant, what it is taken for, which configuration holds for it, and where the result goes.

use std::cell::OnceCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use waxwing_formats::sops::{Document, Plain, Sealed, Store};
use zeroize::Zeroizing;

use super::args::{Global, Target, Trust, Types};
use super::fault::{Fault, name_of};
use crate::output;
use crate::sealed::{
    self, Configuration, Identities, KeyServices, Layouts, Opened, SealedError, Secrecy, cleaned, store_of,
};

/// Finds out about files that are under one configuration, which is read when the first of them comes up.
pub(crate) struct Places<'a> {
    global: &'a Global,
    services: Rc<KeyServices>,
    configuration: OnceCell<Option<Rc<Configuration>>>,
}

impl<'a> Places<'a> {
    /// Takes the flags that name a configuration.
    pub(crate) fn new(global: &'a Global) -> Self {
        Self::of(global, OnceCell::new())
    }

    /// Takes the configuration that holds for all of them.
    pub(crate) fn under(configuration: Option<Configuration>, global: &'a Global) -> Self {
        Self::of(global, OnceCell::from(configuration.map(Rc::new)))
    }

    fn of(global: &'a Global, configuration: OnceCell<Option<Rc<Configuration>>>) -> Self {
        Self { global, services: Rc::new(global.services.key_services()), configuration }
    }

    /// Finds the keys that may be asked, in the order that is said.
    pub(crate) fn identities(&self) -> Identities {
        identities(&self.services, self.global.decryption_order.as_deref())
    }

    /// Finds out about a file, which must exist, or about standard input.
    pub(crate) fn at(&self, file: Option<&Path>, types: &Types) -> Result<Place, Fault> {
        if let Some(missing) = file.filter(|file| !file.exists()) {
            return Err(Fault::no_such_file(missing));
        }
        self.at_any(file, types)
    }

    /// Finds out about a file that need not exist.
    pub(crate) fn at_any(&self, file: Option<&Path>, types: &Types) -> Result<Place, Fault> {
        let name = types.filename_override.as_deref().or(file).unwrap_or(Path::new(""));
        let (input, output) = (types.formats.input_type.as_deref(), types.formats.output_type.as_deref());
        let (input, output) = (store_of(name, input), store_of(name, output));
        // An empty name is that of standard input, for which no rule holds.
        let name = cleaned(name);
        let configuration = self.configuration()?;
        let said = configuration.as_deref().map(Configuration::layouts).unwrap_or_default();
        let layouts = self.global.indent.map_or(said, Layouts::all);
        let (order, trust, services) =
            (self.global.decryption_order.clone(), Trust::default(), Rc::clone(&self.services));
        Ok(Place {
            file: file.map(Path::to_owned),
            name,
            input,
            output,
            configuration,
            layouts,
            services,
            order,
            trust,
        })
    }

    /// Returns the configuration that is named, or found.
    pub(crate) fn configuration(&self) -> Result<Option<Rc<Configuration>>, Fault> {
        if let Some(known) = self.configuration.get() {
            return Ok(known.clone());
        }
        let found = match &self.global.config {
            Some(path) if !path.is_empty() => Some(Configuration::read(Path::new(path))?),
            _ => match std::env::current_dir() {
                Ok(folder) => Configuration::find(&folder)?,
                // Above a folder that was removed there is nothing to find.
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(Fault::no_working_folder(&error)),
            },
        };
        Ok(self.configuration.get_or_init(|| found.map(Rc::new)).clone())
    }
}

/// A file of the command line with all that depends on its name.
pub(crate) struct Place {
    /// Nothing for standard input.
    file: Option<PathBuf>,
    /// The name that counts for types and rules.
    pub(crate) name: PathBuf,
    pub(crate) input: Store,
    pub(crate) output: Store,
    pub(crate) configuration: Option<Rc<Configuration>>,
    layouts: Layouts,
    services: Rc<KeyServices>,
    /// Which kinds of keys are asked first, if that is said.
    order: Option<String>,
    trust: Trust,
}

impl Place {
    /// Finds out about the only file, which must exist, or about standard input.
    pub(crate) fn new(file: Option<&Path>, types: &Types, global: &Global) -> Result<Self, Fault> {
        Places::new(global).at(file, types)
    }

    /// Has the file opened as it is asked for.
    pub(crate) fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// Returns the path of a file that is not standard input.
    pub(crate) fn path(&self) -> Result<&Path, Fault> {
        self.file.as_deref().ok_or_else(Fault::no_file)
    }

    /// Names the file in a fault.
    pub(crate) fn fault(&self, fault: impl Into<Fault>) -> Fault {
        fault.into().in_file(self.file.as_deref())
    }

    /// Reads and opens the sealed file.
    pub(crate) fn open(&self) -> Result<Opened, Fault> {
        self.unlock(self.sealed()?, &self.identities())
    }

    /// Finds the keys that may be asked, in the order that is said.
    pub(crate) fn identities(&self) -> Identities {
        identities(&self.services, self.order.as_deref())
    }

    /// Returns whom data keys are wrapped by.
    pub(crate) fn services(&self) -> &KeyServices {
        &self.services
    }

    /// Reads the sealed file.
    pub(crate) fn sealed(&self) -> Result<Document<Sealed>, Fault> {
        let document = Document::<Sealed>::parse_local(&self.read()?, self.input);
        document.map_err(|error| self.fault(SealedError::File(error)))
    }

    /// Opens the sealed file, which was read already.
    pub(crate) fn unlock(&self, document: Document<Sealed>, identities: &Identities) -> Result<Opened, Fault> {
        if self.services.are_none() {
            return Err(Fault::no_key_service());
        }
        let opened = if self.trust.ignore_mac { sealed::open_unverified } else { sealed::open }(document, identities);
        let opened = opened.map_err(|error| self.fault(error))?;
        if self.trust.ignore_mac {
            let name = name_of(self.file.as_deref());
            output::note(&format!(
                "{name} is opened without a check whether something was changed, added or taken out"
            ));
        }
        Ok(opened)
    }

    /// Reads the file in the clear, which is to be sealed in the format of the output.
    pub(crate) fn plain(&self) -> Result<Plain, Fault> {
        let plain = Plain::parse(&self.read()?, self.input);
        let plain = plain.map_err(|error| self.fault(Fault::of_plain(error)))?;
        Ok(plain.into_store(self.output))
    }

    /// Reads the file.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        sealed::read(self.file.as_deref()).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Fault::no_such_file(self.file.as_deref().unwrap_or(Path::new("-"))),
            _ => Fault::unreadable(self.file.as_deref(), &error),
        })
    }

    /// Returns how many spaces the output is indented by, where that is said.
    pub(crate) fn indent(&self) -> Option<u8> {
        self.layouts.of(self.output)
    }

    /// Refuses a target that can't be, before anything is done.
    pub(crate) fn check(file: Option<&Path>, target: &Target) -> Result<(), Fault> {
        match (target.in_place, file, &target.output) {
            (true, _, Some(_)) => Err(Fault::conflicting("--in-place and --output can't be used together")),
            (true, None, None) => Err(Fault::conflicting("standard input can't be written in place")),
            _ => Ok(()),
        }
    }

    /// Writes the result to where it was asked for, or prints it.
    pub(crate) fn put(&self, bytes: &[u8], target: &Target, secrecy: Secrecy) -> Result<(), Fault> {
        match (&target.output, target.in_place) {
            (Some(output), _) => {
                sealed::write(output, bytes, secrecy).map_err(|error| Fault::unwritable(output, &error))
            }
            (None, true) => self.replace(bytes),
            (None, false) => output::print_bytes(bytes).map_err(|error| Fault::from_cli(&error)),
        }
    }

    /// Writes the result over the file.
    pub(crate) fn replace(&self, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.path()?;
        sealed::replace(path, bytes).map_err(|error| Fault::unwritable(path, &error))
    }
}

/// Finds the keys that may be asked, in the order that is given, as `--decryption-order` has it.
fn identities(services: &Rc<KeyServices>, order: Option<&str>) -> Identities {
    let identities = Identities::through(Rc::clone(services));
    match order {
        None | Some("") => identities,
        Some(kinds) => identities.in_order(kinds.split(',').map(str::to_owned).collect()),
    }
}
