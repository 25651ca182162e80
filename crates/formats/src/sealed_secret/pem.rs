//! Finds a block in a PEM file (RFC 7468) as forgivingly as Go's `encoding/pem` does.
//!
//! Text around blocks and blocks of other kinds are skipped, lines may have any length and any line ending. What is
//! inside a block is not looked at here.

use zeroize::Zeroizing;

use super::lenient_base64;

/// One block of a PEM file; its content may be a private key and is wiped when dropped.
pub struct Block {
    /// What stands after `BEGIN`, such as `CERTIFICATE`.
    pub label: String,
    /// The decoded content.
    pub der: Zeroizing<Vec<u8>>,
}

/// Returns the first well-formed block whose label is one of `labels`.
pub fn first_block(pem: &[u8], labels: &[&str]) -> Option<Block> {
    let mut rest = std::str::from_utf8(pem).ok()?;
    while let Some((_, from_label)) = rest.split_once(BEGIN) {
        rest = from_label;
        if let Some(block) = block_at(from_label).filter(|block| labels.contains(&block.label.as_str())) {
            return Some(block);
        }
    }
    None
}

fn block_at(from_label: &str) -> Option<Block> {
    let (label, body) = from_label.split_once(DASHES)?;
    let (body, _) = body.split_once(&format!("-----END {label}{DASHES}"))?;
    let mut digits = Zeroizing::new(String::with_capacity(body.len()));
    digits.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let der = Zeroizing::new(lenient_base64::decode(&digits)?);
    Some(Block { label: label.to_owned(), der })
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_of_the_wanted_kind_is_found() {
        let pem = b"a note\n-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\r\n\
            -----BEGIN WANTED-----\r\naG\r\nk=\r\n-----END WANTED-----\n\
            -----BEGIN WANTED-----\nAAAA\n-----END WANTED-----\n";
        let block = first_block(pem, &["WANTED"]).expect("the block stands in the file");
        assert_eq!((block.label.as_str(), block.der.as_slice()), ("WANTED", b"hi".as_slice()));
    }

    #[test]
    fn damaged_blocks_are_not_found() {
        for pem in [
            "",
            "-----BEGIN A-----",
            "-----BEGIN A-----\nAAAA\n",
            "-----BEGIN A-----\nAAAA\n-----END B-----",
            "-----BEGIN A-----\nAAA\n-----END A-----",
            "-----BEGIN A-----\nK: v\n\nAAAA\n-----END A-----",
            "-----BEGIN ",
        ] {
            assert!(first_block(pem.as_bytes(), &["A"]).is_none(), "{pem:?}");
        }
        assert!(first_block(b"\xff\xfe-\0-\0", &["A"]).is_none());
    }
}
