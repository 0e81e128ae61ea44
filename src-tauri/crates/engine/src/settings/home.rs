//! Where Fieldkey keeps its files on this machine.

use std::env;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use thiserror::Error;

/// Environment variable that puts everything under one directory, for tests and for several installations side by side.
pub const HOME_VARIABLE: &str = "FIELDKEY_HOME";

/// The directories of this installation. They are made when something is first written to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Imported profiles and what was chosen.
    pub config: PathBuf,
    /// The journal.
    pub data: PathBuf,
}

/// Why there is no place for files.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HomeError {
    /// The variable is set to something that is no absolute path.
    #[error("{HOME_VARIABLE} is {0:?}; set it to an absolute path, or unset it")]
    Relative(PathBuf),
    /// The system names no home directory.
    #[error("this system names no home directory; set {HOME_VARIABLE} to a directory for Fieldkey's files")]
    None,
}

impl Home {
    /// The directories that the environment names, else those usual on this system.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn find() -> Result<Self, HomeError> {
        Self::choose(env::var_os(HOME_VARIABLE).map(PathBuf::from))
    }

    /// Everything under one directory.
    pub fn under(root: &Path) -> Self {
        Self {
            config: root.join("config"),
            data: root.join("data"),
        }
    }

    /// The journal's file.
    pub fn journal(&self) -> PathBuf {
        self.data.join("journal.sqlite")
    }

    fn choose(named: Option<PathBuf>) -> Result<Self, HomeError> {
        match named {
            Some(root) if root.is_absolute() => Ok(Self::under(&root)),
            Some(root) => Err(HomeError::Relative(root)),
            None => {
                let usual = ProjectDirs::from("", "", "fieldkey").ok_or(HomeError::None)?;
                Ok(Self {
                    config: usual.config_dir().to_owned(),
                    data: usual.data_local_dir().to_owned(),
                })
            }
        }
    }
}

/// Makes a directory that only its owner can enter.
///
/// # Errors
/// As the system put it.
pub(crate) fn make_private_dir(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variable_moves_everything() {
        let home = Home::choose(Some(PathBuf::from("/srv/fieldkey"))).unwrap();
        assert_eq!(home.config, Path::new("/srv/fieldkey/config"));
        assert_eq!(home.journal(), Path::new("/srv/fieldkey/data/journal.sqlite"));
    }

    #[test]
    fn a_relative_or_empty_home_is_refused_rather_than_resolved_somewhere() {
        for bad in ["", "fieldkey", "./here"] {
            assert_eq!(
                Home::choose(Some(PathBuf::from(bad))),
                Err(HomeError::Relative(PathBuf::from(bad)))
            );
        }
    }
}
