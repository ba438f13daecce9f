//! What a player can use up. Each bomb goes on until the self-test ends its session, or the kernel ends the bomb.
//!
//! The first finding of each tells how far it got; what the neighbours felt is measured from outside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use signal_hook::consts as signals;

use super::{Bomb, LIT, Order, Terms, itself, report};
use crate::cli::finding::Finding;
use crate::session::sandbox::BOOK_LIMIT_BYTES;

const BOOK: &str = "/home/spellbook.dat";
const MEBIBYTE: usize = 1 << 20;
/// The size of `/tmp` in the contract; `/dev/shm` beside it is small.
const TMP_BYTES: u64 = 16 << 20;
/// How long a bomb that has got everything keeps it.
const HOLD: Duration = Duration::from_secs(600);

/// Sets off a bomb.
pub(super) fn go_off(bomb: Bomb, terms: &Terms) {
    // A full file must be an error for this process, and not end it.
    ignore(&[signals::SIGXFSZ, signals::SIGPIPE]);
    match bomb {
        Bomb::Forks => forks(terms),
        Bomb::Threads => threads(terms),
        Bomb::Heap => heap(terms),
        Bomb::Tmpfs => tmpfs(),
        Bomb::Inodes => inodes(),
        Bomb::Cpu => cpu(terms),
        Bomb::Files => files(terms),
        Bomb::Terminals => terminals(terms),
        Bomb::Disk => disk(),
        Bomb::Output => output(),
        Bomb::Escapes => escapes(),
        Bomb::Daemons => daemons(terms),
        Bomb::Sizes => {
            on(Bomb::Sizes, LIT);
            thread::sleep(HOLD);
        }
    }
}

/// Makes these signals change nothing from now on.
fn ignore(list: &[i32]) {
    for signal in list {
        // Some can't be caught, and then they are not ignored.
        let _ = signal_hook::flag::register(*signal, Arc::new(AtomicBool::new(false)));
    }
}

fn on(name: Bomb, note: impl Into<String>) {
    report(&Finding::ok(name.name(), note));
}

/// Makes processes that make processes as fast as they can, and further ones when one of them has ended.
fn forks(terms: &Terms) {
    on(Bomb::Forks, LIT);
    let order = Order::Bomb(Bomb::Forks, *terms).to_string();
    let mut children = Vec::new();
    let mut is_told = false;
    loop {
        let quiet = itself(&order)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match quiet {
            Ok(child) => children.push(child),
            // A process that has ended makes room for the next.
            Err(_) => {
                if !std::mem::replace(&mut is_told, true) {
                    on(
                        Bomb::Forks,
                        format!("{} processes, then no more", processes()),
                    );
                }
                children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            }
        }
        // All of them are alive, which is more than the limit allows.
        if children.len() as u64 > terms.pids {
            report(&Finding::fail(
                Bomb::Forks.name(),
                format!("{} children of one process", children.len()),
            ));
            thread::sleep(HOLD);
        }
    }
}

/// How many processes and threads there are, as the kernel counts them.
fn processes() -> String {
    let counts = ["pids.current", "pids/pids.current"]
        .map(|name| fs::read_to_string(format!("/sys/fs/cgroup/{name}")));
    let count = counts.into_iter().flatten().next();
    count.map_or("some".into(), |count| count.trim().to_owned())
}

fn threads(terms: &Terms) {
    let mut count = 0;
    loop {
        let spin = || loop {
            thread::yield_now();
        };
        let builder = thread::Builder::new()
            .name("thread-bomb".into())
            .stack_size(16 << 10);
        if builder.spawn(spin).is_err() {
            break;
        }
        count += 1;
        if count >= terms.pids {
            report(&Finding::fail(
                Bomb::Threads.name(),
                format!("{count} threads"),
            ));
            break;
        }
    }
    on(Bomb::Threads, format!("{count} threads, all busy"));
    loop {
        // The place of one that ended is taken immediately.
        let _ = thread::Builder::new()
            .name("thread-bomb".into())
            .spawn(|| {});
        thread::yield_now();
    }
}

fn heap(terms: &Terms) {
    on(Bomb::Heap, LIT);
    eat(terms.memory * 4);
    report(&Finding::fail(
        Bomb::Heap.name(),
        format!("{} MiB could be had", (terms.memory * 4) >> 20),
    ));
}

/// Takes this many bytes of memory, and uses them.
pub(super) fn eat(bytes: u64) {
    let mut eaten = Vec::new();
    for number in 0..bytes / MEBIBYTE as u64 {
        // The bytes are not zero: the kernel would give one page of zeroes for all.
        eaten.push(vec![(number % 255) as u8 + 1; MEBIBYTE]);
    }
    std::hint::black_box(&eaten);
}

/// Fills a directory with files of a mebibyte; returns how many bytes there was room for.
fn fill(dir: &str) -> u64 {
    let block = vec![1; 64 << 10];
    let mut bytes = 0;
    for number in 0..10_000 {
        let Ok(mut file) = File::create(format!("{dir}/{number}")) else {
            break;
        };
        while let Ok(count @ 1..) = file.write(&block) {
            bytes += count as u64;
        }
        if file
            .metadata()
            .is_ok_and(|meta| meta.len() < BOOK_LIMIT_BYTES)
        {
            break;
        }
    }
    bytes
}

fn clear(dir: &str) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // What can't be removed stays.
        let _ = fs::remove_file(entry.path());
    }
}

fn tmpfs() {
    let dirs = ["/tmp", "/dev/shm"];
    let bytes: u64 = dirs.iter().map(|dir| fill(dir)).sum();
    let note = format!("{} MiB of files, then no space", bytes >> 20);
    report(&if bytes <= TMP_BYTES + (8 << 20) {
        Finding::ok(Bomb::Tmpfs.name(), note)
    } else {
        Finding::fail(Bomb::Tmpfs.name(), note)
    });
    loop {
        dirs.iter().for_each(|dir| clear(dir));
        dirs.iter().for_each(|dir| {
            fill(dir);
        });
    }
}

/// Makes files without content. They cost memory too, and it is the player's own that runs out.
fn inodes() {
    on(Bomb::Inodes, LIT);
    let mut number = 0_u64;
    while File::create(format!("/tmp/{number}")).is_ok() {
        number += 1;
    }
    report(&Finding::ok(
        Bomb::Inodes.name(),
        format!("{number} files, then no more"),
    ));
    loop {
        clear("/tmp");
        for number in 0..number {
            // It is the attempt that counts.
            let _ = File::create(format!("/tmp/{number}"));
        }
    }
}

fn cpu(terms: &Terms) {
    let spin = || {
        let mut number = 0_u64;
        loop {
            number = std::hint::black_box(
                number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
    };
    for _ in 0..terms.pids / 2 {
        let builder = thread::Builder::new()
            .name("cpu-hog".into())
            .stack_size(16 << 10);
        // Fewer threads will do.
        let _ = builder.spawn(spin);
    }
    on(Bomb::Cpu, format!("{} threads spin", terms.pids / 2));
    spin();
}

/// Runs the same bomb in as many processes as there may be. Only the first says anything.
fn spread(bomb: Bomb, terms: &Terms) {
    // A process that is given 0 pids is a copy.
    let copy = Order::Bomb(bomb, Terms { pids: 0, ..*terms }).to_string();
    for _ in 0..terms.pids.saturating_sub(6) {
        if itself(&copy)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_err()
        {
            break;
        }
    }
}

fn files(terms: &Terms) {
    let mut kept = Vec::new();
    while let Ok((one, other)) = UnixStream::pair() {
        // What lies in a socket's queue is memory too.
        if one.set_nonblocking(true).is_ok() {
            while let Ok(1..) = (&one).write(&[0; 4096]) {}
        }
        kept.push((one, other));
    }
    if terms.pids > 0 {
        let count = kept.len() * 2;
        spread(Bomb::Files, terms);
        report(&if count <= 64 {
            Finding::ok(
                Bomb::Files.name(),
                format!("{count} sockets a process, then no more"),
            )
        } else {
            Finding::fail(
                Bomb::Files.name(),
                format!("{count} sockets in one process"),
            )
        });
    }
    thread::sleep(HOLD);
}

/// All containers share what `kernel.pty.max` allows, and each new session needs one.
fn terminals(terms: &Terms) {
    if terms.pids > 0 {
        // Terminals are memory of the container: the kernel may end this before it can tell how many it got.
        on(Bomb::Terminals, LIT);
        spread(Bomb::Terminals, terms);
    }
    let mut kept = Vec::new();
    // If there are no pseudo-terminals to be had, something else may be at this path.
    while let Ok(file) = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/pts/ptmx")
        && file.is_terminal()
    {
        kept.push(file);
    }
    if terms.pids > 0 {
        on(
            Bomb::Terminals,
            match kept.len() {
                0 => "no pseudo-terminal to be had".to_owned(),
                count => format!("{count} pseudo-terminals a process"),
            },
        );
    }
    thread::sleep(HOLD);
}

/// Fills the one file that is on the disk, and has it written to the disk, again and again.
fn disk() {
    let block = vec![7; 64 << 10];
    let mut is_told = false;
    loop {
        let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(BOOK) else {
            report(&Finding::fail(Bomb::Disk.name(), "there is no spellbook"));
            thread::sleep(HOLD);
            return;
        };
        let mut bytes = 0;
        while let Ok(count @ 1..) = file.write(&block) {
            bytes += count as u64;
        }
        // Sparse files would take no space here, but they would in an archive.
        let is_sparse = file.set_len(BOOK_LIMIT_BYTES + 1).is_ok();
        let beside = File::create("/home/other").is_ok();
        if !std::mem::replace(&mut is_told, true) {
            let note = format!(
                "{} KiB in the spellbook, then no more; written to disk again and again",
                bytes >> 10
            );
            report(&if bytes <= BOOK_LIMIT_BYTES && !is_sparse && !beside {
                Finding::ok(Bomb::Disk.name(), note)
            } else {
                Finding::fail(Bomb::Disk.name(), note)
            });
        }
        // It is the work that counts.
        let _ = file.sync_all();
    }
}

/// Writes the same bytes for ever, as fast as they are taken.
fn pour(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    loop {
        // This fails while the terminal is full, or once it is gone: the end comes from outside.
        let _ = out.write_all(bytes);
    }
}

fn output() {
    on(Bomb::Output, "pours");
    pour(
        &b"0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ +-*/=\r\n".repeat(1000),
    );
}

fn escapes() {
    on(Bomb::Escapes, "pours");
    let mut bytes = Vec::new();
    for number in 0..200 {
        // Titles, colours, questions whose answers would be typed, a clipboard, and sizes.
        bytes.extend_from_slice(
            format!("\x1b]0;title {number}\x07\x1b]52;c;ZXZpbA==\x07\x1b[c\x1b[>c\x1b[6n\x05")
                .as_bytes(),
        );
        bytes.extend_from_slice(
            b"\x1b[21t\x1b[?1049h\x1b[99999;99999H\x1b[99999b\x1b[?1049l\x1b[8;9999;9999t\x1bc",
        );
    }
    // Strings without an end: each takes in all that follows, until the next begins.
    for start in [
        &b"\x1b]"[..],
        b"\x1bP",
        b"\x1b_",
        b"\x1b^",
        b"\x1bX",
        b"\x1b[",
    ] {
        bytes.extend_from_slice(start);
        bytes.extend_from_slice(&b"0;9".repeat(100_000));
    }
    pour(&bytes);
}

fn daemons(terms: &Terms) {
    for _ in 0..terms.pids / 8 {
        // Each process leaves a child, and that one another, without a parent or a terminal.
        if let Ok(mut child) = itself(&Order::Daemon(2).to_string()).spawn() {
            let _ = child.wait();
        }
    }
    on(
        Bomb::Daemons,
        format!(
            "{} processes without a parent that ignore signals",
            terms.pids / 8
        ),
    );
    daemon(0);
}

/// Leaves its session and terminal, ignores the signals that can be ignored, and starts the next generation, if one is
/// still to come.
pub(super) fn daemon(generation: u64) {
    ignore(&[
        signals::SIGTERM,
        signals::SIGINT,
        signals::SIGHUP,
        signals::SIGQUIT,
        signals::SIGUSR1,
        signals::SIGUSR2,
    ]);
    // It fails for a process that leads a group already.
    let _ = rustix::process::setsid();
    if generation > 0 {
        // The parent ends, so no process waits for the child.
        let _ = itself(&Order::Daemon(generation - 1).to_string()).spawn();
        return;
    }
    thread::sleep(HOLD);
}
