//! Stands between a server and the Engine, and spoils one verb for one container at a time: it refuses, keeps silent, or
//! lies. Everything else goes through as it is.
//!
//! One thread accepts; each connection has one or two of its own, which end with it. Every connection carries one call,
//! so that nothing must be known of how an answer ends.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use shellcraft::session::sandbox::SHELL_LABEL;
use tempfile::TempDir;

use crate::dice::Dice;
use crate::site::find;

/// A call's head is a few hundred bytes.
const HEAD_MAX_BYTES: usize = 64 << 10;

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// The Engine never hears of it, and it fails.
    Refuse,
    /// Nothing is said until the Engine is well again; then it is made after all.
    Hang,
    /// It is made, and said to have failed.
    DenyWhatWasDone,
    /// It is not made, or in part only, and said to be done.
    ClaimWhatWasNot,
    /// The container is said not to be there.
    SayGone,
}

const TRICKS: [Trick; 5] = [
    Trick::Refuse,
    Trick::Hang,
    Trick::DenyWhatWasDone,
    Trick::ClaimWhatWasNot,
    Trick::SayGone,
];

/// Calls about one container, as method and the end of the path. The first is about one that is to be.
const VERBS: [&str; 12] = [
    "POST create",
    "POST start",
    "POST attach",
    "POST resize",
    "POST wait",
    "POST kill",
    "DELETE",
    "GET json",
    "GET stats",
    "GET archive",
    "HEAD archive",
    "PUT archive",
];

/// What is spoiled now.
struct Spoiled {
    verb: &'static str,
    /// Its id, once such a call came; [`VERBS`]' first has none.
    container: Option<String>,
    trick: Trick,
}

#[derive(Default)]
struct State {
    spoiled: Option<Spoiled>,
    /// Grows whenever the Engine gets well, so that those who hang go on.
    healings: u64,
    /// Containers of the shell that may be spoiled.
    containers: HashSet<String>,
    /// How many calls were spoiled.
    calls: u64,
    is_over: bool,
}

struct Shared {
    /// The Engine's own socket.
    engine: String,
    /// Containers of this shell may be spoiled, no others.
    shell: String,
    /// Held for a look or a change, never across a call.
    state: Mutex<State>,
    healed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

/// The false Engine; it ends when it goes out of scope.
pub struct Saboteur {
    folder: TempDir,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Saboteur {
    /// Stands before the Engine at `docker_host`. Only containers of `shell` are spoiled.
    pub fn start(docker_host: &str, shell: &str) -> Saboteur {
        let folder = TempDir::with_prefix("shellcraft-saboteur-").expect("a directory");
        let listener = UnixListener::bind(folder.path().join("s")).expect("a socket");
        let engine = docker_host
            .strip_prefix("unix://")
            .expect("a local Engine")
            .to_owned();
        let shared = Arc::new(Shared {
            engine,
            shell: shell.to_owned(),
            state: Mutex::default(),
            healed: Condvar::new(),
        });
        let served = Arc::clone(&shared);
        let accept = move || {
            for client in listener.incoming() {
                if served.state().is_over {
                    return;
                }
                let served = Arc::clone(&served);
                // It ends with its connection, whose other end the server or the Engine closes.
                std::thread::spawn(move || drop(client.map(|client| serve(&served, client))));
            }
        };
        let acceptor = std::thread::Builder::new().name("saboteur".into());
        Saboteur {
            folder,
            shared,
            acceptor: Some(acceptor.spawn(accept).expect("a thread")),
        }
    }

    pub fn docker_host(&self) -> String {
        format!("unix://{}/s", self.folder.path().display())
    }

    /// Spoils one verb from now on, for the first container that it is called for.
    pub fn spoil(&self, dice: &mut Dice) -> (&'static str, Trick) {
        let mut choose = |count: usize| dice.below(count as u64) as usize;
        let verb = VERBS[choose(VERBS.len())];
        let trick = TRICKS[choose(TRICKS.len())];
        self.shared.state().spoiled = Some(Spoiled {
            verb,
            container: None,
            trick,
        });
        (verb, trick)
    }

    /// Lets everything through again, also what hangs.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.spoiled = None;
        state.healings += 1;
        self.shared.healed.notify_all();
    }

    /// How many calls were spoiled so far.
    pub fn calls(&self) -> u64 {
        self.shared.state().calls
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        self.heal();
        self.shared.state().is_over = true;
        // Wakes the one who accepts.
        drop(UnixStream::connect(self.folder.path().join("s")));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// One request as it came: its head, and what of its body has come along.
struct Call {
    head: String,
    body: Vec<u8>,
}

impl Call {
    fn read(client: &mut UnixStream) -> Option<Call> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 8 << 10];
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            let amount = client.read(&mut chunk).ok()?;
            if amount == 0 || bytes.len() > HEAD_MAX_BYTES {
                return None;
            }
            bytes.extend_from_slice(&chunk[..amount]);
        };
        let body = bytes.split_off(end);
        Some(Call {
            head: String::from_utf8(bytes).ok()?,
            body,
        })
    }

    /// Reads the rest of a body whose length is told.
    fn read_body(&mut self, client: &mut UnixStream) -> Option<()> {
        let length = self.header("content-length")?.parse().ok()?;
        let mut chunk = [0; 8 << 10];
        while self.body.len() < length {
            match client.read(&mut chunk).ok()? {
                0 => return None,
                amount => self.body.extend_from_slice(&chunk[..amount]),
            }
        }
        Some(())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// As in [`VERBS`], and the container.
    fn verb(&self) -> Option<(String, &str)> {
        let mut words = self.head.split(' ');
        let method = words.next()?;
        let path = words.next()?.split('?').next()?;
        let mut parts = path.rsplit_once("/containers/")?.1.split('/');
        let container = parts.next()?;
        match parts.next() {
            Some(end) => Some((format!("{method} {end}"), container)),
            None if container == "create" => Some((format!("{method} create"), "")),
            None => Some((method.to_owned(), container)),
        }
    }

    /// The same, but the connection ends with the answer.
    fn closing(&self) -> Vec<u8> {
        let is_connection = |line: &&str| {
            line.split_once(':')
                .is_some_and(|(name, _)| name.eq_ignore_ascii_case("connection"))
        };
        let mut head: String = self
            .head
            .trim_end()
            .split("\r\n")
            .filter(|line| !is_connection(line))
            .map(|line| format!("{line}\r\n"))
            .collect();
        head += "Connection: close\r\n\r\n";
        [head.as_bytes(), &self.body].concat()
    }
}

fn serve(shared: &Shared, mut client: UnixStream) -> Option<()> {
    let mut call = Call::read(&mut client)?;
    let Some((verb, container)) = call.verb() else {
        return pass(shared, &call, client);
    };
    let (container, is_create) = (container.to_owned(), verb == VERBS[0]);
    if is_create {
        call.read_body(&mut client)?;
        let label = format!("{SHELL_LABEL:?}:{:?}", shared.shell);
        if find(&call.body, label.as_bytes()).is_none() {
            return pass(shared, &call, client);
        }
    }
    match trick(shared, &verb, &container) {
        None if is_create => {
            let answer = ask(shared, &mut call, &mut client)?;
            note_created(shared, &answer);
            client.write_all(&answer).ok()
        }
        None => pass(shared, &call, client),
        Some(Trick::Refuse) => client.write_all(&refusal(500, "out of sorts")).ok(),
        Some(Trick::SayGone) => {
            let message = format!("No such container: {container}");
            client.write_all(&refusal(404, &message)).ok()
        }
        Some(Trick::Hang) => {
            wait_until_well(shared);
            // Whoever asked may have given up.
            pass(shared, &call, client)
        }
        Some(Trick::DenyWhatWasDone) => {
            if call.header("upgrade").is_none() {
                let answer = ask(shared, &mut call, &mut client)?;
                if is_create {
                    note_created(shared, &answer);
                }
            }
            client.write_all(&refusal(500, "it was not done")).ok()
        }
        Some(Trick::ClaimWhatWasNot) => claim(shared, &verb, &mut call, client),
    }
}

/// Whether this call is to be spoiled.
fn trick(shared: &Shared, verb: &str, container: &str) -> Option<Trick> {
    let mut state = shared.state();
    let State {
        spoiled,
        containers,
        calls,
        ..
    } = &mut *state;
    let spoiled = spoiled.as_mut().filter(|spoiled| spoiled.verb == verb)?;
    if verb != VERBS[0] {
        if !containers.contains(container) {
            return None;
        }
        let chosen = spoiled
            .container
            .get_or_insert_with(|| container.to_owned());
        if chosen != container {
            return None;
        }
    }
    *calls += 1;
    Some(spoiled.trick)
}

fn wait_until_well(shared: &Shared) {
    let state = shared.state();
    let healings = state.healings;
    let well = shared
        .healed
        .wait_while(state, |state| state.healings == healings && !state.is_over);
    drop(well.expect("no panic"));
}

/// Lets a call through, with all that follows in both directions.
fn pass(shared: &Shared, call: &Call, client: UnixStream) -> Option<()> {
    let mut engine = UnixStream::connect(&shared.engine).ok()?;
    let bytes = match call.header("upgrade") {
        Some(_) => [call.head.as_bytes(), &call.body].concat(),
        None => call.closing(),
    };
    engine.write_all(&bytes).ok()?;
    let (from, to) = (client.try_clone().ok()?, engine.try_clone().ok()?);
    let there = std::thread::spawn(move || copy(from, to));
    copy(engine, client);
    there.join().ok()
}

/// Copies until either end closes, and closes both ways on.
fn copy(mut from: UnixStream, mut to: UnixStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// Makes a call for whoever sent it, and has the whole answer.
fn ask(shared: &Shared, call: &mut Call, client: &mut UnixStream) -> Option<Vec<u8>> {
    if call.header("content-length").is_some() {
        call.read_body(client)?;
    }
    let mut engine = UnixStream::connect(&shared.engine).ok()?;
    engine.write_all(&call.closing()).ok()?;
    let mut answer = Vec::new();
    engine.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// Remembers the container that an answer tells of.
fn note_created(shared: &Shared, answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    let id = text
        .split_once("\"Id\":\"")
        .and_then(|(_, rest)| rest.get(..64));
    shared.state().containers.extend(id.map(str::to_owned));
}

fn refusal(status: u16, message: &str) -> Vec<u8> {
    answer(
        &format!("{status} Trouble"),
        format!("{{\"message\":\"{message}\"}}").as_bytes(),
    )
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Says that all went well.
fn claim(shared: &Shared, verb: &str, call: &mut Call, mut client: UnixStream) -> Option<()> {
    let claimed = match verb {
        "POST attach" => {
            let head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            client.write_all(head).ok()?;
            // And then not a word.
            wait_until_well(shared);
            return None;
        }
        // No container has that id.
        "POST create" => answer(
            "201 Created",
            format!("{{\"Id\":\"{}\"}}", "c".repeat(64)).as_bytes(),
        ),
        "POST wait" => answer("200 OK", b"{\"StatusCode\":0}"),
        "GET json" | "GET stats" => answer("200 OK", b"{}"),
        "GET archive" => {
            let whole = ask(shared, call, &mut client)?;
            let body = find(&whole, b"\r\n\r\n")? + 4;
            // With the length of a chunk before it: no archive is to be made of it.
            answer("200 OK", &whole[body..body + (whole.len() - body) / 2])
        }
        "HEAD archive" | "PUT archive" => {
            if verb == "PUT archive" {
                call.read_body(&mut client)?;
            }
            answer("200 OK", b"")
        }
        _ => b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec(),
    };
    client.write_all(&claimed).ok()
}
