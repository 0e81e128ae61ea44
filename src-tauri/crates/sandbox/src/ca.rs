//! The sandbox's own certificate authorities: one that servers are trusted by, one that devices are known by.
//!
//! Not for: deciding which certificate may do what. That is the registry's; a signature here only says "ours".

use commission::secret::PrivateKeyPem;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

/// Why a certificate could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// A key or certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(rcgen::Error),
    /// A signing request is no PKCS #10, or its signature does not fit its key.
    #[error("the certificate signing request is not valid: {0}")]
    Request(rcgen::Error),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// A certificate authority: a self-signed P-256 certificate and its key.
pub struct Authority {
    certificate: Signed,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its private key.
pub struct Identity {
    /// The certificate.
    pub certificate: Signed,
    /// The private key, PKCS #8.
    pub private_key: PrivateKeyPem,
    key_der: PrivatePkcs8KeyDer<'static>,
}

/// A certificate that an [`Authority`] signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Lower-case hex SHA-256 of the DER, which is also how AWS IoT names certificates.
    pub id: String,
    /// PEM, lines ended by LF.
    pub pem: String,
    /// DER.
    pub der: CertificateDer<'static>,
}

impl Authority {
    /// Makes a new authority with a fresh key.
    pub fn new(common_name: &str) -> Result<Self, CaError> {
        let mut params = blank(common_name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(CaError::Make)?;
        let certificate = Signed::from(&params.self_signed(&key).map_err(CaError::Make)?);
        let issuer = Issuer::new(params, key);
        Ok(Self { certificate, issuer })
    }

    /// Takes up an authority again by its certificate and private key, both PEM.
    pub fn restore(pem: &str, key: &PrivateKeyPem) -> Result<Self, CaError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| CaError::Make(rcgen::Error::CouldNotParseCertificate))?;
        let key = KeyPair::from_pem(key.reveal()).map_err(CaError::Make)?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(CaError::Make)?;
        let certificate = Signed {
            id: certificate_id(&der),
            pem: pem.to_owned(),
            der,
        };
        Ok(Self { certificate, issuer })
    }

    /// The authority's private key, for whoever keeps the authority.
    pub fn private_key(&self) -> PrivateKeyPem {
        PrivateKeyPem::new(self.issuer.key().serialize_pem())
    }

    /// The authority's certificate as PEM, lines ended by LF.
    pub fn pem(&self) -> String {
        self.certificate.pem.clone()
    }

    /// The authority's certificate as DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der.clone()
    }

    /// A server certificate for `localhost` and 127.0.0.1.
    pub fn server(&self) -> Result<Identity, CaError> {
        let mut params = blank("localhost")?;
        let localhost = Ia5String::try_from("localhost").map_err(CaError::Make)?;
        params.subject_alt_names = vec![
            SanType::DnsName(localhost),
            SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        ];
        self.identity(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate with a key made here.
    pub fn client(&self, common_name: &str) -> Result<Identity, CaError> {
        self.identity(blank(common_name)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Signs a PKCS #10 request (PEM) as a client certificate, after its own signature was checked.
    ///
    /// Only the subject and the key are taken from it: what a device asks to be allowed to do is not its to say.
    pub fn sign_request(&self, pem: &str) -> Result<Signed, CaError> {
        let asked = CertificateSigningRequestParams::from_pem(pem).map_err(CaError::Request)?;
        let mut params = blank("")?;
        params.distinguished_name = asked.params.distinguished_name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let request = CertificateSigningRequestParams {
            params,
            public_key: asked.public_key,
        };
        Ok(Signed::from(
            &request.signed_by(&self.issuer).map_err(CaError::Make)?,
        ))
    }

    fn identity(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, CaError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().map_err(CaError::Make)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(CaError::Make)?;
        Ok(Identity {
            certificate: Signed::from(&certificate),
            private_key: PrivateKeyPem::new(key.serialize_pem()),
            key_der: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }
}

impl Identity {
    /// The public half of the key, PEM.
    pub(crate) fn public_key_pem(&self) -> Result<String, CaError> {
        let key = KeyPair::from_pem(self.private_key.reveal()).map_err(CaError::Make)?;
        Ok(key.public_key_pem())
    }

    /// Certificate chain and key in the form that rustls takes.
    pub(crate) fn for_tls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (
            vec![self.certificate.der.clone()],
            PrivateKeyDer::from(self.key_der.clone_key()),
        )
    }
}

impl From<&rcgen::Certificate> for Signed {
    fn from(certificate: &rcgen::Certificate) -> Self {
        Self {
            id: certificate_id(certificate.der()),
            pem: certificate.pem(),
            der: certificate.der().clone(),
        }
    }
}

/// What AWS IoT calls a certificate: the lower-case hex SHA-256 of its DER.
pub fn certificate_id(der: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(der))
}

/// Validity is wide, since the cloud's clock can be set wrong on purpose, and life and death of a certificate
/// are the registry's to say.
fn blank(common_name: &str) -> Result<CertificateParams, CaError> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).map_err(|_| CaError::Random)?;
    // A serial number is positive (RFC 5280, 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first &= 0x7f;
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_signed_by_its_authority_and_no_other() {
        let ours = Authority::new("ours").unwrap();
        let other = Authority::new("other").unwrap();
        let server = ours.server().unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&server.certificate.der).unwrap();
        let (ours, other) = (ours.der(), other.der());
        let (_, ours) = x509_parser::parse_x509_certificate(&ours).unwrap();
        let (_, other) = x509_parser::parse_x509_certificate(&other).unwrap();
        leaf.verify_signature(Some(ours.public_key())).unwrap();
        leaf.verify_signature(Some(other.public_key())).unwrap_err();
    }

    #[test]
    fn an_authority_that_was_taken_up_again_signs_as_before() {
        let first = Authority::new("ours").unwrap();
        let again = Authority::restore(&first.pem(), &first.private_key()).unwrap();
        assert_eq!(again.der(), first.der());
        let server = again.server().unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&server.certificate.der).unwrap();
        let root = first.der();
        let (_, root) = x509_parser::parse_x509_certificate(&root).unwrap();
        assert_eq!(leaf.issuer(), root.subject());
        leaf.verify_signature(Some(root.public_key())).unwrap();
    }

    #[test]
    fn a_request_gets_its_key_and_subject_but_not_the_rights_it_asks_for() {
        let authority = Authority::new("devices").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = blank("FK-0001").unwrap();
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish.serial_number = None;
        wish.use_authority_key_identifier_extension = false;
        wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let request = wish.serialize_request(&key).unwrap().pem().unwrap();

        let signed = authority.sign_request(&request).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&signed.der).unwrap();
        assert_eq!(
            leaf.public_key().subject_public_key.data.as_ref(),
            key.public_key_raw()
        );
        assert_eq!(leaf.subject().to_string(), "CN=FK-0001");
        assert!(!leaf.is_ca());
        let usage = leaf.extended_key_usage().unwrap().unwrap();
        assert!(usage.value.client_auth && !usage.value.server_auth);
    }

    #[test]
    fn a_request_whose_signature_does_not_fit_is_refused() {
        let authority = Authority::new("devices").unwrap();
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let mut der = request.der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &der)
        );
        assert!(matches!(authority.sign_request(&pem), Err(CaError::Request(_))));
        assert!(matches!(
            authority.sign_request("not a request"),
            Err(CaError::Request(_))
        ));
    }

    #[test]
    fn two_certificates_never_share_a_serial_number() {
        let authority = Authority::new("devices").unwrap();
        let one = authority.client("x").unwrap().certificate;
        let two = authority.client("x").unwrap().certificate;
        let serial = |signed: &Signed| {
            x509_parser::parse_x509_certificate(&signed.der)
                .unwrap()
                .1
                .raw_serial()
                .to_vec()
        };
        assert_ne!(serial(&one), serial(&two));
        assert_ne!(one.id, two.id);
    }
}
