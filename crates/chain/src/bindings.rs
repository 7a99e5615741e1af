//! Contract types, generated from the committed ABIs (`contracts/abi/`), and the one place that decodes their errors.
//!
//! Each contract has a module of its own, since several ABIs repeat the same types. The request that all of this crate uses is
//! [`Request`], the oracle's.

use std::collections::HashMap;
use std::sync::LazyLock;

use alloy::json_abi::{ContractObject, Error as AbiError};
use alloy::primitives::{Address, Bytes, I256, Selector, U256};
use alloy::sol_types::{Panic, Revert, SolError};

macro_rules! contract {
    ($(#[$doc:meta])* $module:ident, $name:ident, $path:literal) => {
        $(#[$doc])*
        #[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::too_many_arguments)]
        pub mod $module {
            alloy::sol!(#[sol(rpc, all_derives)] $name, $path);
        }
    };
}

contract!(
    /// `ModelRegistry`.
    registry, ModelRegistry, "../../contracts/abi/ModelRegistry.json");
contract!(
    /// `BundleVerifier`.
    verifier, BundleVerifier, "../../contracts/abi/BundleVerifier.json");
contract!(
    /// `InferenceOracle`.
    oracle, InferenceOracle, "../../contracts/abi/InferenceOracle.json");
contract!(
    /// `InferenceFeed`.
    feed, InferenceFeed, "../../contracts/abi/InferenceFeed.json");
contract!(
    /// `DigitConsumer`, the example consumer.
    consumer, DigitConsumer, "../../contracts/abi/DigitConsumer.json");

pub use consumer::DigitConsumer;
pub use feed::InferenceFeed;
pub use oracle::IInferenceOracle::Request;
pub use oracle::InferenceOracle;
pub use registry::ModelRegistry;
pub use verifier::BundleVerifier;

/// State of a request, `IInferenceOracle.Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never made.
    None,
    /// Waits for a bundle.
    Open,
    /// Has its result.
    Fulfilled,
    /// Its fee went back.
    Refunded,
}

impl Status {
    /// From the contract's number; `None` for one that this version does not know.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::None),
            1 => Some(Self::Open),
            2 => Some(Self::Fulfilled),
            3 => Some(Self::Refunded),
            _ => None,
        }
    }
}

/// What to do about a revert of `fulfil`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevertClass {
    /// May pass: try again later.
    Retry,
    /// The request is no longer to be had: somebody else fulfilled it, it was refunded, or its deadline is over.
    Drop,
    /// This bundle will never be accepted: keep it for a person to look at.
    Permanent,
}

/// The ABI files, as committed.
const ABI_FILES: [&str; 5] = [
    include_str!("../../../contracts/abi/InferenceOracle.json"),
    include_str!("../../../contracts/abi/BundleVerifier.json"),
    include_str!("../../../contracts/abi/ModelRegistry.json"),
    include_str!("../../../contracts/abi/InferenceFeed.json"),
    include_str!("../../../contracts/abi/DigitConsumer.json"),
];

/// Every error of every contract, by selector.
static ERRORS: LazyLock<HashMap<Selector, AbiError>> = LazyLock::new(|| {
    let mut errors = HashMap::new();
    for file in ABI_FILES {
        // The files are the ones that `sol!` read at compile time; `every_error_is_known` tests that none is lost here.
        let Ok(contract) = serde_json::from_str::<ContractObject>(file) else { continue };
        for error in contract.abi.iter().flat_map(|abi| abi.errors()) {
            errors.insert(error.selector(), error.clone());
        }
    }
    errors
});

/// Revert data of any of the contracts as text: the error's name and arguments. Never fails: what is not known is shown as bytes.
///
/// ```
/// let data = [0x55, 0x66, 0xdf, 0x5c];
/// assert_eq!(zkslice_chain::bindings::decode_revert(&data), "InvalidBeneficiary()");
/// ```
pub fn decode_revert(data: &[u8]) -> String {
    let Some((selector, arguments)) = data.split_first_chunk::<4>() else {
        return if data.is_empty() { "no reason given (out of gas, or no contract there)".to_owned() } else { unknown(data) };
    };
    if let Ok(revert) = Revert::abi_decode(data) {
        return format!("Error({:?})", revert.reason);
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return format!("{panic}");
    }
    let Some(error) = ERRORS.get(&Selector::from(*selector)) else { return unknown(data) };
    if arguments.len() != 32 * error.inputs.len() {
        return unknown(data);
    }
    let arguments: Vec<String> = error
        .inputs
        .iter()
        .zip(arguments.chunks_exact(32))
        .map(|(input, word)| format!("{}: {}", input.name, argument(input.selector_type().as_ref(), word)))
        .collect();
    format!("{}({})", error.name, arguments.join(", "))
}

/// The name alone of the error in revert data, where it is one of the contracts'.
pub fn revert_name(data: &[u8]) -> Option<&'static str> {
    let (selector, _) = data.split_first_chunk::<4>()?;
    ERRORS.get(&Selector::from(*selector)).map(|error| error.name.as_str())
}

/// What a relayer does about a revert of `fulfil`.
pub fn classify_revert(data: &[u8]) -> RevertClass {
    use oracle::InferenceOracle as O;
    use verifier::BundleVerifier as V;

    let Some((selector, _)) = data.split_first_chunk::<4>() else { return RevertClass::Retry };
    match *selector {
        O::NotOpen::SELECTOR | O::DeadlinePassed::SELECTOR => RevertClass::Drop,
        // More gas may help, or another caller's transaction may end.
        O::InsufficientCallbackGas::SELECTOR | O::ReentrancyGuardReentrantCall::SELECTOR | V::PrecompileFailed::SELECTOR => {
            RevertClass::Retry
        }
        selector if ERRORS.contains_key(&Selector::from(selector)) => RevertClass::Permanent,
        // Error(string), a panic, or something unheard of: a person decides once the tries are used up.
        _ => RevertClass::Retry,
    }
}

fn unknown(data: &[u8]) -> String {
    format!("unknown error {}", Bytes::copy_from_slice(data))
}

/// One word as its type says. All arguments of our errors are single words.
fn argument(solidity_type: &str, word: &[u8]) -> String {
    let value = U256::from_be_slice(word);
    match solidity_type {
        "address" => Address::from_slice(&word[12..]).to_string(),
        "bool" => (!value.is_zero()).to_string(),
        name if name.starts_with("uint") => value.to_string(),
        name if name.starts_with("int") => I256::from_raw(value).to_string(),
        "bytes4" => Bytes::copy_from_slice(&word[..4]).to_string(),
        _ => Bytes::copy_from_slice(word).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{B256, b256};

    #[test]
    fn every_error_is_known() {
        let mut count = 0;
        for file in ABI_FILES {
            let abi = serde_json::from_str::<ContractObject>(file).unwrap().abi.unwrap();
            for error in abi.errors() {
                count += 1;
                assert_eq!(ERRORS[&error.selector()].name, error.name);
                // Single words only, or `decode_revert` could not split them.
                for input in &error.inputs {
                    let name = input.selector_type();
                    assert!(!name.contains(['[', '(']) && name != "string" && name != "bytes", "{} of {}", name, error.name);
                }
            }
        }
        assert!(count > 40, "only {count} errors");
    }

    #[test]
    fn errors_are_named_with_their_arguments() {
        let id = b256!("0x00000000000000000000000000000000000000000000000000000000000000aa");
        let data = oracle::InferenceOracle::NotOpen { requestId: id, status: 2 }.abi_encode();
        assert_eq!(decode_revert(&data), format!("NotOpen(requestId: {id}, status: 2)"));
        assert_eq!(revert_name(&data), Some("NotOpen"));
        assert_eq!(classify_revert(&data), RevertClass::Drop);

        let data = verifier::BundleVerifier::InvalidBundle {}.abi_encode();
        assert_eq!(decode_revert(&data), "InvalidBundle()");
        assert_eq!(classify_revert(&data), RevertClass::Permanent);

        let data = oracle::InferenceOracle::InsufficientCallbackGas { required: U256::from(9), available: U256::from(8) }.abi_encode();
        assert_eq!(decode_revert(&data), "InsufficientCallbackGas(required: 9, available: 8)");
        assert_eq!(classify_revert(&data), RevertClass::Retry);
    }

    #[test]
    fn foreign_and_broken_data_is_shown() {
        assert!(decode_revert(&[]).starts_with("no reason"));
        assert_eq!(decode_revert(&[1, 2]), "unknown error 0x0102");
        assert_eq!(decode_revert(&[1, 2, 3, 4]), "unknown error 0x01020304");
        let mut short = oracle::InferenceOracle::NotOpen { requestId: B256::ZERO, status: 2 }.abi_encode();
        short.pop();
        assert!(decode_revert(&short).starts_with("unknown error"));
        assert_eq!(decode_revert(&Revert::from("no").abi_encode()), "Error(\"no\")");
        assert_eq!(classify_revert(&[1, 2, 3, 4]), RevertClass::Retry);
    }

    proptest::proptest! {
        #[test]
        fn decoding_never_panics(data: Vec<u8>, pick: proptest::sample::Index) {
            let selectors: Vec<_> = ERRORS.keys().collect();
            decode_revert(&data);
            let mut with_selector = pick.get(&selectors).to_vec();
            with_selector.extend(&data);
            decode_revert(&with_selector);
            classify_revert(&with_selector);
        }
    }
}
