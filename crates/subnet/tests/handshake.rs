//! Handshakes: what one connection proves is worth nothing on another.

use alloy::primitives::{Address, B256, address};
use alloy::signers::local::PrivateKeySigner;
use zkslice_subnet::messages::Role;
use zkslice_subnet::score::Parameters;
use zkslice_subnet::wire::{Body, HEADER, Hello};
use zkslice_subnet::{Handshake, HandshakeError, Network, Node, Peer, SignatureError};

const NETWORK: Network = Network { chain_id: 31_337, registry: address!("0x5fbdb2315678afecb367f032d93f642f64180aa3") };

fn node(seed: u8) -> Node {
    Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap())
}

fn begin(node: &Node, role: Role, random: u8) -> Handshake<'_> {
    Handshake::new(node, role, NETWORK, Parameters::default().hash(), B256::repeat_byte(random), 0b11)
}

/// What each of two nodes makes of a connection on which each sees the exporter that is given for it.
fn connect(validator: &Node, miner: &Node, exporters: [u8; 2]) -> [Result<Peer, HandshakeError>; 2] {
    let (v, m) = (begin(validator, Role::Validator, 1), begin(miner, Role::Miner, 2));
    let (of_v, of_m) = (v.hello().clone(), m.hello().clone());
    let v = v.greeted(&of_m, None, B256::repeat_byte(exporters[0])).unwrap();
    let m = m.greeted(&of_v, Some(validator.address()), B256::repeat_byte(exporters[1])).unwrap();
    let (by_v, by_m) = (v.session().unwrap(), m.session().unwrap());
    [v.confirmed(&by_m), m.confirmed(&by_v)]
}

#[test]
fn both_ends_know_each_other() {
    let (validator, miner) = (node(1), node(2));
    let [at_validator, at_miner] = connect(&validator, &miner, [7, 7]);
    assert_eq!(at_validator.unwrap().address, miner.address());
    assert_eq!(at_miner.unwrap().address, validator.address());
    // They do what both can.
    let (v, m) = (begin(&validator, Role::Validator, 1), begin(&miner, Role::Miner, 2));
    let newer = Hello { features: 0b110, software: "oth\u{1b}[2Jer\n 9".into(), ..m.hello().clone() };
    let signed = m.greeted(v.hello(), None, B256::repeat_byte(7)).unwrap().session().unwrap();
    let peer = v.greeted(&newer, None, B256::repeat_byte(7)).unwrap().confirmed(&signed).unwrap();
    assert_eq!((peer.features, peer.software.as_str()), (0b10, "oth[2Jer 9"));
    // A hello goes over the wire as it is.
    let hello = begin(&miner, Role::Miner, 2);
    assert_eq!(Hello::from_body(&hello.hello().to_frame().unwrap()[HEADER..]).as_ref(), Ok(hello.hello()));
}

/// Somebody in between has a connection with each end, whose keying material differs, and passes on what they sign.
#[test]
fn attack_a_relayed_handshake() {
    let both = connect(&node(1), &node(2), [7, 8]);
    assert_eq!(both, [Err(HandshakeError::AnotherSession), Err(HandshakeError::AnotherSession)]);
}

/// What a node signed on one connection is played back on another: other draws, another exporter, the other role, another peer.
#[test]
fn attack_a_session_of_another_connection() {
    let (validator, miner, other) = (node(1), node(2), node(3));
    let by_miner = |peer: &Node, role: Role, own: u8, challenge: u8, exporter: u8| {
        let there = begin(peer, if role == Role::Miner { Role::Validator } else { Role::Miner }, challenge);
        let hello = there.hello().clone();
        begin(&miner, role, own).greeted(&hello, None, B256::repeat_byte(exporter)).unwrap().session().unwrap()
    };
    let read = |session: &[u8]| {
        let here = begin(&validator, Role::Validator, 1);
        let hello = begin(&miner, Role::Miner, 2).hello().clone();
        here.greeted(&hello, None, B256::repeat_byte(7)).unwrap().confirmed(session)
    };
    read(&by_miner(&validator, Role::Miner, 2, 1, 7)).unwrap();
    for (what, session) in [
        ("another exporter", by_miner(&validator, Role::Miner, 2, 1, 8)),
        ("another challenge", by_miner(&validator, Role::Miner, 2, 9, 7)),
        ("another draw of its own", by_miner(&validator, Role::Miner, 9, 1, 7)),
        ("as a validator", by_miner(&validator, Role::Validator, 2, 1, 7)),
        ("as a validator, draws exchanged", by_miner(&validator, Role::Validator, 1, 2, 7)),
        ("for another peer", by_miner(&other, Role::Miner, 2, 1, 7)),
    ] {
        assert_eq!(read(&session), Err(HandshakeError::AnotherSession), "{what}");
    }
    // Its own signature, played back to who made it.
    let own = {
        let hello = begin(&miner, Role::Miner, 2).hello().clone();
        begin(&validator, Role::Validator, 1).greeted(&hello, None, B256::repeat_byte(7)).unwrap().session().unwrap()
    };
    assert!(matches!(read(&own), Err(HandshakeError::Signature(SignatureError::Signer { .. }))));
    // Somebody who only says to be the miner.
    let (expected, found) = (miner.address(), other.address());
    let hello = begin(&validator, Role::Validator, 1).hello().clone();
    let forged = begin(&other, Role::Miner, 2).greeted(&hello, None, B256::repeat_byte(7)).unwrap().session().unwrap();
    assert_eq!(read(&forged), Err(HandshakeError::Signature(SignatureError::Signer { what: "Session", expected, found })));
    for bytes in [&[][..], &[0; 257], &own[..256]] {
        assert!(matches!(read(bytes), Err(HandshakeError::Signature(_))));
    }
}

#[test]
fn those_of_another_network_part_before_anybody_signs() {
    let (validator, miner) = (node(1), node(2));
    let hello = begin(&miner, Role::Miner, 2).hello().clone();
    let greeted = |other: Hello, expected: Option<Address>| {
        begin(&validator, Role::Validator, 1).greeted(&other, expected, B256::repeat_byte(7)).map(|_| ()).unwrap_err().to_string()
    };
    assert!(greeted(Hello { chain_id: 1, ..hello.clone() }, None).contains("another chain: 1, not 31337"));
    assert!(greeted(Hello { registry: Address::ZERO, ..hello.clone() }, None).contains("another registry"));
    assert!(greeted(Hello { parameters: B256::ZERO, ..hello.clone() }, None).contains("another hash of parameters"));
    assert!(greeted(Hello { node: validator.address(), ..hello.clone() }, None).contains("own address"));
    let unbound = begin(&validator, Role::Validator, 1).greeted(&hello, None, B256::ZERO).map(|_| ());
    assert_eq!(unbound, Err(HandshakeError::NoExporter));
    let wanted = node(3).address();
    assert_eq!(greeted(hello, Some(wanted)), format!("{} is at the other end, not {wanted}", miner.address()));
}
