//! GPT-2's alphabet: every byte as a printable character, in which vocabularies and merges are written.
//! Radford et al. 2019, <https://github.com/openai/gpt-2/blob/master/src/encoder.py>, `bytes_to_unicode`.

/// The character of a byte: itself where it is printable, otherwise one from U+0100 on in order of the bytes.
pub(super) fn character(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=0x20 => shifted(byte),
        // 33 bytes up to the space, then those from DEL on.
        0x7f..=0xa0 => shifted(byte - 0x7f + 0x21),
        0xad => shifted(0x43),
    }
}

fn shifted(place: u8) -> char {
    char::from_u32(0x100 + u32::from(place)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte of a character; `None` for characters outside the alphabet.
pub(super) fn byte(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The bytes that a vocabulary entry stands for; an entry outside the alphabet stands for its own text.
pub(super) fn bytes(entry: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = entry.chars().map(byte).collect();
    bytes.unwrap_or_else(|| entry.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_byte_has_its_own_character_and_comes_back() {
        let characters: BTreeSet<char> = (0..=255).map(character).collect();
        assert_eq!(characters.len(), 256);
        assert!((0..=255).all(|b| byte(character(b)) == Some(b)));
        assert_eq!(
            [b' ', b'\n', 0x7f, 0xa0, 0xad].map(character),
            ['Ġ', 'Ċ', 'ġ', 'ł', 'Ń']
        );
        assert_eq!(byte('世'), None);
        assert_eq!(bytes("世"), "世".as_bytes());
    }
}
