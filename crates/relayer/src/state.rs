//! States of requests and of attempts, and which follows which.

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its event was read.
    Seen,
    /// Its bundle is here.
    Proved,
    /// A transaction for it is written down and may land.
    Submitted,
    /// Fulfilled by us, confirmed.
    Done,
    /// Not worth it, or not ours to prove. Looked at again when the relayer starts, since that may be the configuration's doing.
    Skipped,
    /// Fulfilled by others, refunded, or past its deadline.
    Dropped,
    /// Failed in a way that trying again cannot mend; left to a person.
    Dead,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] = [Self::Seen, Self::Proved, Self::Submitted, Self::Done, Self::Skipped, Self::Dropped, Self::Dead];

    /// Whether `next` may follow. A state follows itself when a try failed.
    pub const fn can_become(self, next: Self) -> bool {
        use State::{Dead, Done, Dropped, Proved, Seen, Skipped, Submitted};
        matches!(
            (self, next),
            (Seen, Seen | Proved | Skipped | Dropped | Dead)
                | (Proved, Proved | Submitted | Skipped | Dropped | Dead)
                // Back to `Proved`: the transaction was mined and reverted, or its nonce went to another.
                | (Submitted, Done | Proved | Dropped | Dead)
                | (Skipped, Seen | Proved)
                // A transaction that was given up landed after all.
                | (Dropped, Done)
        )
    }

    /// As the database has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Proved => "proved",
            Self::Submitted => "submitted",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Dropped => "dropped",
            Self::Dead => "dead",
        }
    }

    /// From the database.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// May land; sent again until it does.
    Live,
    /// May land, but is not wanted any more and not sent again; its nonce may be used for another request.
    Abandoned,
    /// Mined, confirmed.
    Succeeded,
    /// Mined and reverted, confirmed.
    Reverted,
    /// Its nonce went to another transaction: it can never land.
    Lost,
}

impl AttemptState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Live, Self::Abandoned, Self::Succeeded, Self::Reverted, Self::Lost];

    /// As the database has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Abandoned => "abandoned",
            Self::Succeeded => "succeeded",
            Self::Reverted => "reverted",
            Self::Lost => "lost",
        }
    }

    /// From the database.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        for state in AttemptState::ALL {
            assert_eq!(AttemptState::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("lost"), None);
    }

    #[test]
    fn ends_are_ends_and_every_state_can_be_reached() {
        for next in State::ALL {
            assert!(!State::Done.can_become(next) && !State::Dead.can_become(next));
            assert!(next == State::Seen || State::ALL.into_iter().any(|state| state != next && state.can_become(next)));
            // Only what is written down as submitted can be sent, and only what is proved can be submitted.
            assert_eq!(next.can_become(State::Submitted), next == State::Proved);
        }
    }
}
