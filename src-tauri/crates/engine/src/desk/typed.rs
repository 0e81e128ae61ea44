//! What a person typed and nobody may see again.

use std::fmt;

use commission::secret::Passphrase;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A secret on its way down from a window: a passphrase, a proof of possession, a scanned label. It can be read from
/// a message and never written to one; wiped when dropped.
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(as = "String"))]
pub struct Typed(Zeroizing<String>);

impl Typed {
    /// Takes over what was typed.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// For the one place that turns it into a type of its own.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a passphrase.
    pub fn passphrase(&self) -> Passphrase {
        Passphrase::new(self.reveal())
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(…)")
    }
}

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
