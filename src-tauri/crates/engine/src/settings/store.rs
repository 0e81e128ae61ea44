//! Imported profiles, one file each, and which of them is the current one. All calls block for a file or two.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use commission::organisation::OrganisationId;
use sha2::{Digest, Sha256};
use thiserror::Error;

use minisign_verify::{PublicKey, Signature};

use super::change::{self, Change, Changed};
use super::document::ProfileError;
use super::home::{Home, make_private_dir};
use super::profile::{LONGEST, Profile};
use crate::organisation::{Organisation, OrganisationError};

/// The file that names the current profile.
const CURRENT: &str = "current";
/// What ends the name of a note beside a profile: the origin that an earlier version kept secrets for under its name.
const ORIGIN: &str = "origin";

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
    /// It reads well and could not be used.
    #[error("the profile cannot be used: {0}")]
    Unusable(#[from] OrganisationError),
    /// It names a key, and is not signed by it: somebody changed it on the way.
    #[error("the profile's signature does not hold ({0})")]
    Signature(String),
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

/// A profile that was read and could be used, and is not kept yet.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// It.
    pub profile: Profile,
    /// What it would change, where a person has to say whether it may; empty where nobody needs to be asked.
    pub changes: Vec<Change>,
    text: String,
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

    /// Reads a file, and the signature that lies beside it with `.minisig` at its name; see [`Profiles::look`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn look_at_file(&self, path: &Path) -> Result<Candidate, StoreError> {
        let signature = signature_beside(path)?;
        self.look(&read_text(path)?, signature.as_deref())
    }

    /// Reads and checks a profile, and says what it would change; nothing is kept yet. It is compared with the one of the
    /// same name, else with one of the same organisation, whose passphrases it would take up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn look(&self, text: &str, signature: Option<&str>) -> Result<Candidate, StoreError> {
        let profile = Profile::parse(text)?;
        verify(&profile, text, signature)?;
        Organisation::check(&profile)?;
        let changes = match self.before(&profile)? {
            None => Vec::new(),
            Some(Err(unreadable)) => vec![Change {
                what: Changed::Unreadable,
                before: unreadable.to_string(),
                after: profile.cloud.place(),
            }],
            // What the organisation signed as before is its own word.
            Some(Ok(before)) if before.signed_by.is_some() && before.signed_by == profile.signed_by => {
                Vec::new()
            }
            Some(Ok(before)) => change::changes(&before, &profile),
        };
        Ok(Candidate {
            profile,
            changes,
            text: text.to_owned(),
        })
    }

    /// Keeps a profile and makes it the current one. One of the same name is replaced.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn keep(&self, candidate: &Candidate) -> Result<Profile, StoreError> {
        let name = &candidate.profile.name;
        let path = self.file(name);
        // Noted before it is replaced: what an earlier version kept by this name is of the origin that wrote it.
        let note = path.with_extension(ORIGIN);
        if !note.exists() {
            let wrote = read_stored(&path).map_or_else(|_| String::new(), |before| before.origin());
            write_private(&note, &wrote)?;
        }
        write_private(&path, &candidate.text)?;
        write_private(&self.config.join(CURRENT), name)?;
        self.load(name)
    }

    /// What would be replaced, or shares its organisation.
    fn before(&self, profile: &Profile) -> Result<Option<Result<Profile, StoreError>>, StoreError> {
        let path = self.file(&profile.name);
        if path.exists() {
            return Ok(Some(read_stored(&path)));
        }
        let organisation = profile.organisation();
        let others = self
            .files()?
            .into_iter()
            .filter_map(|path| read_stored(&path).ok());
        Ok(others
            .filter(|other| other.organisation() == organisation)
            .map(Ok)
            .next())
    }

    /// The names of all profiles, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list(&self) -> Result<Vec<String>, StoreError> {
        let files = self.files()?;
        let names: Result<Vec<String>, StoreError> =
            files.iter().map(|path| Ok(read_stored(path)?.name)).collect();
        let mut names = names?;
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

    fn files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.directory();
        let files = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(file_error(&dir))?,
        };
        let mut paths = Vec::new();
        for file in files {
            let path = file.map_err(file_error(&dir))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        Ok(paths)
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
    let mut profile = Profile::parse(&read_text(path)?).map_err(|error| StoreError::Stored {
        path: path.to_owned(),
        error,
    })?;
    let note = path.with_extension(ORIGIN);
    // Without a note the file is as an earlier version left it, beside what that kept.
    profile.inherits = !note.exists() || read_text(&note)? == profile.origin();
    Ok(profile)
}

/// The signature beside a profile's file, where there is one.
///
/// # Errors
/// [`StoreError`] where it is there and cannot be read.
pub fn signature_beside(path: &Path) -> Result<Option<String>, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".minisig");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        read_text(&beside).map(Some)
    } else {
        Ok(None)
    }
}

/// A profile that names a key is signed by it.
fn verify(profile: &Profile, text: &str, signature: Option<&str>) -> Result<(), StoreError> {
    let Some(key) = &profile.signed_by else {
        return Ok(());
    };
    let fault = |error: minisign_verify::Error| StoreError::Signature(error.to_string());
    let key = PublicKey::from_base64(key).map_err(fault)?;
    let signature = signature
        .ok_or_else(|| StoreError::Signature("it names a key, and no .minisig came with it".to_owned()))?;
    let signature = Signature::decode(signature).map_err(fault)?;
    key.verify(text.as_bytes(), &signature, false).map_err(fault)
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

    fn import(profiles: &Profiles, text: &str) -> Result<Profile, StoreError> {
        profiles.keep(&profiles.look(text, None)?)
    }

    #[test]
    fn an_imported_profile_is_the_current_one_and_another_can_be_chosen() {
        let (_dir, profiles) = store();
        assert_eq!(profiles.current(), Ok(None));
        assert_eq!(profiles.list(), Ok(vec![]));
        import(&profiles, &profile("Acme", "a")).unwrap();
        import(&profiles, &profile("Beta", "b")).unwrap();
        assert_eq!(profiles.current().unwrap().unwrap().name, "Beta");
        profiles.choose("Acme").unwrap();
        assert_eq!(profiles.current().unwrap().unwrap().name, "Acme");
        assert_eq!(profiles.list(), Ok(vec!["Acme".into(), "Beta".into()]));
    }

    #[test]
    fn importing_again_replaces_but_only_after_the_check() {
        let (_dir, profiles) = store();
        import(&profiles, &profile("Acme", "first")).unwrap();
        import(&profiles, &profile("Acme", "second")).unwrap();
        assert_eq!(profiles.list(), Ok(vec!["Acme".into()]));
        assert!(matches!(
            import(&profiles, &profile("Acme", "")),
            Err(StoreError::Profile(_))
        ));
        assert_eq!(profiles.load("Acme").unwrap().sign_in.client_id, "second");
    }

    #[test]
    fn names_that_look_alike_as_files_stay_apart() {
        let (_dir, profiles) = store();
        for name in ["A/B", "a b", "../../a-b"] {
            import(&profiles, &profile(name, name)).unwrap();
        }
        for name in ["A/B", "a b", "../../a-b"] {
            assert_eq!(profiles.load(name).unwrap().sign_in.client_id, name);
        }
    }

    #[test]
    fn an_unknown_profile_is_answered_with_those_there_are() {
        let (_dir, profiles) = store();
        import(&profiles, &profile("Acme", "a")).unwrap();
        let error = profiles.choose("Acne").unwrap_err();
        assert_eq!(error.to_string(), "there is no profile \"Acne\"; there is: Acme");
        assert_eq!(profiles.current().unwrap().unwrap().name, "Acme");
    }

    #[test]
    fn a_stored_file_that_was_edited_badly_is_named() {
        let (_dir, profiles) = store();
        import(&profiles, &profile("Acme", "a")).unwrap();
        let path = profiles.file("Acme");
        fs::write(&path, "name = 1").unwrap();
        assert!(matches!(profiles.load("Acme"), Err(StoreError::Stored { path: at, .. }) if at == path));
    }

    #[test]
    fn a_file_that_is_no_text_or_not_there_is_named() {
        let (dir, profiles) = store();
        let path = dir.path().join("profile.toml");
        assert!(matches!(profiles.look_at_file(&path), Err(StoreError::File { path: at, .. }) if at == path));
        fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(
            profiles.look_at_file(&path).err(),
            Some(StoreError::NotText(path))
        );
    }

    fn what(candidate: &Candidate) -> Vec<Changed> {
        candidate.changes.iter().map(|change| change.what).collect()
    }

    #[test]
    fn a_profile_over_a_name_shows_what_it_changes_before_it_is_kept() {
        let (_dir, profiles) = store();
        let first = profile("Acme", "a");
        import(&profiles, &first).unwrap();
        let other = first
            .replace("login.example", "evil.example")
            .replace("claims.example", "evil.example");
        let candidate = profiles
            .look(&format!("{other}[policy]\nallow-unencrypted = true\n"), None)
            .unwrap();
        assert_eq!(
            what(&candidate),
            [Changed::Issuer, Changed::Cloud, Changed::AllowUnencrypted]
        );
        assert_eq!(
            profiles.load("Acme").unwrap().sign_in.issuer,
            "https://login.example"
        );
        let same = format!("{first}[[network]]\nssid = \"plant\"\n");
        assert!(profiles.look(&same, None).unwrap().changes.is_empty());
    }

    #[test]
    fn a_profile_of_another_name_for_the_same_organisation_is_compared_with_it() {
        let (_dir, profiles) = store();
        import(&profiles, &profile("Acme", "a")).unwrap();
        let twin = format!("{}[policy]\nallow-no-pop = true\n", profile("Acme 2", "a"));
        assert_eq!(
            what(&profiles.look(&twin, None).unwrap()),
            [Changed::Name, Changed::AllowNoPop]
        );
        assert!(
            profiles
                .look(&profile("Beta", "b"), None)
                .unwrap()
                .changes
                .is_empty()
        );
    }

    #[test]
    fn a_sound_profile_is_not_replaced_by_one_that_could_not_be_used() {
        let (_dir, profiles) = store();
        let first = profile("Acme", "a");
        import(&profiles, &first).unwrap();
        // A certificate by its form, with a date that no verifier reads.
        let broken = first.replace("client-id", "ca = \"hello\"\nclient-id");
        assert!(import(&profiles, &broken).is_err());
        assert_eq!(profiles.current().unwrap().unwrap().sign_in.ca, None);
    }

    #[test]
    fn only_what_was_kept_for_the_same_origin_is_inherited() {
        let (_dir, profiles) = store();
        let first = profile("Acme", "a");
        // As an earlier version left it.
        write_private(&profiles.file("Acme"), &first).unwrap();
        assert!(profiles.load("Acme").unwrap().inherits);
        import(&profiles, &first.replace("claims.example", "evil.example")).unwrap();
        assert!(!profiles.load("Acme").unwrap().inherits);
        import(&profiles, &first).unwrap();
        assert!(profiles.load("Acme").unwrap().inherits);
        import(&profiles, &profile("Beta", "b")).unwrap();
        assert!(!profiles.load("Beta").unwrap().inherits);
    }

    /// A key that was made for this test and thrown away.
    const KEY: &str = "RWRmaWVsZGtleW2d3x2W5PWOaIczJaiOIuYtr0Lw2MWOGcez3GfsaOdp";
    const FIRST: &str = "untrusted comment: of a test\n\
         RURmaWVsZGtleRRKpRXSXDkcTnbldvU0BwJ7P1fXRMw58x6lP9r4yJRnwZc/IHsFQKtSmFd0wMnMJpEnSjAvuJQXH5ml7vs1Sgk=\n\
         trusted comment: timestamp:1767225600\n\
         rZYHaQRkm8Bh4iVs7v+PKIc/mmBRBUnfD5iZDev8QfKL/Zjek/u/JA1WU4gLa8eKXSbwNkOmvGX+NAkrS9C5Aw==\n";
    const NEXT: &str = "untrusted comment: of a test\n\
         RURmaWVsZGtleZ9cZUW8r/uhA3GGS4wZ51VnUiijtypOKDW/C7KYM1LNpVdGZIttGEEdJ7Vy4/1bYNJDcgGY5+OSYmLGuUg3vw4=\n\
         trusted comment: timestamp:1767225600\n\
         r4jIAQtaYLsDc3Gkbf5b+d8f0QzzM4z15dX+uXO1Tryx2N15yFNzPIjXQX3LNkALm9Z3euuaTYCLIDru1hWGCQ==\n";

    fn signed(host: &str) -> String {
        let first = profile("Acme", "a").replace("claims.example", host);
        first.replace("[sign-in]", &format!("signed-by = {KEY:?}\n[sign-in]"))
    }

    #[test]
    fn only_what_the_same_key_signed_replaces_a_signed_profile_without_a_question() {
        let (_dir, profiles) = store();
        let first = profiles.look(&signed("claims.example"), Some(FIRST)).unwrap();
        profiles.keep(&first).unwrap();
        let next = profiles.look(&signed("claims2.example"), Some(NEXT)).unwrap();
        assert_eq!(next.changes, []);
        let unsigned = profile("Acme", "a").replace("claims.example", "evil.example");
        assert_eq!(
            what(&profiles.look(&unsigned, None).unwrap()),
            [Changed::Signature, Changed::Cloud]
        );
        for (text, signature) in [
            (signed("evil.example"), Some(NEXT)),
            (signed("claims2.example"), Some(FIRST)),
            (signed("claims2.example"), None),
        ] {
            let refused = profiles.look(&text, signature).err();
            assert!(matches!(refused, Some(StoreError::Signature(_))), "{refused:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_what_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, profiles) = store();
        import(&profiles, &profile("Acme", "a")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&profiles.file("Acme")), 0o600);
        assert_eq!(mode(&profiles.config.join(CURRENT)), 0o600);
        assert_eq!(mode(&profiles.directory()), 0o700);
    }
}
