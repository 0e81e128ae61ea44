//! Imported profiles, one file each, and which of them is the current one. All calls block for a file or two.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use commission::organisation::OrganisationId;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::document::ProfileError;
use super::home::{Home, make_private_dir};
use super::profile::{LONGEST, Profile};

/// The file that names the current profile.
const CURRENT: &str = "current";

/// Why a profile could not be kept or found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The file system.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// As the system put it.
        reason: String,
    },
    /// Not a text.
    #[error("{path} is not a text in UTF-8", path = .0.display())]
    NotText(PathBuf),
    /// The profile is wrong.
    #[error("{0}")]
    Profile(#[from] ProfileError),
    /// A profile that was sound when imported and no longer is.
    #[error("the stored profile {path} no longer reads ({error})", path = .path.display())]
    Stored {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: ProfileError,
    },
    /// There is no such profile.
    #[error("there is no profile {name:?}; {}", there_is(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

fn there_is(known: &[String]) -> String {
    if known.is_empty() {
        "none is imported".to_owned()
    } else {
        format!("there is: {}", known.join(", "))
    }
}

/// The profiles of this installation.
#[derive(Clone, Debug)]
pub struct Profiles {
    config: PathBuf,
}

impl Profiles {
    /// Those of `home`.
    pub fn new(home: &Home) -> Self {
        Self {
            config: home.config.clone(),
        }
    }

    /// Reads a file and imports it; see [`Profiles::import`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn import_file(&self, path: &Path) -> Result<Profile, StoreError> {
        self.import(&read_text(path)?)
    }

    /// Checks a profile, keeps it and makes it the current one. One of the same name is replaced, after the check.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn import(&self, text: &str) -> Result<Profile, StoreError> {
        let profile = Profile::parse(text)?;
        write_private(&self.file(&profile.name), text)?;
        write_private(&self.config.join(CURRENT), &profile.name)?;
        Ok(profile)
    }

    /// The names of all profiles, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list(&self) -> Result<Vec<String>, StoreError> {
        let dir = self.directory();
        let files = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(file_error(&dir))?,
        };
        let mut names = Vec::new();
        for file in files {
            let path = file.map_err(file_error(&dir))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.push(read_stored(&path)?.name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] names those there are.
    pub fn load(&self, name: &str) -> Result<Profile, StoreError> {
        let path = self.file(name);
        if !path.exists() {
            return Err(StoreError::Unknown {
                name: name.to_owned(),
                known: self.list()?,
            });
        }
        read_stored(&path)
    }

    /// The name of the profile by which one works for this organisation, where one is imported that still reads.
    pub fn name_of(&self, organisation: &OrganisationId) -> Option<String> {
        let names = self.list().unwrap_or_default();
        names.into_iter().find(|name| {
            self.load(name)
                .is_ok_and(|profile| profile.organisation() == *organisation)
        })
    }

    /// The current profile; `None` before the first import.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn current(&self) -> Result<Option<Profile>, StoreError> {
        let path = self.config.join(CURRENT);
        if !path.exists() {
            return Ok(None);
        }
        self.load(&read_text(&path)?).map(Some)
    }

    /// Makes a profile the current one.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where there is none of this name.
    pub fn choose(&self, name: &str) -> Result<Profile, StoreError> {
        let profile = self.load(name)?;
        write_private(&self.config.join(CURRENT), name)?;
        Ok(profile)
    }

    fn directory(&self) -> PathBuf {
        self.config.join("profiles")
    }

    /// A name may hold what a file name may not, so the file is told apart by a hash and only looks like the name.
    fn file(&self, name: &str) -> PathBuf {
        let looks: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        let mut hash = hex::encode(Sha256::digest(name));
        hash.truncate(12);
        self.directory().join(format!("{looks}-{hash}.toml"))
    }
}

fn read_stored(path: &Path) -> Result<Profile, StoreError> {
    Profile::parse(&read_text(path)?).map_err(|error| StoreError::Stored {
        path: path.to_owned(),
        error,
    })
}

/// Reads at most a little more than a profile may have, so that a wrong path costs nothing.
fn read_text(path: &Path) -> Result<String, StoreError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut bytes))
        .map_err(file_error(path))?;
    String::from_utf8(bytes).map_err(|_| StoreError::NotText(path.to_owned()))
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(path);
    let write = || {
        make_private_dir(dir)?;
        // Made with mode 0600 by tempfile.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|failed| failed.error)?;
        #[cfg(unix)]
        fs::File::open(dir)?.sync_all()?;
        Ok(())
    };
    write().map_err(file_error(path))
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::File {
        path: path.clone(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, client: &str) -> String {
        format!(
            "name = {name:?}\n[sign-in]\nissuer = \"https://login.example\"\nclient-id = {client:?}\n\
             [cloud]\nkind = \"broker\"\nurl = \"https://claims.example\"\n"
        )
    }

    fn store() -> (tempfile::TempDir, Profiles) {
        let dir = tempfile::tempdir().unwrap();
        let profiles = Profiles::new(&Home::under(dir.path()));
        (dir, profiles)
    }

    #[test]
    fn an_imported_profile_is_the_current_one_and_another_can_be_chosen() {
        let (_dir, profiles) = store();
        assert_eq!(profiles.current(), Ok(None));
        assert_eq!(profiles.list(), Ok(vec![]));
        profiles.import(&profile("Acme", "a")).unwrap();
        profiles.import(&profile("Beta", "b")).unwrap();
        assert_eq!(profiles.current().unwrap().unwrap().name, "Beta");
        profiles.choose("Acme").unwrap();
        assert_eq!(profiles.current().unwrap().unwrap().name, "Acme");
        assert_eq!(profiles.list(), Ok(vec!["Acme".into(), "Beta".into()]));
    }

    #[test]
    fn importing_again_replaces_but_only_after_the_check() {
        let (_dir, profiles) = store();
        profiles.import(&profile("Acme", "first")).unwrap();
        profiles.import(&profile("Acme", "second")).unwrap();
        assert_eq!(profiles.list(), Ok(vec!["Acme".into()]));
        assert!(matches!(
            profiles.import(&profile("Acme", "")),
            Err(StoreError::Profile(_))
        ));
        assert_eq!(profiles.load("Acme").unwrap().sign_in.client_id, "second");
    }

    #[test]
    fn names_that_look_alike_as_files_stay_apart() {
        let (_dir, profiles) = store();
        for name in ["A/B", "a b", "../../a-b"] {
            profiles.import(&profile(name, name)).unwrap();
        }
        for name in ["A/B", "a b", "../../a-b"] {
            assert_eq!(profiles.load(name).unwrap().sign_in.client_id, name);
        }
    }

    #[test]
    fn an_unknown_profile_is_answered_with_those_there_are() {
        let (_dir, profiles) = store();
        profiles.import(&profile("Acme", "a")).unwrap();
        let error = profiles.choose("Acne").unwrap_err();
        assert_eq!(error.to_string(), "there is no profile \"Acne\"; there is: Acme");
        assert_eq!(profiles.current().unwrap().unwrap().name, "Acme");
    }

    #[test]
    fn a_stored_file_that_was_edited_badly_is_named() {
        let (_dir, profiles) = store();
        profiles.import(&profile("Acme", "a")).unwrap();
        let path = profiles.file("Acme");
        fs::write(&path, "name = 1").unwrap();
        assert!(matches!(profiles.load("Acme"), Err(StoreError::Stored { path: at, .. }) if at == path));
    }

    #[test]
    fn a_file_that_is_no_text_or_not_there_is_named() {
        let (dir, profiles) = store();
        let path = dir.path().join("profile.toml");
        assert!(matches!(profiles.import_file(&path), Err(StoreError::File { path: at, .. }) if at == path));
        fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(profiles.import_file(&path), Err(StoreError::NotText(path)));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_what_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, profiles) = store();
        profiles.import(&profile("Acme", "a")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&profiles.file("Acme")), 0o600);
        assert_eq!(mode(&profiles.config.join(CURRENT)), 0o600);
        assert_eq!(mode(&profiles.directory()), 0o700);
    }
}
