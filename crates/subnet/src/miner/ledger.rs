//! Receipts that a miner has: a line of JSON for each. The newest of a validator says everything that it owes; two that contradict each other
//! show that it lied.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use alloy::hex;
use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::messages::{Assignment, Receipt, Verdict};
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
struct Line {
    receipt: String,
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
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    network: Network,
    newest: HashMap<Address, Receipt>,
    /// The last receipts of each validator, by number.
    seen: HashMap<Address, BTreeMap<u64, B256>>,
    contradictions: HashMap<Address, u32>,
    accounts: HashMap<Address, Account>,
}

impl Ledger {
    /// Opens the file, made where there is none. A line that a crash has cut off is left out: the validator sends the receipt again.
    ///
    /// # Errors
    /// [`LedgerError`] for a file that cannot be read or written, or holds what is no receipt of this network.
    pub fn open(path: &Path, network: Network) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { path: path.to_owned(), source };
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.map_err(io)?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
        file.set_len(whole as u64).map_err(io)?;
        let mut ledger = Self {
            path: path.to_owned(),
            file,
            length: whole as u64,
            network,
            newest: HashMap::new(),
            seen: HashMap::new(),
            contradictions: HashMap::new(),
            accounts: HashMap::new(),
        };
        for (number, line) in text[..whole].lines().enumerate() {
            let wrong = || LedgerError::Line { path: path.to_owned(), line: number + 1 };
            let line: Line = serde_json::from_str(line).map_err(|_| wrong())?;
            let bytes = hex::decode(&line.receipt).map_err(|_| wrong())?;
            let signed = Signed::<Receipt>::from_bytes(&bytes, &network, None).map_err(|_| wrong())?;
            ledger.note(signed.message());
        }
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
        let before = self.newest.get(&receipt.validator);
        let hash = self.network.hash(receipt);
        let seen = self.seen.get(&receipt.validator).and_then(|seen| seen.get(&receipt.seq));
        if seen == Some(&hash) {
            return Ok(None);
        }
        let is_new = before.is_none_or(|before| before.seq < receipt.seq);
        let contradicts = seen.is_some() || before.is_some_and(|before| contradict(before, receipt));
        if !is_new && !contradicts {
            return Ok(None);
        }
        if contradicts {
            let count = self.contradictions.entry(receipt.validator).or_default();
            *count += 1;
            if *count > MOST_CONTRADICTIONS {
                return Ok(Some("it contradicts others, as many did before".to_owned()));
            }
        }
        let is_next = before.map_or(0, |before| before.seq) + 1 == receipt.seq;
        let fault = match (before, known) {
            _ if contradicts => Some("it contradicts the one before".to_owned()),
            // Of what was assigned before a restart there is nothing to compare with.
            (_, Some(known)) if is_next => {
                let totals = before.map(Totals::of).unwrap_or_default();
                let hash = self.network.hash(&known.assignment);
                totals.check(parameters, &known.assignment, hash, known.handed_in, receipt).err().map(|error| error.to_string())
            }
            _ => None,
        };
        let line = serde_json::to_string(&Line { receipt: hex::encode_prefixed(bytes) })
            .map_err(|_| LedgerError::Line { path: self.path.clone(), line: 0 })?;
        let line = format!("{line}\n");
        if let Err(source) = self.file.write_all(line.as_bytes()) {
            // A part of a line would make the next one unreadable.
            let _ = self.file.set_len(self.length);
            return Err(LedgerError::Io { path: self.path.clone(), source });
        }
        self.length += line.len() as u64;
        self.note(receipt);
        Ok(fault)
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
        let (parameters, mut totals) = (Parameters::default(), Totals::default());
        let mut signed = |number: u8, verdict| {
            let assignment = Assignment {
                job: B256::repeat_byte(number),
                model: B256::ZERO,
                slice: 0,
                attempt: 0,
                validator: validator.address(),
                miner: Address::repeat_byte(9),
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
        let mut ledger = Ledger::open(&path, network).unwrap();
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
        let again = Ledger::open(&path, network).unwrap();
        assert_eq!(again.newest(validator.address()), 3);
    }
}
