//! A file is written whole and durably, or not at all.
//!
//! [`write`] puts the bytes into a new file beside their place, `<name>.<random>.partial`, and renames that. So a reader sees the
//! earlier file or the new one, also where several processes write the same file, and a failure leaves the earlier one. The
//! name lasts only while it is written: an error removes the file, and what a killed process left is removed by the next write to
//! the same place. Whether its writer still lives shows in the lock that a writer holds on it.
//!
//! Not guaranteed: that a file which was there keeps its owner, its mode or its other hard links. A symbolic link is replaced,
//! not followed.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

const SUFFIX: &str = ".partial";

/// Who may read a new file. Systems other than Unix leave that to the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Whomever the process's umask lets: mode 0666 without its bits.
    Umask,
    /// Its owner only, mode 0600: for keys, and for openings, which show inputs.
    Owner,
}

/// Writes a file whole, or not at all; once this returns, a power cut does not undo it.
///
/// # Errors
/// Of the system; [`ErrorKind::InvalidInput`] where the place is taken by a device, pipe or socket, which a rename would destroy.
pub fn write(path: &Path, readers: Readers, bytes: &[u8]) -> Result<()> {
    write_with(path, readers, |file| file.write_all(bytes))
}

fn write_with(path: &Path, readers: Readers, content: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "it names no file"))?;
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(Error::new(ErrorKind::IsADirectory, "Is a directory")),
        Ok(found) if !found.is_file() => return Err(Error::new(ErrorKind::InvalidInput, "it is there already, and no regular file")),
        // Whatever else is wrong with the place shows when it is written.
        _ => {}
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut prefix = name.to_os_string();
    prefix.push(".");
    remove_abandoned(folder, &prefix);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(match readers {
        Readers::Umask => 0o666,
        Readers::Owner => 0o600,
    }));
    #[cfg(not(unix))]
    let _ = readers;
    // Dropping it removes it.
    let mut partial = locked(&builder, folder)?;
    content(partial.as_file_mut())?;
    partial.as_file().sync_all()?;
    partial.persist(path)?;
    // The rename itself must last too.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// A new file that its writer holds the lock of.
fn locked(builder: &Builder<'_, '_>, folder: &Path) -> Result<NamedTempFile> {
    loop {
        let partial = builder.tempfile_in(folder)?;
        // Where a file system has no locks, nobody can take this for abandoned either.
        let _ = partial.as_file().lock();
        // Between its making and its locking, another writer may have taken it for abandoned.
        if partial.path().exists() {
            return Ok(partial);
        }
    }
}

/// Removes what killed writers of the same file left. Best effort: it is in nobody's way.
fn remove_abandoned(folder: &Path, prefix: &std::ffi::OsStr) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let middle = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()).and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
        // Exactly what `tempfile` puts there; anything else is somebody's.
        if !middle.is_some_and(|middle| middle.len() == 6 && middle.iter().all(u8::is_ascii_alphanumeric)) {
            continue;
        }
        let path = entry.path();
        // Opened for writing, as some file systems want of whoever locks; the lock is held until the file is gone.
        if let Ok(file) = File::options().write(true).open(&path)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        for bytes in [&b"first"[..], b"", b"second, and longer"] {
            write(&path, Readers::Umask, bytes).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            assert_eq!(names(folder.path()), ["key.json"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_its_owners_also_where_the_file_was_open_to_all() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openings.json");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        std::fs::write(&path, "").unwrap();
        let usual = mode();
        write(&path, Readers::Owner, b"salt").unwrap();
        assert_eq!(mode(), 0o600);
        write(&path, Readers::Umask, b"no salt").unwrap();
        assert_eq!(mode(), usual, "as any new file of this process");
    }

    #[test]
    fn a_failure_leaves_the_earlier_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        write(&path, Readers::Umask, b"earlier").unwrap();
        let error = write_with(&path, Readers::Umask, |file| {
            file.write_all(b"half of")?;
            assert_eq!(names(folder.path()).len(), 2);
            Err(ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"earlier");
        assert_eq!(names(folder.path()), ["bundle.json"]);
        // A rename that fails, too: a folder has come to the place meanwhile.
        let path = folder.path().join("late");
        write_with(&path, Readers::Umask, |_| std::fs::create_dir(&path)).unwrap_err();
        assert_eq!(names(folder.path()), ["bundle.json", "late"]);
    }

    #[test]
    fn places_that_cannot_be_written_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |path: &Path| write(path, Readers::Umask, b"x").unwrap_err().kind();
        assert_eq!(kind(folder.path()), ErrorKind::IsADirectory);
        assert_eq!(kind(&folder.path().join("missing/file")), ErrorKind::NotFound);
        assert_eq!(kind(Path::new("/")), ErrorKind::InvalidInput);
        #[cfg(unix)]
        {
            let socket = folder.path().join("socket");
            let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            assert_eq!(kind(&socket), ErrorKind::InvalidInput);
            assert_eq!(names(folder.path()), ["socket"]);
        }
    }

    #[test]
    fn writers_at_once_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::thread::scope(|scope| {
            for byte in 0..8 {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write(path, Readers::Umask, &[byte; 5000]).unwrap()));
            }
        });
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() == 5000 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(names(folder.path()), ["keys"]);
    }

    #[test]
    fn what_a_killed_writer_left_goes_with_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let others = ["keys.partial", "keys.notes.partial", "keys.abcdefg.partial", "mykeys.abcdef.partial", "keys.abcdef.json"];
        for name in others.iter().chain(&["keys.aB3dEf.partial"]) {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let path = folder.path().join("keys");
        write_with(&path, Readers::Umask, |_| {
            // A live writer's file stays: this one's, while another writes.
            write(&path, Readers::Umask, b"other")?;
            Ok(())
        })
        .unwrap();
        let mut expected: Vec<_> = others.into_iter().chain(["keys"]).collect();
        expected.sort_unstable();
        assert_eq!(names(folder.path()), expected);
        assert_eq!(std::fs::read(&path).unwrap(), b"", "the last to be renamed");
    }
}
