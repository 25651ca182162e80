//! Files with PGP keys taken apart: armored blocks (RFC 9580 section 6) with text around them, or packets alone (section 4).
//!
//! Packets with private halves are cut out here and read in `private`: the parser of the crate `pgp` for them writes what it reads to
//! the log.

use std::io::{Cursor, Read};

use pgp::armor::Dearmor;
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::packet::PacketHeader;
use pgp::types::{PacketLength, Tag};
use zeroize::Zeroizing;

/// No key file is longer: a Secret holds at most 1 MiB.
const MAX_FILE_LEN: usize = 1 << 20;
/// How many keys of a file are read.
const MAX_KEYS: usize = 200;

/// Why a file can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileError {
    TooLong,
    TooManyKeys,
    Damaged,
}

/// The bytes of a packet with a private half.
pub(super) struct PrivatePacket {
    /// Whether other keys belong to it, and not it to another.
    pub(super) is_primary: bool,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Returns the packets with private halves, in their order.
pub(super) fn private_packets(file: &[u8]) -> Result<Vec<PrivatePacket>, FileError> {
    let mut found = Vec::new();
    for section in sections(file, "PGP PRIVATE KEY BLOCK-----")? {
        let mut rest = section.as_slice();
        while !rest.is_empty() {
            let (tag, body, behind) = first_packet(rest).ok_or(FileError::Damaged)?;
            rest = behind;
            if ![Tag::SecretKey, Tag::SecretSubkey].contains(&tag) {
                continue;
            }
            if found.len() == MAX_KEYS {
                return Err(FileError::TooManyKeys);
            }
            let body = Zeroizing::new(body.to_vec());
            found.push(PrivatePacket { is_primary: tag == Tag::SecretKey, body });
        }
    }
    Ok(found)
}

/// Returns the public keys that can be read, each with what belongs to it.
pub(super) fn public_keys(file: &[u8]) -> Result<Vec<SignedPublicKey>, FileError> {
    let mut found = Vec::new();
    for section in sections(file, "PGP PUBLIC KEY BLOCK-----")? {
        let packets = without_trust(&section).ok_or(FileError::Damaged)?;
        let keys = SignedPublicKey::from_bytes_many(packets.as_slice()).map_err(|_| FileError::Damaged)?;
        // In a keyring there may be keys of kinds that nobody knows here.
        found.extend(keys.take(MAX_KEYS).filter_map(Result::ok));
    }
    Ok(found)
}

/// Leaves out what GnuPG notes for itself in its keyrings, between the packets of a key (section 5.10).
fn without_trust(section: &[u8]) -> Option<Vec<u8>> {
    let (mut rest, mut kept) = (section, Vec::with_capacity(section.len()));
    while !rest.is_empty() {
        let (tag, _, behind) = first_packet(rest)?;
        let packet = rest.get(..rest.len() - behind.len())?;
        if tag != Tag::Trust {
            kept.extend_from_slice(packet);
        }
        rest = behind;
    }
    Some(kept)
}

/// Returns a packet's type and body, and what stands behind it. Packets with keys have a length (section 4.2.1.4).
fn first_packet(bytes: &[u8]) -> Option<(Tag, &[u8], &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let header = PacketHeader::try_from_reader(&mut cursor).ok()?;
    let PacketLength::Fixed(length) = header.packet_length() else { return None };
    let behind = bytes.get(usize::try_from(cursor.position()).ok()?..)?;
    let (body, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
    Some((header.tag(), body, behind))
}

/// Returns the packets of each armored block, or of a file that has none.
fn sections(file: &[u8], label: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, FileError> {
    if file.len() > MAX_FILE_LEN {
        return Err(FileError::TooLong);
    }
    let sections: Vec<_> = armored(file, label).map(dearmored).collect::<Result<_, _>>()?;
    // The first octet of a packet has its highest bit set; that of a text has not.
    let is_binary = sections.is_empty() && file.first().is_some_and(|first| first & 0x80 != 0);
    Ok(if is_binary { vec![Zeroizing::new(file.to_vec())] } else { sections })
}

/// Returns the armored blocks of a kind, each from its first line to its last.
fn armored<'a>(file: &'a [u8], label: &str) -> impl Iterator<Item = &'a [u8]> {
    let (begin, end) = (format!("-----BEGIN {label}"), format!("-----END {label}"));
    let mut rest = file;
    std::iter::from_fn(move || {
        let (_, block) = rest.split_at_checked(position(rest, begin.as_bytes())?)?;
        let length = position(block, end.as_bytes()).map_or(block.len(), |at| at + end.len());
        let (block, behind) = block.split_at_checked(length)?;
        rest = behind;
        Some(block)
    })
}

fn position(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

fn dearmored(block: &[u8]) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // What is decoded is shorter, so this does not grow.
    let mut packets = Zeroizing::new(Vec::with_capacity(block.len()));
    let mut dearmor = Dearmor::new(Cursor::new(block));
    dearmor.read_header().map_err(|_| FileError::Damaged)?;
    dearmor.read_to_end(&mut packets).map_err(|_| FileError::Damaged)?;
    Ok(packets)
}
