//! The shell that every container runs: a prompt, an echo, a few commands.
//!
//! Behaves at its prompt as `busybox sh` does, as far as the engine contract looks.

use crate::container::{Container, Input};

const PROMPT: &[u8] = b"$ ";

/// Runs until it is told to exit or the container is ended; returns the exit code if it decided itself.
pub fn run(container: &Container) -> Option<i64> {
    let mut line = Vec::new();
    let mut last_line = Vec::new();
    container.show(PROMPT);
    loop {
        let keys = match container.next_input() {
            Input::Ended => return None,
            Input::Interrupt => {
                line.clear();
                container.show(b"^C\r\n$ ");
                continue;
            }
            Input::Keys(keys) => keys,
        };
        let mut echo = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            match key {
                b'\r' | b'\n' => {
                    echo.extend_from_slice(b"\r\n");
                    container.show(&echo);
                    container.put_back(&keys[at + 1..]);
                    last_line.clone_from(&line);
                    if let Some(exit_code) = obey(container, &line) {
                        return Some(exit_code);
                    }
                    line.clear();
                    echo = PROMPT.to_vec();
                    break;
                }
                // Ctrl-D on an empty line.
                4 if line.is_empty() => return Some(0),
                // Ctrl-P recalls the last line.
                16 => {
                    echo.extend(b"\x08 \x08".repeat(line.len()));
                    line.clone_from(&last_line);
                    echo.extend_from_slice(&line);
                }
                8 | 127 => {
                    if line.pop().is_some() {
                        echo.extend_from_slice(b"\x08 \x08");
                    }
                }
                0..32 => {}
                key => {
                    line.push(*key);
                    echo.push(*key);
                }
            }
        }
        container.show(&echo);
    }
}

/// Runs one command; returns an exit code if it ends the shell.
fn obey(container: &Container, line: &[u8]) -> Option<i64> {
    // As it is: not all that is typed is text.
    if let Some(words) = line.strip_prefix(b"echo ") {
        container.show(&[words, b"\r\n"].concat());
        return None;
    }
    let line = String::from_utf8_lossy(line);
    let (command, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    match command {
        "" => {}
        "exit" => return Some(rest.trim().parse().unwrap_or(0)),
        "echo" => say(container, ""),
        // Escape sequences, which the line editor does not let in.
        "printf" => container.show(
            rest.replace("\\e", "\x1b")
                .replace("\\a", "\x07")
                .as_bytes(),
        ),
        "ls" => say(container, "spellbook.dat"),
        "size" => {
            let (cols, rows) = container.lock().size;
            say(container, &format!("{cols} x {rows}"));
        }
        "stty" if rest == "size" => {
            let (cols, rows) = container.lock().size;
            say(container, &format!("{rows} {cols}"));
        }
        "flood" | "seq" => count(container, rest.trim().parse().unwrap_or(0)),
        "yes" => repeat(container, if rest.is_empty() { "y" } else { rest }),
        _ => say(container, &format!("sh: {command}: not found")),
    }
    None
}

fn say(container: &Container, line: &str) {
    container.show(format!("{line}\r\n").as_bytes());
}

fn count(container: &Container, lines: usize) {
    let numbers: Vec<usize> = (1..=lines).collect();
    for block in numbers.chunks(500) {
        if container.take_interrupt() {
            return container.show(b"^C\r\n");
        }
        let text: String = block.iter().map(|number| format!("{number}\r\n")).collect();
        container.show(text.as_bytes());
    }
}

fn repeat(container: &Container, line: &str) {
    let block = format!("{line}\r\n").into_bytes().repeat(1000);
    while !container.take_interrupt() {
        container.show(&block);
        container.rest_unseen();
    }
    container.show(b"^C\r\n");
}
