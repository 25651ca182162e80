//! sops's key services: programs that wrap and unwrap data keys for others, over gRPC.
//!
//! `wire` has the messages, `address` says where a service is, `client` asks one, `server` is one. As in sops the connection is in the
//! clear and nobody is asked who he is: **a data key crosses it as it is**, so a service belongs on a socket of its user, or on the
//! loopback of one machine. What is not here: whose keys a server answers with, and who asks its user.
//! Source: sops 3.13.3, `keyservice/`.

mod address;
mod client;
mod server;
mod wire;

pub(crate) use address::{AddressError, KeyServiceAddress};
pub(crate) use client::{KeyService, KeyServiceError};
pub(crate) use server::{Declined, Listening, Places, Question, Wish, serve};
pub(crate) use wire::{DATA_KEY_LENGTHS, ciphertext};
