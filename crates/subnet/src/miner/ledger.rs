//! Receipts that a miner has: a line of JSON for each. The newest of a validator says everything that it owes; two that contradict each other
//! show that it lied, as do two roots of one epoch, which are in a file beside.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use alloy::hex;
use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::messages::{Assignment, EpochRoot, Receipt, Verdict};
use crate::receipts::{Totals, contradict};
use crate::score::Parameters;
use crate::{LedgerError, Network, Signed};

/// Receipts of a validator that are remembered by number: those that come again are told from those that contradict.
const MOST_REMEMBERED: usize = 1 << 14;
/// Receipts of a validator that contradict others, of which one is enough.
const MOST_CONTRADICTIONS: u32 = 16;

/// What a miner knows of an assignment when its receipt comes.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) assignment: Assignment,
    pub(crate) handed_in: Option<B256>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Receipt(String),
    Root(String),
}

/// A file of lines. One that a crash has cut off is left out: the validator sends it again.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

impl Lines {
    /// Opens the file, made where there is none, and hands out the signed text of each line.
    fn open(path: PathBuf, mut each: impl FnMut(&Line, &[u8]) -> Option<()>) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { path: path.clone(), source };
        let text = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.map_err(io)?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io)?;
        file.set_len(whole as u64).map_err(io)?;
        for (number, line) in text[..whole].lines().enumerate() {
            let mut read = || {
                let line: Line = serde_json::from_str(line).ok()?;
                let (Line::Receipt(signed) | Line::Root(signed)) = &line;
                each(&line, &hex::decode(signed).ok()?)
            };
            read().ok_or_else(|| LedgerError::Line { path: path.clone(), line: number + 1 })?;
        }
        Ok(Self { path, file, length: whole as u64 })
    }

    fn add(&mut self, line: &Line) -> Result<(), LedgerError> {
        let line = serde_json::to_string(line).map_err(|_| LedgerError::Line { path: self.path.clone(), line: 0 })? + "\n";
        if let Err(source) = self.file.write_all(line.as_bytes()) {
            // A part of a line would make the next one unreadable.
            let _ = self.file.set_len(self.length);
            return Err(LedgerError::Io { path: self.path.clone(), source });
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// What a validator has signed for a miner, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Valid proofs.
    pub valid: u64,
    /// Proofs that did not hold.
    pub invalid: u64,
    /// Assignments for which nothing came in time.
    pub missed: u64,
    /// Proofs that came too late, or after another's.
    pub late_or_superseded: u64,
    /// Everything that was ever credited.
    pub credit: u64,
    /// Everything that was ever debited.
    pub debit: u64,
    /// Receipts so far.
    pub receipts: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    receipts: Lines,
    roots: Lines,
    network: Network,
    newest: HashMap<Address, Receipt>,
    /// The last receipts of each validator, by number.
    seen: HashMap<Address, BTreeMap<u64, B256>>,
    /// The last roots of each validator, by epoch.
    seen_roots: HashMap<Address, BTreeMap<u64, B256>>,
    contradictions: HashMap<Address, u32>,
    accounts: HashMap<Address, Account>,
}

impl Ledger {
    /// Opens the file, made where there is none, and `<name>.roots.jsonl` beside it.
    ///
    /// # Errors
    /// [`LedgerError`] for a file that cannot be read or written, or holds what is no receipt of this network, or another miner's.
    pub fn open(path: &Path, network: Network, miner: Address) -> Result<Self, LedgerError> {
        let (mut noted, mut roots) = (Vec::new(), Vec::new());
        let receipts = Lines::open(path.to_owned(), |line, bytes| {
            let signed = matches!(line, Line::Receipt(_)).then(|| Signed::<Receipt>::from_bytes(bytes, &network, None).ok())??;
            noted.push(signed.message().clone());
            Some(())
        })?;
        let of_roots = Lines::open(path.with_extension("roots.jsonl"), |line, bytes| {
            let signed = matches!(line, Line::Root(_)).then(|| Signed::<EpochRoot>::from_bytes(bytes, &network, None).ok())??;
            roots.push((signed.signer(), signed.message().epoch, network.hash(signed.message())));
            Some(())
        })?;
        let mut ledger = Self {
            receipts,
            roots: of_roots,
            network,
            newest: HashMap::new(),
            seen: HashMap::new(),
            seen_roots: HashMap::new(),
            contradictions: HashMap::new(),
            accounts: HashMap::new(),
        };
        if let Some(other) = noted.iter().find(|receipt| receipt.miner != miner) {
            return Err(LedgerError::Another { path: path.to_owned(), found: other.miner, expected: miner });
        }
        noted.iter().for_each(|receipt| ledger.note(receipt));
        roots.into_iter().for_each(|(validator, epoch, hash)| ledger.note_root(validator, epoch, hash));
        Ok(ledger)
    }

    /// Number of the newest receipt of a validator.
    pub fn newest(&self, validator: Address) -> u64 {
        self.newest.get(&validator).map_or(0, |receipt| receipt.seq)
    }

    /// What each validator has signed.
    pub fn accounts(&self) -> Vec<(Address, Account)> {
        let mut accounts: Vec<_> = self.accounts.iter().map(|(validator, account)| (*validator, *account)).collect();
        accounts.sort_by_key(|(validator, _)| *validator);
        accounts
    }

    /// Takes a receipt of a validator, and says what is wrong with it: it is kept in either case, for whoever has to judge it. One that was here
    /// before is not taken again.
    ///
    /// # Errors
    /// [`LedgerError`] where it cannot be written.
    pub(crate) fn take(
        &mut self,
        signed: &Signed<Receipt>,
        bytes: &[u8],
        parameters: &Parameters,
        known: Option<&Known>,
    ) -> Result<Option<String>, LedgerError> {
        let receipt = signed.message();
        let before = self.newest.get(&receipt.validator).cloned();
        let hash = self.network.hash(receipt);
        let seen = self.seen.get(&receipt.validator).and_then(|seen| seen.get(&receipt.seq));
        if seen == Some(&hash) {
            return Ok(None);
        }
        let is_new = before.as_ref().is_none_or(|before| before.seq < receipt.seq);
        let contradicts = seen.is_some() || before.as_ref().is_some_and(|before| contradict(before, receipt));
        if !is_new && !contradicts {
            return Ok(None);
        }
        if contradicts && self.is_one_too_many(receipt.validator) {
            return Ok(Some("it contradicts others, as many did before".to_owned()));
        }
        let is_next = before.as_ref().map_or(0, |before| before.seq) + 1 == receipt.seq;
        let fault = match (&before, known) {
            _ if contradicts => Some("it contradicts the one before".to_owned()),
            // Of what was assigned before a restart there is nothing to compare with.
            (_, Some(known)) if is_next => {
                let totals = before.as_ref().map(Totals::of).unwrap_or_default();
                let hash = self.network.hash(&known.assignment);
                totals.check(parameters, &known.assignment, hash, known.handed_in, receipt).err().map(|error| error.to_string())
            }
            _ => None,
        };
        self.receipts.add(&Line::Receipt(hex::encode_prefixed(bytes)))?;
        self.note(receipt);
        Ok(fault)
    }

    /// Takes a validator's root of an epoch, and says what is wrong with it: that there is another of that epoch, which is kept too.
    ///
    /// # Errors
    /// [`LedgerError`] where it cannot be written.
    pub(crate) fn take_root(&mut self, validator: Address, root: &EpochRoot, bytes: &[u8]) -> Result<Option<String>, LedgerError> {
        let hash = self.network.hash(root);
        let seen = self.seen_roots.get(&validator).and_then(|seen| seen.get(&root.epoch));
        if seen == Some(&hash) {
            return Ok(None);
        }
        let fault = seen.map(|_| format!("it is another root of epoch {}", root.epoch));
        if fault.is_some() && self.is_one_too_many(validator) {
            return Ok(fault);
        }
        self.roots.add(&Line::Root(hex::encode_prefixed(bytes)))?;
        self.note_root(validator, root.epoch, hash);
        Ok(fault)
    }

    /// One contradiction more: whether there were so many that this one need not be kept.
    fn is_one_too_many(&mut self, validator: Address) -> bool {
        let count = self.contradictions.entry(validator).or_default();
        *count += 1;
        *count > MOST_CONTRADICTIONS
    }

    fn note_root(&mut self, validator: Address, epoch: u64, hash: B256) {
        let seen = self.seen_roots.entry(validator).or_default();
        seen.entry(epoch).or_insert(hash);
        if seen.len() > MOST_REMEMBERED {
            seen.pop_first();
        }
    }

    fn note(&mut self, receipt: &Receipt) {
        let seen = self.seen.entry(receipt.validator).or_default();
        seen.entry(receipt.seq).or_insert_with(|| self.network.hash(receipt));
        if seen.len() > MOST_REMEMBERED {
            seen.pop_first();
        }
        let newest = self.newest.entry(receipt.validator).or_insert_with(|| receipt.clone());
        if receipt.seq > newest.seq {
            *newest = receipt.clone();
        }
        let account = self.accounts.entry(receipt.validator).or_default();
        match Verdict::from_u8(receipt.verdict) {
            Some(Verdict::Valid) => account.valid += 1,
            Some(Verdict::Invalid) => account.invalid += 1,
            Some(Verdict::Missed) => account.missed += 1,
            Some(Verdict::Late | Verdict::Superseded) => account.late_or_superseded += 1,
            None => {}
        }
        account.credit += u64::from(receipt.credit);
        account.debit += u64::from(receipt.debit);
        account.receipts += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Node;
    use crate::receipts::Outcome;
    use alloy::signers::local::PrivateKeySigner;

    /// What comes again counts once, what contradicts is kept and named, and a flood of it ends.
    #[test]
    fn receipts_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, network) = (folder.path().join("receipts.jsonl"), Network { chain_id: 1, registry: Address::repeat_byte(1) });
        let validator = Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap());
        let miner = Address::repeat_byte(9);
        let (parameters, mut totals) = (Parameters::default(), Totals::default());
        let mut signed = |number: u8, verdict| {
            let assignment = Assignment {
                job: B256::repeat_byte(number),
                model: B256::ZERO,
                slice: 0,
                attempt: 0,
                validator: validator.address(),
                miner,
                statement: B256::ZERO,
                units: 3,
                price: 5,
                issuedMs: 0,
                deadlineMs: 1_000,
                epoch: 1,
            };
            let outcome = Outcome { verdict, proof_hash: B256::repeat_byte(number), ms: 5 };
            let receipt = totals.receipt(&parameters, &assignment, network.hash(&assignment), outcome);
            validator.sign(&network, receipt).unwrap()
        };
        let all: Vec<_> = (1..=3).map(|k| signed(k, Verdict::Valid)).collect();
        let mut ledger = Ledger::open(&path, network, miner).unwrap();
        let take = |ledger: &mut Ledger, signed: &Signed<Receipt>| ledger.take(signed, &signed.to_bytes(), &parameters, None).unwrap();
        for _ in 0..3 {
            all.iter().for_each(|receipt| assert_eq!(take(&mut ledger, receipt), None));
        }
        assert_eq!((ledger.accounts()[0].1.valid, ledger.accounts()[0].1.receipts), (3, 3));
        let length = std::fs::metadata(&path).unwrap().len();
        // Another of a number that was used: kept, but not a thousand of them.
        for k in 0..1_000u32 {
            let other = Receipt { ms: 1_000 + k, ..all[1].message().clone() };
            assert!(take(&mut ledger, &validator.sign(&network, other).unwrap()).unwrap().contains("contradicts"));
        }
        let after = std::fs::metadata(&path).unwrap().len();
        assert!(after > length && after < length * 8, "{length} {after}");
        let again = Ledger::open(&path, network, miner).unwrap();
        assert_eq!(again.newest(validator.address()), 3);
        let error = Ledger::open(&path, network, Address::repeat_byte(8)).unwrap_err().to_string();
        assert!(error.contains("give each key a folder of its own"), "{error}");
    }

    /// Two roots of one epoch show that their validator lied, also after a restart.
    #[test]
    fn attack_two_roots_of_one_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let (path, network) = (folder.path().join("receipts.jsonl"), Network { chain_id: 1, registry: Address::repeat_byte(1) });
        let validator = Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap());
        let miner = Address::repeat_byte(2);
        let root = |epoch: u64, receipts: u32| {
            let (word, receipts) = (B256::repeat_byte(3), B256::left_padding_from(&receipts.to_be_bytes()));
            let root =
                EpochRoot { epoch, beacon: word, parameters: word, receipts, scores: word, weights: word, count: 2, previous: B256::ZERO };
            validator.sign(&network, root).unwrap()
        };
        let mut ledger = Ledger::open(&path, network, miner).unwrap();
        let take = |ledger: &mut Ledger, signed: &Signed<EpochRoot>| {
            ledger.take_root(validator.address(), signed.message(), &signed.to_bytes()).unwrap()
        };
        for epoch in [1, 2, 3, 2] {
            assert_eq!(take(&mut ledger, &root(epoch, 0)), None);
        }
        let mut ledger = Ledger::open(&path, network, miner).unwrap();
        assert_eq!(take(&mut ledger, &root(3, 0)), None);
        let length = |path: &Path| std::fs::metadata(path.with_extension("roots.jsonl")).unwrap().len();
        let before = length(&path);
        for other in 1..1_000 {
            assert!(take(&mut ledger, &root(2, other)).unwrap().contains("another root of epoch 2"));
        }
        assert_eq!((length(&path) - before) / (before / 3), u64::from(MOST_CONTRADICTIONS), "one is enough, a thousand are too many");
    }
}
