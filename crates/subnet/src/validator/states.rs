//! States of jobs, slices and assignments, and which follows which.

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* } $($from:ident => $($to:ident)|+;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All states.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Whether `next` may follow.
            pub const fn can_become(self, next: Self) -> bool {
                match self {
                    $(Self::$from => matches!(next, $(Self::$to)|+),)*
                    // Where every state has one that follows, this is never reached.
                    #[allow(unreachable_patterns)]
                    _ => false,
                }
            }

            /// As the database has it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// From the database.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|state| state.as_str() == text)
            }
        }
    };
}

states! {
    /// Where a job is.
    JobState {
        /// It is written down.
        Received = "received",
        /// Its input cannot be proven.
        Refused = "refused",
        /// All its tensors are computed, and its slices wait.
        Executed = "executed",
        /// A slice of it was given to somebody.
        Dispatching = "dispatching",
        /// All slices are proven, and the bundle holds.
        Complete = "complete",
        /// Whoever wanted the bundle has it.
        Delivered = "delivered",
        /// Its bundle was there for long enough, or whoever wanted it wants no more: the same request is a new job.
        Settled = "settled",
        /// Nobody wants it any more.
        Cancelled = "cancelled",
        /// A slice of it could not be proven.
        Failed = "failed",
    }
    Received => Refused | Executed | Cancelled;
    Executed => Dispatching | Cancelled | Failed;
    Dispatching => Complete | Cancelled | Failed;
    // Back to dispatching: the bundle does not verify, though each proof did.
    // Settled: nobody came for it.
    Complete => Delivered | Dispatching | Settled;
    Delivered => Settled;
}

states! {
    /// Where a slice is.
    SliceState {
        /// It waits for a miner.
        Pending = "pending",
        /// A miner has it, or two have.
        Assigned = "assigned",
        /// A proof is here, and is looked at.
        Checking = "checking",
        /// It is proven.
        Proven = "proven",
    }
    // Straight to proven: by the validator itself.
    Pending => Assigned | Proven;
    Assigned => Pending | Checking | Proven;
    // Back to assigned: it does not hold, and another miner has the slice too.
    Checking => Pending | Assigned | Proven;
    Proven => Pending;
}

states! {
    /// Where an assignment is.
    AssignmentState {
        /// It is written down, and may have been sent.
        Offered = "offered",
        /// The miner has taken it on.
        Accepted = "accepted",
        /// A proof came in time.
        HandedIn = "handed in",
        /// The miner did not take it on.
        Declined = "declined",
        /// Nothing came in time.
        Missed = "missed",
        /// It ended without fault of the miner's.
        Cancelled = "cancelled",
        /// The proof holds.
        Valid = "valid",
        /// The proof does not hold.
        Invalid = "invalid",
        /// A proof came after it was missed.
        Late = "late",
        /// Another one's proof came first.
        Superseded = "superseded",
    }
    Offered => Accepted | HandedIn | Declined | Cancelled | Superseded;
    Accepted => HandedIn | Missed | Cancelled | Superseded;
    // Cancelled: the validator cannot verify it, or does not serve its model any more.
    HandedIn => Valid | Invalid | Superseded | Cancelled;
    Missed => Late | Cancelled;
}

impl JobState {
    /// Whether there is anything left to do for it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Received | Self::Executed | Self::Dispatching)
    }
}

impl AssignmentState {
    /// Whether a proof may still come of it in time.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Offered | Self::Accepted | Self::HandedIn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_ends_are_ends() {
        for state in JobState::ALL {
            assert_eq!(JobState::parse(state.as_str()), Some(*state));
            for end in [JobState::Refused, JobState::Settled, JobState::Cancelled, JobState::Failed] {
                assert!(!end.can_become(*state));
            }
        }
        for state in SliceState::ALL {
            assert_eq!(SliceState::parse(state.as_str()), Some(*state));
        }
        for state in AssignmentState::ALL {
            assert_eq!(AssignmentState::parse(state.as_str()), Some(*state));
            // What pays follows a proof alone, and nothing follows what was paid.
            assert_eq!(state.can_become(AssignmentState::Valid), *state == AssignmentState::HandedIn);
            assert!(!AssignmentState::Valid.can_become(*state));
            assert!(!AssignmentState::Superseded.can_become(*state));
        }
        assert_eq!(AssignmentState::parse("done"), None);
    }
}
