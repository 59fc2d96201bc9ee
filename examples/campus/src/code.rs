//! Codes for people to show or to type: of sixty random bits, which nobody guesses.

use uuid::Uuid;

/// Digits and letters that nobody takes for another.
const ALPHABET: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Sixty random bits, as `ABCD-EFGH-JKMN`.
pub(crate) fn new() -> String {
    // A random UUID has fixed bits in its middle; the lowest sixty are all random.
    of(Uuid::new_v4().as_u128())
}

/// The code of the lowest sixty bits.
pub(crate) fn of(bits: u128) -> String {
    let digit = |place: u32| char::from(ALPHABET[usize::try_from((bits >> (5 * place)) & 31).unwrap_or_default()]);
    let group = |from: u32| (from..from + 4).map(digit).collect::<String>();
    [group(0), group(4), group(8)].join("-")
}

/// A code as people type it: in any case, with or without hyphens, with letters for the digits that they look like.
pub(crate) fn parsed(code: &str) -> Option<String> {
    let mut digits = String::new();
    for character in code.chars().filter(|character| !matches!(character, '-' | ' ')) {
        let digit = match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        let is_digit = u8::try_from(digit).is_ok_and(|digit| ALPHABET.contains(&digit));
        if !is_digit || digits.len() == 12 {
            return None;
        }
        digits.push(digit);
    }
    (digits.len() == 12).then(|| [&digits[..4], &digits[4..8], &digits[8..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_however_it_is_typed() {
        for _ in 0..100 {
            let code = new();
            assert_eq!(parsed(&code).as_deref(), Some(&*code));
            assert_eq!(parsed(&code.to_lowercase().replace('-', " ")).as_deref(), Some(&*code));
        }
        assert_eq!(parsed("oil0-oil0-oil0").as_deref(), Some("0110-0110-0110"));
        for bad in ["", "0110-0110-011", "0110-0110-01100", "U110-0110-0110", "é110-0110-0110", "0110\u{0}110-0110"] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }
}
