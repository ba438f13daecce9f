//! Images and containers that are not as they should be, on a real Engine.

use serde_json::{Value, json};

use crate::busybox;
use crate::containers::unique;
use crate::docker::{self, container_of, docker, inspect};
use crate::site::{Site, wait_for};

/// An image of busybox that is gone when it goes out of scope.
struct Image(String);

impl Image {
    /// With these changes, as a Dockerfile has them, under a name of its own.
    fn new(changes: &[&str]) -> Image {
        let image = Image(format!("shellcraft-test/{}", unique()));
        image.build(changes);
        image
    }

    /// Makes the name mean another image from now on.
    fn build(&self, changes: &[&str]) {
        let base = docker(&["create", busybox::image(&docker::engine())]);
        let mut arguments = vec!["commit"];
        for change in changes {
            arguments.extend(["--change", change]);
        }
        arguments.extend([base.as_str(), &self.0]);
        docker(&arguments);
        docker(&["rm", &base]);
    }

    fn site(&self, flags: &[&str]) -> Site {
        let shells = format!("it={}", self.0);
        Site::start(&docker::host(), &[&["--shells", &shells], flags].concat())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Stays where a container still has it.
        docker::try_docker(&["rmi", "--force", &self.0]);
    }
}

fn pooled(site: &Site) -> usize {
    let counts = site.app().manager().pool_counts();
    counts.values().sum()
}

/// FAULTS D7.
#[test]
fn the_last_words_of_a_program_that_ends_at_once_are_read() {
    let image = Image::new(&[r#"CMD ["sh","-c","echo no such spell; exit 3"]"#]);
    let site = image.site(&[]);
    let game = site.create("it");
    wait_for("it to have ended", || {
        site.get(&game.path("/status")).json()["status"] == "stopped"
    });
    wait_for("its container to go", || {
        docker::containers(&site.instance).is_empty()
    });
    let mut page = site.page(&game, None);
    page.expect("no such spell");
    assert_eq!(page.note("exit")["code"], json!(3));
    assert_eq!(page.close_code(), 1000);
}

/// FAULTS D9.
#[test]
fn no_image_s_health_check_runs() {
    let image = Image::new(&[
        r#"CMD ["sh"]"#,
        r#"HEALTHCHECK --interval=1s CMD ["ls","/"]"#,
    ]);
    let site = image.site(&[]);
    let game = site.create("it");
    let inspection = inspect(&container_of(&game));
    assert_eq!(inspection["Config"]["Healthcheck"]["Test"], json!(["NONE"]));
    assert_eq!(inspection["State"]["Health"], Value::Null);
}

/// FAULTS D8.
#[test]
fn a_frozen_container_is_told_of_and_never_given_out() {
    let flags = ["--pool-size", "1", "--shells", "rust=shellcraft/rust"];
    let site = Site::start(&docker::host(), &flags);
    wait_for("the pool", || pooled(&site) == 1);
    let game = site.create("rust");
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    docker(&["pause", &container_of(&game)]);
    assert_eq!(page.note("notice")["kind"], "paused");
    docker(&["unpause", &container_of(&game)]);
    assert_eq!(page.note("notice")["kind"], "resumed");
    page.type_in("echo awake\r");
    page.expect("awake");
    wait_for("the pool to fill again", || pooled(&site) == 1);
    let played = container_of(&game);
    let frozen = docker::containers(&site.instance)
        .into_iter()
        .find(|container| *container != played)
        .expect("one waits");
    docker(&["pause", &frozen]);
    wait_for("it to be replaced", || {
        let all = docker::containers(&site.instance);
        !all.contains(&frozen) && all.len() == 2 && pooled(&site) == 1
    });
}

/// FAULTS D5.
#[test]
fn an_image_that_was_built_anew_is_what_new_players_get() {
    let image = Image::new(&[r#"CMD ["sh"]"#, "LABEL build=1"]);
    let site = image.site(&["--pool-size", "1"]);
    wait_for("the pool", || pooled(&site) == 1);
    image.build(&[r#"CMD ["sh"]"#, "LABEL build=2"]);
    let built = docker(&["image", "inspect", "--format", "{{.Id}}", &image.0]);
    let is_new = |container: &String| {
        let found = docker::try_docker(&["inspect", "--format", "{{.Image}}", container]);
        String::from_utf8_lossy(&found.stdout).trim() == built
    };
    wait_for("the pool to be replaced", || {
        let all = docker::containers(&site.instance);
        all.len() == 1 && all.iter().all(is_new) && pooled(&site) == 1
    });
    let game = site.create("it");
    assert!(is_new(&container_of(&game)));
    // What a restart takes over is of that image, and stays.
    wait_for("the pool to fill again", || pooled(&site) == 1);
    let mut before = docker::containers(&site.instance);
    let life = site.leave();
    let shells = format!("it={}", image.0);
    let site = Site::start_in(
        life,
        &docker::host(),
        &["--shells", &shells, "--pool-size", "1"],
    );
    wait_for("the pool to be taken over", || pooled(&site) == 1);
    let mut after = docker::containers(&site.instance);
    before.sort();
    after.sort();
    assert_eq!(before, after);
}

/// FAULTS B8.
#[test]
fn an_image_with_a_directory_of_the_player_s_is_refused() {
    let loose = busybox::loose(&docker::engine());
    let shells = format!("loose={loose}");
    let site = Site::start(&docker::host(), &["--shells", &shells]);
    for _ in 0..2 {
        let refused = site.post("/session", "");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (502, "shell_broken")
        );
    }
    wait_for("nothing to be left", || {
        docker::containers(&site.instance).is_empty()
    });
    assert_eq!(site.get("/readyz").code(), "shell_broken");
}
