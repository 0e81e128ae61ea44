//! PEM to DER (RFC 7468), since DER is a third smaller and a device need not decode base64.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Why a text is not the PEM that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PemError {
    /// There is no block of this kind.
    #[error("there is no PEM block")]
    NoBlock,
    /// A block has no end, or another one's.
    #[error("a PEM block does not end")]
    NoEnd,
    /// The text of a block is no base64.
    #[error("a PEM block is no base64")]
    NotBase64,
}

/// The content of all blocks whose kind `wanted` accepts, in order; at least one.
pub(super) fn blocks(text: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Zeroizing<Vec<u8>>>, PemError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (kind, after) = after.split_once(DASHES).ok_or(PemError::NoEnd)?;
        let (body, after) = after.split_once(END).ok_or(PemError::NoEnd)?;
        rest = after
            .strip_prefix(kind)
            .and_then(|after| after.strip_prefix(DASHES))
            .ok_or(PemError::NoEnd)?;
        if wanted(kind) {
            found.push(decode(body)?);
        }
    }
    if found.is_empty() {
        return Err(PemError::NoBlock);
    }
    Ok(found)
}

fn decode(body: &str) -> Result<Zeroizing<Vec<u8>>, PemError> {
    // Full capacity from the start: a buffer that grows leaves copies of a key behind.
    let mut packed = Zeroizing::new(String::with_capacity(body.len()));
    packed.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(packed.len()));
    STANDARD
        .decode_vec(packed.as_bytes(), &mut bytes)
        .map_err(|_| PemError::NotBase64)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
        blocks(text, |kind| kind == "CERTIFICATE").map(|found| found.iter().map(|der| der.to_vec()).collect())
    }

    #[test]
    fn takes_the_wanted_blocks_in_order_and_leaves_the_rest() {
        let text = "a comment\n-----BEGIN CERTIFICATE-----\r\nAQ\r\nID\r\n-----END CERTIFICATE-----\n\
                    -----BEGIN X-----\nAAAA\n-----END X-----\n-----BEGIN CERTIFICATE-----\nBA==\n-----END CERTIFICATE-----";
        assert_eq!(contents(text), Ok([[1, 2, 3].to_vec(), [4].to_vec()].to_vec()));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(contents(""), Err(PemError::NoBlock));
        assert_eq!(
            contents("-----BEGIN X-----\n-----END X-----"),
            Err(PemError::NoBlock)
        );
        assert_eq!(contents("-----BEGIN CERTIFICATE"), Err(PemError::NoEnd));
        assert_eq!(
            contents("-----BEGIN CERTIFICATE-----\nAQID"),
            Err(PemError::NoEnd)
        );
        assert_eq!(
            contents("-----BEGIN CERTIFICATE-----\nAQID\n-----END X-----"),
            Err(PemError::NoEnd)
        );
        assert_eq!(
            contents("-----BEGIN CERTIFICATE-----\nAQ?D\n-----END CERTIFICATE-----"),
            Err(PemError::NotBase64)
        );
    }
}
