//! What Tab makes of the word before the cursor, in quotes or not. The twin of `sandbox/perl/lib/SpellShell/Tab.pm`.

use crate::{files, shell};

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Offer {
    /// This text goes on with the word.
    Insert(String),
    /// These are what it may become.
    Names(Vec<String>),
    /// Nothing begins like this.
    Nothing,
}

/// The word before the cursor.
#[derive(Debug, Default)]
struct Begun {
    /// Without quotes and backslashes.
    word: String,
    /// The quote that is still open.
    quote: Option<char>,
    /// The command whose word this is; none when it is its first word itself.
    command: Option<String>,
}

/// What Tab offers behind this text.
pub fn offer(before: &str, spells: &[String]) -> Offer {
    let begun = read(before);
    let fitting = |names: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        names
            .filter(|name| name.starts_with(&begun.word))
            .map(str::to_owned)
            .collect()
    };
    let found = match begun.command.as_deref() {
        None | Some("help") => fitting(&mut shell::COMMANDS.into_iter()),
        Some("cast" | "forget") => fitting(&mut spells.iter().map(String::as_str)),
        Some(_) => files::complete(&begun.word),
    };
    let Some(common) = found.iter().map(String::as_str).reduce(common_start) else {
        return Offer::Nothing;
    };
    let mut more = quoted(&common[begun.word.len()..], begun.quote);
    if let [only] = &found[..]
        && !only.ends_with('/')
    {
        more.extend(begun.quote);
        more.push(' ');
    }
    if more.is_empty() && found.len() > 1 {
        Offer::Names(found)
    } else {
        Offer::Insert(more)
    }
}

/// Reads a line up to the cursor, as the language does.
fn read(before: &str) -> Begun {
    let (mut begun, mut has_word) = (Begun::default(), false);
    let mut chars = before.chars();
    while let Some(c) = chars.next() {
        match (begun.quote, c) {
            (Some(quote), c) if c == quote => begun.quote = None,
            (None, '\'' | '"') => (begun.quote, has_word) = (Some(c), true),
            (None, ' ' | '\t' | ';' | '\n') => {
                let word = std::mem::take(&mut begun.word);
                if std::mem::take(&mut has_word) {
                    begun.command.get_or_insert(word);
                }
                if matches!(c, ';' | '\n') {
                    begun.command = None;
                }
            }
            (None | Some('"'), '\\') => {
                let next = chars.clone().next();
                let is_escape = begun.quote.is_none() || matches!(next, Some('"' | '\\' | '$'));
                let escaped = if is_escape { chars.next() } else { Some(c) };
                begun.word.extend(escaped);
                has_word = true;
            }
            (_, c) => {
                begun.word.push(c);
                has_word = true;
            }
        }
    }
    begun
}

/// Text as it is written within that quote, or without any.
fn quoted(text: &str, quote: Option<char>) -> String {
    let mut written = String::new();
    for c in text.chars() {
        match (quote, c) {
            (Some('\''), '\'') => written.push_str("'\\'"),
            (Some('"'), '"' | '\\' | '$') => written.push('\\'),
            (None, ' ' | '\t' | ';' | '\'' | '"' | '\\' | '$') => written.push('\\'),
            _ => {}
        }
        written.push(c);
    }
    written
}

fn common_start<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b);
    &one[..same.map(|(c, _)| c.len_utf8()).sum()]
}

/// Names in columns, top to bottom.
pub fn page(names: &[String], columns: usize) -> String {
    let widths = names.iter().map(|name| name.chars().count());
    let width = widths.max().unwrap_or(0) + 2;
    let per_row = (columns.saturating_sub(1) / width).max(1);
    let rows = names.len().div_ceil(per_row);
    let mut page = String::new();
    for row in 0..rows {
        let mut line = String::new();
        for name in names.iter().skip(row).step_by(rows) {
            line.push_str(&format!("{name:width$}"));
        }
        page.push_str(line.trim_end_matches(' '));
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, expected: Offer) {
        let spells = ["greet".to_owned(), "light".to_owned()];
        assert_eq!(offer(before, &spells), expected, "for {before:?}");
    }

    fn insert(text: &str) -> Offer {
        Offer::Insert(text.into())
    }

    #[test]
    fn tab_completes_by_place() {
        let names = ["cast", "cat", "cd", "chant", "clear"];
        check("c", Offer::Names(names.map(str::to_owned).to_vec()));
        check("pwd;sp", insert("ells "));
        check("help le", insert("arn "));
        check("cast g", insert("reet "));
        check(
            "forget ",
            Offer::Names(vec!["greet".into(), "light".into()]),
        );
        check("cat /pro", insert("c/"));
        check("cat é", Offer::Nothing);
        check("ca", Offer::Names(vec!["cast".into(), "cat".into()]));
    }

    #[test]
    fn tab_completes_in_quotes() {
        check("cat '/pro", insert("c/"));
        check("cat \"/pro", insert("c/"));
        check("cast \"gr", insert("eet\" "));
        check("cast 'x;y' 'gr", insert("eet' "));
        check("echo 'a b'; 'spe", insert("lls' "));
        check("cast g\\r", insert("eet "));
        check("cast 'g'\"re", insert("et\" "));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a b'$", None), "a\\ b\\'\\$");
        assert_eq!(quoted("a b'$", Some('"')), "a b'\\$");
        assert_eq!(quoted("a b'$", Some('\'')), "a b'\\''$");
    }

    #[test]
    fn pages_have_columns() {
        let names = ["cast", "cat", "cd", "chant", "clear"].map(str::to_owned);
        assert_eq!(page(&names, 80), "cast   cat    cd     chant  clear\n");
        assert_eq!(page(&names, 20), "cast   chant\ncat    clear\ncd\n");
        assert_eq!(page(&names, 3), "cast\ncat\ncd\nchant\nclear\n");
    }
}
