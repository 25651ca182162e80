//! The flags of `sops keyservice`.

use clap::{Args, ValueEnum};

/// Wrap and unwrap data keys for others, with the keys at hand, until asked to end
///
/// Others name this service with --keyservice. The protocol is that of sops: the connection is in the clear, a data key crosses it as it
/// is, and nobody is asked who he is. So listen on a socket, which this user alone can open, or at least at a loopback address, where
/// every user of the machine can ask. Keys are looked for anew for each question, and questions are answered one after the other. With
/// --verbose, each is told on standard error.
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
