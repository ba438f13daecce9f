//! What a player can try at the game's own prompts. Neither shell starts another program; what they read and how far
//! they go is the same in both.

use crate::attacker::Attacker;
use crate::games::site;
use crate::site::{Player, Site};

/// A player at the prompt of that shell.
#[track_caller]
fn enter(site: &Site, shell: &str) -> Player {
    let game = site.create(shell);
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    page
}

/// Types a line and returns what came of it, the line's own echo included.
#[track_caller]
fn run(page: &mut Player, line: &str) -> String {
    page.type_in(&format!("{line}\r"));
    // Echoed with its quotes, answered without them.
    page.type_in("echo d'on'e\r");
    page.expect("done\r\n")
}

#[test]
fn the_game_s_own_commands_lead_nowhere() {
    let site = site(&[]);
    for shell in ["rust", "perl"] {
        let mut page = enter(&site, shell);
        for (line, expected) in [
            ("cat /proc/self/status", "CapBnd:\t0000000000000000"),
            ("cat /proc/self/status", "NoNewPrivs:\t1"),
            ("cat /proc/self/status", "Seccomp:\t2"),
            ("cat /proc/self/status", "Uid:\t1000\t1000\t1000\t1000"),
            (
                "cat /etc/shadow ../../etc/shadow",
                "no such file or directory",
            ),
            (
                "ls /var/run/docker.sock /run/docker.sock",
                "no such file or directory",
            ),
            (
                "ls /dev/sda /dev/vda /dev/kvm /dev/fuse",
                "no such file or directory",
            ),
            ("cat /dev/mem", "no such file or directory"),
            ("cat /dev/zero", "not a plain file"),
            ("cat /dev/random", "not a plain file"),
            ("cat /dev/ptmx", "not a plain file"),
            ("cat /proc/self/mem", "cannot be read"),
            ("sh", "sh: no such command"),
            ("/bin/sh -c id", "/bin/sh: no such command"),
            ("exec sh", "exec: no such command"),
            (
                "echo $(id) `id` | id > /tmp/x",
                "$(id) `id` | id > /tmp/x\r\n",
            ),
            ("ls /tmp/x", "no such file or directory"),
        ] {
            let said = run(&mut page, line);
            assert!(said.contains(expected), "{shell}: {line}: {said}");
        }
    }
}

/// Spells are a language, and every program in it ends, or ends at a Ctrl-C, while a neighbour plays on.
#[test]
fn spells_can_t_run_away() {
    let site = site(&[]);
    let mut neighbour = Attacker::enter(&site);
    for shell in ["rust", "perl"] {
        let mut page = enter(&site, shell);
        run(&mut page, "learn twice cast twice; cast twice");
        assert!(run(&mut page, "cast twice").contains("16 deep"), "{shell}");
        run(&mut page, "learn more cast more $*$* $*$*");
        let said = run(&mut page, "cast more xxxxxxxxxxxxxxxx");
        assert!(
            said.contains("too long") || said.contains("16 deep"),
            "{shell}: {said}"
        );
        page.type_in("chant loud\r");
        page.expect("loud\r\nloud\r\n");
        neighbour.is_well();
        // Without it the chant would go on for ever.
        page.type_in("\u{3}");
        page.expect(" ~ ");
        assert!(run(&mut page, "echo al'iv'e").contains("alive"), "{shell}");
    }
}
