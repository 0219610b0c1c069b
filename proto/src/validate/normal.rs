//! The normal form of texts: Unicode form NFC, without white space around.

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Brings a text to its normal form; one that has it already is not copied.
pub fn text(text: &mut String) {
    if !text.is_ascii() && !is_nfc(text) {
        *text = text.nfc().collect();
    }
    let kept = text.trim().len();
    if kept != text.len() {
        text.truncate(text.trim_end().len());
        text.drain(..text.len() - kept);
    }
}

/// Whether a text has its normal form.
#[must_use]
pub fn is_normal(text: &str) -> bool {
    text.trim().len() == text.len() && (text.is_ascii() || is_nfc(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(given: &str) -> String {
        let mut out = given.to_owned();
        text(&mut out);
        out
    }

    #[test]
    fn texts_are_composed_and_trimmed() {
        for (given, expected) in [
            ("", ""),
            ("  ", ""),
            ("plain", "plain"),
            (" a b\t\n", "a b"),
            ("e\u{301}", "é"),
            ("\u{a0}e\u{301} ", "é"),
            // The order of marks, Hangul, and a sign that is another letter.
            ("a\u{315}\u{300}", "à\u{315}"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
            ("\u{212b}", "Å"),
            // A space of another width is a space after it was normalised, too.
            ("\u{2000}x\u{2000}", "x"),
        ] {
            assert_eq!(normal(given), expected, "{given:?}");
            assert_eq!(normal(expected), expected);
            assert!(is_normal(expected));
            assert_eq!(is_normal(given), given == expected, "{given:?}");
        }
    }

    #[test]
    fn a_normal_text_is_not_copied() {
        // The last has a mark that no letter takes in.
        for given in ["plain", "größe", "한국", "x\u{301}"] {
            let mut kept = given.to_owned();
            let place = kept.as_ptr();
            text(&mut kept);
            assert_eq!(place, kept.as_ptr());
        }
    }

    proptest::proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(given: String) {
            let once = normal(&given);
            proptest::prop_assert!(is_normal(&once));
            proptest::prop_assert_eq!(normal(&once), once);
        }
    }
}
