//! Constants of the chain side, each with where its value comes from.

use std::time::Duration;

use alloy::primitives::{Selector, fixed_bytes};
use zkslice_formats::Addition;

pub use zkslice_formats::is_local_chain;

/// Order of the scalar field of BN254 (EIP-196), big-endian; contexts and owners are hashes modulo this.
pub const FIELD_ORDER: [u8; 32] = [
    0x30, 0x64, 0x4e, 0x72, 0xe1, 0x31, 0xa0, 0x29, 0xb8, 0x50, 0x45, 0xb6, 0x81, 0x81, 0x58, 0x5d, 0x28, 0x33, 0xe8, 0x48, 0x79, 0xb9,
    0x70, 0x91, 0x43, 0xe1, 0xf5, 0x93, 0xf0, 0x00, 0x00, 0x01,
];

/// Selector of `BundleVerifier` in the registry, on every chain but Bittensor's: what a request names, and what a relayer can prove for.
pub const VERIFIER_SELECTOR: Selector = fixed_bytes!("00000001");

/// That of `BundleVerifier0x09`, on Bittensor's chains: other code, so what names the one names never the other.
pub const VERIFIER_SELECTOR_0X09: Selector = fixed_bytes!("00000009");

/// The verifier's selector on a chain.
pub const fn verifier_selector(chain_id: u64) -> Selector {
    match Addition::of_chain(chain_id) {
        Addition::At0x06 => VERIFIER_SELECTOR,
        Addition::At0x09 => VERIFIER_SELECTOR_0X09,
    }
}

/// Whether a chain is one of Bittensor's, main or test, whose precompiles are like no other's.
pub const fn is_bittensor(chain_id: u64) -> bool {
    matches!(Addition::of_chain(chain_id), Addition::At0x09)
}

/// `ModelRegistry.MIN_DELAY`, in seconds: the least delay of a registry on a chain that is not local.
pub const MIN_DELAY: u64 = 86_400;

/// Domain tag of contexts; `InferenceOracle.CONTEXT_TAG` is its keccak256.
pub const CONTEXT_TAG: &str = "zkslice/context/v1";

/// One answer from an RPC takes at most this long; a node that hangs is a node that is down.
pub const RPC_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks for a receipt.
pub const RECEIPT_POLL: Duration = Duration::from_millis(200);

/// How long a deployment waits for one transaction before it gives up (its manifest keeps the transaction, so the next run goes on).
pub const RECEIPT_TIMEOUT: Duration = Duration::from_secs(300);

/// Blocks whose logs are asked for at once: what public nodes commonly allow.
pub const LOG_RANGE_BLOCKS: u64 = 1000;

/// A transaction whose nonce is used and that has no receipt is given up for lost after this long: receipts may be behind the state
/// they come with, by a block where several nodes share an address.
pub const LOST_GRACE: Duration = Duration::from_secs(5);

/// Blocks behind the newest that are taken for final where a node does not say which are: two of Ethereum's epochs.
pub const FINAL_DEPTH: u64 = 64;

/// Share of gas added to an estimate, in percent: state may have changed by the time the transaction is mined.
pub const GAS_MARGIN_PERCENT: u64 = 20;
