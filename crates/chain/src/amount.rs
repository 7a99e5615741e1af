//! Amounts of ether as people write them.

use alloy::primitives::{U256, utils::parse_units};

/// Reads `12`, `12 wei`, `1.5 gwei`, `0.1 ether`; without a unit it is wei. `None` where it is no such amount, or not below 2^256.
///
/// ```
/// use zkslice_chain::amount::parse;
/// assert_eq!(parse("1.5 gwei"), parse("1_500_000_000"));
/// assert_eq!(parse("1.5"), None);
/// ```
pub fn parse(text: &str) -> Option<U256> {
    let (number, unit) = split(text);
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '_') || number.starts_with('_') {
        return None;
    }
    let decimals: u8 = match unit {
        "" | "wei" => 0,
        "gwei" => 9,
        "ether" => 18,
        _ => return None,
    };
    let number = number.replace('_', "");
    if number.split_once('.').is_some_and(|(_, fraction)| fraction.len() > decimals.into() || fraction.contains('.') || fraction.is_empty())
    {
        return None;
    }
    Some(parse_units(&number, decimals).ok()?.get_absolute())
}

/// Whether an amount says in which unit it is.
pub fn has_unit(text: &str) -> bool {
    !split(text).1.is_empty()
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    (text[..at].trim(), text[at..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        for (text, wei) in [("0", 0), ("12", 12), ("12 wei", 12), ("1.5gwei", 1_500_000_000), ("1 ether", 10u64.pow(18)), ("1_000", 1000)] {
            assert_eq!(parse(text), Some(U256::from(wei)), "{text}");
        }
        let all = U256::MAX.to_string();
        assert_eq!(parse(&all), Some(U256::MAX));
        for text in
            ["", "gwei", "1 GWEI", "1e9", "0x10", "1.5", "1.", "-1", "+1", "1 gwei gwei", &format!("{all}0"), &format!("{all} ether")]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(has_unit("1 wei") && has_unit("1gwei") && !has_unit(" 50 ") && !has_unit(""));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String, amount in "[0-9._]{0,90} ?(wei|gwei|ether)?") {
            let _ = (parse(&text), has_unit(&text));
            let _ = parse(&amount);
        }
    }
}
