//! The terminal's pure parts, each by itself: what a chunk of output costs on its way, without threads and sockets.
//!
//! * the scrollback: taking output in, and copying it out for a viewer;
//! * frames: headers of output, control messages both ways, a client's masked keys through tungstenite;
//! * the terminal state: what a mebibyte costs that leaves the scrollback, by what it consists of.
//!
//! Quick enough to run always: a tenth of criterion's usual times. `cargo bench --bench parts -- ring` runs one.

use std::hint::black_box;
use std::io::{self, Cursor, Read, Write};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shellcraft::engine::Size;
use shellcraft::terminal::Metrics;
use shellcraft::terminal::frame::{self, ToPage};
use shellcraft::terminal::past::Past;
use shellcraft::terminal::scrollback::Scrollback;
use shellcraft::terminal::split;
use tungstenite::WebSocket;
use tungstenite::protocol::{Role, WebSocketConfig};

const MEBIBYTE: usize = 1 << 20;
/// As `SCROLLBACK` is by default.
const RING_BYTES: usize = 256 << 10;
/// What the pump reads at once under a flood.
const CHUNK_BYTES: usize = 32 << 10;
const SIZE: Size = Size { cols: 80, rows: 24 };

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
        .without_plots()
}

fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    for (name, bytes) in [("a key", 1), ("a chunk", CHUNK_BYTES)] {
        group.throughput(Throughput::Bytes(bytes as u64));
        let output = vec![b'y'; bytes];
        let mut ring = full_ring();
        group.bench_function(format!("push and forget {name}"), |bencher| {
            bencher.iter(|| {
                ring.push(black_box(&output));
                ring.forget(ring.excess());
            });
        });
        let ring = full_ring();
        let mut out = Vec::with_capacity(bytes);
        group.bench_function(format!("copy {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                ring.copy_from(black_box(ring.end() - bytes as u64), bytes, &mut out)
            });
        });
    }
    group.finish();
}

/// A ring whose content wraps around its end, as after a while it does.
fn full_ring() -> Scrollback {
    let mut ring = Scrollback::new(RING_BYTES);
    for _ in 0..64 {
        ring.push(&[b'x'; 10_007]);
        ring.forget(ring.excess());
    }
    ring
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let mut out = Vec::with_capacity(64);
    group.bench_function("code an output header", |bencher| {
        bencher.iter(|| {
            out.clear();
            split::binary_header(black_box(CHUNK_BYTES), &mut out);
        });
    });
    let ack = r#"{"type":"ack","offset":123456789}"#;
    group.bench_function("read an ack", |bencher| {
        bencher.iter(|| frame::parse(black_box(ack)));
    });
    let resize = r#"{"type":"resize","cols":120,"rows":40}"#;
    group.bench_function("read a resize", |bencher| {
        bencher.iter(|| frame::parse(black_box(resize)));
    });
    let pong = ToPage::Pong {
        t: 12.into(),
        input: Some(77),
    };
    group.bench_function("code a pong", |bencher| {
        bencher.iter(|| black_box(&pong).to_json());
    });
    for (name, bytes) in [("1000 keys", 1), ("1000 pastes of 4 KiB", 4096)] {
        let wire = masked(bytes).repeat(1000);
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_function(format!("read {name}"), |bencher| {
            bencher.iter_batched_ref(|| socket(&wire), read_all, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// A client's binary frame, masked as RFC 6455 wants.
fn masked(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x82];
    match bytes {
        0..126 => frame.push(0x80 | bytes as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((bytes as u16).to_be_bytes());
        }
    }
    let mask = [0x11, 0x22, 0x33, 0x44];
    frame.extend(mask);
    frame.extend((0..bytes).map(|at| b'k' ^ mask[at % 4]));
    frame
}

/// A connection on which all has come already.
struct Came<'a>(Cursor<&'a [u8]>);

impl Read for Came<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Came<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As the reading half has it (`src/terminal/split.rs`).
fn socket(wire: &[u8]) -> WebSocket<Came<'_>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0);
    WebSocket::from_raw_socket(Came(Cursor::new(wire)), Role::Server, Some(config))
}

fn read_all(socket: &mut WebSocket<Came<'_>>) -> usize {
    let mut bytes = 0;
    while let Ok(message) = socket.read() {
        bytes += message.len();
    }
    bytes
}

fn past(criterion: &mut Criterion) {
    let panics = Metrics::default().emulator_panics;
    let mut group = criterion.benchmark_group("past");
    group.throughput(Throughput::Bytes(MEBIBYTE as u64));
    for (name, piece) in [
        ("plain lines", "0123456789abcdefghijklmnopqrstuvwxyz\r\n"),
        ("one endless line", "no line ever ends "),
        (
            "colours",
            "\x1b[31mred\x1b[0m and \x1b[1;42mgreen\x1b[0m\r\n",
        ),
        (
            "an editor's redraws",
            "\x1b[12;40H\x1b[K~ text \x1b[7m-\x1b[m",
        ),
        ("UTF-8", "žluťoučký kůň – 日本語\r\n"),
    ] {
        let output = piece.repeat(MEBIBYTE.div_ceil(piece.len()));
        let chunks: Vec<&[u8]> = output.as_bytes().chunks(CHUNK_BYTES).collect();
        group.bench_function(format!("absorb a MiB of {name}"), |bencher| {
            bencher.iter_batched_ref(
                || Past::new(SIZE, &panics),
                |past| absorb(past, &chunks),
                BatchSize::SmallInput,
            );
        });
    }
    let mut drawn = Past::new(SIZE, &panics);
    drawn.absorb_all(
        "\x1b[31mwords\x1b[0m of some sort, here and there\r\n"
            .repeat(30)
            .as_bytes(),
    );
    group.throughput(Throughput::Elements(1));
    group.bench_function("redraw a screen", |bencher| bencher.iter(|| drawn.redraw()));
    group.finish();
}

/// As the hub does: what does not end between two characters is offered again with the next chunk.
fn absorb(past: &mut Past, chunks: &[&[u8]]) {
    let mut left: Vec<u8> = Vec::new();
    for chunk in chunks {
        left.extend_from_slice(chunk);
        let done = past.absorb(&left);
        left.drain(..done);
    }
}

criterion_group! {
    name = parts;
    config = quick();
    targets = ring, frames, past
}
criterion_main!(parts);
