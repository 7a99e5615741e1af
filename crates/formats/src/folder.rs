//! [`NewFolder`] does for a folder what [`crate::write`] does for a file.

use std::fs;
#[cfg(unix)]
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use crate::FolderLock;

const LOCK: &str = FolderLock::FILE;

/// A folder in the making, `<name>.partial` beside its place. Dropping it removes it.
#[derive(Debug)]
pub struct NewFolder {
    partial: PathBuf,
    place: PathBuf,
    /// Goes with the folder to its place.
    lock: Option<FolderLock>,
}

impl NewFolder {
    /// Begins a folder for `place`, empty but for its lock. `None` while another process makes one for the same place.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], with the path, where the working name is somebody's: a folder that is not empty and was not made
    /// here; others of the system.
    pub fn begin(place: &Path) -> Result<Option<Self>> {
        // What a symbolic link leads to is replaced, not the link.
        let place = place.canonicalize().unwrap_or_else(|_| place.to_path_buf());
        let mut name = place.file_name().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "it names no folder"))?.to_os_string();
        name.push(".partial");
        let partial = place.with_file_name(name);
        fs::create_dir_all(&partial)?;
        let names = |entries: fs::ReadDir| entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>();
        let found = names(fs::read_dir(&partial)?)?;
        if !found.is_empty() && !found.iter().any(|name| name == LOCK) {
            return Err(Error::new(ErrorKind::AlreadyExists, partial.display().to_string()));
        }
        let Some(lock) = FolderLock::take(&partial)? else { return Ok(None) };
        let new = Self { partial, place, lock: Some(lock) };
        // What a killed process left.
        for entry in fs::read_dir(&new.partial)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Some(new))
    }

    /// Where to write what belongs into it.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Puts it in its place, over an earlier folder, which goes with all that is in it. Its lock comes along.
    ///
    /// There is one or the other at every moment, where the system can exchange two folders; elsewhere there is neither for one.
    ///
    /// # Errors
    /// Of the system. The earlier folder is then where it was, or beside it, whole.
    pub fn put(mut self) -> Result<FolderLock> {
        let lock = self.lock.take().ok_or(ErrorKind::NotFound)?;
        if self.place.try_exists()? {
            exchange(&self.partial, &self.place)?;
            fs::remove_dir_all(&self.partial)?;
        } else {
            fs::rename(&self.partial, &self.place)?;
        }
        #[cfg(unix)]
        File::open(self.place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(lock)
    }
}

/// A folder that was put in its place by [`NewFolder::put_beside`].
#[derive(Debug)]
pub struct Replaced {
    /// Keeps others from putting a folder there.
    pub lock: FolderLock,
    /// Where it is: what a symbolic link leads to.
    pub place: PathBuf,
    /// Where the earlier folder is, if there was one.
    pub earlier: Option<PathBuf>,
}

impl NewFolder {
    /// Puts it in its place. An earlier folder is beside it afterwards, as `<name>.old`, for the caller to take from and to remove.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], with the path, where something has that name, which nobody but its owner may remove; others of the
    /// system. The earlier folder is then where it was.
    pub fn put_beside(mut self) -> Result<Replaced> {
        let mut name = self.place.file_name().unwrap_or_default().to_os_string();
        name.push(".old");
        let old = self.place.with_file_name(name);
        let earlier = self.place.try_exists()?.then_some(old);
        if let Some(old) = &earlier {
            if old.try_exists()? {
                return Err(Error::new(ErrorKind::AlreadyExists, old.display().to_string()));
            }
            fs::rename(&self.place, old)?;
        }
        fs::rename(&self.partial, &self.place).inspect_err(|_| {
            // Back to what was there; the first error is the one to report.
            let _ = earlier.as_ref().map(|old| fs::rename(old, &self.place));
        })?;
        let lock = self.lock.take().ok_or(ErrorKind::NotFound)?;
        Ok(Replaced { lock, place: std::mem::take(&mut self.place), earlier })
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

fn exchange(new: &Path, place: &Path) -> Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
            // The file system cannot.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return Ok(result?),
        }
    }
    let mut aside = new.as_os_str().to_os_string();
    aside.push(".old");
    fs::rename(place, &aside)?;
    fs::rename(new, place).inspect_err(|_| {
        // Back to what was there; the first error is the one to report.
        let _ = fs::rename(&aside, place);
    })?;
    fs::rename(&aside, new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_comes_whole_and_locked() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("package");
        for content in ["first", "second"] {
            let new = NewFolder::begin(&place).unwrap().unwrap();
            assert!(NewFolder::begin(&place).unwrap().is_none(), "another writer");
            fs::write(new.path().join(content), content).unwrap();
            fs::create_dir(new.path().join("folder")).unwrap();
            let lock = new.put().unwrap();
            let mut expected = [LOCK, content, "folder"];
            expected.sort_unstable();
            assert_eq!(names(&place), expected);
            assert!(FolderLock::take(&place).unwrap().is_none(), "the lock came along");
            drop(lock);
            FolderLock::take(&place).unwrap().unwrap();
            assert_eq!(names(folder.path()), ["package"]);
        }
    }

    #[test]
    fn an_earlier_folder_is_kept_beside() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("export");
        let put = |content: &str| {
            let new = NewFolder::begin(&place).unwrap().unwrap();
            fs::write(new.path().join(content), content).unwrap();
            new.put_beside()
        };
        let first = put("first").unwrap();
        assert_eq!((&first.place, &first.earlier), (&place.canonicalize().unwrap(), &None));
        first.lock.remove(&place).unwrap();
        assert_eq!(names(&place), ["first"]);
        let second = put("second").unwrap();
        let old = second.earlier.unwrap();
        assert_eq!((names(&old), names(&place)), (vec!["first".into()], vec![LOCK.into(), "second".into()]));
        let error = put("third").unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::AlreadyExists, old.display().to_string()));
        assert_eq!(names(folder.path()), ["export", "export.old"]);
        second.lock.remove(&place).unwrap();
        assert_eq!(names(&place), ["second"]);
    }

    /// Whoever waited for the lock of a folder that was replaced has the lock of the new one, or none.
    #[test]
    fn a_lock_is_of_the_folder_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("package");
        fs::create_dir(&place).unwrap();
        let earlier = FolderLock::take(&place).unwrap().unwrap();
        let new = NewFolder::begin(&place).unwrap().unwrap().put().unwrap();
        drop(earlier);
        assert!(FolderLock::take(&place).unwrap().is_none());
        drop(new);
        FolderLock::take(&place).unwrap().unwrap();
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("package");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("earlier"), "x").unwrap();
        let new = NewFolder::begin(&place).unwrap().unwrap();
        fs::write(new.path().join("half"), "x").unwrap();
        drop(new);
        assert_eq!(names(folder.path()), ["package"]);
        assert_eq!(names(&place), ["earlier"]);
    }

    #[test]
    fn what_a_killed_writer_left_goes_and_other_folders_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (place, partial) = (folder.path().join("package"), folder.path().join("package.partial"));
        fs::create_dir_all(partial.join("slices")).unwrap();
        fs::write(partial.join("thesis.txt"), "years of work").unwrap();
        let error = NewFolder::begin(&place).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::AlreadyExists, partial.display().to_string()));
        assert_eq!(names(&partial), ["slices", "thesis.txt"]);
        fs::write(partial.join(LOCK), "").unwrap();
        let new = NewFolder::begin(&place).unwrap().unwrap();
        assert_eq!(names(new.path()), [LOCK]);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_keeps_leading_there() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let new = NewFolder::begin(&link).unwrap().unwrap();
        fs::write(new.path().join("new"), "x").unwrap();
        new.put().unwrap();
        assert!(link.is_symlink() && real.join("new").is_file());
        assert_eq!(names(folder.path()), ["link", "real"]);
    }
}
