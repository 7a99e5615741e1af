//! Signed messages: one encoding, one network, one signer.

use alloy::primitives::{B256, U256, address, b256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolStruct, SolValue};
use proptest::prelude::*;
use zkslice_subnet::messages::{Acceptance, Assignment, EpochRoot, HandIn, Receipt, Role, Session, Verdict};
use zkslice_subnet::wire::Kind;
use zkslice_subnet::{Network, Node, SignatureError, Signed};

const NETWORK: Network = Network { chain_id: 31_337, registry: address!("0x5fbdb2315678afecb367f032d93f642f64180aa3") };

fn node(seed: u8) -> Node {
    Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap())
}

fn assignment() -> Assignment {
    Assignment {
        job: B256::repeat_byte(1),
        model: B256::repeat_byte(2),
        slice: 3,
        attempt: 4,
        validator: node(7).address(),
        miner: node(9).address(),
        statement: B256::repeat_byte(5),
        units: 32,
        price: 6,
        issuedMs: 7,
        deadlineMs: 8,
        epoch: 9,
    }
}

/// Reads what `node` signed, with one thing changed.
fn read<M>(signed: &Signed<M>, change: impl FnOnce(&mut Vec<u8>)) -> Result<Signed<M>, SignatureError>
where
    M: SolStruct + SolValue + for<'a> From<<M::SolType as alloy::sol_types::SolType>::RustType>,
{
    let mut bytes = signed.to_bytes();
    change(&mut bytes);
    Signed::from_bytes(&bytes, &NETWORK, Some(signed.signer()))
}

fn has_one_encoding<M>(message: M, kind: Option<Kind>)
where
    M: SolStruct + SolValue + PartialEq + std::fmt::Debug + for<'a> From<<M::SolType as alloy::sol_types::SolType>::RustType>,
{
    let signed = node(7).sign(&NETWORK, message).unwrap();
    let bytes = signed.to_bytes();
    assert!(kind.is_none_or(|kind| bytes.len() <= kind.cap()), "{} has {} bytes", M::NAME, bytes.len());
    let again = read(&signed, |_| ()).unwrap();
    assert_eq!((&again, again.signer()), (&signed, node(7).address()));
    assert_eq!(Signed::<M>::from_bytes(&bytes, &NETWORK, None).unwrap(), signed);
    // Every bit.
    for bit in 0..8 * bytes.len() {
        assert!(read(&signed, |bytes| bytes[bit / 8] ^= 1 << (bit % 8)).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(read(&signed, |bytes| bytes.truncate(length)).is_err(), "{length} bytes");
    }
    assert!(read(&signed, |bytes| bytes.push(0)).is_err());
    assert!(read(&signed, |bytes| bytes.insert(0, 0)).is_err());
    // Another network, and somebody else.
    for other in [Network { chain_id: 1, ..NETWORK }, Network { registry: node(1).address(), ..NETWORK }] {
        let read = Signed::<M>::from_bytes(&bytes, &other, Some(signed.signer()));
        assert!(matches!(read, Err(SignatureError::Signer { .. })), "{read:?}");
    }
    let expected = node(1).address();
    let wrong = Err(SignatureError::Signer { what: M::NAME, expected, found: node(7).address() });
    assert_eq!(Signed::<M>::from_bytes(&bytes, &NETWORK, Some(expected)), wrong);
}

#[test]
fn every_message_has_one_encoding() {
    let word = B256::repeat_byte(0xab);
    has_one_encoding(assignment(), Some(Kind::Assignment));
    has_one_encoding(Acceptance { assignment: word }, Some(Kind::Accept));
    has_one_encoding(HandIn { assignment: word, proofHash: word }, Some(Kind::HandIn));
    let session = Session {
        role: Role::Miner as u8,
        signer: node(7).address(),
        peer: node(8).address(),
        challenge: word,
        nonce: word,
        exporter: word,
    };
    has_one_encoding(session, Some(Kind::Session));
    let receipt = Receipt {
        validator: node(7).address(),
        miner: node(9).address(),
        assignment: word,
        proofHash: word,
        verdict: Verdict::Valid as u8,
        ms: u32::MAX,
        credit: 1,
        debit: 2,
        epoch: u64::MAX,
        seq: 3,
        epochCredit: 4,
        epochDebit: 5,
        owed: u128::MAX,
    };
    has_one_encoding(receipt, Some(Kind::Receipt));
    let root =
        EpochRoot { epoch: 1, beacon: word, parameters: word, receipts: word, scores: word, weights: word, count: 2, previous: B256::ZERO };
    has_one_encoding(root, Some(Kind::EpochRoot));
    assert!((0..=u8::MAX).filter_map(Verdict::from_u8).map(|verdict| verdict as u8).eq(1..=5));
}

/// The other signature that secp256k1 has for each: −s with the other v. Contracts that take both count one message twice.
#[test]
fn attack_a_signature_has_no_twin() {
    let order = U256::from_be_bytes(b256!("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").0);
    let signed = node(7).sign(&NETWORK, assignment()).unwrap();
    let twin = read(&signed, |bytes| {
        let at = bytes.len() - 33;
        let s = U256::from_be_slice(&bytes[at..at + 32]);
        bytes[at..at + 32].copy_from_slice(&(order - s).to_be_bytes::<32>());
        bytes[at + 32] ^= 27 ^ 28;
    });
    assert_eq!(twin, Err(SignatureError::Signature("Assignment")));
    // The same signature in another notation, and none.
    for v in [0, 1, 26, 29, 35, 62_709u32 as u8] {
        let other = read(&signed, |bytes| *bytes.last_mut().unwrap() = v);
        assert_eq!(other, Err(SignatureError::Signature("Assignment")), "v of {v}");
    }
    for word in [U256::ZERO, order, U256::MAX] {
        for back in [65, 33] {
            let other = read(&signed, |bytes| {
                let at = bytes.len() - back;
                bytes[at..at + 32].copy_from_slice(&word.to_be_bytes::<32>());
            });
            assert_eq!(other, Err(SignatureError::Signature("Assignment")));
        }
    }
}

/// A field that is wider on the wire than in the struct: whoever reads it loosely takes two encodings for one message.
#[test]
fn attack_bits_beyond_a_field_are_refused() {
    let signed = node(7).sign(&NETWORK, assignment()).unwrap();
    // slice, attempt, validator, miner, units, price, the times, the epoch.
    for (word, bytes) in [(2, 2), (3, 1), (4, 20), (5, 20), (7, 4), (8, 16), (9, 8), (10, 8), (11, 8)] {
        for byte in 0..32 - bytes {
            let other = read(&signed, |all| all[32 * word + byte] = 1);
            assert_eq!(other, Err(SignatureError::Encoding("Assignment")), "word {word}, byte {byte}");
        }
    }
}

/// A message of one kind is none of another, even where both have the same fields.
#[test]
fn attack_a_message_is_not_taken_for_another() {
    let word = B256::repeat_byte(0xab);
    let acceptance = node(7).sign(&NETWORK, Acceptance { assignment: word }).unwrap();
    let hand_in = node(7).sign(&NETWORK, HandIn { assignment: word, proofHash: word }).unwrap();
    assert!(Signed::<HandIn>::from_bytes(&acceptance.to_bytes(), &NETWORK, Some(node(7).address())).is_err());
    assert!(Signed::<Acceptance>::from_bytes(&hand_in.to_bytes(), &NETWORK, Some(node(7).address())).is_err());
    assert_ne!(NETWORK.hash(&Acceptance { assignment: word }), NETWORK.hash(&HandIn { assignment: word, proofHash: word }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_bytes_make_a_message_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Signed::<Assignment>::from_bytes(&bytes, &NETWORK, Some(node(7).address())).is_err());
        prop_assert!(Signed::<HandIn>::from_bytes(&bytes, &NETWORK, Some(node(7).address())).is_err());
        prop_assert!(Signed::<Receipt>::from_bytes(&bytes, &NETWORK, Some(node(7).address())).is_err());
    }
}
