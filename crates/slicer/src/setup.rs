//! Keys of packages, made together.
//!
//! Key files lie in a folder of their own until `keys.json` names it: a setup that is broken off leaves the earlier keys, or none.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rand_core::CryptoRngCore;
use zkslice_formats::{Readers, hex0x, keccak, to_json};
use zkslice_groth16::{ProvingKey, Setup, check_deltas};

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
pub fn setup(packages: &[Package], rng: &mut dyn CryptoRngCore, progress: impl FnMut(usize, usize)) -> Result<(), PackageError> {
    dev_keys(packages, false, rng, progress)
}

/// [`setup`], where earlier keys are lost.
///
/// # Errors
/// As [`setup`], but for earlier keys.
pub fn setup_again(packages: &[Package], rng: &mut dyn CryptoRngCore, progress: impl FnMut(usize, usize)) -> Result<(), PackageError> {
    dev_keys(packages, true, rng, progress)
}

fn dev_keys(
    packages: &[Package],
    lose_keys: bool,
    rng: &mut dyn CryptoRngCore,
    mut progress: impl FnMut(usize, usize),
) -> Result<(), PackageError> {
    let all: usize = packages.iter().map(Package::slice_count).sum();
    let mut done = 0;
    let secrets = Setup::dev(rng);
    put_keys(packages, lose_keys, &mut |package, k| {
        let key = secrets.key(&package.circuit(k)?, &package.groups(k), rng)?;
        done += 1;
        progress(done, all);
        Ok(key)
    })
}

/// Gives packages the keys that a ceremony made for their slices, in this order. `lose_keys` is for packages that have keys already.
///
/// # Errors
/// As [`setup`]; [`PackageError::Malformed`] for keys that are not those of the packages' slices.
pub fn install(packages: &[Package], keys: Vec<ProvingKey>, lose_keys: bool) -> Result<(), PackageError> {
    let mut keys = keys.into_iter();
    put_keys(packages, lose_keys, &mut |package, k| {
        let wrong = |reason| PackageError::malformed(&package.folder, reason);
        let key = keys.next().ok_or_else(|| wrong("the ceremony has fewer keys than the packages have slices"))?;
        package.check_key(k, key.verifying_key()).map_err(wrong)?;
        Ok(key)
    })
}

fn put_keys(
    packages: &[Package],
    lose_keys: bool,
    make: &mut dyn FnMut(&Package, usize) -> Result<ProvingKey, PackageError>,
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
            return Err(PackageError::malformed(&path, "it was replaced meanwhile; run the command again"));
        }
        if !lose_keys {
            check_without_keys(&package.folder)?;
        }
    }
    let mut made = Vec::new();
    for package in packages {
        let (mut keys, mut entries, mut transcript) = (Vec::new(), Vec::new(), None);
        let mut files = NewKeys::default();
        let mut first = String::new();
        for k in 0..package.slice_count() {
            let key = make(package, k)?;
            let entry = SliceKeyEntry { verifying_key: hex0x(key.verifying_key_hash()), proving_key: hex0x(&key.digest()) };
            if k == 0 {
                first.clone_from(&entry.verifying_key);
                let has_them = package.keys().is_ok_and(|keys| keys.first_key() == first);
                files.begin(package.folder.join(keys_folder(&first)), has_them)?;
                transcript = key.transcript().copied();
            }
            if key.transcript().copied() != transcript {
                return Err(PackageError::malformed(&package.folder, "its slices' keys are of different ceremonies"));
            }
            key.save(&package.folder.join(proving_key_file(&first, k)))?;
            let path = package.folder.join(verifying_key_file(&first, k));
            zkslice_formats::write(&path, Readers::Umask, &key.verifying_key().record()).map_err(PackageError::io(&path))?;
            keys.push(key.verifying_key().clone());
            entries.push(entry);
        }
        made.push((keys, entries, transcript, files));
    }
    check_deltas(made.iter().flat_map(|(keys, ..)| keys))?;
    let mut manifests = Vec::new();
    let mut folders = Vec::new();
    for (package, (keys, slices, transcript, files)) in packages.iter().zip(made) {
        let blob = KeyBlob::new(&package.manifest, keys, transcript.is_none());
        let manifest = KeyManifest {
            version: KEYS_VERSION,
            transcript: transcript.as_ref().map(|hash| hex0x(hash)),
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
    /// A package that has these very keys keeps them, whatever comes.
    fn begin(&mut self, folder: PathBuf, has_them: bool) -> Result<(), PackageError> {
        fs::create_dir_all(&folder).map_err(PackageError::io(&folder))?;
        self.folder = Some(folder).filter(|_| !has_them);
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
