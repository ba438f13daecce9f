//! Attacks from inside a session. Each test is a control of the contract's sandbox, each row an attack on it.
//!
//! * here: who the player is, and what that forbids; * [`bombs`]: what a player can use up;
//! * [`places`]: where a player can write, and what there is to read; * [`network`]: whom a player can reach.
//! * [`shells`]: what can be tried at the prompts of the game itself.

mod bombs;
mod network;
mod places;
mod shells;

use std::collections::BTreeMap;

use crate::attacker::Attacker;
use crate::docker::{container_of, docker, try_docker};
use crate::games::site;

#[test]
fn the_player_has_no_right_at_all() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    let status = attacker.run("cat /proc/self/status").output;
    let fields: BTreeMap<&str, String> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    for (field, expected) in [
        ("Uid", "1000 1000 1000 1000"),
        ("Gid", "1000 1000 1000 1000"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(fields[field], expected, "{field}");
    }
    // Some Engines name the primary group again, some name none.
    assert!(
        ["", "1000"].contains(&&*fields["Groups"]),
        "{}",
        fields["Groups"]
    );
}

#[test]
fn nothing_of_root_s_can_be_done() {
    let site = site(&[]);
    Attacker::enter(&site).fails(&[
        ("cat /etc/shadow", "Permission denied"),
        ("chown 0:0 /home/spellbook.dat", "Operation not permitted"),
        ("chgrp 0 /home/spellbook.dat", "Operation not permitted"),
        ("chroot /tmp /bin/sh", "Operation not permitted"),
        ("mknod /tmp/mem c 1 1", "Operation not permitted"),
        ("mknod /tmp/disk b 254 0", "Operation not permitted"),
        ("mount -t tmpfs none /tmp", "permission denied"),
        ("mount -o remount,rw /", "permission denied"),
        ("mount -t proc none /tmp", "permission denied"),
        ("mount -o bind / /tmp", "permission denied"),
        ("umount /proc/kcore", ""),
        ("umount -l /home", ""),
        ("unshare -U true", "Operation not permitted"),
        ("unshare -m true", "Operation not permitted"),
        ("unshare -n true", "Operation not permitted"),
        ("nsenter -t 1 -m true", ""),
        ("hostname evil", "Operation not permitted"),
        ("renice -n -5 $$", "Permission denied"),
        (
            "echo 0 > /proc/self/oom_score_adj && echo -1000 > /proc/self/oom_score_adj",
            "",
        ),
        ("ulimit -n 65", "Operation not permitted"),
        ("ulimit -f unlimited", "Operation not permitted"),
        ("ulimit -c unlimited", "Operation not permitted"),
        ("losetup /dev/loop0 /home/spellbook.dat", ""),
        ("insmod /home/spellbook.dat", ""),
        ("swapon /home/spellbook.dat", "Operation not permitted"),
    ]);
}

/// A program that makes its user root, in an image that somebody else made.
#[test]
fn setuid_programs_gain_nothing() {
    let complaint = "must be suid to work properly";
    // The image's `su` does work, where new privileges are not forbidden.
    let free = [
        "run",
        "--rm",
        "--network=none",
        "--user=1000:1000",
        "shellcraft-test/hostile",
    ];
    let site = site(&[]);
    let output = try_docker(&[&free[..], &["/bin/su", "--nonsense"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !said.contains(complaint) && said.contains("Usage"),
        "{said}"
    );
    Attacker::enter(&site).fails(&[("/bin/su -c id", complaint)]);
}

#[test]
fn limits_are_set_and_stay() {
    let site = site(&[]);
    let mut attacker = Attacker::enter(&site);
    let table = [
        ("ulimit -Hn; ulimit -Sn", "64\n64\n"),
        ("ulimit -Hc; ulimit -Sc", "0\n0\n"),
        // In blocks of 512 bytes.
        ("ulimit -Hf; ulimit -Sf", "2048\n2048\n"),
    ];
    for (line, expected) in table {
        assert_eq!(attacker.run(line).output, expected, "{line}");
    }
    let dump = attacker.run("cd /tmp; sh -c 'kill -SEGV $$'; ls -a /tmp");
    assert!(!dump.output.contains("core"), "{}", dump.output);
}

/// In the Perl image, where a player who broke out of our shell would find more to play with.
fn perl(container: &str, program: &str) -> String {
    docker(&["exec", container, "/usr/bin/perl", "-e", program])
}

#[test]
fn open_files_end_at_64() {
    let site = site(&[]);
    let container = container_of(&site.create("perl"));
    let program = "while (open my $f, '<', '/dev/null') { push @f, $f } print scalar(@f), ' ', $!";
    let said = perl(&container, program);
    assert_eq!(said, "61 Too many open files", "three were open already");
}

/// Calls that the Engine's seccomp profile or the missing capabilities stop. Arguments are such that nothing
/// would happen to the host if they did not.
#[test]
#[cfg(target_arch = "x86_64")]
fn dangerous_system_calls_are_refused() {
    let (eperm, enosys) = ("1", "38");
    let site = site(&[]);
    let container = container_of(&site.create("perl"));
    let table = [
        ("mount", "165, 0, 0, 0, 0, 0"),
        ("umount2", "166, 0, 0"),
        ("pivot_root", "155, 0, 0"),
        ("chroot", "161, $root"),
        ("unshare a user namespace", "272, 0x10000000"),
        ("unshare a network", "272, 0x40000000"),
        ("setns", "308, -1, 0"),
        ("setuid", "105, 0"),
        ("setgid", "106, 0"),
        ("bpf", "321, 0, 0, 0"),
        ("perf_event_open", "298, 0, 0, 0, 0, 0"),
        ("userfaultfd", "323, 0"),
        ("keyctl", "250, 0, 0, 0, 0, 0"),
        ("add_key", "248, 0, 0, 0, 0, 0"),
        ("request_key", "249, 0, 0, 0, 0"),
        ("kexec_load", "246, 0, 0, 0, 0"),
        ("init_module", "175, 0, 0, 0"),
        ("finit_module", "313, -1, 0, 0"),
        ("delete_module", "176, 0, 0"),
        ("open_by_handle_at", "304, -1, 0, 0"),
        ("iopl", "172, 3"),
        ("ioperm", "173, 0, 1, 1"),
        ("reboot, with the wrong magic", "169, 0, 0, 0, 0"),
        ("settimeofday", "164, 0, 0"),
        ("swapon", "167, 0, 0"),
        ("swapoff", "168, 0"),
        ("acct", "163, 0"),
        ("quotactl", "179, 0, 0, 0, 0"),
        ("syslog", "103, 3, 0, 0"),
        ("a raw socket", "41, 2, 3, 1"),
        ("a packet socket", "41, 17, 3, 0"),
        ("a new namespace through clone3", "435, 0, 0"),
    ];
    for (name, call) in table {
        let program = format!("$root = '/'; print syscall({call}) < 0 ? $!+0 : 'done'");
        let said = perl(&container, &program);
        assert!(said == eperm || said == enosys, "{name}: {said}");
    }
}
