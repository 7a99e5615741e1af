//! Bytes as hexadecimal text, as every file of JSON and every message has them: `0x`, then lower-case digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::Word;

/// Bytes as `0x` and their digits.
pub fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The word that `0x` and 64 digits stand for.
pub fn word(text: &str) -> Option<Word> {
    let mut word = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut word).ok()?;
    Some(word)
}

/// Writes a word as text; for `#[serde(with = "zkslice_formats::hex")]`.
///
/// # Errors
/// Of the serialiser.
pub fn serialize<S: Serializer>(word: &Word, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex0x(word))
}

/// Reads a word from text.
///
/// # Errors
/// Where the text is anything but a word.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    let text = String::deserialize(deserializer)?;
    word(&text).ok_or_else(|| D::Error::custom("expected 0x and 64 hexadecimal digits"))
}

/// A list of words; for `#[serde(with = "zkslice_formats::hex::list")]`.
pub mod list {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Word};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super")] Word);

    /// Writes each word as text.
    ///
    /// # Errors
    /// Of the serialiser.
    pub fn serialize<S: Serializer>(words: &[Word], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(words.iter().map(|word| One(*word)))
    }

    /// Reads each word from text.
    ///
    /// # Errors
    /// Where one is anything but a word.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Word>, D::Error> {
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(word)| word).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_0x_and_64_digits() {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (0xab, 1);
        let text = hex0x(&bytes);
        assert_eq!((text.len(), &text[..4]), (66, "0xab"));
        assert_eq!(word(&text), Some(bytes));
        for wrong in ["", "0x", &text[2..], &text[..65], &format!("{text}0"), &text.replace("ab", "xy")] {
            assert_eq!(word(wrong), None, "{wrong}");
        }
    }
}
