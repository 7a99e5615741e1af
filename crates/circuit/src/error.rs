//! Why a circuit cannot be built, or a witness does not exist.

/// What goes wrong while building a circuit or generating a witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CircuitError {
    /// A gadget that is sound on integers only was given an expression not proven integral.
    #[error("{gadget}: its argument is not proven to be an integer; range-check it first")]
    NotIntegral {
        /// The gadget.
        gadget: &'static str,
    },
    /// An expression may leave the interval that a gadget relies on.
    #[error("{gadget}: the enforced interval {interval} is not within {limit}")]
    TooWide {
        /// The gadget.
        gadget: &'static str,
        /// What the constraints enforce.
        interval: String,
        /// What the gadget needs.
        limit: String,
    },
    /// Interval arithmetic left the range in which integers and field elements agree.
    #[error("an expression may exceed 2^62: use smaller weights or fewer terms")]
    Overflow,
    /// A parameter outside what the gadget supports.
    #[error("{gadget}: {reason}")]
    Unsupported {
        /// The gadget or node.
        gadget: String,
        /// What is wrong.
        reason: String,
    },
    /// A value for which no witness exists: the statement is false or the input saturates.
    #[error("{at}: value {value} is outside {allowed}: the input leaves the calibrated range; calibrate with samples that cover it")]
    OutOfRange {
        /// Node or gadget.
        at: String,
        /// The value.
        value: i64,
        /// The interval that can be proven.
        allowed: String,
    },
    /// The values handed to a circuit do not fit it.
    #[error("the slice expects {expected} {what}, got {got}")]
    Arity {
        /// What was counted.
        what: &'static str,
        /// How many the slice has.
        expected: usize,
        /// How many were given.
        got: usize,
    },
}

impl CircuitError {
    /// The same error, placed at a node of the graph.
    #[must_use]
    pub fn at(self, node: &str) -> Self {
        match self {
            Self::OutOfRange { at, value, allowed } => Self::OutOfRange { at: format!("node '{node}' ({at})"), value, allowed },
            Self::Unsupported { gadget, reason } => Self::Unsupported { gadget: format!("node '{node}' ({gadget})"), reason },
            other => other,
        }
    }
}
