//! Secrets as types that cannot be printed, serialised or compared in variable time, and that are wiped on drop.
//!
//! Every use of the plain value goes through a method called `reveal`, so that one search finds them all.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Where the pure part gets its random bytes from; the caller decides, so a test can decide too.
pub trait Entropy {
    /// Fills the whole of `bytes` with random bytes fit for keys.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}

macro_rules! secret_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<String>);

        impl $name {
            /// Takes the plain text over; the caller's own copies are the caller's to wipe.
            pub fn new(plain: impl Into<String>) -> Self {
                Self(Zeroizing::new(plain.into()))
            }

            /// The plain text, for the one place that must send or store it.
            pub fn reveal(&self) -> &str {
                &self.0
            }

            /// Whether there is nothing in it.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
            }
        }

        impl Eq for $name {}
    };
}

secret_text! {
    /// A Wi-Fi passphrase, 8 to 63 bytes for WPA (IEEE 802.11-2020, J.4.1).
    Passphrase
}
secret_text! {
    /// A proof of possession: the secret of a device's label.
    Pop
}
secret_text! {
    /// A private key as PKCS #8 or SEC1 PEM, as a cloud hands it out with a claim.
    PrivateKeyPem
}
secret_text! {
    /// A bearer, refresh or SAS token, or a symmetric key in the form its cloud gives it.
    Token
}

secret_text! {
    /// A tenant token (Mender): it lets any device knock at the tenant's door, and all devices of the tenant share it.
    TenantToken
}

/// Secret bytes: session keys, plaintext of encrypted requests, private scalars.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over.
    pub fn new(plain: Vec<u8>) -> Self {
        Self(Zeroizing::new(plain))
    }

    /// The plain bytes, for the one place that must use them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The length in bytes, which is no secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    static_assertions::assert_not_impl_any!(Passphrase: fmt::Display, serde::Serialize);
    static_assertions::assert_not_impl_any!(Pop: fmt::Display, serde::Serialize);
    static_assertions::assert_not_impl_any!(PrivateKeyPem: fmt::Display, serde::Serialize);
    static_assertions::assert_not_impl_any!(Token: fmt::Display, serde::Serialize);
    static_assertions::assert_not_impl_any!(TenantToken: fmt::Display, serde::Serialize);
    static_assertions::assert_not_impl_any!(SecretBytes: fmt::Display, serde::Serialize);

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        assert_eq!(format!("{:?}", Passphrase::new("correct horse")), "Passphrase(…)");
        assert_eq!(
            format!("{:?}", SecretBytes::new(b"key".to_vec())),
            "SecretBytes(3 bytes)"
        );
    }

    #[test]
    fn secrets_compare_by_content() {
        assert_eq!(Pop::new("abcd1234"), Pop::new("abcd1234"));
        assert_ne!(Pop::new("abcd1234"), Pop::new("abcd1235"));
        assert_ne!(Pop::new("abcd1234"), Pop::new("abcd123"));
    }
}
