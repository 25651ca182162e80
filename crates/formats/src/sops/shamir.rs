//! Splits a data key into Shamir shares, and puts it together from them.
//!
//! Source: sops 3.13.3, `shamir/shamir.go`: the field GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, one polynomial
//! for each byte, a share is the bytes followed by its x. No branch and no table depends on share bytes.

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::SecretBytes;

/// The length of a data key in bytes.
pub(crate) const KEY_LEN: usize = 32;
/// The length of a share of it.
pub(crate) const SHARE_LEN: usize = KEY_LEN + 1;

/// Combines shares of [`SHARE_LEN`] bytes with different x into the bytes at x = 0; nothing for other input.
pub(crate) fn combine(shares: &[&[u8]]) -> Option<SecretBytes> {
    let points: Vec<(u8, &[u8])> =
        shares.iter().map(|share| share.split_last().map(|(x, ys)| (*x, ys))).collect::<Option<_>>()?;
    let usable = |at: usize, x: u8| x != 0 && points.iter().take(at).all(|(other, _)| *other != x);
    let good = points.len() >= 2
        && points.iter().all(|(_, ys)| ys.len() == KEY_LEN)
        && points.iter().enumerate().all(|(at, (x, _))| usable(at, *x));
    if !good {
        return None;
    }
    let mut key = vec![0; KEY_LEN];
    for (own, ys) in &points {
        let weight = weight(*own, &points);
        for (sum, y) in key.iter_mut().zip(*ys) {
            *sum ^= multiply(weight, *y);
        }
    }
    Some(SecretBytes::new(key))
}

/// Splits a key into `shares` of which any `threshold` give it back: each byte is what a random polynomial of that many
/// coefficients is at 0, and a share has what it is at 1, 2 and so on.
///
/// # Errors
///
/// Fails when random numbers can't be drawn. More than 255 shares can't be told apart; there are none after that.
pub(crate) fn split(
    key: &[u8],
    shares: usize,
    threshold: usize,
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<SecretBytes>, rand_core::Error> {
    let mut coefficients = Zeroizing::new(vec![0; key.len() * threshold.saturating_sub(1)]);
    rng.try_fill_bytes(&mut coefficients)?;
    let points = (1..=u8::MAX).take(shares);
    Ok(points.map(|x| SecretBytes::concat(&[&share_at(x, key, &coefficients), &[x]])).collect())
}

fn share_at(x: u8, key: &[u8], coefficients: &[u8]) -> Zeroizing<Vec<u8>> {
    let ys = key.iter().enumerate().map(|(at, byte)| {
        let own = coefficients.iter().skip(at).step_by(key.len().max(1));
        multiply(x, own.rfold(0, |sum, coefficient| multiply(sum, x) ^ coefficient)) ^ byte
    });
    Zeroizing::new(ys.collect())
}

/// The Lagrange coefficient of the point `own` at x = 0.
fn weight(own: u8, points: &[(u8, &[u8])]) -> u8 {
    points
        .iter()
        .filter(|(x, _)| *x != own)
        .fold(1, |product, (x, _)| multiply(product, multiply(*x, inverse(x ^ own))))
}

fn multiply(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |sum: u8, bit| {
        let shifted = (sum << 1) ^ (0x1b & (sum >> 7).wrapping_neg());
        shifted ^ (a & (b >> bit & 1).wrapping_neg())
    })
}

/// Raises to the power 254, which in a field of 256 elements is the inverse.
fn inverse(a: u8) -> u8 {
    let mut result = 1;
    let mut power = a;
    for _ in 0..7 {
        power = multiply(power, power);
        result = multiply(result, power);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share of the key of 32 times `secret`, with the polynomial secret + slope * x.
    fn share(secret: u8, slope: u8, x: u8) -> Vec<u8> {
        let mut share = vec![secret ^ multiply(slope, x); KEY_LEN];
        share.push(x);
        share
    }

    #[test]
    fn any_two_shares_of_a_line_give_its_value_at_zero() {
        for (one, two) in [(1, 2), (3, 1), (200, 7)] {
            let shares = [share(0x42, 0x9d, one), share(0x42, 0x9d, two)];
            let key = combine(&[&shares[0], &shares[1]]).unwrap();
            assert_eq!(key.expose_secret(), [0x42; KEY_LEN]);
        }
    }

    #[test]
    fn every_element_times_its_inverse_is_one() {
        assert!((1..=255).all(|a| multiply(a, inverse(a)) == 1));
    }

    #[test]
    fn shares_that_can_not_be_combined_are_refused() {
        let good = share(1, 2, 3);
        assert!(combine(&[&good]).is_none());
        assert!(combine(&[&good, &good]).is_none());
        assert!(combine(&[&good, &share(1, 2, 0)]).is_none());
        assert!(combine(&[&good, b"short"]).is_none());
        assert!(combine(&[&good, b""]).is_none());
    }
}
