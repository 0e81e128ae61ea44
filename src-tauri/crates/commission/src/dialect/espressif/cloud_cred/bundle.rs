//! What `cloud-cred` carries: a claim with all that a device needs to use it, as protobuf with certificates in DER.
//!
//! The bytes of one claim are always the same, whenever they are made, so that a broken transfer can go on. That is
//! why the current time is not in here but in the commit.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use prost::Message as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::super::wire::{self, WireError};
use super::pem::{self, PemError};
use super::{form_code, form_from_code};
use crate::claim::{Claim, ClaimForm, ClaimKind};
use crate::secret::{SecretBytes, TenantToken, Token};
use crate::time::UnixTime;

const NAME: &str = "claim";

/// A claim as the device gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimBundle {
    /// The cloud's name for the claim.
    pub id: String,
    /// What it is.
    pub credential: Credential,
    /// DNS name or address of the cloud.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Authorities that vouch for the host, DER.
    pub ca: Vec<Vec<u8>>,
    /// Provisioning template; empty where the cloud has none.
    pub template: String,
    /// Parameters to hand back when registering.
    pub parameters: BTreeMap<String, String>,
    /// When the cloud issued it.
    pub issued_at: UnixTime,
    /// When it dies.
    pub expires_at: UnixTime,
}

/// What a claim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An X.509 certificate.
    Certificate {
        /// Chain in DER, leaf first.
        chain: Vec<Vec<u8>>,
        /// Its private key as PKCS #8, SEC1 or PKCS #1 DER; absent where the certificate is for the device's own key.
        key: Option<SecretBytes>,
    },
    /// The cloud expects the device's own key.
    PublicKey {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid.
        id_scope: Option<String>,
        /// Whose the device is.
        tenant_token: Option<TenantToken>,
    },
    /// A shared access signature.
    Sas {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid.
        id_scope: String,
        /// The token.
        token: Token,
    },
    /// A symmetric key.
    SymmetricKey {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid.
        id_scope: String,
        /// The key in the form that the cloud gave it.
        key: Token,
    },
    /// The cloud expects the device's TPM.
    Tpm {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid.
        id_scope: String,
    },
}

/// Why a claim cannot be made into a bundle: the cloud gave something that no device could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// The certificate chain.
    #[error("the claim's certificate is unusable: {0}")]
    Chain(PemError),
    /// The private key.
    #[error("the claim's private key is unusable: {0}")]
    Key(PemError),
    /// The endpoint's authority.
    #[error("the claim's authority certificate is unusable: {0}")]
    Ca(PemError),
}

impl Credential {
    /// Its form.
    pub fn form(&self) -> ClaimForm {
        match self {
            Self::Certificate { .. } => ClaimForm::Certificate,
            Self::PublicKey { .. } => ClaimForm::PublicKey,
            Self::Sas { .. } => ClaimForm::Sas,
            Self::SymmetricKey { .. } => ClaimForm::SymmetricKey,
            Self::Tpm { .. } => ClaimForm::Tpm,
        }
    }
}

impl TryFrom<&ClaimKind> for Credential {
    type Error = BundleError;

    fn try_from(kind: &ClaimKind) -> Result<Self, BundleError> {
        Ok(match kind {
            ClaimKind::Certificate { chain_pem, key } => Self::Certificate {
                chain: certificates(chain_pem).map_err(BundleError::Chain)?,
                key: if key.is_empty() {
                    None
                } else {
                    Some(private_key(key.reveal()).map_err(BundleError::Key)?)
                },
            },
            ClaimKind::PublicKey {
                registration_id,
                id_scope,
                tenant_token,
            } => Self::PublicKey {
                registration_id: registration_id.clone(),
                id_scope: id_scope.clone(),
                tenant_token: tenant_token.clone(),
            },
            ClaimKind::Sas {
                registration_id,
                id_scope,
                token,
            } => Self::Sas {
                registration_id: registration_id.clone(),
                id_scope: id_scope.clone(),
                token: token.clone(),
            },
            ClaimKind::SymmetricKey {
                registration_id,
                id_scope,
                key,
            } => Self::SymmetricKey {
                registration_id: registration_id.clone(),
                id_scope: id_scope.clone(),
                key: key.clone(),
            },
            ClaimKind::Tpm {
                registration_id,
                id_scope,
            } => Self::Tpm {
                registration_id: registration_id.clone(),
                id_scope: id_scope.clone(),
            },
        })
    }
}

impl TryFrom<&Claim> for ClaimBundle {
    type Error = BundleError;

    fn try_from(claim: &Claim) -> Result<Self, BundleError> {
        let life = claim.expires.since(claim.issued).as_secs();
        let ca = if claim.ca_pem.trim().is_empty() {
            Vec::new()
        } else {
            certificates(&claim.ca_pem).map_err(BundleError::Ca)?
        };
        Ok(Self {
            id: claim.id.0.clone(),
            credential: (&claim.kind).try_into()?,
            host: claim.endpoint.host.clone(),
            port: claim.endpoint.port,
            ca,
            template: claim.scope.template.clone(),
            parameters: claim.scope.parameters.clone(),
            issued_at: claim.issued_at,
            expires_at: UnixTime(claim.issued_at.0.saturating_add_unsigned(life)),
        })
    }
}

fn certificates(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let found = pem::blocks(text, |kind| kind == "CERTIFICATE")?;
    Ok(found.iter().map(|der| der.to_vec()).collect())
}

/// The first private key, whatever its form; parameters that OpenSSL writes in front of an EC key are left out.
fn private_key(text: &str) -> Result<SecretBytes, PemError> {
    pem::blocks(text, |kind| kind.ends_with("PRIVATE KEY"))?
        .first_mut()
        .map(|der| SecretBytes::new(core::mem::take(&mut **der)))
        .ok_or(PemError::NoBlock)
}

impl ClaimBundle {
    /// The bytes to transfer.
    pub fn encode(&self) -> SecretBytes {
        let mut raw = raw::Bundle {
            kind: form_code(self.credential.form()),
            claim_id: self.id.clone(),
            host: self.host.clone(),
            port: self.port.into(),
            ca: self.ca.clone(),
            template: self.template.clone(),
            parameters: self.parameters.clone(),
            issued_at: self.issued_at.0,
            expires_at: self.expires_at.0,
            chain: Vec::new(),
            private_key: Vec::new(),
            registration_id: String::new(),
            token: String::new(),
            id_scope: String::new(),
            tenant_token: String::new(),
        };
        match &self.credential {
            Credential::Certificate { chain, key } => {
                raw.chain.clone_from(chain);
                raw.private_key = key.as_ref().map(|key| key.reveal().to_vec()).unwrap_or_default();
            }
            Credential::PublicKey {
                registration_id,
                id_scope,
                tenant_token,
            } => {
                raw.registration_id.clone_from(registration_id);
                raw.id_scope = id_scope.clone().unwrap_or_default();
                let tenant_token = tenant_token.as_ref().map(TenantToken::reveal);
                raw.tenant_token = tenant_token.unwrap_or_default().into();
            }
            Credential::Tpm {
                registration_id,
                id_scope,
            } => {
                raw.registration_id.clone_from(registration_id);
                raw.id_scope.clone_from(id_scope);
            }
            Credential::Sas {
                registration_id,
                id_scope,
                token,
            }
            | Credential::SymmetricKey {
                registration_id,
                id_scope,
                key: token,
            } => {
                raw.registration_id.clone_from(registration_id);
                raw.id_scope.clone_from(id_scope);
                raw.token = token.reveal().into();
            }
        }
        SecretBytes::new(raw.encode_to_vec())
    }

    /// Reads what was transferred, as the device does.
    ///
    /// # Errors
    /// When the bytes are no claim, or a part that its kind needs is absent.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut raw: raw::Bundle = wire::read(NAME, bytes)?;
        let missing = |field| WireError::Missing { message: NAME, field };
        let token = Zeroizing::new(core::mem::take(&mut raw.token));
        let key = core::mem::take(&mut raw.private_key);
        let tenant_token = Zeroizing::new(core::mem::take(&mut raw.tenant_token));
        let filled = |text: &str| Some(text).filter(|text| !text.is_empty()).map(String::from);
        let registration_id = filled(&raw.registration_id).ok_or(missing("registration id"));
        let id_scope = filled(&raw.id_scope);
        let required_scope = id_scope.clone().ok_or(missing("id scope"));
        let token = || match token.as_str() {
            "" => Err(missing("token")),
            text => Ok(Token::new(text)),
        };
        let credential = match form_from_code(raw.kind)? {
            ClaimForm::Certificate if raw.chain.is_empty() => return Err(missing("certificate")),
            ClaimForm::Certificate => Credential::Certificate {
                chain: core::mem::take(&mut raw.chain),
                key: (!key.is_empty()).then(|| SecretBytes::new(key)),
            },
            ClaimForm::PublicKey => Credential::PublicKey {
                registration_id: registration_id?,
                id_scope,
                tenant_token: (!tenant_token.is_empty()).then(|| TenantToken::new(tenant_token.as_str())),
            },
            ClaimForm::Tpm => Credential::Tpm {
                registration_id: registration_id?,
                id_scope: required_scope?,
            },
            ClaimForm::Sas => Credential::Sas {
                registration_id: registration_id?,
                id_scope: required_scope?,
                token: token()?,
            },
            ClaimForm::SymmetricKey => Credential::SymmetricKey {
                registration_id: registration_id?,
                id_scope: required_scope?,
                key: token()?,
            },
        };
        if raw.claim_id.is_empty() || raw.host.is_empty() {
            return Err(missing("claim id or host"));
        }
        Ok(Self {
            id: core::mem::take(&mut raw.claim_id),
            credential,
            host: core::mem::take(&mut raw.host),
            port: u16::try_from(raw.port).map_err(|_| WireError::Unknown {
                field: "port",
                value: raw.port.into(),
            })?,
            ca: core::mem::take(&mut raw.ca),
            template: core::mem::take(&mut raw.template),
            parameters: core::mem::take(&mut raw.parameters),
            issued_at: UnixTime(raw.issued_at),
            expires_at: UnixTime(raw.expires_at),
        })
    }
}

mod raw {
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::fmt;
    use prost::Message;
    use zeroize::Zeroize;

    #[derive(Clone, PartialEq, Message)]
    #[prost(skip_debug)]
    pub(super) struct Bundle {
        #[prost(int32, tag = "1")]
        pub(super) kind: i32,
        #[prost(string, tag = "2")]
        pub(super) claim_id: String,
        #[prost(string, tag = "3")]
        pub(super) host: String,
        #[prost(uint32, tag = "4")]
        pub(super) port: u32,
        #[prost(bytes = "vec", repeated, tag = "5")]
        pub(super) ca: Vec<Vec<u8>>,
        #[prost(string, tag = "6")]
        pub(super) template: String,
        #[prost(btree_map = "string, string", tag = "7")]
        pub(super) parameters: BTreeMap<String, String>,
        #[prost(int64, tag = "8")]
        pub(super) issued_at: i64,
        #[prost(int64, tag = "9")]
        pub(super) expires_at: i64,
        #[prost(bytes = "vec", repeated, tag = "10")]
        pub(super) chain: Vec<Vec<u8>>,
        #[prost(bytes = "vec", tag = "11")]
        pub(super) private_key: Vec<u8>,
        #[prost(string, tag = "12")]
        pub(super) registration_id: String,
        #[prost(string, tag = "13")]
        pub(super) token: String,
        #[prost(string, tag = "14")]
        pub(super) id_scope: String,
        #[prost(string, tag = "15")]
        pub(super) tenant_token: String,
    }

    impl fmt::Debug for Bundle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Bundle(…)")
        }
    }

    impl Drop for Bundle {
        fn drop(&mut self) {
            self.private_key.zeroize();
            self.token.zeroize();
            self.tenant_token.zeroize();
        }
    }
}
