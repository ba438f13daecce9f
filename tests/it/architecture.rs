//! The house rules that a reader relies on, read off the sources.

use std::fs;
use std::path::{Path, PathBuf};

use shellcraft::locks::rank::Level;
use shellcraft::threads::Kind;

/// All Rust files below a folder of the project, with their text.
pub fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the house") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} is empty");
    found
}

/// All Rust files below a folder of `src`, with their text up to the unit tests.
pub fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let files = rust_files(&format!("src/{folder}")).into_iter();
    let code = |text: String| {
        let (code, _) = text
            .split_once("#[cfg(test)]\nmod tests")
            .unwrap_or((&text, ""));
        code.to_owned()
    };
    files.map(|(path, text)| (path, code(text))).collect()
}

/// No file below `folder` may say any of `words` in its code.
#[track_caller]
fn must_not_know(folder: &str, words: &[&str]) {
    for (path, text) in sources(folder) {
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for word in words {
                assert!(!line.contains(word), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn each_folder_knows_only_what_it_may() {
    must_not_know(
        "door",
        &[
            "crate::session",
            "crate::engine",
            "crate::terminal",
            "crate::auth",
            "crate::http",
        ],
    );
    must_not_know("http", &["crate::engine", "tiny_http"]);
    must_not_know(
        "terminal",
        &[
            "crate::session",
            "crate::http",
            "crate::door",
            "engine::types",
            "engine::Engine",
        ],
    );
    must_not_know(
        "session",
        &["tiny_http", "tungstenite", "crate::http", "crate::door"],
    );
    must_not_know(
        "fleet",
        &[
            "tiny_http",
            "tungstenite",
            "crate::engine",
            "crate::http",
            "crate::door",
            "crate::terminal",
        ],
    );
    must_not_know(
        "engine",
        &[
            "crate::session",
            "crate::http",
            "crate::door",
            "crate::terminal",
            "tungstenite",
        ],
    );
}

/// What keeps the registry knows none of the areas that count: each registers what is its own.
#[test]
fn metrics_know_no_area() {
    let areas = [
        "auth", "cli", "config", "door", "engine", "http", "logging", "session", "terminal",
    ];
    let areas = areas.map(|area| format!("crate::{area}"));
    must_not_know("metrics", &areas.each_ref().map(String::as_str));
}

/// Commands stand above everything; and what runs among players knows as little as it can.
#[test]
fn nobody_needs_the_commands() {
    for folder in ["door", "http", "terminal", "session", "engine"] {
        must_not_know(folder, &["crate::cli"]);
    }
    let outside = [
        "crate::engine",
        "crate::config",
        "crate::terminal",
        "crate::http",
    ];
    must_not_know("cli/attack", &outside);
}

/// `unsafe` has one place, and it is no part of the server.
#[test]
fn unsafe_code_has_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for manifest in [
        "Cargo.toml",
        "sandbox/rust/Cargo.toml",
        "tests/fake-engine/Cargo.toml",
    ] {
        let text = fs::read_to_string(root.join(manifest)).expect("a manifest");
        assert!(text.contains("[lints]\nworkspace = true"), "{manifest}");
    }
}

#[test]
fn the_environment_is_read_in_one_place() {
    for (path, text) in sources("")
        .into_iter()
        .filter(|(path, _)| !path.components().any(|part| part.as_os_str() == "config"))
    {
        for word in ["env::var", "env::temp_dir", "env::home_dir"] {
            assert!(!text.contains(word), "{} in {}", word, path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for (path, text) in sources("") {
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn threads_have_names_and_queues_have_bounds() {
    for (path, text) in sources("") {
        for word in ["thread::spawn(", "unbounded(", "mpsc::channel("] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
        // The self-test has threads of its own; the server's are all of a kind that the table tells of.
        let is_free = path.ends_with("src/threads.rs")
            || path.components().any(|part| part.as_os_str() == "cli");
        assert!(
            is_free || !text.contains("thread::Builder"),
            "{}",
            path.display()
        );
    }
}

/// The rows of a table in the words of `lib.rs`: those whose first cell is code.
pub fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))
        .expect("lib.rs");
    let (_, after) = text
        .split_once(&format!("//! # {heading}\n"))
        .expect("a heading");
    let chapter = after.split("\n//! # ").next().expect("a chapter");
    chapter
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .map(|row| {
            row.split('|')
                .map(|cell| cell.trim().replace('`', ""))
                .collect()
        })
        .collect()
}

/// Whether all threads that really run are in the table is seen in a running server, in `process.rs`.
#[test]
fn the_table_of_threads_has_every_kind() {
    let told: Vec<String> = rows("Threads")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let first = |name: &str| name.split([',', ' ']).next().map(str::to_owned);
    let bare = |name: String| {
        name.trim_end_matches("-N")
            .trim_end_matches("-id")
            .to_owned()
    };
    let told: Vec<String> = told
        .iter()
        .filter_map(|name| first(name))
        .map(bare)
        .collect();
    let all = Kind::ALL.map(Kind::name);
    let expected: Vec<&str> = ["shellcraft"].into_iter().chain(all).collect();
    assert_eq!(told, expected);
}

/// The locks of a module's code, by their fields; one that is all of a type, by the type. Each with its rank.
fn locks_of(code: &str) -> Vec<(String, String)> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (mut last_type, mut locks) = (String::new(), Vec::new());
    for line in code
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
    {
        if let Some((_, after)) = line.split_once("struct ") {
            last_type = after
                .chars()
                .take_while(|letter| is_name(*letter))
                .collect();
        }
        let Some(at) = ["Mutex<", "RwLock<"]
            .iter()
            .find_map(|lock| line.find(lock))
        else {
            continue;
        };
        let before = &line[..at];
        let is_declared = !["let ", "fn ", "impl", "use ", "->", "&"]
            .iter()
            .any(|word| before.contains(word));
        if is_declared && !line[at..].starts_with("MutexGuard") {
            let field = before.rsplit_once(": ").map(|(field, _)| field.trim());
            let field = field.and_then(|field| field.rsplit([' ', ')']).next());
            let name = field.unwrap_or(&last_type).to_owned();
            let rank = line[at..].split_once("rank::").map(|(_, rank)| rank);
            let rank = rank.and_then(|rank| rank.split(|letter| !is_name(letter)).next());
            locks.push((name, rank.unwrap_or("Leaf").to_owned()));
        }
    }
    locks
}

/// The modules of the server that take locks only from `locks`, with their code.
fn server_sources() -> Vec<(String, String)> {
    let modules = sources("").into_iter().filter_map(|(path, code)| {
        let module = crate::modules::module_of(&path).unwrap_or_default();
        (module != "locks" && !module.starts_with("cli")).then_some((module, code))
    });
    modules.collect()
}

#[test]
fn the_table_of_locks_has_every_lock() {
    let mut found = Vec::new();
    for (module, code) in server_sources() {
        let locks = locks_of(&code).into_iter();
        found.extend(locks.map(|(lock, rank)| (format!("{module}::{lock}"), rank)));
    }
    let mut told: Vec<(String, String)> = rows("Locks")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let place = |rank: &str| {
        let all = Level::ALL.iter().map(|level| format!("{level:?}"));
        all.into_iter().position(|level| level == rank)
    };
    let places: Vec<_> = told.iter().map(|(_, rank)| place(rank)).collect();
    assert!(places.is_sorted(), "the first to be taken comes first");
    found.sort();
    told.sort();
    assert_eq!(told, found);
}

#[test]
fn locks_are_seen_in_code() {
    let code = "pub struct A {\n    /// Mutex<u8>\n    pub(super) one: Mutex<u8>,\n    two: [RwLock<u8, rank::Pool>; 2],\n}\n\
        struct B(Arc<Mutex<u8, rank::Log>>);\nfn f(lock: &Mutex<u8>) -> MutexGuard<u8> {\n    let x: Mutex<u8> = y;";
    let expected = [("one", "Leaf"), ("two", "Pool"), ("B", "Log")];
    assert_eq!(
        locks_of(code),
        expected.map(|(lock, rank)| (lock.to_owned(), rank.to_owned()))
    );
}

/// A lock without a rank would be taken in any order.
#[test]
fn the_server_has_no_locks_without_a_rank() {
    let foreign = ["Mutex", "RwLock", "Condvar"].map(|lock| format!("sync::{lock}"));
    for (module, code) in server_sources() {
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        assert!(!code.contains("parking_lot"), "{module}");
        let uses = crate::modules::paths_in(&code);
        for lock in &foreign {
            let is_used = uses.iter().any(|path| path.contains(lock));
            assert!(!is_used && !code.contains(lock), "{lock} in {module}");
        }
    }
}

/// No async runtime, not even behind somebody else's default feature.
#[test]
fn nothing_is_asynchronous() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"))
        .expect("a lock file");
    for runtime in [
        "tokio",
        "async-std",
        "smol",
        "mio",
        "hyper",
        "futures-executor",
        "async-io",
    ] {
        assert!(
            !lock.contains(&format!("name = \"{runtime}\"")),
            "{runtime} is in the tree"
        );
    }
}

/// A macro's call from its name to the parenthesis that ends it; what stands in texts does not count.
fn call(code: &str) -> &str {
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for (at, letter) in code.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            '(' if !is_text => depth += 1,
            ')' if !is_text && depth == 1 => return &code[..at],
            ')' if !is_text => depth -= 1,
            _ => {}
        }
    }
    code
}

/// Printing a session's id gives its short name. What gives the whole of it has no business in a log line.
#[test]
fn log_lines_call_sessions_by_their_short_names() {
    let macros = [
        "trace!(",
        "debug!(",
        "info!(",
        "warn!(",
        "error!(",
        "log!(",
        "warn_throttled!(",
        "logging::enter(",
    ];
    let mut looked_at = 0;
    for (path, text) in sources("") {
        for name in macros {
            for (at, _) in text.match_indices(name) {
                let line = call(&text[at..]);
                for whole in [".to_text()", "id.0"] {
                    assert!(
                        !line.contains(whole),
                        "{whole} in {}: {line}",
                        path.display()
                    );
                }
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 50, "{looked_at}");
}
