//! Frames: caps before allocation, one encoding, no panic.

use alloy::primitives::{Address, B256};
use proptest::prelude::*;
use zkslice_subnet::WireError;
use zkslice_subnet::wire::{
    Body, Cancel, Capacity, Decline, HEADER, Header, Hello, Kind, Ping, Progress, Read, Reason, Stage, Work, frame,
};

fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn header(bytes: &[u8]) -> Result<Header, WireError> {
    Header::read(bytes[..HEADER].try_into().unwrap(), Kind::ALL)
}

fn hello(software: usize) -> Hello {
    Hello {
        node: Address::repeat_byte(9),
        random: word(8),
        software: "z".repeat(software),
        registry: Address::ZERO,
        chain_id: u64::MAX,
        features: u64::MAX,
        parameters: word(2),
    }
}

fn work(reads: usize) -> Work {
    Work {
        assignment: word(1),
        context: word(2),
        owner: B256::ZERO,
        reads: (0..reads).map(|_| Read { words: vec![word(3); 2], salt: Some(word(4)) }).collect(),
        salts: vec![word(5)],
        commitments: vec![word(6); 3],
        words: Vec::new(),
        words_hash: word(7),
    }
}

/// A body goes and comes; cut, longer, or written otherwise it is refused.
fn goes_and_comes<B: Body + PartialEq + std::fmt::Debug>(body: &B) {
    let bytes = body.to_frame().unwrap();
    let header = header(&bytes).unwrap();
    assert_eq!((header.kind, header.length), (B::KIND, bytes.len() - HEADER));
    let rest = &bytes[HEADER..];
    assert_eq!(B::from_body(rest).as_ref(), Ok(body));
    for length in 0..rest.len() {
        assert_eq!(B::from_body(&rest[..length]), Err(WireError::Body(B::KIND)), "{length} bytes");
    }
    assert_eq!(B::from_body(&[rest, &[0]].concat()), Err(WireError::Body(B::KIND)));
}

#[test]
fn bodies_go_and_come() {
    goes_and_comes(&hello(20));
    goes_and_comes(&Capacity {
        slots: 4,
        memory_mib: 8_192,
        keys: vec![(word(1), vec![0b101]), (word(2), vec![1, 2])],
        queue_ms: 900,
        receipts: 7,
    });
    goes_and_comes(&work(3));
    for reason in [Reason::Busy, Reason::NoKey, Reason::UnknownModel, Reason::BadWork] {
        goes_and_comes(&Decline { assignment: word(1), reason, retry_ms: u32::MAX });
    }
    goes_and_comes(&Cancel { assignment: word(1) });
    for stage in [Stage::Queued, Stage::Proving, Stage::Checking] {
        goes_and_comes(&Progress { assignment: word(1), stage });
    }
    goes_and_comes(&Ping { nonce: u64::MAX });
    // What a miner gets is private: no log shows it.
    let shown = format!("{:?} {:?}", work(1), work(1).reads);
    assert!(!shown.contains("0303") && !shown.contains("0404") && !shown.contains("0505"), "{shown}");
}

/// A length is believed only within the kind's cap, which is known before anything is read.
#[test]
fn attack_lengths_beyond_the_cap() {
    for kind in Kind::ALL {
        let stated = |length: u32| [&[*kind as u8][..], &length.to_le_bytes()].concat();
        let cap = kind.cap();
        assert_eq!(header(&stated(cap as u32)), Ok(Header { kind: *kind, length: cap }));
        for length in [cap + 1, 2 * cap, u32::MAX as usize] {
            assert_eq!(header(&stated(length as u32)), Err(WireError::Length { kind: *kind, length, cap }));
        }
        assert!(frame(*kind, &vec![0; cap.min(1 << 16)]).is_ok());
    }
    assert_eq!(frame(Kind::Ping, &[0; 257]), Err(WireError::Length { kind: Kind::Ping, length: 257, cap: 256 }));
    assert!(hello(850).to_frame().is_ok() && hello(1_000).to_frame().is_err());
    for kind in (0..=u8::MAX).filter(|kind| Kind::ALL.iter().all(|known| *known as u8 != *kind)) {
        assert_eq!(header(&[kind, 0, 0, 0, 0]), Err(WireError::Kind(kind)));
    }
    assert_eq!(Kind::ALL.len(), 13);
    // Before a handshake nobody gets room for work, and a validator never does.
    let early = Header::read(&[Kind::Work as u8, 0, 0, 0, 4], &[Kind::Hello, Kind::Session]);
    assert_eq!(early, Err(WireError::NotDue(Kind::Work)));
}

/// A count of elements that no bytes follow makes no room for them.
#[test]
fn attack_counts_that_nothing_follows() {
    let mut body = work(0).to_frame().unwrap()[HEADER..].to_vec();
    // After three words of 33 bytes, their lengths before them: the number of tensors that are read, as a number in groups of seven bits.
    body.truncate(99);
    body.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(Work::from_body(&body), Err(WireError::Body(Kind::Work)));
    // As many tensors as a frame holds, each of nothing.
    assert!(Work::from_body(&work(1 << 10).to_frame().unwrap()[HEADER..]).is_ok());
    assert_eq!(Work::from_body(&work((1 << 10) + 1).to_frame().unwrap()[HEADER..]), Err(WireError::Body(Kind::Work)));
    // A number written longer than it has to be is another encoding.
    let ping = Ping { nonce: 5 }.to_frame().unwrap();
    assert_eq!(ping[HEADER..], [5]);
    assert_eq!(Ping::from_body(&[0x85, 0x00]), Err(WireError::Body(Kind::Ping)));
    // A reason that nobody has.
    let decline = Decline { assignment: word(1), reason: Reason::BadWork, retry_ms: 0 }.to_frame().unwrap();
    let mut unknown = decline[HEADER..].to_vec();
    unknown[33] = 4;
    assert_eq!(Decline::from_body(&unknown), Err(WireError::Body(Kind::Decline)));
}

/// Whatever is read encodes to the same bytes.
fn reads_one_encoding<B: Body>(bytes: &[u8]) {
    if let Ok(body) = B::from_body(bytes) {
        assert_eq!(body.to_frame().unwrap()[HEADER..], *bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), small in proptest::collection::vec(0u8..4, 0..200)) {
        for bytes in [&bytes, &small] {
            reads_one_encoding::<Hello>(bytes);
            reads_one_encoding::<Capacity>(bytes);
            reads_one_encoding::<Work>(bytes);
            reads_one_encoding::<Decline>(bytes);
            reads_one_encoding::<Cancel>(bytes);
            reads_one_encoding::<Progress>(bytes);
            reads_one_encoding::<Ping>(bytes);
            if let Some(bytes) = bytes.first_chunk() {
                let _ = Header::read(bytes, Kind::ALL);
            }
        }
    }
}
