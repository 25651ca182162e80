//! Calls of the upstream programs that people use today: sops, age, kubeseal, Kustomize, Helm. They are the judges of what we
//! write, and the source of what we must read.

use std::path::Path;

use crate::call::Call;
use crate::failure::Failure;
use crate::run_dir::RunDir;
use crate::tools::Tools;

/// Has the programs and a home of their own, where nothing of the user's configuration is found.
#[derive(Debug)]
pub struct Upstream {
    tools: Tools,
    home: RunDir,
}

impl Upstream {
    /// Finds the programs and makes them a home.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when they are not installed.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self { tools: Tools::locate()?, home: RunDir::new("upstream")? })
    }

    /// Returns the folder in which the programs run unless the call says otherwise.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Prepares a call of sops, which is kept from asking for newer versions of itself.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when it is not installed.
    pub fn sops(&self, arguments: &[&str]) -> Result<Call, Failure> {
        Ok(self.call("sops")?.env("SOPS_DISABLE_VERSION_CHECK", "true").args(arguments))
    }

    /// Prepares a call of age.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when it is not installed.
    pub fn age(&self, arguments: &[&str]) -> Result<Call, Failure> {
        Ok(self.call("age")?.args(arguments))
    }

    /// Makes a new age identity with age-keygen.
    ///
    /// # Errors
    /// [`Failure`] when it is not installed or fails.
    pub fn age_keygen(&self) -> Result<AgeKey, Failure> {
        self.age_keygen_of(&[])
    }

    /// Makes a new post-quantum age identity with age-keygen.
    ///
    /// # Errors
    /// [`Failure`] when it is not installed or fails.
    pub fn age_keygen_hybrid(&self) -> Result<AgeKey, Failure> {
        self.age_keygen_of(&["-pq"])
    }

    fn age_keygen_of(&self, arguments: &[&str]) -> Result<AgeKey, Failure> {
        let identity = self.call("age-keygen")?.args(arguments).text()?;
        let recipient = self.call("age-keygen")?.arg("-y").stdin(identity.clone()).text()?.trim().to_owned();
        Ok(AgeKey { identity, recipient })
    }

    /// Prepares a call of kubeseal.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when it is not installed.
    pub fn kubeseal(&self, arguments: &[&str]) -> Result<Call, Failure> {
        Ok(self.call("kubeseal")?.args(arguments))
    }

    /// Prepares a call of kustomize.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when it is not installed.
    pub fn kustomize(&self, arguments: &[&str]) -> Result<Call, Failure> {
        Ok(self.call("kustomize")?.args(arguments))
    }

    /// Prepares a call of helm.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when it is not installed.
    pub fn helm(&self, arguments: &[&str]) -> Result<Call, Failure> {
        Ok(self.call("helm")?.args(arguments))
    }

    fn call(&self, program: &str) -> Result<Call, Failure> {
        Ok(Call::new(&self.tools.path(program)?, self.home.path()))
    }
}

/// Is an age key pair as age-keygen writes it.
#[derive(Clone, Debug)]
pub struct AgeKey {
    /// The identity file: comments, and a line `AGE-SECRET-KEY-1...`.
    pub identity: String,
    /// The recipient, `age1...`.
    pub recipient: String,
}
