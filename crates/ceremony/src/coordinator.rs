//! A coordinator: who contributes next, and what they hand in. It needs no trust: whoever downloads the ceremony verifies it.
//!
//! ```text
//! <folder>/ceremony        as far as it has got
//! <folder>/queue.json      who waits, in their order, and since when it is the first one's turn
//! <folder>/upload          what the first one has handed in so far
//! ```
//!
//! Each step is on disk before it is answered, and a coordinator that is killed goes on where it was.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zkslice_formats::{FileLock, Readers, check_version, json_version, to_json};

use crate::contribution::check_name;
use crate::{Ceremony, CeremonyError};

const VERSION: u32 = 1;
const CEREMONY: &str = "ceremony";
const QUEUE: &str = "queue.json";
const UPLOAD: &str = "upload";
/// Most who wait.
const MOST_WAITING: usize = 1_000;
/// Bytes by which a contribution may make the file longer, for each circuit.
const PER_CIRCUIT: u64 = 1 << 12;
/// A turn begins anew after a restart, but no more often: what is handed in may be why.
const MOST_RESTARTS: u8 = 2;
/// Digits of a ticket.
const TICKET: usize = 64;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Queue {
    version: u32,
    waiting: Vec<Waiting>,
    /// Since when it is the first one's turn, in Unix seconds.
    turn_since: Option<u64>,
    /// How often that began anew.
    #[serde(default)]
    restarts: u8,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    ticket: String,
    name: String,
}

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// How many are before them; with none it is their turn.
    pub before: usize,
    /// Bytes that they have handed in.
    pub received: u64,
    /// Seconds that are left of their turn.
    pub seconds_left: Option<u64>,
}

/// A queue of contributors for one ceremony.
#[derive(Debug)]
pub struct Coordinator {
    folder: PathBuf,
    ceremony: Arc<Ceremony>,
    queue: Queue,
    /// Seconds that a turn lasts.
    turn: u64,
    /// Whether what the first one handed in is being checked: their turn does not end meanwhile.
    checking: bool,
    _lock: FileLock,
}

/// What was handed in, until it is known to be a contribution. The coordinator answers others meanwhile.
#[derive(Debug)]
pub struct HandedIn {
    path: PathBuf,
    /// The ceremony that it should follow, and under whose name.
    before: Arc<Ceremony>,
    name: String,
}

impl HandedIn {
    /// The ceremony with it, once it is a contribution of the holder of the ticket with the points that it states.
    ///
    /// # Errors
    /// [`CeremonyError`] for a file that is none.
    pub fn check(&self, rng: &mut dyn CryptoRngCore) -> Result<Ceremony, CeremonyError> {
        let next = Ceremony::open(&self.path)?;
        next.follows(&self.before, &self.name)?;
        next.check(rng)?;
        Ok(next)
    }
}

fn refused(reason: impl Into<String>) -> CeremonyError {
    CeremonyError::Refused(reason.into())
}

impl Coordinator {
    /// Opens a folder, or makes one for a ceremony that has begun. `turn` are the seconds that each contributor has.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] while another process serves the folder, or for a ceremony that is not the folder's;
    /// [`CeremonyError`].
    pub fn open(folder: &Path, begun: Option<&Ceremony>, turn: u64) -> Result<Self, CeremonyError> {
        fs::create_dir_all(folder).map_err(CeremonyError::io(folder))?;
        let path = folder.join(CEREMONY);
        let lock = FileLock::take(&path).map_err(CeremonyError::io(&path))?;
        let lock = lock.ok_or_else(|| refused(format!("{}: another process serves it", folder.display())))?;
        let ceremony = match (path.exists(), begun) {
            (false, None) => return Err(refused(format!("{}: there is no ceremony in it yet: name the file of one", folder.display()))),
            (false, Some(begun)) => {
                begun.save(&path)?;
                begun.clone()
            }
            (true, begun) => {
                let ceremony = Ceremony::open(&path)?;
                if begun.is_some_and(|begun| !ceremony.is_of(begun)) {
                    return Err(refused(format!("{}: another ceremony is in it: choose another folder", folder.display())));
                }
                ceremony
            }
        };
        let path = folder.join(QUEUE);
        let mut queue = Queue { version: VERSION, ..Queue::default() };
        if path.exists() {
            let malformed = |reason: String| CeremonyError::Malformed { file: path.display().to_string(), reason };
            let bytes = fs::read(&path).map_err(CeremonyError::io(&path))?;
            let stated = json_version(&bytes).map_err(|e| malformed(e.to_string()))?;
            check_version(stated, VERSION).map_err(|error| CeremonyError::Version { file: path.display().to_string(), error })?;
            queue = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
        }
        let mut coordinator = Self { folder: folder.into(), ceremony: Arc::new(ceremony), queue, turn, checking: false, _lock: lock };
        // While nobody served it, nobody could use their turn.
        if coordinator.queue.turn_since.is_some() && coordinator.queue.restarts < MOST_RESTARTS {
            coordinator.queue.turn_since = None;
            coordinator.queue.restarts += 1;
            coordinator.save()?;
        }
        // A contribution that was taken before the queue was written: its name is in both.
        let last = coordinator.ceremony.attestations().last().map(|last| last.name.clone());
        if last.is_some() && coordinator.queue.waiting.first().map(|first| &first.name) == last.as_ref() {
            coordinator.next()?;
        }
        Ok(coordinator)
    }

    /// The ceremony as far as it has got.
    pub fn ceremony(&self) -> &Ceremony {
        &self.ceremony
    }

    /// Its file.
    pub fn file(&self) -> PathBuf {
        self.folder.join(CEREMONY)
    }

    /// Names of those who wait, the one whose turn it is first.
    pub fn waiting(&self) -> Vec<&str> {
        self.queue.waiting.iter().map(|waiting| waiting.name.as_str()).collect()
    }

    fn save(&self) -> Result<(), CeremonyError> {
        let path = self.folder.join(QUEUE);
        let bytes = to_json(&self.queue).map_err(|e| refused(e.to_string()))?;
        zkslice_formats::write(&path, Readers::Owner, &bytes).map_err(CeremonyError::io(&path))
    }

    fn upload(&self) -> PathBuf {
        self.folder.join(UPLOAD)
    }

    /// Ends the first one's turn.
    fn next(&mut self) -> Result<(), CeremonyError> {
        let path = self.upload();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(CeremonyError::io(&path)(error)),
            _ => {}
        }
        if !self.queue.waiting.is_empty() {
            self.queue.waiting.remove(0);
        }
        (self.queue.turn_since, self.queue.restarts) = (None, 0);
        self.save()
    }

    /// Ends the turn of whoever let it pass, and begins the next one's.
    fn advance(&mut self, now: u64) -> Result<(), CeremonyError> {
        if !self.checking && self.queue.turn_since.is_some_and(|since| now.saturating_sub(since) > self.turn) {
            self.next()?;
        }
        if self.queue.turn_since.is_none() && !self.queue.waiting.is_empty() {
            self.queue.turn_since = Some(now);
            self.save()?;
        }
        Ok(())
    }

    /// Takes somebody into the queue. The ticket, which they draw, shows who they are; asking again changes nothing.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] for a name that waits or has contributed, for a full queue, and after the beacon.
    pub fn join(&mut self, name: &str, ticket: &str, now: u64) -> Result<(), CeremonyError> {
        check_name(name)?;
        if ticket.len() != TICKET || !ticket.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused(format!("a ticket is {TICKET} hexadecimal digits, drawn at random")));
        }
        self.advance(now)?;
        if self.queue.waiting.iter().any(|waiting| waiting.ticket == ticket && waiting.name == name) {
            return Ok(());
        }
        if self.ceremony.is_closed() {
            return Err(refused("the ceremony is closed"));
        }
        if self.queue.waiting.len() >= MOST_WAITING {
            return Err(refused(format!("{MOST_WAITING} wait already; come back later")));
        }
        let is_taken = self.queue.waiting.iter().any(|waiting| waiting.name == name || waiting.ticket == ticket);
        if is_taken || self.ceremony.attestations().iter().any(|earlier| earlier.name == name) {
            return Err(refused(format!("{name:?} waits or has contributed already; choose another name")));
        }
        self.queue.waiting.push(Waiting { ticket: ticket.to_owned(), name: name.to_owned() });
        self.save()?;
        self.advance(now)
    }

    fn position(&self, ticket: &str) -> Result<usize, CeremonyError> {
        let position = self.queue.waiting.iter().position(|waiting| waiting.ticket == ticket);
        position.ok_or_else(|| refused("no such ticket: its turn is over, or its contribution was taken; see who has contributed"))
    }

    /// Where the holder of a ticket stands.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] for a ticket whose turn is over.
    pub fn place(&mut self, ticket: &str, now: u64) -> Result<Place, CeremonyError> {
        self.advance(now)?;
        let before = self.position(ticket)?;
        if before > 0 {
            return Ok(Place { before, received: 0, seconds_left: None });
        }
        let received = fs::metadata(self.upload()).map_or(0, |file| file.len());
        let since = self.queue.turn_since.unwrap_or(now);
        Ok(Place { before, received, seconds_left: Some((since + self.turn).saturating_sub(now)) })
    }

    fn require_turn(&mut self, ticket: &str, now: u64) -> Result<Place, CeremonyError> {
        let place = self.place(ticket, now)?;
        match place.before {
            0 if self.checking => Err(refused("what was handed in is being checked")),
            0 => Ok(place),
            before => Err(refused(format!("it is not your turn: {before} are before you"))),
        }
    }

    /// Takes the next bytes of a contribution. Gives how many there are now.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] out of turn, for bytes that do not follow what is there, and for a file that is longer than any can be.
    pub fn receive(&mut self, ticket: &str, offset: u64, bytes: &[u8], now: u64) -> Result<u64, CeremonyError> {
        let Place { received, .. } = self.require_turn(ticket, now)?;
        // From the beginning: whatever is here may be damaged.
        if offset != received && offset != 0 {
            return Err(refused(format!("{received} bytes are here; go on from there, or from the beginning")));
        }
        let length = fs::metadata(self.file()).map_err(CeremonyError::io(&self.file()))?.len();
        let most = length + PER_CIRCUIT * (1 + self.ceremony.circuits().len() as u64);
        let after = offset + bytes.len() as u64;
        if after > most {
            return Err(refused(format!("a contribution has at most {most} bytes")));
        }
        let path = self.upload();
        let append = || -> std::io::Result<()> {
            let mut file: File = OpenOptions::new().create(true).append(offset > 0).write(true).truncate(offset == 0).open(&path)?;
            file.write_all(bytes)?;
            file.sync_data()
        };
        append().map_err(CeremonyError::io(&path))?;
        Ok(after)
    }

    /// Begins to check what was handed in: [`HandedIn::check`] says whether it is the next contribution, [`Coordinator::end_check`] takes
    /// it.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] out of turn, before anything was handed in, and while that is checked already.
    pub fn begin_check(&mut self, ticket: &str, now: u64) -> Result<HandedIn, CeremonyError> {
        if self.require_turn(ticket, now)?.received == 0 {
            return Err(refused("nothing has been handed in yet"));
        }
        self.checking = true;
        let name = self.queue.waiting[0].name.clone();
        Ok(HandedIn { path: self.upload(), before: Arc::clone(&self.ceremony), name })
    }

    /// Takes the next contribution, or ends the turn of whoever handed in what is none. Gives its hash.
    ///
    /// # Errors
    /// Why it is none; [`CeremonyError::Io`], after which it may be handed in again, in a turn that begins anew a few times.
    pub fn end_check(&mut self, checked: Result<Ceremony, CeremonyError>, now: u64) -> Result<[u8; 32], CeremonyError> {
        if !std::mem::take(&mut self.checking) {
            return Err(refused("nothing is being checked"));
        }
        let taken = checked.and_then(|next| {
            next.save(&self.file())?;
            self.ceremony = Arc::new(next);
            Ok(self.ceremony.hash())
        });
        if matches!(taken, Err(CeremonyError::Io { .. })) {
            if self.queue.restarts < MOST_RESTARTS {
                (self.queue.turn_since, self.queue.restarts) = (Some(now), self.queue.restarts + 1);
                // What failed is told of; this may fail for the same reason.
                let _ = self.save();
            }
        } else {
            self.next()?;
            self.advance(now)?;
        }
        taken
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::OnceLock;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::attacks::{begun, powers};

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([7; 32])
    }

    fn first() -> &'static Ceremony {
        static BEGUN: OnceLock<Ceremony> = OnceLock::new();
        BEGUN.get_or_init(|| begun(&powers(1)))
    }

    struct World {
        folder: tempfile::TempDir,
        coordinator: Option<Coordinator>,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let coordinator = Coordinator::open(folder.path(), Some(first()), 100).unwrap();
            Self { folder, coordinator: Some(coordinator) }
        }

        fn at(&mut self) -> &mut Coordinator {
            self.coordinator.as_mut().unwrap()
        }

        /// Killed and started again.
        fn again(&mut self) {
            self.coordinator = None;
            self.coordinator = Some(Coordinator::open(self.folder.path(), None, 100).unwrap());
        }

        /// A contribution on top of what is there, as its file.
        fn contribution(&self, name: &str) -> Vec<u8> {
            file_of(contributed(self.coordinator.as_ref().unwrap().ceremony().clone(), name))
        }
    }

    fn hand_in(coordinator: &mut Coordinator, ticket: &str, now: u64) -> Result<[u8; 32], CeremonyError> {
        let checked = coordinator.begin_check(ticket, now)?.check(&mut rng());
        coordinator.end_check(checked, now)
    }

    fn contributed(mut ceremony: Ceremony, name: &str) -> Ceremony {
        ceremony.contribute(name, &mut rng(), &|_, _| ()).unwrap();
        ceremony
    }

    fn file_of(ceremony: Ceremony) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        ceremony.save(file.path()).unwrap();
        fs::read(file.path()).unwrap()
    }

    fn says<T: std::fmt::Debug>(result: Result<T, CeremonyError>, what: &str) {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }

    #[test]
    fn contributors_take_turns_and_resume() {
        let mut world = World::new();
        let [ada, ben, cy] = ["a", "b", "c"].map(|digit| digit.repeat(TICKET));
        world.at().join("Ada", &ada, 1000).unwrap();
        world.at().join("Ben", &ben, 1001).unwrap();
        // Asked again, since the answer was lost.
        world.at().join("Ada", &ada, 1001).unwrap();
        says(world.at().join("Ada", &cy, 1001), "waits or has contributed");
        says(world.at().join("Cy", &ada, 1001), "waits or has contributed");
        says(world.at().join("a\nb", &cy, 1001), "contributor's name");
        says(world.at().join("Cy", "../..", 1001), "a ticket is 64");
        assert_eq!(world.at().waiting(), ["Ada", "Ben"]);
        assert_eq!(world.at().place(&ben, 1001).unwrap().before, 1);
        let bytes = world.contribution("Ada");
        says(world.at().receive(&ben, 0, &bytes, 1002), "not your turn: 1");
        says(world.at().receive("00", 0, &bytes, 1002), "no such ticket");
        assert_eq!(world.at().receive(&ada, 0, &bytes[..1000], 1002).unwrap(), 1000);
        // Killed in between: it goes on where it was.
        world.again();
        // An outage, however long, is not hers.
        assert_eq!(world.at().place(&ada, 1010).unwrap(), Place { before: 0, received: 1000, seconds_left: Some(100) });
        says(world.at().receive(&ada, 999, &bytes, 1010), "1000 bytes are here");
        assert_eq!(world.at().receive(&ada, 0, &bytes[..1000], 1010).unwrap(), 1000);
        world.at().receive(&ada, 1000, &bytes[1000..], 1010).unwrap();
        says(world.at().receive(&ada, bytes.len() as u64, &vec![0; 1 << 20], 1010), "at most");
        // A check may take longer than the turn. Others are answered meanwhile, and nothing is handed in over it.
        let check = world.at().begin_check(&ada, 1011).unwrap();
        says(world.at().begin_check(&ada, 1011), "being checked");
        says(world.at().receive(&ada, 0, &bytes, 5000), "being checked");
        assert_eq!(world.at().place(&ben, 5000).unwrap().before, 1);
        let checked = check.check(&mut rng());
        let hash = world.at().end_check(checked, 1011).unwrap();
        says(world.at().end_check(Ok(first().clone()), 1011), "nothing is being checked");
        assert_eq!(world.at().ceremony().attestations().last().unwrap().hash, hash);
        says(world.at().place(&ada, 1011), "no such ticket");
        says(world.at().join("Ada", &ada, 1011), "has contributed");
        // Ben lets his turn pass; Cy does not.
        world.at().join("Cy", &cy, 1012).unwrap();
        assert_eq!(world.at().place(&cy, 1100).unwrap().before, 1);
        assert_eq!(world.at().place(&cy, 1120).unwrap(), Place { before: 0, received: 0, seconds_left: Some(100) });
        says(world.at().place(&ben, 1120), "no such ticket");
        let bytes = world.contribution("Cy");
        world.at().receive(&cy, 0, &bytes, 1121).unwrap();
        // Killed after the ceremony was written and before the queue was.
        let queue = fs::read(world.folder.path().join(QUEUE)).unwrap();
        hand_in(world.at(), &cy, 1122).unwrap();
        fs::write(world.folder.path().join(QUEUE), queue).unwrap();
        world.again();
        assert_eq!((world.at().waiting().len(), world.at().ceremony().attestations().len()), (0, 2));
    }

    /// What brings the coordinator down is there again when it comes up: it must not do so for ever.
    #[test]
    fn attack_a_turn_does_not_begin_anew_with_every_restart() {
        let mut world = World::new();
        let [eve, ada] = ["e", "a"].map(|digit| digit.repeat(TICKET));
        world.at().join("Eve", &eve, 1000).unwrap();
        world.at().join("Ada", &ada, 1000).unwrap();
        for restart in 1..=5u64 {
            world.again();
            let first = world.at().place(&ada, 1000 + 90 * restart).unwrap().before == 0;
            assert_eq!(first, restart > u64::from(MOST_RESTARTS) + 1, "after {restart} restarts");
        }
        // A save that failed, after a check that took longer than the turn.
        let bytes = world.contribution("Ada");
        world.at().receive(&ada, 0, &bytes, 1500).unwrap();
        for (begun, ended, left) in [(1500, 5000, 100), (5090, 5090, 10)] {
            world.at().begin_check(&ada, begun).unwrap();
            let io = CeremonyError::Io { path: "disk".into(), source: std::io::ErrorKind::StorageFull.into() };
            says(world.at().end_check(Err(io), ended), "disk");
            let place = Place { before: 0, received: bytes.len() as u64, seconds_left: Some(left) };
            assert_eq!(world.at().place(&ada, ended).unwrap(), place);
            // It is on disk, and begins anew no more often than after restarts.
            assert!(fs::read_to_string(world.folder.path().join(QUEUE)).unwrap().contains("\"turn_since\": 5000"));
        }
        hand_in(world.at(), &ada, 5095).unwrap();
    }

    #[test]
    fn a_queue_of_before_restarts_were_counted_is_read() {
        let mut world = World::new();
        world.at().join("Ada", &"a".repeat(TICKET), 1000).unwrap();
        let path = world.folder.path().join(QUEUE);
        let text = fs::read_to_string(&path).unwrap();
        let before = text.replace(",\n  \"restarts\": 0", "");
        assert_ne!(text, before);
        fs::write(&path, before).unwrap();
        world.again();
        assert_eq!(world.at().waiting(), ["Ada"]);
    }

    #[test]
    fn what_is_no_next_contribution_ends_the_turn() {
        let ada = "a".repeat(TICKET);
        let other = contributed(contributed(first().clone(), "Eve"), "Eve2");
        let mut renamed = contributed(first().clone(), "Eve");
        renamed.contributions[0].name = "Ada".into();
        let mut changed = contributed(first().clone(), "Ada");
        changed.circuits[0].sections[0] = changed.circuits[0].first[0].clone();
        let mut begins = contributed(first().clone(), "Ada");
        begins.beacon.source = "another".into();
        let closed = {
            let mut ceremony = contributed(first().clone(), "Ada");
            ceremony.close(&[7; 32], &mut rng(), &|_, _| ()).unwrap();
            ceremony
        };
        let cases = [
            (file_of(first().clone()), "one contribution"),
            (file_of(contributed(first().clone(), "Eve")), "\"Ada\""),
            (file_of(other), "one contribution"),
            (file_of(closed), "one contribution"),
            (file_of(renamed), "does not prove"),
            (file_of(changed), "is not what it began with"),
            (file_of(begins), "another ceremony"),
            (b"nonsense".to_vec(), "damaged"),
            (file_of(contributed(first().clone(), "Ada"))[..5000].to_vec(), "damaged"),
        ];
        for (bytes, what) in cases {
            let mut world = World::new();
            world.at().join("Ada", &ada, 1).unwrap();
            world.at().receive(&ada, 0, &bytes, 1).unwrap();
            says(hand_in(world.at(), &ada, 1), what);
            assert_eq!((world.at().waiting().len(), world.at().ceremony().attestations().len()), (0, 0));
            assert!(!world.folder.path().join(UPLOAD).exists());
            says(hand_in(world.at(), &ada, 1), "no such ticket");
        }
        let mut world = World::new();
        world.at().join("Ada", &ada, 1).unwrap();
        says(hand_in(world.at(), &ada, 1), "nothing has been handed in");
        let folder = world.folder.path().to_owned();
        says(Coordinator::open(&folder, None, 100), "another process");
        world.coordinator = None;
        let mut another = first().clone();
        another.beacon.source = "another".into();
        says(Coordinator::open(&folder, Some(&another), 100), "another ceremony is in it");
        says(Coordinator::open(tempfile::tempdir().unwrap().path(), None, 100), "no ceremony in it yet");
    }
}
