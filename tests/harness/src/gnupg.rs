//! GnuPG with keyrings of its own: the real `gpg`, in a folder whose path is short enough for the sockets of its agent.
//!
//! The agent is ended with its owner. If the owner is killed, the folder goes, and the agent ends since its socket is gone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::call::Call;
use crate::failure::Failure;
use crate::run_dir::RunDir;
use crate::tools::Tools;

/// Has the program and a home with keyrings.
#[derive(Debug)]
pub struct Gnupg {
    tools: Tools,
    home: RunDir,
}

impl Gnupg {
    /// Finds the programs and makes an empty home, in which nobody is asked for a passphrase.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when they are not installed.
    pub fn new() -> Result<Self, Failure> {
        let gnupg = Self { tools: Tools::locate()?, home: RunDir::new("gpg")? };
        gnupg.tools.path("gpg").and_then(|_| gnupg.tools.path("gpgconf"))?;
        // Else gpg warns.
        let private = Permissions::from_mode(0o700);
        fs::set_permissions(gnupg.home(), private).map_err(Failure::io("close the home of GnuPG to others"))?;
        gnupg.home.write("gpg-agent.conf", "allow-loopback-pinentry\npinentry-program /bin/false\n")?;
        Ok(gnupg)
    }

    /// Returns the folder with the keyrings, for `GNUPGHOME`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Prepares a call of gpg that asks nobody.
    ///
    /// # Errors
    /// [`Failure::MissingTool`] when it is not installed.
    pub fn gpg(&self, arguments: &[&str]) -> Result<Call, Failure> {
        let call = Call::new(&self.tools.path("gpg")?, self.home()).env("GNUPGHOME", self.home());
        Ok(call.args(["--batch", "--no-tty", "--pinentry-mode", "loopback"]).args(arguments))
    }

    /// Makes a key for `user` whose parts gpg knows by these names, such as `rsa2048` to sign and `cv25519` to encrypt, and returns
    /// its fingerprint.
    ///
    /// # Errors
    /// [`Failure`] when gpg fails.
    pub fn make_key(&self, user: &str, signing: &str, encrypting: &str, passphrase: &str) -> Result<String, Failure> {
        let with = ["--passphrase", passphrase];
        self.gpg(&with)?.args(["--quick-generate-key", user, signing, "sign", "never"]).text()?;
        let fingerprint = self.fingerprint(user)?;
        self.gpg(&with)?.args(["--quick-add-key", &fingerprint, encrypting, "encrypt", "never"]).text()?;
        Ok(fingerprint)
    }

    /// Returns the fingerprint of the key of a user.
    ///
    /// # Errors
    /// [`Failure`] when gpg fails.
    pub fn fingerprint(&self, user: &str) -> Result<String, Failure> {
        let listed = self.gpg(&["--with-colons", "--list-keys", user])?.text()?;
        let first = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
        Ok(first.unwrap_or_default().trim_matches(':').to_owned())
    }

    /// Returns a private key, armored.
    ///
    /// # Errors
    /// [`Failure`] when gpg fails.
    pub fn private_key(&self, name: &str) -> Result<String, Failure> {
        self.gpg(&["--passphrase", "", "--armor", "--export-secret-keys", name])?.text()
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        let Ok(program) = self.tools.path("gpgconf") else { return };
        // Without an agent there is nothing to end.
        let _ = Call::new(&program, self.home()).env("GNUPGHOME", self.home()).args(["--kill", "all"]).run();
    }
}
