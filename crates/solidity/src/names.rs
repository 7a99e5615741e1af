//! Names and numbers as Solidity and `forge fmt` want them.

use zkslice_formats::keccak;

pub(crate) const LONGEST: usize = 64;

/// `mlp_digits` → `MlpDigits`. Always a valid start of an identifier: what is not an ASCII letter or digit separates
/// words, and a leading digit gets `Model` before it. Of a name without ASCII letters and digits nothing is left: it becomes `Model` and
/// the first eight digits of its keccak256, so that two such names differ. Other names can be alike, such as `a-b` and `a_b`.
pub fn type_name(model: &str) -> String {
    let mut name = String::new();
    for word in model.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = word.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name.truncate(LONGEST);
    if name.is_empty() {
        return format!("Model{}", hex::encode(&keccak(model.as_bytes())[..4]));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert_str(0, "Model");
    }
    name
}

/// A name from a model file, fit for a comment: no line break, no control or direction character, nothing that natspec
/// reads as a tag.
pub(crate) fn comment(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || " _-.,:/+".contains(c) { c } else { '_' };
    let text: String = name.chars().take(LONGEST).map(fit).collect();
    format!("\"{text}\"")
}

/// One line of a comment.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '_' }).collect()
}

pub(crate) fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The name as an npm package's.
pub(crate) fn package(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().take(LONGEST).map(fit).collect();
    match text.trim_matches('-') {
        "" => format!("{}-verifier", type_name(name).to_ascii_lowercase()),
        text => format!("{text}-verifier"),
    }
}

/// With an underscore every three digits from five digits on.
pub(crate) fn number(n: impl Into<u128>) -> String {
    let digits = n.into().to_string();
    if digits.len() < 5 {
        return digits;
    }
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        for (model, name) in [
            ("mlp_digits", "MlpDigits"),
            ("lenet5-avg.v2", "Lenet5AvgV2"),
            ("3x32", "Model3x32"),
            ("", "Modelc5d24601"),
            ("漢字", "Modelb4f4acb0"),
            ("模型一", "Model82af53a6"),
            ("模型二", "Model7ee09ed4"),
            ("a\n*/ contract B", "AContractB"),
        ] {
            assert_eq!(type_name(model), name);
        }
        assert_eq!(type_name(&"x".repeat(1000)).len(), LONGEST);
    }

    #[test]
    fn comments_stay_comments() {
        assert_eq!(comment("a\n/// @dev \u{202e}*/ x"), "\"a_/// _dev __/ x\"");
    }

    #[test]
    fn packages_and_numbers() {
        assert_eq!(package("@Mlp_Digits"), "mlp-digits-verifier");
        assert_eq!(package("漢字"), "modelb4f4acb0-verifier");
        assert_eq!([1_u64, 1337, 31_337, 1_000_000].map(number), ["1", "1337", "31_337", "1_000_000"]);
        assert_eq!(number(1_u128 << 64), "18_446_744_073_709_551_616");
    }
}
