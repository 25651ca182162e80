//! Another user of the machine, whom a command is run as.
//!
//! Source: sops 3.13.3, `SwitchUser` and `UserEnv` in `cmd/sops/subcommand/exec/exec_unix.go`. As there, the whole program becomes
//! that user for good once the file is opened, so that a file for the command belongs to him.

use std::ffi::{CString, OsString};

use nix::unistd::{Gid, User, getgrouplist, setgroups, setresgid, setresuid};
use waxwing::runtime::harden;

use super::fault::Fault;

/// A user with his groups.
pub(crate) struct Account {
    user: User,
    groups: Vec<Gid>,
}

impl Account {
    /// Looks a user up by name.
    pub(crate) fn named(name: &str) -> Result<Self, Fault> {
        let refused = |why: &dyn std::fmt::Display| Fault::not_as(name, &why.to_string());
        let user = User::from_name(name).map_err(|error| refused(&error))?;
        let user = user.ok_or_else(|| refused(&"there is no such user"))?;
        let called = CString::new(user.name.as_str()).map_err(|error| refused(&error))?;
        let groups = getgrouplist(&called, user.gid).map_err(|error| refused(&error))?;
        Ok(Self { user, groups })
    }

    /// Makes this program the user's, with nothing left of who it belonged to.
    pub(crate) fn enter(&self) -> Result<(), Fault> {
        let Self { user: User { name, uid, gid, .. }, groups } = self;
        let refused = |error: nix::Error| Fault::not_as(name, error.desc());
        setgroups(groups).map_err(refused)?;
        setresgid(*gid, *gid, *gid).map_err(refused)?;
        setresuid(*uid, *uid, *uid).map_err(refused)?;
        // A new user undoes what was forbidden to debuggers.
        harden().map_err(|error| Fault::not_as(name, &error.to_string()))
    }

    /// Returns what the environment says of a user.
    pub(crate) fn variables(&self) -> [(&'static str, OsString); 3] {
        let User { name, dir, .. } = &self.user;
        [("HOME", dir.clone().into_os_string()), ("USER", name.into()), ("LOGNAME", name.into())]
    }
}
