//! Contract types, generated from the committed ABIs (`contracts/abi/`), and the one place that decodes their errors.
//!
//! Each contract has a module of its own, since several ABIs repeat the same types. The request that all of this crate uses is
//! [`Request`], the oracle's.

use std::collections::HashMap;
use std::sync::LazyLock;

use alloy::dyn_abi::{DynSolValue, ErrorExt};
use alloy::json_abi::{ContractObject, Error as AbiError};
use alloy::primitives::{Bytes, Selector};
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
    /// `BundleVerifier0x09`, the same for Bittensor.
    verifier_0x09, BundleVerifier0x09, "../../contracts/abi/BundleVerifier0x09.json");
contract!(
    /// `InferenceOracle`.
    oracle, InferenceOracle, "../../contracts/abi/InferenceOracle.json");
contract!(
    /// `InferenceFeed`.
    feed, InferenceFeed, "../../contracts/abi/InferenceFeed.json");
contract!(
    /// `DigitConsumer`, the example consumer.
    consumer, DigitConsumer, "../../contracts/abi/DigitConsumer.json");

contract!(
    /// `WeightBoard`; but for the functions of its own, also Bittensor's precompiles 0x802 to 0x804.
    board, WeightBoard, "../../contracts/abi/WeightBoard.json");

pub use board::WeightBoard;
pub use consumer::DigitConsumer;
pub use feed::InferenceFeed;
pub use oracle::IInferenceOracle::{Fulfilment, Publication, Request};
pub use oracle::InferenceOracle;
pub use registry::ModelRegistry;
pub use verifier::BundleVerifier;
pub use verifier::IBundleVerifier::Bundle;
pub use verifier_0x09::BundleVerifier0x09;

/// State of a request, `IInferenceOracle.Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never made.
    None,
    /// Waits for a bundle.
    Open,
    /// Has its result.
    Fulfilled,
    /// Has a result of some slices, and paid for it; a full one may replace it, unpaid.
    PartiallyFulfilled,
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
            3 => Some(Self::PartiallyFulfilled),
            4 => Some(Self::Refunded),
            _ => None,
        }
    }
}

/// State of a model or a verifier, `IModelRegistry.Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceStatus {
    /// Not known.
    None,
    /// Added; serves once its time has come.
    Pending,
    /// Serves.
    Active,
    /// Stopped for ever.
    Tombstoned,
}

impl ServiceStatus {
    /// From the contract's number; `None` for one that this version does not know.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::None),
            1 => Some(Self::Pending),
            2 => Some(Self::Active),
            3 => Some(Self::Tombstoned),
            _ => None,
        }
    }
}

impl std::fmt::Display for ServiceStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "unknown",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Tombstoned => "tombstoned",
        })
    }
}

/// What to do about a revert of `fulfil`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevertClass {
    /// May pass: try again later.
    Retry,
    /// The request is no longer to be had: somebody else fulfilled it, it was refunded, its deadline is over, or its model or verifier
    /// was stopped.
    Drop,
    /// This bundle will never be accepted: keep it for a person to look at.
    Permanent,
}

/// Every error of every contract, as committed.
const ERRORS_FILE: &str = include_str!("../../../contracts/abi/ZksliceErrors.json");

/// The same by selector.
static ERRORS: LazyLock<HashMap<Selector, AbiError>> = LazyLock::new(|| {
    // A test reads the file too: it is JSON, and no error is lost here.
    let contract = serde_json::from_str::<ContractObject>(ERRORS_FILE).unwrap_or_default();
    contract.abi.iter().flat_map(|abi| abi.errors()).map(|error| (error.selector(), error.clone())).collect()
});

/// Revert data of any of the contracts as text: the error's name and arguments. Never fails: what is not known is shown as bytes.
///
/// ```
/// let data = [0x55, 0x66, 0xdf, 0x5c];
/// assert_eq!(zkslice_chain::bindings::decode_revert(&data), "InvalidBeneficiary()");
/// ```
pub fn decode_revert(data: &[u8]) -> String {
    decode_within(data, MAX_ERRORS_WITHIN)
}

/// Errors within an error that are named; deeper ones are bytes. No contract of ours nests more than one.
const MAX_ERRORS_WITHIN: usize = 3;

fn decode_within(data: &[u8], depth: usize) -> String {
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
    // Only the encoding that a contract gives: anything else would be shown as what it is not.
    let Ok(decoded) = error.decode_error(data) else { return unknown(data) };
    if DynSolValue::Tuple(decoded.body.clone()).abi_encode_params() != arguments {
        return unknown(data);
    }
    let arguments: Vec<String> =
        error.inputs.iter().zip(&decoded.body).map(|(input, value)| format!("{}: {}", input.name, argument(value, depth))).collect();
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
    use registry::ModelRegistry as R;
    use verifier::BundleVerifier as V;

    let Some((selector, _)) = data.split_first_chunk::<4>() else { return RevertClass::Retry };
    match *selector {
        O::NotOpen::SELECTOR | O::DeadlinePassed::SELECTOR => RevertClass::Drop,
        // Both served when the request was made.
        R::ModelNotActive::SELECTOR | R::VerifierNotActive::SELECTOR => RevertClass::Drop,
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

/// A value as people read it; bytes that are an error themselves by its name.
fn argument(value: &DynSolValue, depth: usize) -> String {
    match value {
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Uint(value, _) => value.to_string(),
        DynSolValue::Int(value, _) => value.to_string(),
        DynSolValue::FixedBytes(word, size) => Bytes::copy_from_slice(word.get(..*size).unwrap_or_default()).to_string(),
        DynSolValue::Bytes(bytes) if depth > 0 && revert_name(bytes).is_some() => decode_within(bytes, depth - 1),
        DynSolValue::Bytes(bytes) => Bytes::copy_from_slice(bytes).to_string(),
        DynSolValue::String(text) => format!("{text:?}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{B256, U256, b256};

    #[test]
    fn every_error_is_known() {
        for file in [
            ERRORS_FILE,
            include_str!("../../../contracts/abi/InferenceOracle.json"),
            include_str!("../../../contracts/abi/BundleVerifier.json"),
            include_str!("../../../contracts/abi/BundleVerifier0x09.json"),
            include_str!("../../../contracts/abi/ModelRegistry.json"),
            include_str!("../../../contracts/abi/InferenceFeed.json"),
            include_str!("../../../contracts/abi/InferenceSubscription.json"),
            include_str!("../../../contracts/abi/DigitConsumer.json"),
            include_str!("../../../contracts/abi/WeightBoard.json"),
        ] {
            let abi = serde_json::from_str::<ContractObject>(file).unwrap().abi.unwrap();
            assert!(abi.errors().count() > 20, "only {} errors", abi.errors().count());
            for error in abi.errors() {
                assert_eq!(ERRORS[&error.selector()].name, error.name);
            }
        }
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

        let data = registry::ModelRegistry::VerifierNotActive { selector: [0, 0, 0, 1].into(), status: 3 }.abi_encode();
        assert_eq!(decode_revert(&data), "VerifierNotActive(selector: 0x00000001, status: 3)");
        assert_eq!(classify_revert(&data), RevertClass::Drop);
    }

    #[test]
    fn errors_within_errors_are_named() {
        let reason = oracle::InferenceOracle::NotOpen { requestId: B256::ZERO, status: 4 }.abi_encode();
        let data = oracle::InferenceOracle::InvalidFulfilment { item: U256::from(2), reason: reason.into() }.abi_encode();
        assert_eq!(decode_revert(&data), format!("InvalidFulfilment(item: 2, reason: NotOpen(requestId: {}, status: 4))", B256::ZERO));
        let data = oracle::InferenceOracle::InvalidFulfilment { item: U256::from(2), reason: vec![1, 2].into() }.abi_encode();
        assert_eq!(decode_revert(&data), "InvalidFulfilment(item: 2, reason: 0x0102)");
        let data = oracle::InferenceOracle::StringTooLong { str: "x\n".to_owned() }.abi_encode();
        assert_eq!(decode_revert(&data), "StringTooLong(str: \"x\\n\")");
        // Not deeper than a stack is.
        let mut data = Vec::new();
        for _ in 0..500 {
            data = oracle::InferenceOracle::InvalidFulfilment { item: U256::ZERO, reason: data.into() }.abi_encode();
        }
        assert_eq!(decode_revert(&data).matches("InvalidFulfilment(").count(), 1 + MAX_ERRORS_WITHIN);
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
