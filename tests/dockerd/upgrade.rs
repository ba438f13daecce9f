//! The binary is replaced while real shells are played, and put back: `tests/it/upgrade.rs` on a real Engine.
//!
//! `SHELLCRAFT_BEFORE` names the binary of another version; without it there is only this one.

use crate::binary::{Process, server_binary};
use crate::containers::unique;
use crate::docker;

/// Removes what a test that failed has left.
struct Instance(String);

impl Drop for Instance {
    fn drop(&mut self) {
        for container in docker::containers(&self.0) {
            docker::try_docker(&["rm", "-fv", &container]);
        }
    }
}

#[test]
fn games_outlive_other_versions() {
    let before = std::env::var("SHELLCRAFT_BEFORE").unwrap_or_else(|_| server_binary().to_owned());
    let data = tempfile::tempdir().expect("a directory");
    let instance = Instance(unique());
    let flags = ["--data-dir", data.path().to_str().expect("UTF-8")];
    let start =
        |program: &str| Process::start_program(program, &docker::host(), &instance.0, &flags);
    let mut process = start(&before);
    let mut seats: Vec<_> = ["rust", "perl"]
        .map(|shell| {
            let game = process.create(shell);
            let mut page = process.page(&game, None);
            page.type_in("learn mark echo I was $1\r");
            page.expect("learned mark");
            // What is written while no server is there is drawn anew, not sent after.
            page.expect("$ ");
            (game, page)
        })
        .into();
    for (round, program) in [server_binary(), &before, server_binary()]
        .into_iter()
        .enumerate()
    {
        process.signal("TERM");
        assert_eq!(process.exit_code_in_time(), Some(0));
        process = start(program);
        for (game, page) in &mut seats {
            assert_eq!(page.close_code(), 1001, "it is told to come back");
            *page = process.page(game, Some(page.offset));
            let hello = page.note("hello");
            assert_eq!(hello["replay"], false, "{program}: {hello}");
            page.type_in(&format!("cast mark here{round}\r"));
            page.expect(&format!("I was here{round}"));
            page.expect("$ ");
        }
    }
    for (game, _) in &seats {
        assert_eq!(process.delete(&game.path("")).status, 204);
    }
    assert_eq!(docker::containers(&instance.0), [] as [String; 0]);
}
