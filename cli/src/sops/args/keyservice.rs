//! The flags of `sops keyservice`, and those that name such services to all other commands, of `seal` too.

use clap::{Args, ValueEnum};

use crate::keyservice::{AddressError, KeyServiceAddress};
use crate::output;
use crate::sealed::KeyServices;

/// Wrap and unwrap data keys for others, with the keys at hand, until asked to end
///
/// Others name this service with --keyservice. The protocol is that of sops: the connection is in the clear, a data key crosses it as it
/// is, and nobody is asked who he is. So listen on a socket, which this user alone can open, or at least at a loopback address, where
/// every user of the machine can ask. Keys are looked for anew for each question, of which eight are answered at a time, with --prompt one.
/// With --verbose, each is told on standard error.
#[derive(Args)]
pub(crate) struct KeyserviceArgs {
    /// Listen at an address and port, or on a socket in the file system
    #[arg(long, visible_alias = "net", value_enum, default_value_t = Network::Tcp)]
    pub(crate) network: Network,

    /// Where to listen: 127.0.0.1:5000, or the path of the socket
    #[arg(long, visible_alias = "addr", value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    pub(crate) address: String,

    /// Ask at standard input before each question is answered
    #[arg(long)]
    pub(crate) prompt: bool,
}

/// What a key service listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// An address and a port
    Tcp,
    /// A socket in the file system
    Unix,
}

/// Whom data keys are wrapped and unwrapped by, besides the keys on this machine.
#[derive(Args)]
pub(crate) struct KeyServiceFlags {
    /// Look for keys on this machine; with =false only the services of --keyservice are asked
    #[arg(
        long,
        value_name = "BOOL",
        env = "SOPS_ENABLE_LOCAL_KEYSERVICE",
        hide_env_values = true,
        value_parser = truth,
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    enable_local_keyservice: bool,

    /// Ask this key service too, tcp://HOST:PORT or unix:///PATH, after the keys on this machine; may be repeated
    #[arg(long, value_name = "ADDRESS", env = "SOPS_KEYSERVICE", hide_env_values = true, value_parser = addresses, global = true)]
    keyservice: Vec<Addresses>,
}

impl Default for KeyServiceFlags {
    fn default() -> Self {
        Self { enable_local_keyservice: true, keyservice: Vec::new() }
    }
}

/// Key services, with commas between several, as `SOPS_KEYSERVICE` has them.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(Vec<KeyServiceAddress>);

fn addresses(text: &str) -> Result<Addresses, String> {
    let named = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let addresses = named.map(str::parse).collect::<Result<_, AddressError>>();
    addresses.map(Addresses).map_err(|error| format!("{error}: {}", AddressError::HINT))
}

impl KeyServiceFlags {
    /// Returns where the key services are that are named.
    fn named(&self) -> impl Iterator<Item = &KeyServiceAddress> {
        self.keyservice.iter().flat_map(|Addresses(addresses)| addresses)
    }

    /// Says which of the services get data keys over a network.
    pub(crate) fn warn(&self) {
        for address in self.named().filter(|address| address.is_elsewhere()) {
            output::note(&format!("data keys go to {address} and come from there in the clear"));
        }
    }

    /// Returns whom data keys are wrapped and unwrapped by.
    pub(crate) fn key_services(&self) -> KeyServices {
        KeyServices::new(self.enable_local_keyservice, self.named().cloned())
    }
}

/// Reads a boolean as Go does; nothing is what is usual.
fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false"),
    }
}
