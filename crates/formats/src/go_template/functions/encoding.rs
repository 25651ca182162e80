//! Base64, base32 and checksums (Sprig's `strings.go` and `crypto.go`).
//!
//! What can't be decoded is an error here; Sprig returns the text of the error as if it were the value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::super::error::Fault;
use super::super::value::{Heap, Value};
use super::{Arguments, Function, Param};
use crate::sealed_secret::lenient_base64;
use Param::Text;

pub(super) const ALL: &[Function] = &[
    Function::new("b64enc", &[Text], |heap, args| heap.text(STANDARD.encode(args.bytes(0)?).into_bytes())),
    Function::new("b64dec", &[Text], |heap, args| {
        let text = std::str::from_utf8(args.bytes(0)?).ok();
        let bytes = text.and_then(lenient_base64::decode);
        heap.text(bytes.ok_or(Fault::Failed("is given what is not base64"))?)
    }),
    Function::new("b32enc", &[Text], |heap, args| heap.text(base32(args.bytes(0)?))),
    Function::new("b32dec", &[Text], |heap, args| {
        let bytes = from_base32(args.bytes(0)?);
        heap.text(bytes.ok_or(Fault::Failed("is given what is not base32"))?)
    }),
    Function::new("sha1sum", &[Text], |heap, args| hexadecimal(heap, &Sha1::digest(args.bytes(0)?))),
    Function::new("sha256sum", &[Text], |heap, args| hexadecimal(heap, &Sha256::digest(args.bytes(0)?))),
    Function::new("sha512sum", &[Text], |heap, args| hexadecimal(heap, &Sha512::digest(args.bytes(0)?))),
    Function::new("adler32sum", &[Text], |heap, args| heap.text(adler32(args.bytes(0)?).to_string().into_bytes())),
];

fn hexadecimal(heap: &mut Heap, digest: &[u8]) -> Result<Value, Fault> {
    heap.pay(256)?;
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    heap.text(text.into_bytes())
}

/// The letters of RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let mut block = [0_u8; 8];
        block.iter_mut().skip(3).zip(group).for_each(|(to, from)| *to = *from);
        let bits = u64::from_be_bytes(block);
        let letters = (group.len() * 8).div_ceil(5);
        for position in 0..8 {
            let index = usize::try_from((bits >> (35 - 5 * position)) & 31).unwrap_or_default();
            let letter = BASE32.get(index).copied().unwrap_or(b'=');
            out.push(if position < letters { letter } else { b'=' });
        }
    }
    out
}

fn from_base32(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let text = zeroize::Zeroizing::new(text);
    let mut out = Vec::with_capacity(text.len() / 8 * 5);
    let groups = text.len().div_ceil(8);
    for (position, group) in text.chunks(8).enumerate() {
        let letters = group.iter().take_while(|byte| **byte != b'=').count();
        let padded = group.len() == 8 && group.iter().skip(letters).all(|byte| *byte == b'=');
        if !padded || !matches!(letters, 2 | 4 | 5 | 7 | 8) || (letters < 8 && position + 1 < groups) {
            return None;
        }
        let mut bits = 0_u64;
        for letter in group {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'2'..=b'7' => letter - b'2' + 26,
                b'=' => 0,
                _ => return None,
            };
            bits = (bits << 5) | u64::from(value);
        }
        out.extend_from_slice(bits.to_be_bytes().get(3..3 + letters * 5 / 8)?);
    }
    Some(out)
}

/// RFC 1950, section 8.2.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    (b << 16) | a
}
