//! JSON Web Tokens signed with ES256 (RFC 7515, RFC 7518 3.4): made by the issuer, checked by the broker.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A signing key that was made for this run and is gone after it.
pub(crate) struct SigningKey {
    key: EcdsaKeyPair,
    kid: String,
}

/// A public key in the form of RFC 7518, 6.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    crv: String,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
    kid: String,
    x: String,
    y: String,
}

/// RFC 7517, 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JwkSet {
    pub(crate) keys: Vec<Jwk>,
}

/// Public keys by `kid`, ready to check with: uncompressed points.
pub(crate) type PublicKeys = BTreeMap<String, Vec<u8>>;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    #[error("the token is not three parts of base64url JSON signed with ES256")]
    Form,
    #[error("the token is signed with a key that the issuer doesn't publish")]
    UnknownKey(String),
    #[error("the token's signature is wrong")]
    Signature,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: String,
    kid: String,
}

impl SigningKey {
    /// None if the system gives no randomness.
    pub(crate) fn generate() -> Option<Self> {
        let rng = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).ok()?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &rng).ok()?;
        let kid = crate::cloud::random_name()?;
        Some(Self { key, kid })
    }

    /// The token, or None if the claims are no JSON or the system gives no randomness.
    pub(crate) fn sign(&self, typ: &str, claims: &impl Serialize) -> Option<String> {
        let header = Header {
            alg: "ES256".into(),
            typ: typ.into(),
            kid: self.kid.clone(),
        };
        let signed = format!("{}.{}", encode(&header)?, encode(claims)?);
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What the issuer publishes.
    pub(crate) fn jwk(&self) -> Option<Jwk> {
        let point = self.key.public_key().as_ref();
        // 0x04, x, y: SEC 1, 2.3.3.
        let (x, y) = point.get(1..)?.split_at_checked(32)?;
        Some(Jwk {
            kty: "EC".into(),
            crv: "P-256".into(),
            usage: "sig".into(),
            alg: "ES256".into(),
            kid: self.kid.clone(),
            x: BASE64_URL_SAFE_NO_PAD.encode(x),
            y: BASE64_URL_SAFE_NO_PAD.encode(y),
        })
    }
}

impl JwkSet {
    /// The P-256 keys of the set; others are left out, as RFC 7517, 5 wants.
    pub(crate) fn public_keys(&self) -> PublicKeys {
        let usable = self
            .keys
            .iter()
            .filter(|key| key.kty == "EC" && key.crv == "P-256");
        usable
            .filter_map(|key| Some((key.kid.clone(), key.point()?)))
            .collect()
    }
}

impl Jwk {
    fn point(&self) -> Option<Vec<u8>> {
        let mut point = vec![0x04];
        point.extend(BASE64_URL_SAFE_NO_PAD.decode(&self.x).ok()?);
        point.extend(BASE64_URL_SAFE_NO_PAD.decode(&self.y).ok()?);
        Some(point)
    }
}

/// The claims of a token whose signature is right. Issuer, audience and time are still to be looked at.
pub(crate) fn verify<T: DeserializeOwned>(token: &str, keys: &PublicKeys) -> Result<T, JwtError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Form)?;
    let (header, claims) = signed.split_once('.').ok_or(JwtError::Form)?;
    let header: Header = decode(header)?;
    // The algorithm is ours to choose, never the token's (RFC 8725, 3.1).
    if header.alg != "ES256" {
        return Err(JwtError::Form);
    }
    let key = keys.get(&header.kid).ok_or(JwtError::UnknownKey(header.kid))?;
    let signature = BASE64_URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| JwtError::Form)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| JwtError::Signature)?;
    decode(claims)
}

fn encode(value: &impl Serialize) -> Option<String> {
    Some(BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).ok()?))
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, JwtError> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Form)?;
    serde_json::from_slice(&json).map_err(|_| JwtError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_token_is_believed_only_unchanged_and_under_a_published_key() {
        let key = SigningKey::generate().unwrap();
        let keys = JwkSet {
            keys: vec![key.jwk().unwrap()],
        }
        .public_keys();
        let token = key.sign("JWT", &json!({"sub": "anna"})).unwrap();
        assert_eq!(verify::<Value>(&token, &keys), Ok(json!({"sub": "anna"})));

        let other = SigningKey::generate().unwrap();
        let forged = other.sign("JWT", &json!({"sub": "anna"})).unwrap();
        assert_eq!(
            verify::<Value>(&forged, &keys),
            Err(JwtError::UnknownKey(other.kid.clone()))
        );

        let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let changed = format!("{header}.{}.{signature}", encode(&json!({"sub": "sam"})).unwrap());
        assert_eq!(verify::<Value>(&changed, &keys), Err(JwtError::Signature));

        let none = encode(&json!({"alg": "none", "kid": key.kid})).unwrap();
        let unsigned = format!("{none}.{}.", encode(&json!({"sub": "anna"})).unwrap());
        assert_eq!(verify::<Value>(&unsigned, &keys), Err(JwtError::Form));
        assert_eq!(verify::<Value>("", &keys), Err(JwtError::Form));
    }
}
