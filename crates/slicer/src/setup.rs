//! Keys of packages, made together.
//!
//! Key files lie in a folder of their own until `keys.json` names it: a setup that is broken off leaves the earlier keys, or none.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rand_core::CryptoRngCore;
use zkslice_formats::{Readers, hex0x, keccak, to_json};
use zkslice_groth16::{Setup, check_deltas};

use crate::PackageError;
use crate::blob::KeyBlob;
use crate::package::{
    KEYS, KEYS_VERSION, KeyManifest, MANIFEST, Package, SliceKeyEntry, check_without_keys, keys_folder, lock, proving_key_file,
    verifying_key_file,
};

/// Makes dev keys for packages under one setup: α, β, γ shared, deltas distinct over all of them. `progress(done, all)` is
/// called after each key.
///
/// # Errors
/// [`PackageError::HasKeys`] where a package has keys; [`PackageError::Busy`] while another process writes one; [`PackageError`]. Each
/// package then has the keys that it had, or none.
pub fn setup(packages: &[Package], rng: &mut dyn CryptoRngCore, mut progress: impl FnMut(usize, usize)) -> Result<(), PackageError> {
    make_keys(packages, false, rng, &mut progress)
}

/// [`setup`], where earlier keys are lost.
///
/// # Errors
/// As [`setup`], but for earlier keys.
pub fn setup_again(packages: &[Package], rng: &mut dyn CryptoRngCore, mut progress: impl FnMut(usize, usize)) -> Result<(), PackageError> {
    make_keys(packages, true, rng, &mut progress)
}

fn make_keys(
    packages: &[Package],
    lose_keys: bool,
    rng: &mut dyn CryptoRngCore,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), PackageError> {
    let mut locks = BTreeMap::new();
    for package in packages {
        let path = package.folder.canonicalize().map_err(PackageError::io(&package.folder))?;
        if locks.contains_key(&path) {
            return Err(PackageError::malformed(&package.folder, "the package is given twice"));
        }
        locks.insert(path, lock(&package.folder)?);
        let path = package.folder.join(MANIFEST);
        if keccak(&fs::read(&path).map_err(PackageError::io(&path))?) != package.digest {
            return Err(PackageError::malformed(&path, "it was replaced meanwhile; run `zkslice setup` again"));
        }
        if !lose_keys {
            check_without_keys(&package.folder)?;
        }
    }
    let all: usize = packages.iter().map(|p| p.slices().len()).sum();
    let secrets = Setup::dev(rng);
    let mut made = Vec::new();
    let mut done = 0;
    for package in packages {
        let (mut keys, mut entries) = (Vec::new(), Vec::new());
        let mut files = NewKeys::default();
        for k in 0..package.slices().len() {
            let key = secrets.key(&package.circuit(k)?, &package.groups(k), rng)?;
            let setup = hex0x(&key.verifying_key().setup_digest());
            if k == 0 {
                files.begin(package.folder.join(keys_folder(&setup)))?;
            }
            key.save(&package.folder.join(proving_key_file(&setup, k)))?;
            let path = package.folder.join(verifying_key_file(&setup, k));
            zkslice_formats::write(&path, Readers::Umask, &key.verifying_key().record()).map_err(PackageError::io(&path))?;
            entries.push(SliceKeyEntry { verifying_key: hex0x(key.verifying_key_hash()), proving_key: hex0x(&key.digest()) });
            keys.push(key.verifying_key().clone());
            done += 1;
            progress(done, all);
        }
        made.push((keys, entries, files));
    }
    check_deltas(made.iter().flat_map(|(keys, ..)| keys))?;
    let mut manifests = Vec::new();
    let mut folders = Vec::new();
    for (package, (keys, slices, files)) in packages.iter().zip(made) {
        let blob = KeyBlob::new(&package.manifest, keys, true);
        let manifest = KeyManifest {
            version: KEYS_VERSION,
            dev: true,
            package: hex0x(&package.digest),
            setup: hex0x(blob.setup_digest()),
            model: hex0x(&blob.model_digest()),
            slices,
        };
        let path = package.folder.join(KEYS);
        let bytes = to_json(&manifest).map_err(|e| PackageError::malformed(&path, e))?;
        manifests.push((path, bytes));
        folders.push(files);
    }
    name_keys(&manifests, &mut folders)?;
    for (package, files) in packages.iter().zip(folders) {
        files.keep();
        *package.known_keys() = None;
    }
    Ok(())
}

/// Writes the packages' `keys.json`: all of them, or none.
fn name_keys(manifests: &[(PathBuf, Vec<u8>)], folders: &mut [NewKeys]) -> Result<(), PackageError> {
    let earlier: Vec<Option<Vec<u8>>> = manifests.iter().map(|(path, _)| fs::read(path).ok()).collect();
    for (path, bytes) in manifests {
        let Err(error) = zkslice_formats::write(path, Readers::Umask, bytes) else { continue };
        for (((path, bytes), earlier), folder) in manifests.iter().zip(&earlier).zip(folders) {
            // A write may fail when the file is in its place already.
            if fs::read(path).ok().as_ref() != Some(bytes) {
                continue;
            }
            let back = match earlier {
                Some(earlier) => zkslice_formats::write(path, Readers::Umask, earlier),
                None => fs::remove_file(path),
            };
            if back.is_err() {
                // The new keys are named, so they stay; the earlier ones do too.
                folder.folder = None;
            }
        }
        return Err(PackageError::io(path)(error));
    }
    Ok(())
}

/// Key files that no `keys.json` names yet: dropping them removes them.
#[derive(Default)]
struct NewKeys {
    folder: Option<PathBuf>,
}

impl NewKeys {
    fn begin(&mut self, folder: PathBuf) -> Result<(), PackageError> {
        fs::create_dir_all(&folder).map_err(PackageError::io(&folder))?;
        self.folder = Some(folder);
        Ok(())
    }

    /// These are the package's keys now; all others, of earlier setups or of one that was killed, go.
    fn keep(mut self) {
        let Some(folder) = self.folder.take() else { return };
        for entry in folder.parent().and_then(|keys| fs::read_dir(keys).ok()).into_iter().flatten().flatten() {
            if entry.path() != folder {
                // It is in nobody's way, and goes with the next setup.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for NewKeys {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
            // Only if nothing else is in it.
            let _ = folder.parent().map(fs::remove_dir);
        }
    }
}
