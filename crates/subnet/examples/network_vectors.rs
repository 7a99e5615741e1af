//! Writes `tests/solidity/fixtures/network.json`, signed messages that contracts read as Rust does, into the folder that is named:
//! `script/generate.mjs` puts it to its place.

use alloy::hex;
use alloy::primitives::{Address, B256, address, keccak256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolStruct, SolType, SolValue};
use serde_json::{Value, json};
use zkslice_subnet::messages::{Acceptance, Assignment, EpochRoot, HandIn, Receipt, Role, Session, Verdict};
use zkslice_subnet::wire::Work;
use zkslice_subnet::work::{coverage, statement};
use zkslice_subnet::{Network, Node};

const NETWORK: Network = Network { chain_id: 31_337, registry: address!("0x5fbdb2315678afecb367f032d93f642f64180aa3") };

/// A word of which each byte differs.
fn word(first: u8) -> B256 {
    B256::from(std::array::from_fn(|at| first.wrapping_add(at as u8)))
}

fn vector<M>(node: &Node, message: M) -> Result<Value, Box<dyn std::error::Error>>
where
    M: SolStruct + SolValue + for<'a> From<<M::SolType as SolType>::RustType>,
{
    let (hash, encoded) = (NETWORK.hash(&message), message.abi_encode());
    let signed = node.sign(&NETWORK, message)?.to_bytes();
    Ok(json!({
        "name": M::NAME, "type": M::eip712_encode_type(), "encoded": hex::encode_prefixed(&encoded), "hash": hash,
        "signature": hex::encode_prefixed(&signed[encoded.len()..]),
    }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder to write into")?;
    let node = Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42))?);
    let session = Session {
        role: Role::Validator as u8,
        signer: node.address(),
        peer: Address::repeat_byte(0xa7),
        challenge: word(1),
        nonce: word(40),
        exporter: word(80),
    };
    let assignment = Assignment {
        job: word(1),
        model: word(40),
        slice: 0xfedc,
        attempt: 3,
        validator: node.address(),
        miner: Address::repeat_byte(0xb8),
        statement: word(80),
        units: 0xfeed_beef,
        price: u128::MAX - 5,
        issuedMs: u64::MAX - 6,
        deadlineMs: u64::MAX - 7,
        epoch: u64::MAX - 8,
    };
    let assigned = NETWORK.hash(&assignment);
    let receipt = Receipt {
        validator: node.address(),
        miner: Address::repeat_byte(0xb8),
        assignment: assigned,
        proofHash: word(9),
        verdict: Verdict::Superseded as u8,
        ms: u32::MAX - 1,
        credit: u32::MAX - 2,
        debit: u32::MAX - 3,
        epoch: u64::MAX - 4,
        seq: u64::MAX - 5,
        epochCredit: u64::MAX - 6,
        epochDebit: u64::MAX - 7,
        owed: u128::MAX - 8,
    };
    let root = EpochRoot {
        epoch: u64::MAX - 1,
        beacon: word(1),
        parameters: word(30),
        receipts: word(60),
        scores: word(90),
        weights: word(120),
        count: u64::MAX - 2,
        previous: word(150),
    };
    let messages = [
        vector(&node, session)?,
        vector(&node, assignment)?,
        vector(&node, Acceptance { assignment: assigned })?,
        vector(&node, HandIn { assignment: assigned, proofHash: word(9) })?,
        vector(&node, receipt)?,
        vector(&node, root)?,
    ];
    let words = |first: u8| -> Vec<B256> { (0..3).map(|k| word(first + 7 * k)).collect() };
    let work = Work {
        assignment: assigned,
        context: word(3),
        owner: word(4),
        reads: Vec::new(),
        salts: Vec::new(),
        commitments: words(50),
        words: words(100),
        words_hash: keccak256(words(100).concat()),
    };
    let covered = coverage(7, 5);
    let hashes = [work.words_hash, keccak256(work.commitments.concat())];
    let statement = json!({
        "model": word(40), "context": work.context, "owner": work.owner, "coverage": covered, "words": work.words,
        "commitments": work.commitments, "hash": statement(word(40), covered, [work.context, work.owner], hashes),
    });
    let vectors = json!({ "statement": statement, "chainId": NETWORK.chain_id, "registry": NETWORK.registry, "signer": node.address(), "messages": messages });
    let path = std::path::Path::new(&folder).join("tests/solidity/fixtures/network.json");
    std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    std::fs::write(path, serde_json::to_string_pretty(&vectors)? + "\n")?;
    let path = std::path::Path::new(&folder).join("docs/openapi.json");
    std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    std::fs::write(path, zkslice_subnet::gateway::openapi()?)?;
    Ok(())
}
