//! What a player can use up: their own share, to the byte, and nothing of anybody else's.

use std::path::{Path, PathBuf};
use std::time::Instant;

use shellcraft::engine::ContainerId;

use crate::attacker::Attacker;
use crate::containers::PATIENCE;
use crate::docker;
use crate::games::site;
use crate::site::{Site, wait_for};

const MEBIBYTE: u64 = 1 << 20;

/// The bomber can be got rid of, and the neighbour has not noticed.
#[track_caller]
fn survives(site: &Site, bomber: Attacker, mut neighbour: Attacker) {
    neighbour.is_well();
    let container = bomber.container();
    // In time: what takes longer is answered otherwise.
    assert_eq!(site.delete(&bomber.game.path("")).status, 204);
    let left = docker::try_docker(&["inspect", &container]);
    assert!(!left.status.success(), "it is still there");
    neighbour.is_well();
}

/// How many processes and threads the Engine counts in a container.
fn pids(container: &str) -> u32 {
    let text = docker::docker(&["stats", "--no-stream", "--format", "{{.PIDs}}", container]);
    text.parse().unwrap_or(0)
}

#[test]
fn processes_end_at_64() {
    let site = site(&[]);
    let (mut attacker, neighbour) = (Attacker::enter(&site), Attacker::enter(&site));
    let container = attacker.container();
    attacker.player.type_in("while :; do sleep 1000 & done\n");
    attacker.player.expect("can't fork");
    // The one that could not fork any more has ended.
    wait_for("all but 64 processes", || {
        (60..=64).contains(&pids(&container))
    });
    survives(&site, attacker, neighbour);
}

#[test]
fn a_fork_bomb_goes_off_alone() {
    let site = site(&[]);
    let (mut attacker, neighbour) = (Attacker::enter(&site), Attacker::enter(&site));
    let container = attacker.container();
    attacker
        .player
        .type_in("b() { b | b & }; b; b; while :; do b; done\n");
    attacker.player.expect("can't fork");
    assert!(pids(&container) <= 64);
    survives(&site, attacker, neighbour);
}

#[test]
fn a_program_that_takes_too_much_memory_is_killed_alone() {
    let site = site(&[]);
    let (mut attacker, mut neighbour) = (Attacker::enter(&site), Attacker::enter(&site));
    let outcome = attacker.run("tail /dev/zero");
    assert_eq!(outcome.status, 137, "{}", outcome.output);
    attacker.is_well();
    neighbour.is_well();
    // The shell itself has survived, so that is not what it ends of.
    attacker.player.type_in("\u{4}");
    attacker.player.type_in("exit 3\r");
    let told = ended(&site, &attacker);
    assert_eq!(
        (&told["exit_code"], told["reason"].as_str()),
        (&3.into(), Some("exited"))
    );
}

#[test]
fn a_shell_that_takes_too_much_memory_ends_and_says_so() {
    let site = site(&[]);
    let (mut attacker, mut neighbour) = (Attacker::at_prompt(&site), Attacker::enter(&site));
    attacker
        .player
        .type_in("a=0123456789abcdef; while :; do a=$a$a; done\r");
    let told = ended(&site, &attacker);
    assert_eq!(
        (&told["exit_code"], told["reason"].as_str()),
        (&137.into(), Some("out_of_memory"))
    );
    neighbour.is_well();
}

/// The session's status once it has ended.
#[track_caller]
fn ended(site: &Site, attacker: &Attacker) -> serde_json::Value {
    let mut told = serde_json::Value::Null;
    wait_for("the session to end", || {
        told = site.get(&attacker.game.path("/status")).json();
        told["status"] == "stopped"
    });
    told
}

#[test]
fn the_spellbook_ends_at_a_mebibyte() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    let size = "wc -c < /home/spellbook.dat";
    for line in [
        "dd if=/dev/zero of=/home/spellbook.dat bs=65536 count=100",
        "dd if=/dev/zero bs=65536 count=100 >> /home/spellbook.dat",
        "trap '' XFSZ; yes >> /home/spellbook.dat",
    ] {
        let outcome = attacker.run(line);
        assert_ne!(outcome.status, 0, "{line}: {}", outcome.output);
        assert_eq!(
            attacker.run(size).output.trim(),
            MEBIBYTE.to_string(),
            "{line}"
        );
    }
    for line in [
        // Sparse files would take no space here, but they would in an archive.
        "truncate -s 1048577 /home/spellbook.dat",
        "dd if=/dev/zero of=/home/spellbook.dat bs=1 count=1 seek=1099511627776",
    ] {
        assert_ne!(attacker.run(line).status, 0, "{line}");
    }
    let id = ContainerId(attacker.container());
    let stat = docker::engine().stat_archive(&id, "/home/spellbook.dat");
    assert!(stat.expect("it is there").size as u64 <= MEBIBYTE);
}

#[test]
fn memory_file_systems_end_where_they_should() {
    let site = site(&[]);
    let (mut attacker, mut neighbour) = (Attacker::enter(&site), Attacker::enter(&site));
    for (place, limit) in [("/tmp", 16 * MEBIBYTE), ("/dev/shm", MEBIBYTE)] {
        // A file is a mebibyte at most, as the book is.
        let fill = format!(
            "i=0; while dd if=/dev/zero of={place}/$i bs=65536 count=16; do i=$((i+1)); done"
        );
        let said = attacker.run(&fill).output;
        assert!(said.contains("No space left on device"), "{place}: {said}");
        let used = attacker.run(&format!("cat {place}/* | wc -c")).output;
        assert_eq!(used.trim(), limit.to_string(), "{place}");
        attacker.run(&format!("rm {place}/*"));
    }
    attacker.is_well();
    neighbour.is_well();
}

/// Files without content cost the kernel memory too: it is the player's own that runs out.
#[test]
fn a_flood_of_empty_files_goes_on_the_player_s_own_account() {
    let site = site(&[]);
    let (mut attacker, neighbour) = (Attacker::enter(&site), Attacker::enter(&site));
    let line = "i=0; while : > /tmp/$i; do i=$((i+1)); done";
    attacker.player.type_in(&format!("{line}\n"));
    let due = Instant::now() + PATIENCE;
    // It ends by itself: no more inodes, or killed for memory.
    while attacker.player.closed.is_none() && !contains(&attacker.player.seen, b"<<") {
        attacker.player.read(due);
        assert!(Instant::now() < due, "it goes on and on");
    }
    survives_or_ended(&site, attacker, neighbour);
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    crate::site::find(haystack, needle).is_some()
}

#[track_caller]
fn survives_or_ended(site: &Site, attacker: Attacker, mut neighbour: Attacker) {
    neighbour.is_well();
    assert_eq!(site.delete(&attacker.game.path("")).status, 204);
    neighbour.is_well();
}

/// Half of one processor at most, however many spin: that is set, and the kernel says that it holds them back.
#[test]
fn the_processor_is_shared() {
    let site = site(&[]);
    let (mut attacker, mut neighbour) = (Attacker::enter(&site), Attacker::enter(&site));
    let container = attacker.container();
    assert_eq!(quota(&container), (5_000, 10_000));
    let before = times_held_back(&container);
    let line = "for i in 1 2 3 4; do while :; do :; done & done; wait";
    attacker.player.type_in(&format!("{line}\n"));
    wait_for("the spinners to be held back", || {
        times_held_back(&container) > before + 100
    });
    neighbour.is_well();
    survives(&site, attacker, neighbour);
}

/// A container's directory in the hierarchy of the `cpu` controller, in either version of cgroups.
fn cpu_cgroup(container: &str) -> PathBuf {
    let pid = &docker::inspect(container)["State"]["Pid"];
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("procfs");
    let mut lines = text.lines().map(|line| line.splitn(3, ':'));
    let path = lines.find_map(|mut parts| {
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers.split(',').any(|one| one == "cpu") {
            true => Some(format!("/sys/fs/cgroup/cpu{path}")),
            false if controllers.is_empty() && !Path::new("/sys/fs/cgroup/cpu").exists() => {
                Some(format!("/sys/fs/cgroup{path}"))
            }
            false => None,
        }
    });
    path.unwrap_or_else(|| panic!("no cpu controller in {text}"))
        .into()
}

/// The microseconds of processor time that it gets in each so many.
fn quota(container: &str) -> (u64, u64) {
    let dir = cpu_cgroup(container);
    let read = |name| std::fs::read_to_string(dir.join(name));
    let text = read("cpu.max").unwrap_or_else(|_| {
        let v1 = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map(|name| read(name).expect("a limit"));
        v1.join(" ")
    });
    let mut numbers = text
        .split_whitespace()
        .map(|word| word.parse().expect("a limit"));
    (numbers.next().expect("two"), numbers.next().expect("two"))
}

/// In how many periods the kernel has let a container wait because its share was used up.
fn times_held_back(container: &str) -> u64 {
    let text = std::fs::read_to_string(cpu_cgroup(container).join("cpu.stat")).expect("a cgroup");
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("nr_throttled "));
    count
        .and_then(|count| count.parse().ok())
        .expect("a number")
}

/// Output goes nowhere on the host, however much of it there is and whether anybody looks on.
#[test]
fn output_fills_no_disk() {
    let site = site(&[]);
    let attacker = Attacker::at_prompt(&site);
    let container = attacker.container();
    let inspection = docker::inspect(&container);
    assert_eq!(inspection["LogPath"], "");
    let root = docker::docker(&["info", "--format", "{{.DockerRootDir}}"]);
    let dir = format!("{root}/containers/{container}");
    let before = bytes_under(&dir);

    let Attacker { game, mut player } = attacker;
    player.type_in("yes\r");
    player.expect("y\r\ny\r\n");
    drop(player);
    let hub = crate::games::hub_of(&site, &game);
    // At the pace of what nobody sees.
    wait_for("4 MiB of output that nobody reads", || {
        hub.output_bytes() > 4 * MEBIBYTE
    });
    let after = bytes_under(&dir);
    assert!(after < before + 64 * 1024, "{before} bytes became {after}");
}

/// The sizes of all files in a directory; 0 where it is not ours to read.
fn bytes_under(dir: &str) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    sizes.sum()
}
