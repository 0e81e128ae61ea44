//! What outlives a cloud: its authorities, its ports, and the registry, in one directory.

use std::path::{Path, PathBuf};

use commission::secret::PrivateKeyPem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{CloudError, Registry};
use crate::ca::Authority;
use crate::device::storage::{StorageError, make_private_dir, read_if_there, write_atomically};

/// The directory, or nothing where the cloud forgets.
pub(crate) struct Keep {
    dir: Option<PathBuf>,
}

/// The ports of a cloud's servers; 0 for any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) issuer: u16,
    pub(crate) mqtt: u16,
    pub(crate) broker: u16,
    #[serde(default)]
    pub(crate) aws: u16,
}

impl Keep {
    pub(crate) fn open(dir: Option<&Path>) -> Result<Self, StorageError> {
        if let Some(dir) = dir {
            make_private_dir(dir)?;
        }
        Ok(Self {
            dir: dir.map(Path::to_owned),
        })
    }

    /// The authority of this name; made where there is none yet.
    pub(crate) fn authority(&self, name: &str, common_name: &str) -> Result<Authority, CloudError> {
        let Some(dir) = &self.dir else {
            return Ok(Authority::new(common_name)?);
        };
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        if let (Some(pem), Some(key)) = (read_if_there(&certificate)?, read_if_there(&key)?) {
            return Ok(Authority::restore(&pem, &PrivateKeyPem::new(key))?);
        }
        let authority = Authority::new(common_name)?;
        write_atomically(&key, authority.private_key().reveal().as_bytes())?;
        write_atomically(&certificate, authority.pem().as_bytes())?;
        Ok(authority)
    }

    pub(crate) fn ports(&self) -> Result<Ports, StorageError> {
        Ok(self.read("ports.json")?.unwrap_or_default())
    }

    pub(crate) fn set_ports(&self, ports: Ports) -> Result<(), StorageError> {
        self.write("ports.json", &ports)
    }

    /// Puts back what was registered.
    pub(crate) fn restore(&self, registry: &Registry) -> Result<(), StorageError> {
        if let Some(kept) = self.read("registry.json")? {
            registry.restore(kept);
        }
        Ok(())
    }

    /// Writes the registry down at every change, until the cloud stops.
    pub(crate) async fn follow(self, registry: Registry, mut stopping: watch::Receiver<bool>) {
        if self.dir.is_none() {
            return;
        }
        let mut changes = registry.changes();
        let mut stopped = false;
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.write("registry.json", &registry.keep()) {
                tracing::error!(%error, "the registry is not kept");
            }
            // Once more after the stop: a change may have come with it.
            if stopped {
                return;
            }
            tokio::select! {
                changed = changes.changed() => stopped = changed.is_err(),
                _ = stopping.changed() => stopped = true,
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, StorageError> {
        let Some(path) = self.dir.as_ref().map(|dir| dir.join(file)) else {
            return Ok(None);
        };
        let Some(text) = read_if_there(&path)? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| damaged(&path, &error))
    }

    fn write(&self, file: &str, value: &impl Serialize) -> Result<(), StorageError> {
        let Some(path) = self.dir.as_ref().map(|dir| dir.join(file)) else {
            return Ok(());
        };
        let text = serde_json::to_vec_pretty(value).map_err(|error| damaged(&path, &error))?;
        write_atomically(&path, &text)
    }
}

fn damaged(path: &Path, error: &serde_json::Error) -> StorageError {
    StorageError::Damaged {
        path: path.display().to_string(),
        why: error.to_string(),
    }
}
