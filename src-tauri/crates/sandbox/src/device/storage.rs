//! What a simulated device keeps when it is switched off: its factory key, its Wi-Fi settings, its permanent
//! identity. One file a device, for its owner's eyes only, replaced as a whole or not at all.
//!
//! This is the device's flash: it holds private keys and passphrases because flash does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use commission::claim::Endpoint;
use commission::device::{Serial, SignatureScheme};
use commission::network::Ssid;
use commission::secret::{Passphrase, PrivateKeyPem, SecretBytes};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::maker::FactoryKey;
use super::mqtt::Material;
use super::wifi::WifiSettings;

/// Why a device's file could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The file system.
    #[error("{path} cannot be used: {kind}")]
    File {
        /// The file or directory.
        path: String,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The content.
    #[error("{path} is damaged ({why}): delete it to start with a new device")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The permanent identity that a cloud gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permanent {
    /// The cloud's name for the certificate.
    pub certificate_id: String,
    /// Certificate and key, and whom to trust at the endpoint.
    pub material: Material,
    /// The device's name in the cloud, where the template made one.
    pub thing: Option<String>,
    /// Where it connects.
    pub endpoint: Endpoint,
    /// Where it publishes.
    pub data_topic: String,
}

/// What a device was made with to find its cloud by; a factory reset leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeWith {
    /// A certificate that is for it alone.
    Certificate(Permanent),
    /// A claim that it shares with others.
    Claim {
        /// The claim's certificate, and where it is good.
        claim: Permanent,
        /// The provisioning template.
        template: String,
    },
}

/// All that a device keeps.
#[derive(Debug, Default)]
pub struct Kept {
    /// Its factory key, where it has one.
    pub factory: Option<FactoryKey>,
    /// What it was made with to find its cloud by, where nobody hands it a claim.
    pub made_with: Option<MadeWith>,
    /// Its Wi-Fi settings, once applied with success.
    pub wifi: Option<WifiSettings>,
    /// Its permanent identity, once it has one.
    pub permanent: Option<Permanent>,
}

/// The directory of all devices of a sandbox.
#[derive(Clone, Debug)]
pub struct Storage {
    dir: PathBuf,
}

/// One device's file.
#[derive(Clone, Debug)]
pub struct Flash {
    path: PathBuf,
}

impl Storage {
    /// Uses `dir/devices`, made for its owner only.
    ///
    /// # Errors
    /// [`StorageError::File`] where it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StorageError> {
        let dir = dir.join("devices");
        make_private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// The file of the device with this serial; `copy` tells clones with one serial apart.
    pub fn device(&self, serial: &Serial, copy: usize) -> Flash {
        let suffix = if copy == 0 {
            String::new()
        } else {
            format!("~{copy}")
        };
        Flash {
            path: self.dir.join(format!("{serial}{suffix}.json")),
        }
    }
}

impl Flash {
    /// What the device kept; `None` for a device that was never switched on.
    ///
    /// # Errors
    /// [`StorageError`] where the file cannot be read or is damaged.
    pub fn load(&self) -> Result<Option<Kept>, StorageError> {
        let Some(text) = read_if_there(&self.path)? else {
            return Ok(None);
        };
        let text = Zeroizing::new(text);
        let damaged = |why: String| StorageError::Damaged {
            path: self.path.display().to_string(),
            why,
        };
        let record: Record = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        record.into_kept().map(Some).map_err(damaged)
    }

    /// Writes everything, as a whole or not at all.
    ///
    /// # Errors
    /// [`StorageError::File`] where it cannot be written; the old content is then still there.
    pub fn save(&self, kept: &Kept) -> Result<(), StorageError> {
        let record = Record::from(kept);
        let text =
            Zeroizing::new(
                serde_json::to_vec_pretty(&record).map_err(|error| StorageError::Damaged {
                    path: self.path.display().to_string(),
                    why: error.to_string(),
                })?,
            );
        write_atomically(&self.path, &text)
    }
}

/// Makes a directory that only its owner can enter.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), StorageError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .recursive(true)
        .create(dir)
        .map_err(|error| of_file(dir, &error))
}

/// Reads a text file; `None` where there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, StorageError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of_file(path, &error)),
    }
}

/// Writes a file (mode 0600) so that after a crash it holds the old content or the new, never a part.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let failed = |error: io::Error| of_file(path, &error);
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

fn of_file(path: &Path, error: &io::Error) -> StorageError {
    StorageError::File {
        path: path.display().to_string(),
        kind: error.kind(),
    }
}

/// The file's form; the only place where secrets of a device are serialised.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    factory: Option<FactoryRecord>,
    #[serde(default)]
    made_with: Option<PermanentRecord>,
    /// There where it was made with a claim.
    #[serde(default)]
    template: Option<String>,
    wifi: Option<WifiRecord>,
    permanent: Option<PermanentRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactoryRecord {
    scheme: SignatureScheme,
    private_key_pem: String,
    /// Base64 of DER, leaf first, here and below.
    chain: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WifiRecord {
    ssid_hex: String,
    passphrase: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PermanentRecord {
    certificate_id: String,
    chain: Vec<String>,
    private_key: String,
    ca: Vec<String>,
    thing: Option<String>,
    endpoint: Endpoint,
    data_topic: String,
}

impl From<&Kept> for Record {
    fn from(kept: &Kept) -> Self {
        Self {
            factory: kept.factory.as_ref().map(|factory| FactoryRecord {
                scheme: factory.scheme(),
                private_key_pem: factory.private_key().reveal().to_owned(),
                chain: to_base64(factory.chain()),
            }),
            wifi: kept.wifi.as_ref().map(|wifi| WifiRecord {
                ssid_hex: hex::encode(wifi.ssid.as_bytes()),
                passphrase: wifi.passphrase.as_ref().map(|text| text.reveal().to_owned()),
            }),
            made_with: kept.made_with.as_ref().map(|made| made.credential().into()),
            template: match &kept.made_with {
                Some(MadeWith::Claim { template, .. }) => Some(template.clone()),
                _ => None,
            },
            permanent: kept.permanent.as_ref().map(PermanentRecord::from),
        }
    }
}

impl From<&Permanent> for PermanentRecord {
    fn from(permanent: &Permanent) -> Self {
        Self {
            certificate_id: permanent.certificate_id.clone(),
            chain: to_base64(&permanent.material.chain),
            private_key: BASE64_STANDARD.encode(permanent.material.key.reveal()),
            ca: to_base64(&permanent.material.ca),
            thing: permanent.thing.clone(),
            endpoint: permanent.endpoint.clone(),
            data_topic: permanent.data_topic.clone(),
        }
    }
}

impl PermanentRecord {
    fn take(&mut self) -> Result<Permanent, String> {
        let key = Zeroizing::new(std::mem::take(&mut self.private_key));
        let key = BASE64_STANDARD
            .decode(key.as_bytes())
            .map_err(|error| error.to_string())?;
        Ok(Permanent {
            certificate_id: std::mem::take(&mut self.certificate_id),
            material: Material {
                ca: from_base64(&self.ca)?,
                chain: from_base64(&self.chain)?,
                key: SecretBytes::new(key),
            },
            thing: self.thing.take(),
            endpoint: self.endpoint.clone(),
            data_topic: std::mem::take(&mut self.data_topic),
        })
    }
}

impl Kept {
    /// The certificate that it goes online with: the one that it was given, else the one that it was made with.
    pub fn identity(&self) -> Option<&Permanent> {
        self.permanent.as_ref().or(match &self.made_with {
            Some(MadeWith::Certificate(own)) => Some(own),
            _ => None,
        })
    }
}

impl MadeWith {
    /// The certificate, whichever it is.
    pub fn credential(&self) -> &Permanent {
        match self {
            Self::Certificate(own) | Self::Claim { claim: own, .. } => own,
        }
    }
}

impl Record {
    fn into_kept(mut self) -> Result<Kept, String> {
        let factory = self
            .factory
            .as_mut()
            .map(|record| {
                let chain = from_base64(&record.chain)?;
                let key = PrivateKeyPem::new(std::mem::take(&mut record.private_key_pem));
                FactoryKey::restore(record.scheme, &key, chain).map_err(|error| error.to_string())
            })
            .transpose()?;
        let wifi = self
            .wifi
            .as_mut()
            .map(|record| {
                let ssid = hex::decode(&record.ssid_hex).map_err(|error| error.to_string())?;
                Ok::<_, String>(WifiSettings {
                    ssid: Ssid::new(ssid).map_err(|error| error.to_string())?,
                    passphrase: record.passphrase.take().map(Passphrase::new),
                })
            })
            .transpose()?;
        let permanent = self.permanent.as_mut().map(PermanentRecord::take).transpose()?;
        let made_with = self.made_with.as_mut().map(PermanentRecord::take).transpose()?;
        let made_with = made_with.map(|own| match self.template.take() {
            Some(template) => MadeWith::Claim { claim: own, template },
            None => MadeWith::Certificate(own),
        });
        Ok(Kept {
            factory,
            made_with,
            wifi,
            permanent,
        })
    }
}

fn to_base64(ders: &[Vec<u8>]) -> Vec<String> {
    ders.iter().map(|der| BASE64_STANDARD.encode(der)).collect()
}

fn from_base64(texts: &[String]) -> Result<Vec<Vec<u8>>, String> {
    texts
        .iter()
        .map(|text| BASE64_STANDARD.decode(text).map_err(|error| error.to_string()))
        .collect()
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(factory) = &mut self.factory {
            factory.private_key_pem.zeroize();
        }
        if let Some(passphrase) = self.wifi.as_mut().and_then(|wifi| wifi.passphrase.as_mut()) {
            passphrase.zeroize();
        }
        for own in [&mut self.permanent, &mut self.made_with].into_iter().flatten() {
            own.private_key.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::maker::{IdentityKind, Maker};
    use std::os::unix::fs::PermissionsExt;

    fn credential() -> Permanent {
        Permanent {
            certificate_id: "ab12".into(),
            material: Material {
                ca: vec![b"ca".to_vec()],
                chain: vec![b"leaf".to_vec(), b"issuer".to_vec()],
                key: SecretBytes::new(b"key".to_vec()),
            },
            thing: Some("FK-1".into()),
            endpoint: Endpoint {
                host: "localhost".into(),
                port: 8883,
            },
            data_topic: "dt/FK-1/state".into(),
        }
    }

    fn kept(dir: &Path) -> Kept {
        let maker = Maker::open(dir).unwrap();
        Kept {
            factory: maker
                .make(&Serial::new("FK-1").unwrap(), IdentityKind::P256Chain)
                .unwrap(),
            wifi: Some(WifiSettings {
                ssid: Ssid::new(b"caf\xe9".to_vec()).unwrap(),
                passphrase: Some(Passphrase::new("goodpass")),
            }),
            made_with: Some(MadeWith::Certificate(credential())),
            permanent: Some(credential()),
        }
    }

    #[test]
    fn everything_is_there_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let flash = Storage::open(dir.path())
            .unwrap()
            .device(&Serial::new("FK-1").unwrap(), 0);
        assert!(flash.load().unwrap().is_none());
        let mut before = kept(dir.path());
        let claim = MadeWith::Claim {
            claim: credential(),
            template: "T".into(),
        };
        for made_with in [before.made_with.clone(), Some(claim)] {
            before.made_with = made_with;
            flash.save(&before).unwrap();
            let after = flash.load().unwrap().unwrap();
            assert_eq!(after.made_with, before.made_with);
        }
        let after = flash.load().unwrap().unwrap();
        assert_eq!((&after.wifi, &after.permanent), (&before.wifi, &before.permanent));
        let (before, after) = (before.factory.unwrap(), after.factory.unwrap());
        assert_eq!(after.public(), before.public());
        assert_eq!(after.private_key(), before.private_key());
    }

    #[test]
    fn nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let flash = Storage::open(dir.path())
            .unwrap()
            .device(&Serial::new("FK-1").unwrap(), 0);
        flash.save(&kept(dir.path())).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("devices")), 0o700);
        assert_eq!(mode(&dir.path().join("devices/FK-1.json")), 0o600);
    }

    #[test]
    fn a_damaged_file_is_named_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path()).unwrap();
        let path = dir.path().join("devices/FK-1.json");
        for text in [
            "",
            "{}x",
            r#"{"factory":null,"wifi":{"ssid_hex":"zz","passphrase":null},"permanent":null}"#,
        ] {
            fs::write(&path, text).unwrap();
            let Err(StorageError::Damaged { path: named, .. }) =
                storage.device(&Serial::new("FK-1").unwrap(), 0).load()
            else {
                panic!("{text} was taken")
            };
            assert!(named.ends_with("FK-1.json"));
        }
    }

    #[test]
    fn clones_with_one_serial_do_not_share_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path()).unwrap();
        let serial = Serial::new("FK-1").unwrap();
        storage.device(&serial, 0).save(&Kept::default()).unwrap();
        assert!(storage.device(&serial, 1).load().unwrap().is_none());
    }
}
