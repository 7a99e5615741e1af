//! The vectors that Rust, Solidity and JavaScript share.

use alloy_primitives::{Address, B256, Selector, U256, keccak256};
use ark_bn254::Fr;
use serde_json::{Value, json};
use zkslice_circuit::gadgets;
use zkslice_formats::Word;
use zkslice_graph::{Encoding, Feature, Input, decode_outputs, encode};
use zkslice_groth16::{Form, challenge, fingerprint, fr_from_word, fr_to_word, g1_from_words};

use crate::common::{BENEFICIARY, CHAIN_ID, ORACLE, REQUESTER, Request, SMALL, VERIFIER, cases, graph, ids_on, jobs, word};

/// The test vectors, as Rust computes them. `tests/vectors/poseidon.mjs` checks the Poseidon ones against circomlibjs, and
/// `tests/solidity/Vectors.t.sol` the rest against the contracts.
pub(crate) fn vectors() -> Value {
    let hex_words = |words: &[Fr]| words.iter().map(|w| word(U256::from_be_bytes(fr_to_word(*w)))).collect::<Vec<_>>();
    let digits = |count: usize, bits: u32| (0..count as i64).map(|i| (i * i * 7 + 3 * i + 5) % (1 << bits)).collect::<Vec<i64>>();
    let packing = [(1, 1), (10, 10), (64, 8), (31, 8), (32, 8), (300, 12), (17, 16), (7, 31), (253, 1)].map(|(count, bits)| {
        let digits = digits(count, bits);
        json!({ "count": count, "bits": bits, "digits": digits, "words": hex_words(&gadgets::pack_values(&digits, bits)) })
    });
    let poseidon = (1..=12usize).map(|n| {
        let inputs: Vec<Fr> = (0..n).map(|i| -Fr::from((i * i) as u64)).collect();
        json!({ "inputs": hex_words(&inputs), "hash": hex_words(&[gadgets::hash_of(&inputs).unwrap()])[0] })
    });
    let commitments = [(1, 8, false), (84, 12, false), (231, 12, true), (300, 12, false), (784, 8, true)].map(|(count, bits, owned)| {
        let (digits, salt) = (digits(count, bits), -Fr::from(count as u64));
        let (words, tag) = (gadgets::pack_values(&digits, bits), gadgets::tensor_tag(count, bits));
        let owner = owned.then_some(Fr::from(0x00c0_ffee_u64));
        let commitment = gadgets::commitment_of(salt, tag, owner, &words).unwrap();
        json!({
            "count": count, "bits": bits, "salt": hex_words(&[salt])[0], "tag": hex_words(&[tag])[0],
            "owner": owner.map(|owner| hex_words(&[owner])[0].clone()),
            "words": hex_words(&words), "commitment": hex_words(&[commitment])[0],
        })
    });
    let challenges = cases().iter().filter(|case| case.key.form() == Form::Committed).map(|case| {
        let field = |words: &[Word]| words.iter().map(|w| fr_from_word(w, "word").unwrap()).collect::<Vec<Fr>>();
        let (publics, words) = (field(&case.publics), field(&case.words));
        let c1 = g1_from_words(&[case.proof[6], case.proof[7]], "C1").unwrap();
        let chi = challenge(&case.key.hash(), &publics, &words, &c1);
        json!({
            "contract": case.contract, "vkHash": B256::from(case.key.hash()).to_string(), "publics": hex_words(&publics),
            "words": hex_words(&words), "c1": [B256::from(case.proof[6]).to_string(), B256::from(case.proof[7]).to_string()],
            "challenge": hex_words(&[chi])[0], "fingerprint": hex_words(&[fingerprint(&publics, &words, chi)])[0],
        })
    });
    let models = jobs().iter().map(|(name, job)| {
        let keys = job.model.package.verifying_keys().unwrap();
        json!({
            "fixture": name,
            "modelDigest": job.json["modelDigest"], "setupDigest": job.json["setupDigest"],
            "vkHashes": keys.iter().map(|key| B256::from(key.hash()).to_string()).collect::<Vec<_>>(),
            "requestHash": job.json["requestHash"], "requestId": job.json["requestId"],
            "context": job.json["context"], "owner": job.json["owner"],
        })
    });
    let tags = [("model", 3), ("layout", 1), ("vk", 2), ("setup", 1), ("challenge", 2), ("batch", 3), ("context", 1)]
        .map(|(name, version)| (name.to_owned(), json!(keccak256(format!("zkslice/{name}/v{version}")).to_string())));
    json!({
        "tags": serde_json::Map::from_iter(tags),
        "packing": packing,
        "poseidon": poseidon.collect::<Vec<_>>(),
        "commitments": commitments,
        "challenges": challenges.collect::<Vec<_>>(),
        "models": models.collect::<Vec<_>>(),
        "requests": requests(),
        "encodings": encodings(),
    })
}

/// Requests with every member at 0 and at its most, and of no input, one and three.
fn requests() -> Vec<Value> {
    let input = |byte: u8| B256::repeat_byte(byte);
    let callback = Address::repeat_byte(0xca);
    let least = (B256::ZERO, vec![], Selector::ZERO, U256::ZERO, Address::ZERO, U256::ZERO, 0, Address::ZERO, 0);
    let usual = (
        input(0xd1),
        vec![input(1)],
        VERIFIER,
        U256::ZERO,
        Address::ZERO,
        U256::from(10).pow(U256::from(15)),
        2_000_000_000,
        callback,
        200_000,
    );
    let most = (
        input(0xff),
        vec![input(0xff), input(0), input(0x7f)],
        Selector::repeat_byte(0xff),
        U256::MAX,
        Address::repeat_byte(0xff),
        U256::MAX,
        u64::MAX,
        Address::repeat_byte(0xff),
        u32::MAX,
    );
    let of = |(chain_id, nonce, request): (u64, U256, Request)| {
        let ids = ids_on(chain_id, &request, nonce);
        let (model, inputs, verifier, min_coverage, fee_token, fee, deadline, callback, callback_gas) = request;
        json!({
            "chainId": chain_id.to_string(), "oracle": ORACLE.to_string(), "requester": REQUESTER.to_string(), "nonce": nonce.to_string(),
            "beneficiary": BENEFICIARY.to_string(),
            "request": {
                "modelDigest": model.to_string(), "inputs": inputs.iter().map(B256::to_string).collect::<Vec<_>>(),
                "verifier": verifier.to_string(), "minCoverage": min_coverage.to_string(), "feeToken": fee_token.to_string(),
                "fee": fee.to_string(), "deadline": deadline.to_string(), "callback": callback.to_string(), "callbackGas": callback_gas,
            },
            "requestHash": ids.request_hash.to_string(), "requestId": ids.request_id.to_string(),
            "context": B256::from(ids.context).to_string(), "owner": B256::from(ids.owner).to_string(),
        })
    };
    [(CHAIN_ID, U256::ZERO, least), (CHAIN_ID, U256::from(7), usual), (u64::MAX, U256::MAX, most)].map(of).to_vec()
}

/// Inputs as numbers, integers and words; and the numbers that come back. One scale for all, and one for each feature.
fn encodings() -> Vec<Value> {
    let mut graph = graph(SMALL);
    let shape = graph.tensors[graph.inputs[0].tensor].shape.clone();
    let axis = shape.len() - 1;
    let apart: Vec<(f64, f64)> = (0..shape[axis]).map(|i| (-0.5 * i as f64, 10_f64.powi(i as i32 % 6))).collect();
    [(vec![(0.0, 1.0)], 8), (vec![(-3.5, 1000.0)], 12), (vec![(-0.002, 0.001)], 16), (apart, 10)]
        .map(|(ranges, bits)| {
            let features: Vec<Feature> = ranges.iter().map(|(min, max)| Feature::covering(*min, *max, bits).unwrap()).collect();
            let axis = if features.len() == 1 { 0 } else { axis };
            let encoding = Encoding { bits, axis, features };
            let value = |(i, feature): (usize, Feature)| {
                let (least, most) = feature.range(bits);
                ((least + (most - least) * (i as i64 * 37 % 101) / 101) as f64 + [0.0, 0.37, 0.5][i % 3]) * feature.scale.value()
            };
            let values: Vec<f64> = encoding.by_element(&shape).enumerate().map(value).collect();
            graph.inputs[0].encoding = encoding.clone();
            graph.outputs = graph.inputs.clone();
            let integers = encode(&graph, &Input(vec![values.clone()])).unwrap().remove(0);
            let digits: Vec<i64> = integers.iter().zip(encoding.by_element(&shape)).map(|(integer, f)| integer + f.offset).collect();
            let words: Vec<Word> = gadgets::pack_values(&digits, bits).into_iter().map(fr_to_word).collect();
            let features = encoding.features.iter().map(|f| json!({ "offset": f.offset, "scale": f.scale.mantissa.to_string() }));
            json!({
                "layout": { "bits": bits, "shape": shape, "axis": axis, "features": features.collect::<Vec<_>>() },
                "values": values, "integers": integers, "decoded": decode_outputs(&graph, std::slice::from_ref(&integers))[0],
                "words": words.iter().map(|w| B256::from(*w).to_string()).collect::<Vec<_>>(),
                "hash": keccak256(words.concat()).to_string(),
            })
        })
        .to_vec()
}
