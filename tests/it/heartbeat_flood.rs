//! The heartbeat under a flood, with a fast pulse: who answers stays, who is gone goes.
//!
//! A viewer of its own on a TCP connection, at a hub whose container is one end of a socket pair.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use shellcraft::terminal::budget::Paces;
use shellcraft::terminal::hub::{Arrival, BufferLimits, Hub};
use shellcraft::terminal::viewer::{self, Heartbeat, Terms, Visit};
use shellcraft::terminal::{Close, Role};
use tungstenite::{Message, WebSocket};
use uuid::Uuid;

use crate::containers::PATIENCE;

const PULSE: Heartbeat = Heartbeat {
    every: Duration::from_secs(1),
    // A machine that stands still for so long would be taken for a client that does.
    limit: Duration::from_secs(6),
};
/// What the connection may hold on its way: little, so that a ping behind a flood comes well within the limit.
const WAY_BYTES: usize = 32 * 1024;
const BLOCK: [u8; 16 * 1024] = [b'y'; 16 * 1024];

/// A container, and one raw client that sees it.
struct Stage {
    hub: Arc<Hub>,
    container: UnixStream,
    client: TcpStream,
    pump: JoinHandle<()>,
    viewer: JoinHandle<Visit>,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(Paces::NONE)
    }

    /// One whose client may send so much.
    fn with(paces: Paces) -> Stage {
        Stage::open(paces, false)
    }

    /// One whose client is a page.
    fn page() -> Stage {
        Stage::open(Paces::NONE, true)
    }

    fn open(paces: Paces, is_v1: bool) -> Stage {
        let limits = BufferLimits {
            scrollback_bytes: 256 * 1024,
            window_bytes: 128 * 1024,
        };
        let hub = Arc::new(Hub::new(limits, Instant::now(), || {}));
        let (mut output, container) = UnixStream::pair().expect("a pair");
        let pumped = Arc::clone(&hub);
        let pump = thread::spawn(move || pumped.pump(&mut output).expect("it ends in order"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let client = client.expect("it listens");
        let (server, _) = listener.accept().expect("a client");
        sockopt::set_socket_recv_buffer_size(&client, WAY_BYTES).expect("an option");
        sockopt::set_socket_send_buffer_size(&server, WAY_BYTES).expect("an option");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let arrival = Arrival {
            role: Role::Player,
            is_acking: is_v1,
            from: None,
            wants_screen: false,
            page: None,
        };
        let handle = hub.join(arrival).expect("it is not over");
        let terms = Terms {
            session_id: Uuid::new_v4(),
            is_v1,
            heartbeat: PULSE,
            until: None,
            paces,
        };
        let viewer = thread::spawn(move || {
            viewer::run(&server, Vec::new(), handle, terms).expect("a thread and a descriptor")
        });
        Stage {
            hub,
            container,
            client,
            pump,
            viewer,
        }
    }

    /// The container writes without a pause until it is stopped.
    fn flood(&self) -> Flood {
        let mut container = self.container.try_clone().expect("a descriptor");
        let is_over = crossbeam_channel::bounded::<()>(0);
        let writer = thread::spawn(move || {
            while is_over.1.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                if container.write_all(&BLOCK).is_err() {
                    return;
                }
            }
        });
        Flood(is_over.0, writer)
    }

    /// Lets the container end and everybody go; what the viewer came to.
    fn end(self) -> Visit {
        self.hub.close(Close::Destroyed);
        // Both may have ended already.
        let _ = self.container.shutdown(Shutdown::Both);
        let _ = self.client.shutdown(Shutdown::Both);
        self.pump.join().expect("no panic");
        self.viewer.join().expect("no panic")
    }

    /// Waits until the viewer has ended by itself, and says after how long.
    fn given_up_after(&self, began: Instant) -> Duration {
        while !self.viewer.is_finished() {
            assert!(began.elapsed() < PATIENCE, "it is never given up");
            thread::park_timeout(Duration::from_millis(5));
        }
        began.elapsed()
    }
}

struct Flood(crossbeam_channel::Sender<()>, JoinHandle<()>);

impl Flood {
    fn stop(self) {
        self.told_to_stop().join().expect("no panic");
    }

    /// Its thread, which ends when what it is writing is written.
    fn told_to_stop(self) -> JoinHandle<()> {
        drop(self.0);
        self.1
    }
}

/// A client that answers pings and says nothing else, while output never pauses; and then a pause.
#[test]
fn a_client_that_only_reads_a_flood_stays() {
    let stage = Stage::new();
    let client = stage.client.try_clone().expect("a descriptor");
    let mut client = WebSocket::from_raw_socket(client, tungstenite::protocol::Role::Client, None);
    let flood = stage.flood();
    let (began, mut pings, mut bytes) = (Instant::now(), 0, 0);
    let mut read = |pings: &mut u32| match client.read().expect("it stays") {
        Message::Ping(_) => *pings += 1,
        Message::Binary(output) => bytes += output.len(),
        other => panic!("{other:?}"),
    };
    // For longer than it may be silent; on a slow machine for as long as the pings take.
    while began.elapsed() < PULSE.limit * 2 || pings < 6 {
        assert!(began.elapsed() < PATIENCE * 2, "{pings} pings in a flood");
        read(&mut pings);
        // Slower than the server: it always has more to send, and never waits for the container.
        thread::park_timeout(Duration::from_millis(20));
    }
    // What it is just writing must be read, or it never ends.
    let flood = flood.told_to_stop();
    while !flood.is_finished() {
        read(&mut pings);
    }
    flood.join().expect("no panic");
    // The first pause: a client that was pinged all the time is not found silent.
    let before = pings;
    while pings < before + 2 {
        read(&mut pings);
    }
    assert!(bytes > 1 << 20, "{bytes} bytes are no flood");
    assert!(!stage.viewer.is_finished());
    drop(client);
    stage.end();
}

/// It reads all of the flood and answers nothing, as behind a proxy whose browser is gone.
#[test]
fn a_client_that_reads_a_flood_and_never_answers_goes() {
    let stage = Stage::new();
    let flood = stage.flood();
    let began = Instant::now();
    let mut client = stage.client.try_clone().expect("a descriptor");
    let reader = thread::spawn(move || {
        let mut sink = [0; 4096];
        while client.read(&mut sink).is_ok_and(|count| count > 0) {}
    });
    let after = stage.given_up_after(began);
    assert!(after >= PULSE.limit, "already after {after:?}");
    reader.join().expect("no panic");
    stage.container.shutdown(Shutdown::Both).expect("it floods");
    flood.stop();
    assert_eq!(stage.end().close_code, None, "there is nobody to tell");
}

/// Its machine is gone: nothing is taken any more.
#[test]
fn a_client_that_takes_nothing_of_a_flood_goes() {
    let stage = Stage::new();
    let flood = stage.flood();
    let began = Instant::now();
    let after = stage.given_up_after(began);
    assert!(after >= PULSE.limit, "already after {after:?}");
    stage.container.shutdown(Shutdown::Both).expect("it floods");
    flood.stop();
    assert_eq!(stage.end().close_code, None, "there is nobody to tell");
}

/// A binary frame of 4096 bytes, masked with zeros.
fn frame() -> Vec<u8> {
    [[0x82, 0xfe, 0x10, 0, 0, 0, 0, 0].as_slice(), &[b'y'; 4096]].concat()
}

/// The other direction: a paste as big as a message may be, at the default paces.
#[test]
fn a_paste_of_a_mebibyte_arrives_whole() {
    let stage = Stage::with(Paces {
        bytes: Some(512 * 1024),
        messages: Some(5000),
        patience: Paces::PATIENCE,
    });
    let (input, mut container) = UnixStream::pair().expect("a pair");
    stage.hub.connect_input(input);
    let mut client = stage.client.try_clone().expect("a descriptor");
    let paste = thread::spawn(move || client.write_all(&frame().repeat(256)));
    let limit = Some(PATIENCE);
    container.set_read_timeout(limit).expect("a timeout");
    let mut typed = vec![0; 256 * 4096];
    container.read_exact(&mut typed).expect("all of it");
    assert!(typed.iter().all(|key| *key == b'y'));
    paste.join().expect("no panic").expect("it is read");
    assert!(!stage.viewer.is_finished());
    stage.end();
}

/// A page whose keys nobody reads is answered all the same, and told which of them were refused.
#[test]
fn what_a_page_says_is_never_behind_its_keys() {
    const MEBIBYTE: usize = 1 << 20;
    let stage = Stage::page();
    let (input, mut container) = UnixStream::pair().expect("a pair");
    stage.hub.connect_input(input);
    let mut client = stage.client.try_clone().expect("a descriptor");
    let typing = thread::spawn(move || {
        let ping = br#"{"type":"ping","t":7}"#;
        let head = [0x81, 0x80 | ping.len() as u8, 0, 0, 0, 0];
        client.write_all(&[frame().repeat(3 * 256), head.to_vec(), ping.to_vec()].concat())
    });
    let client = stage.client.try_clone().expect("a descriptor");
    let mut client = WebSocket::from_raw_socket(client, tungstenite::protocol::Role::Client, None);
    let (mut has_notice, mut has_pong) = (false, false);
    while !has_notice || !has_pong {
        if let Message::Text(text) = client.read().expect("an answer in time") {
            has_notice |= text.contains("not_delivered");
            has_pong |= text.contains("pong");
        }
    }
    typing.join().expect("no panic").expect("it is read");
    // What was taken arrives, whenever the container reads.
    let taken = stage.hub.input_bytes() as usize;
    assert!((MEBIBYTE..2 * MEBIBYTE).contains(&taken), "{taken}");
    let hub = Arc::clone(&stage.hub);
    let limit = Some(PATIENCE);
    container.set_read_timeout(limit).expect("a timeout");
    let (mut got, mut chunk) = (0, [0; 65536]);
    while got < taken {
        got += container.read(&mut chunk).expect("more");
        hub.input().drain();
    }
    assert_eq!(got, taken);
    assert!(!stage.viewer.is_finished());
    stage.end();
}

/// A client that never stops sending, more than it may.
#[test]
fn a_client_that_pushes_on_above_its_pace_is_sent_away() {
    let paces = Paces {
        bytes: Some(64 * 1024),
        messages: None,
        patience: Duration::from_millis(500),
    };
    let stage = Stage::with(paces);
    let (input, mut container) = UnixStream::pair().expect("a pair");
    stage.hub.connect_input(input);
    let reading = thread::spawn(move || std::io::copy(&mut container, &mut std::io::sink()));
    let mut client = stage.client.try_clone().expect("a descriptor");
    let flood = thread::spawn(move || {
        let frame = frame();
        while client.write_all(&frame).is_ok() {}
    });
    let client = stage.client.try_clone().expect("a descriptor");
    let mut client = WebSocket::from_raw_socket(client, tungstenite::protocol::Role::Client, None);
    let close = loop {
        match client.read().expect("a close frame comes first") {
            Message::Close(frame) => break frame.expect("a reason"),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (1008, "too much input for too long")
    );
    drop(client);
    let visit = stage.end();
    flood.join().expect("no panic");
    reading.join().expect("no panic").expect("it ends in order");
    assert_eq!(visit.close_code, Some(1008));
}

/// More keys than wait for an attach that is still to come: the client is not read until it comes, and nothing is lost.
#[test]
fn keys_beyond_what_waits_for_the_first_attach_come_after_it() {
    const FRAMES: usize = 512;
    let stage = Stage::new();
    let mut client = stage.client.try_clone().expect("a descriptor");
    let paste = thread::spawn(move || client.write_all(&frame().repeat(FRAMES)));
    let began = Instant::now();
    while stage.hub.input_bytes() < 1 << 20 {
        assert!(began.elapsed() < PATIENCE, "{}", stage.hub.input_bytes());
        thread::park_timeout(Duration::from_millis(5));
    }
    let (input, mut container) = UnixStream::pair().expect("a pair");
    stage.hub.connect_input(input);
    let mut typed = vec![0; FRAMES * 4096];
    let limit = Some(PATIENCE);
    container.set_read_timeout(limit).expect("a timeout");
    container.read_exact(&mut typed).expect("all of it");
    paste.join().expect("no panic").expect("it is read");
    stage.end();
}

/// A client that leaves while its keys wait takes its threads with it.
#[test]
fn a_client_that_leaves_while_its_keys_wait_is_gone() {
    let stage = Stage::new();
    let mut client = stage.client.try_clone().expect("a descriptor");
    let paste = thread::spawn(move || client.write_all(&frame().repeat(1024)));
    let began = Instant::now();
    while stage.hub.input_bytes() < 1 << 20 {
        assert!(began.elapsed() < PATIENCE, "{}", stage.hub.input_bytes());
        thread::park_timeout(Duration::from_millis(5));
    }
    stage.client.shutdown(Shutdown::Both).expect("it is open");
    stage.given_up_after(began);
    // The paste ends with it, one way or the other.
    let _ = paste.join().expect("no panic");
    stage.end();
}
