//! The little language: a line becomes commands, a command's words are filled in when it runs.
//!
//! Pure functions, no I/O. `sandbox/GAME.md` defines the language; the Perl shell keeps to the same page.

use std::fmt;

/// The longest line, and so the longest spell.
pub const LINE_MAX_BYTES: usize = 4096;
/// What a command's words may come to once their `$` are filled in, so that spells cannot eat the memory.
/// A word counts one byte more than it has: nothing, a great many times, is not nothing.
pub const WORDS_MAX_BYTES: usize = 64 * 1024;
/// The longest name of a spell.
pub const NAME_MAX_BYTES: usize = 64;

/// Why a line could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// A `'` or `"` without its partner.
    OpenQuote,
    /// A backslash with nothing after it.
    LoneBackslash,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SyntaxError::OpenQuote => "a quote is not closed",
            SyntaxError::LoneBackslash => "a backslash at the end",
        })
    }
}

/// The words came to more than [`WORDS_MAX_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Arg(usize),
    All,
    Status,
}

/// One word before its `$` are filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    pieces: Vec<Piece>,
    /// Whether a quote or a backslash was in it: such a word stays even when empty.
    quoted: bool,
}

impl Word {
    fn push(&mut self, c: char) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.pieces.push(Piece::Text(c.into())),
        }
    }

    fn raw(text: &str) -> Word {
        Word {
            pieces: vec![Piece::Text(text.into())],
            quoted: true,
        }
    }

    fn is_literally(&self, text: &str) -> bool {
        matches!(&self.pieces[..], [Piece::Text(own)] if own == text)
    }

    fn is_nothing(&self) -> bool {
        self.pieces.is_empty() && !self.quoted
    }
}

/// One command: its name and its words, not filled in yet.
pub type Command = Vec<Word>;

/// What stands for `$1`…`$9`, `$*` and `$?` when a command runs.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The words the spell was cast with.
    pub args: &'a [String],
    /// The status of the command before.
    pub status: u8,
}

/// Reads a whole line. Nothing is run when any part of it cannot be read.
pub fn parse(line: &str) -> Result<Vec<Command>, SyntaxError> {
    let mut commands = Vec::new();
    let mut rest = line;
    loop {
        let (command, after) = parse_command(rest)?;
        if !command.is_empty() {
            commands.push(command);
        }
        match after {
            Some(after) => rest = after,
            None => return Ok(commands),
        }
    }
}

/// Reads one command and returns what follows its `;`, if there is one.
fn parse_command(mut rest: &str) -> Result<(Command, Option<&str>), SyntaxError> {
    let mut command = Command::new();
    loop {
        rest = rest.trim_start_matches(BLANKS);
        let (word, after) = parse_word(rest)?;
        if !word.is_nothing() {
            command.push(word);
        }
        let mut chars = after.chars();
        match chars.next() {
            None => return Ok((command, None)),
            Some(';') => return Ok((command, Some(chars.as_str()))),
            Some(_) => rest = after,
        }
        if command.len() == 1 && command[0].is_literally("learn") {
            let raw = rest.trim_matches(BLANKS);
            let (name, spell) = raw.split_once(BLANKS).unwrap_or((raw, ""));
            let parts = [name, spell.trim_start_matches(BLANKS)];
            command.extend(
                parts
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(Word::raw),
            );
            return Ok((command, None));
        }
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// Reads one word; the rest begins with the blank or `;` that ended it, or is empty.
fn parse_word(text: &str) -> Result<(Word, &str), SyntaxError> {
    let mut word = Word::default();
    let mut chars = text.chars();
    loop {
        let rest = chars.as_str();
        match chars.next() {
            None | Some(' ' | '\t' | ';') => return Ok((word, rest)),
            Some('\'') => {
                word.quoted = true;
                let (inside, after) = chars
                    .as_str()
                    .split_once('\'')
                    .ok_or(SyntaxError::OpenQuote)?;
                inside.chars().for_each(|c| word.push(c));
                chars = after.chars();
            }
            Some('"') => {
                word.quoted = true;
                chars = parse_double_quotes(&mut word, chars.as_str())?.chars();
            }
            Some('\\') => {
                word.quoted = true;
                word.push(chars.next().ok_or(SyntaxError::LoneBackslash)?);
            }
            Some('$') => chars = parse_dollar(&mut word, chars.as_str()).chars(),
            Some(c) => word.push(c),
        }
    }
}

fn parse_double_quotes<'a>(word: &mut Word, text: &'a str) -> Result<&'a str, SyntaxError> {
    let mut chars = text.chars();
    loop {
        match chars.next().ok_or(SyntaxError::OpenQuote)? {
            '"' => return Ok(chars.as_str()),
            '\\' if chars.as_str().starts_with(['"', '\\', '$']) => {
                chars.next().into_iter().for_each(|c| word.push(c));
            }
            '$' => chars = parse_dollar(word, chars.as_str()).chars(),
            c => word.push(c),
        }
    }
}

/// Reads what follows a `$`.
fn parse_dollar<'a>(word: &mut Word, text: &'a str) -> &'a str {
    let piece = match text.as_bytes().first() {
        Some(digit @ b'1'..=b'9') => Piece::Arg(usize::from(digit - b'0')),
        Some(b'*') => Piece::All,
        Some(b'?') => Piece::Status,
        _ => {
            word.push('$');
            return text;
        }
    };
    word.pieces.push(piece);
    &text[1..]
}

/// Fills in a command's words. The result may be empty: `$1` alone, with no words given.
pub fn fill_in(command: &[Word], values: Values<'_>) -> Result<Vec<String>, TooLong> {
    let mut words = Vec::new();
    let mut budget = WORDS_MAX_BYTES;
    for word in command {
        if word.pieces == [Piece::All] && !word.quoted {
            for arg in values.args {
                budget = budget.checked_sub(arg.len() + 1).ok_or(TooLong)?;
                words.push(arg.clone());
            }
            continue;
        }
        let text = fill_in_word(word, values, &mut budget)?;
        if !text.is_empty() || word.quoted {
            budget = budget.checked_sub(1).ok_or(TooLong)?;
            words.push(text);
        }
    }
    Ok(words)
}

fn fill_in_word(word: &Word, values: Values<'_>, budget: &mut usize) -> Result<String, TooLong> {
    let mut text = String::new();
    for piece in &word.pieces {
        let value = match piece {
            Piece::Text(own) => own,
            Piece::Arg(n) => values.args.get(n - 1).map_or("", String::as_str),
            Piece::All => &values.args.join(" "),
            Piece::Status => &values.status.to_string(),
        };
        *budget = budget.checked_sub(value.len()).ok_or(TooLong)?;
        text.push_str(value);
    }
    Ok(text)
}

/// Whether a spell may be called this.
pub fn is_name(name: &str) -> bool {
    let is_barred = |c: char| c.is_ascii_control() || " ;'\"\\$".contains(c);
    !name.is_empty() && name.len() <= NAME_MAX_BYTES && !name.contains(is_barred)
}

/// Control characters, which a paste or Ctrl-V can bring, count as spaces.
pub fn clean(line: &str) -> String {
    line.chars()
        .map(|c| {
            if c.is_ascii_control() && c != '\t' {
                ' '
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills in with the words `a` and `b c` after a command of status 7; `|` between words, `/` between commands.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let args = ["a".to_owned(), "b c".to_owned()];
        let found = match parse(line) {
            Err(error) => error.to_string(),
            Ok(commands) => commands
                .iter()
                .map(|command| {
                    match fill_in(
                        command,
                        Values {
                            args: &args,
                            status: 7,
                        },
                    ) {
                        Ok(words) => words.join("|"),
                        Err(TooLong) => "too long".into(),
                    }
                })
                .collect::<Vec<_>>()
                .join(" / "),
        };
        assert_eq!(found, expected, "for {line:?}");
    }

    #[test]
    fn words_and_commands() {
        check("", "");
        check("  ;; ; ", "");
        check("echo  a\tb ", "echo|a|b");
        check("pwd;ls / ; echo x", "pwd / ls|/ / echo|x");
        check("echo été 日本", "echo|été|日本");
    }

    #[test]
    fn quotes() {
        check("echo 'a b' \"c;d\" e\\ f", "echo|a b|c;d|e f");
        check("echo '' \"\"", "echo||");
        check("echo a'b'\"c\"", "echo|abc");
        check(r#"echo "\"\\\$1\n" '\'"#, r#"echo|"\$1\n|\"#);
        check(r"echo \$1 \;", "echo|$1|;");
        check("echo 'a", "a quote is not closed");
        check("echo \"a\\\"", "a quote is not closed");
        check("echo a; echo \\", "a backslash at the end");
    }

    #[test]
    fn values() {
        check("echo $1 $2 $3 $1$2", "echo|a|b c|ab c");
        check("echo \"$3\" $3", "echo|");
        check("echo $* \"$*\" x$*", "echo|a|b c|a b c|xa b c");
        check("echo $? $0 $ $x '$1'", "echo|7|$0|$|$x|$1");
        check("$3", "");
    }

    #[test]
    fn learn_takes_the_rest_as_typed() {
        check("learn hi echo $1; echo 'x ", "learn|hi|echo $1; echo 'x");
        check("pwd; learn hi  \tls", "pwd / learn|hi|ls");
        check("learn hi", "learn|hi");
        check("learn;pwd", "learn / pwd");
        check("'learn' hi $1", "learn|hi|$1");
        check("echo learn $1", "echo|learn|a");
    }

    #[test]
    fn words_have_a_limit() {
        let args = ["x".repeat(40_000)];
        let values = Values {
            args: &args,
            status: 0,
        };
        let commands = parse("echo $1$1; echo $1").expect("is readable");
        assert_eq!(fill_in(&commands[0], values), Err(TooLong));
        assert!(fill_in(&commands[1], values).is_ok());
        let nothings = vec![String::new(); 40_000];
        let commands = parse("echo $* $*").expect("is readable");
        assert_eq!(
            fill_in(
                &commands[0],
                Values {
                    args: &nothings,
                    status: 0
                }
            ),
            Err(TooLong)
        );
    }

    #[test]
    fn names() {
        for name in ["a", "é✦", "ls", "-1", "a/b"] {
            assert!(is_name(name), "{name:?}");
        }
        for name in ["", "a b", "a;b", "a\tb", "$1", "it's", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
