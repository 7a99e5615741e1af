//! One writer at a time. A lock is the system's, on a file: it ends with its process, however that ends, so none is ever stale.

use std::fs::{self, File, TryLockError};
use std::io::Result;
use std::path::{Path, PathBuf};

/// A file that is locked until this is dropped.
///
/// Closing the file would not always do: a process that another thread is just starting has it open too, and with it the lock.
#[derive(Debug)]
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked when the process ends.
        let _ = self.0.unlock();
    }
}

/// The right to write a file. Dropping it gives it back; the file that is locked stays, so that nobody locks another of its name.
#[derive(Debug)]
pub struct FileLock {
    _file: Held,
}

impl FileLock {
    /// The file that is locked, beside the one that is written: `<name>.lock`.
    pub fn file(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }

    /// Takes the lock of a file, which need not be there yet; `None` while another has it.
    ///
    /// # Errors
    /// Of the system: its folder is not there or not writable, or its file system has no locks.
    pub fn take(path: &Path) -> Result<Option<Self>> {
        Ok(locked(&Self::file(path))?.map(|file| Self { _file: file }))
    }
}

/// The right to write a folder. Dropping it gives it back.
#[derive(Debug)]
pub struct FolderLock {
    _file: Held,
}

impl FolderLock {
    /// Name of the file, in the folder, that is locked.
    pub const FILE: &'static str = ".lock";

    /// Takes the lock of a folder that is there; `None` while another has it.
    ///
    /// # Errors
    /// Of the system: the folder is not there or not writable, or its file system has no locks.
    pub fn take(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(Self::FILE);
        loop {
            let Some(file) = locked(&path)? else { return Ok(None) };
            // Between its opening and its locking, the folder may have been replaced.
            if is_at(&file.0, &path)? {
                return Ok(Some(Self { _file: file }));
            }
        }
    }

    /// Gives the right back and leaves no file of its own in the folder.
    ///
    /// # Errors
    /// Of the system.
    pub fn remove(self, folder: &Path) -> Result<()> {
        fs::remove_file(folder.join(Self::FILE))
    }
}

/// The file, made where it is missing, and locked; `None` while another has locked it.
fn locked(path: &Path) -> Result<Option<Held>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Held(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((held.dev(), held.ino()) == (found.dev(), found.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Elsewhere a folder with an open file in it cannot be moved.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> Result<bool> {
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_file_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        let lock = FileLock::take(&path).unwrap().unwrap();
        assert!(FileLock::take(&path).unwrap().is_none());
        assert!(folder.path().join("queue.sqlite.lock").is_file() && !path.exists());
        FileLock::take(&folder.path().join("other.sqlite")).unwrap().unwrap();
        drop(lock);
        FileLock::take(&path).unwrap().unwrap();
        assert_eq!(FileLock::take(&folder.path().join("missing/file")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// As of a program that is being started while the lock is dropped.
    #[test]
    fn a_copy_of_the_file_keeps_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain.json");
        let lock = FileLock::take(&path).unwrap().unwrap();
        let _copy = lock._file.0.try_clone().unwrap();
        assert!(FileLock::take(&path).unwrap().is_none());
        drop(lock);
        FileLock::take(&path).unwrap().unwrap();
    }

    #[test]
    fn a_folder_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap().unwrap();
        assert!(FolderLock::take(folder.path()).unwrap().is_none());
        drop(lock);
        FolderLock::take(folder.path()).unwrap().unwrap();
        assert_eq!(FolderLock::take(&folder.path().join("missing")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
