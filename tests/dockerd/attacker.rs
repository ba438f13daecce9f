//! A player with bad intentions: a session in the hostile image, whose shell runs one line after the other.

use crate::docker::container_of;
use crate::site::{Game, Player, Site};

/// Reads a line, runs it in a subshell, says its status. Without echo, so that all that shows is output.
const LOOP: &str =
    "stty -echo; while IFS= read -r L; do (eval \"$L\") 2>&1; echo \"<\"\"<$?\"\">\"\">\"; done\r";

/// What one line did.
#[derive(Debug)]
pub struct Outcome {
    pub output: String,
    pub status: u8,
}

impl Outcome {
    /// The output's lines.
    pub fn lines(&self) -> Vec<&str> {
        self.output.lines().collect()
    }
}

/// A player inside.
pub struct Attacker {
    pub game: Game,
    pub player: Player,
}

impl Attacker {
    /// Starts a session and gets ready to attack.
    #[track_caller]
    pub fn enter(site: &Site) -> Attacker {
        let mut attacker = Attacker::at_prompt(site);
        attacker.player.type_in(LOOP);
        // Everything up to here was echo.
        attacker.run("true");
        attacker
    }

    /// Starts a session, and leaves it at its shell's own prompt.
    #[track_caller]
    pub fn at_prompt(site: &Site) -> Attacker {
        let game = site.create("hostile");
        let mut player = site.raw(&game);
        player.expect("$ ");
        Attacker { game, player }
    }

    /// Runs one line of shell.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Outcome {
        assert!(line.len() < 4000, "a terminal takes no longer line");
        self.player.type_in(&format!("{line}\n"));
        let output = self.player.expect("<<");
        let status = self.player.expect(">>\r\n");
        Outcome {
            output: output.trim_end_matches("<<").replace("\r\n", "\n"),
            status: status
                .trim_end_matches(">>\r\n")
                .parse()
                .expect("a status is a number"),
        }
    }

    /// Runs lines that must all fail, and be told so.
    #[track_caller]
    pub fn fails(&mut self, table: &[(&str, &str)]) {
        for (line, complaint) in table {
            let outcome = self.run(line);
            assert_ne!(outcome.status, 0, "{line} works: {}", outcome.output);
            assert!(
                outcome.output.contains(complaint),
                "{line} says {:?}, not {complaint:?}",
                outcome.output
            );
        }
    }

    /// Answers, while the others do what they do.
    #[track_caller]
    pub fn is_well(&mut self) {
        let outcome = self.run("echo $((6 * 7))");
        assert_eq!((outcome.output.trim(), outcome.status), ("42", 0));
    }

    /// Its container.
    #[track_caller]
    pub fn container(&self) -> String {
        container_of(&self.game)
    }
}
