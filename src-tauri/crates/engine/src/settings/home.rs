//! Where Fieldkey keeps its files on this machine.

use std::env;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
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
    #[error("{HOME_VARIABLE} is {0:?}, which is no absolute path")]
    Relative(PathBuf),
    /// The system names no home directory.
    #[error("this system names no home directory")]
    None,
}

/// That this process alone runs jobs with these files. It ends when it is dropped, and with the process however that
/// ends: a second one would take up jobs that the first has in work, and undo their claims under its hands.
#[derive(Debug)]
pub struct Work(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

/// Why jobs cannot be run with these files.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorkError {
    /// Another process runs jobs with them; its number, where it could be read.
    #[error(
        "another Fieldkey{} is working on devices with the same files",
        .0.map(|process| format!(" (process {process})")).unwrap_or_default()
    )]
    Busy(Option<u32>),
    /// The lock's file cannot be used.
    #[error("{0}: {1}")]
    File(PathBuf, String),
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

    /// Takes the right to run jobs with these files.
    ///
    /// # Errors
    /// [`WorkError`].
    pub fn work(&self) -> Result<Work, WorkError> {
        let path = self.data.join("jobs.lock");
        let fault = |error: std::io::Error| WorkError::File(path.clone(), error.to_string());
        make_private_dir(&self.data).map_err(fault)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // Some systems let nobody read a locked file.
                let _ = file.take(16).read_to_string(&mut process);
                return Err(WorkError::Busy(process.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(fault)?;
        Ok(Work(file))
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
    fn one_process_at_a_time_runs_jobs_and_the_other_is_told_which() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::under(dir.path());
        let first = home.work().unwrap();
        assert_eq!(
            home.work().unwrap_err(),
            WorkError::Busy(Some(std::process::id()))
        );
        Home::under(&dir.path().join("elsewhere")).work().unwrap();
        drop(first);
        home.work().unwrap();
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
