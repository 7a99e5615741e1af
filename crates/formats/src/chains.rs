//! What follows from a chain's id alone. The contracts have the same rules.

/// Where a chain has the precompile that adds points of BN254. What calls it is compiled for one place or the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addition {
    /// Where EIP-196 has it.
    #[default]
    At0x06,
    /// Where Bittensor has it, which at 0x06 has what runs calls of its runtime in the caller's name.
    At0x09,
}

impl Addition {
    /// Bittensor's chain ids, mainnet and testnet.
    pub const BITTENSOR: [u64; 2] = [964, 945];

    /// That of a chain. The same rule as `BN254.selfTest`.
    pub const fn of_chain(chain_id: u64) -> Self {
        let [mainnet, testnet] = Self::BITTENSOR;
        if chain_id == mainnet || chain_id == testnet { Self::At0x09 } else { Self::At0x06 }
    }

    /// The precompile's address.
    pub const fn address(self) -> u8 {
        match self {
            Self::At0x06 => 6,
            Self::At0x09 => 9,
        }
    }
}

/// Whether development keys are accepted on a chain: local chains only. The same rule as `ModelRegistry._isLocalChain`.
pub const fn is_local_chain(chain_id: u64) -> bool {
    chain_id == 1337 || (chain_id >= 31337 && chain_id <= 31346)
}
