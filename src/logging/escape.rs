//! Makes text harmless that may come from a stranger: nothing in it ends a line, moves a cursor or reorders what is
//! read. Pure.

use std::fmt::Write as _;

/// `text` with everything that could deceive a reader written as `\\u{…}`.
pub fn for_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// The same in a finished JSON document: serde_json escapes only what JSON demands, and outside of strings there is
/// nothing of the kind.
pub fn for_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if is_deceptive(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing into a String can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// A value for `key=value`: in quotes where it would not be one word.
pub fn for_value(value: &str) -> String {
    let is_word =
        |character: char| character.is_ascii_graphic() && !matches!(character, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(is_word) {
        value.to_owned()
    } else {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{}\"", for_text(&quoted))
    }
}

/// Controls, line and paragraph separators, and format characters: among them those that turn the direction of text
/// around or can't be seen (Unicode's general categories Cc, Zl, Zp and Cf).
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_spelled_out() {
        for (text, expected) in [
            ("bad\nINFO all is well", "bad\\u{a}INFO all is well"),
            (
                "\u{1b}[2J\r\u{7}\u{9b}1m",
                "\\u{1b}[2J\\u{d}\\u{7}\\u{9b}1m",
            ),
            (
                "a\u{2028}b\u{2029}c\u{85}d",
                "a\\u{2028}b\\u{2029}c\\u{85}d",
            ),
            ("\u{202e}txt.exe\u{2066}", "\\u{202e}txt.exe\\u{2066}"),
            ("in\u{200b}visible\u{e0041}", "in\\u{200b}visible\\u{e0041}"),
            ("Zauberbücher 魔法 🧙", "Zauberbücher 魔法 🧙"),
        ] {
            assert_eq!(for_text(text), expected);
        }
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({"a": "x\n\u{202e}\u{e0041}\u{2028}é"});
        let escaped = for_json(&value.to_string());
        assert!(!escaped.chars().any(is_deceptive), "{escaped}");
        let back: serde_json::Value = serde_json::from_str(&escaped).expect("JSON");
        assert_eq!(back, value);
    }

    #[test]
    fn a_value_is_one_word_or_in_quotes() {
        for (value, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a\" status=200 \"b", "\"a\\\" status=200 \\\"b\""),
            ("a\nb", "\"a\\u{a}b\""),
        ] {
            assert_eq!(for_value(value), expected);
        }
    }
}
