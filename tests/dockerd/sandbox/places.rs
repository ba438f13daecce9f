//! Where a player can write, and what there is to read.

use std::collections::BTreeSet;

use shellcraft::engine::{ContainerId, Unfinished};
use shellcraft::session::spellbook::archive;

use crate::attacker::Attacker;
use crate::docker;
use crate::games::site;
use crate::site::ADMIN_TOKEN;

/// Tries to write to whatever lies outside of `/proc/<pid>`. `-w` only says what the mode bits promise; what is
/// printed was really opened, or really created something.
const WRITABLE: &str = "find / -path '/proc/[0-9]*' -prune -o \\( -type d -o -type f -o -type c -o -type b \\) -print \
     2>/dev/null | while IFS= read -r p; do [ -w \"$p\" ] || continue; if [ -d \"$p\" ]; then \
     ( : > \"$p/.probe\" ) 2>/dev/null && rm \"$p/.probe\" && echo \"$p/\"; \
     else ( : >> \"$p\" ) 2>/dev/null && echo \"$p\"; fi; done";

#[test]
fn nothing_is_writable_but_tmp_and_the_spellbook() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    let outcome = attacker.run(WRITABLE);
    let found: BTreeSet<&str> = outcome.output.lines().collect();
    // Devices that keep nothing, the terminal, the two small memories that every container has, and the kernel's
    // pressure files, in which anybody may ask to be woken.
    let devices = [
        "/dev/full",
        "/dev/null",
        "/dev/random",
        "/dev/tty",
        "/dev/urandom",
        "/dev/zero",
        "/dev/pts/ptmx",
        "/dev/pts/0",
        "/dev/console",
        "/dev/mqueue/",
        "/dev/shm/",
        "/proc/pressure/cpu",
        "/proc/pressure/io",
        "/proc/pressure/irq",
        "/proc/pressure/memory",
    ];
    // What the Engine masks is /dev/null under another name.
    let masked = attacker
        .run("for p in /proc/*; do [ -c $p ] && echo $p; done")
        .output;
    let masked: Vec<&str> = masked.lines().collect();
    for expected in ["/tmp/", "/home/spellbook.dat", "/dev/null", "/dev/shm/"] {
        assert!(found.contains(expected), "{expected} is not in {found:?}");
    }
    let strange: Vec<_> = found
        .iter()
        .filter(|path| !["/tmp/", "/home/spellbook.dat"].contains(path))
        .filter(|path| !devices.contains(path) && !masked.contains(path))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn nothing_can_be_put_beside_or_instead_of_the_spellbook() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    attacker.fails(&[
        ("echo x > /home/other", "Permission denied"),
        ("mkdir /home/dir", "Permission denied"),
        ("rm -f /home/spellbook.dat", "Permission denied"),
        ("mv /home/spellbook.dat /home/other", "Permission denied"),
        ("mv /home/spellbook.dat /tmp/other", "Permission denied"),
        (
            "echo x > /tmp/x; mv /tmp/x /home/spellbook.dat && cat /tmp/x",
            "",
        ),
        ("ln -s /etc/shadow /home/link", "Permission denied"),
        ("ln -sf /etc/shadow /home/spellbook.dat", "File exists"),
        ("ln /home/spellbook.dat /home/link", "Permission denied"),
        ("ln /home/spellbook.dat /tmp/link", "cross-device"),
        ("ln /etc/shadow /tmp/link", ""),
        ("mkfifo /home/fifo", "Permission denied"),
        ("rmdir /home", ""),
        ("mv /home /tmp/home", ""),
        ("chmod 777 /home", "Operation not permitted"),
        ("echo x > /etc/x", "Read-only file system"),
        ("echo x > /data/x", "Read-only file system"),
        ("echo x > /x", ""),
        ("echo x >> /bin/busybox", ""),
        ("echo x > /etc/hosts", ""),
        ("echo x > /etc/resolv.conf", ""),
        ("echo x > /sbin/docker-init", ""),
    ]);
    let names = attacker.run("ls -a1 /home").lines().join(" ");
    assert_eq!(names, ". .. spellbook.dat");
}

/// The book's owner may close it to everybody, and it can be read from outside all the same.
#[test]
fn a_book_without_permissions_can_still_be_saved() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    attacker.run("echo secret > /home/spellbook.dat; chmod 0 /home/spellbook.dat");
    let id = ContainerId(attacker.container());
    let archive = docker::engine()
        .get_archive(&id, "/home/spellbook.dat", 4 << 20)
        .expect("root reads it");
    assert_eq!(
        archive::unpack(&archive, Unfinished::IsRoots)
            .expect("a file")
            .bytes,
        b"secret\n"
    );
}

#[test]
fn nothing_that_is_written_to_tmp_runs() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    attacker.run("printf '#!/bin/sh\\necho it runs\\n' | tee /tmp/x > /dev/shm/x; chmod 755 /tmp/x /dev/shm/x");
    attacker.fails(&[
        ("/tmp/x", "Permission denied"),
        ("/dev/shm/x", "Permission denied"),
    ]);
    let mounts = attacker.run("cat /proc/mounts").output;
    for place in ["/tmp", "/dev/shm", "/dev/mqueue"] {
        let options = options_of(&mounts, place);
        for option in ["noexec", "nosuid", "nodev"] {
            assert!(options.contains(option), "{place}: {options:?}");
        }
    }
    for place in [
        "/",
        "/sys",
        "/proc/sys",
        "/proc/irq",
        "/proc/bus",
        "/proc/sysrq-trigger",
        "/sys/firmware",
    ] {
        // Kernels are built without some of them.
        if attacker.run(&format!("[ -e {place} ]")).status == 0 {
            let options = options_of(&mounts, place);
            assert!(options.contains("ro"), "{place}: {options:?}");
        }
    }
}

/// The options of the mount that is seen at a place.
#[track_caller]
fn options_of<'a>(mounts: &'a str, place: &str) -> BTreeSet<&'a str> {
    let mut rows = mounts.lines().map(|row| row.split(' ').collect::<Vec<_>>());
    let row = rows.rfind(|row| row.get(1) == Some(&place));
    let row = row.unwrap_or_else(|| panic!("{place} is no mount: {mounts}"));
    row[3].split(',').collect()
}

#[test]
fn the_kernel_s_own_files_are_masked() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    // Hidden behind something empty, where this kernel has them at all.
    for path in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/acpi",
        "/proc/scsi",
        "/sys/firmware",
    ] {
        let line = format!(
            "if [ -d {path} ]; then ls -A {path}; else head -c 64 {path}; fi 2>/dev/null | wc -c"
        );
        assert_eq!(attacker.run(&line).output.trim(), "0", "{path}");
    }
    attacker.fails(&[
        ("echo h > /proc/sysrq-trigger", ""),
        ("echo '|/tmp/x' > /proc/sys/kernel/core_pattern", ""),
        ("echo /tmp/x > /proc/sys/kernel/modprobe", ""),
        ("echo 1 > /proc/sys/vm/drop_caches", ""),
        ("echo /tmp/x > /sys/kernel/uevent_helper", ""),
        ("echo $$ > /sys/fs/cgroup/memory/cgroup.procs", ""),
        ("echo -1 > /sys/fs/cgroup/memory/memory.limit_in_bytes", ""),
        ("echo max > /sys/fs/cgroup/pids/pids.max", ""),
        ("echo max > /sys/fs/cgroup/memory.max", ""),
        ("mkdir /sys/fs/cgroup/evil", ""),
        (
            "echo 0 > /proc/1/oom_score_adj && echo -17 > /proc/1/oom_adj",
            "",
        ),
        ("cat /dev/mem", "No such file"),
        ("cat /dev/kmsg", "No such file"),
        (
            "ls /dev/vd* /dev/sd* /dev/nvme* /dev/loop* /dev/fuse /dev/kvm",
            "No such file",
        ),
    ]);
}

#[test]
fn there_is_no_secret_to_find() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    let container = attacker.container();
    // What the container was given, not what the shell itself adds.
    let environment = docker::docker(&["exec", &container, "/bin/busybox", "env"]);
    let names: BTreeSet<_> = environment
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    let expected = BTreeSet::from(["COLORTERM", "HOME", "HOSTNAME", "LANG", "PATH", "TERM"]);
    assert_eq!(names, expected);

    let seen = attacker.run("cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'");
    let Some(token) = std::env::var_os("PATH") else {
        panic!("tests have a PATH");
    };
    for secret in [
        ADMIN_TOKEN,
        &attacker.game.token,
        &site.instance,
        &token.to_string_lossy(),
    ] {
        assert!(!seen.output.contains(secret), "{secret}");
    }
    let sockets = attacker
        .run("find / -path /proc -prune -o -type s -print 2>/dev/null")
        .output;
    assert_eq!(sockets, "", "such as the Engine's");
    let doors =
        attacker.run("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c -e socket: -e docker.sock");
    assert_eq!(doors.output.trim(), "0");
}

#[test]
fn programs_are_told_of_the_terminals_colours() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    let told = attacker.run("echo $TERM $COLORTERM");
    assert_eq!(told.output, "xterm-256color truecolor\n");
}
