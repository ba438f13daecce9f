//! Rootless Podman in the Engine's place: a service of the test's own, of a user who is nobody else's.
//!
//! ```text
//!  server ──Docker's API──▶ podman system service (as USER, its own HOME and XDG_RUNTIME_DIR) ──▶ containers
//! ```
//!
//! What Podman promises as Docker does is in [`KEPT`]; what it does otherwise has a test that says how. On a machine with
//! cgroup version 1 it limits neither memory nor processor time nor processes, and `doctor` and `selftest` must say so.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;
use shellcraft::engine::{ContainerId, Engine, Error};
use shellcraft::session::sandbox::SESSION_LABEL;
use shellcraft::session::spellbook::archive::{self, Unreadable};
use tempfile::TempDir;

use crate::binary::server_binary;
use crate::console::Play;
use crate::containers::{Guinea, archive, unpack};
use crate::game::{GAME, Step};
use crate::restart::plays_again;
use crate::site::{Game, Site, wait_for};
use crate::{busybox, docker, promises};

/// Whose the service is. Made if there is none, and kept: a user of the system without a password or a shell.
const USER: &str = "shellcraft-podman";
/// Ids that nobody else on the machine should have.
const SUBIDS: &str = "1878982656-1879048191";

/// A Podman service with an empty store, ended together with all that it started when it goes out of scope.
pub struct Podman {
    dir: TempDir,
    service: Child,
}

impl Podman {
    /// Starts one, and loads the images that are played in.
    pub fn start() -> Podman {
        make_user();
        // PODMAN: where the path of its runtime directory is longer than 50 characters, no end of a container is noticed (seen on
        // 4.3.1). So not below TMPDIR, which may be anywhere.
        let dir = TempDir::with_prefix_in("podman-", "/var/tmp").expect("a directory");
        // Its own directories are below, for it alone.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("ours");
        for name in ["home", "run"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        configure(dir.path());
        let service = spawn_service(dir.path());
        let mut podman = Podman { dir, service };
        podman.wait_until_up();
        podman.load_images();
        podman
    }

    pub fn docker_host(&self) -> String {
        format!(
            "unix://{}",
            self.dir.path().join("run/podman.sock").display()
        )
    }

    pub fn engine(&self) -> Engine {
        Engine::new(&self.docker_host()).expect("a socket's path")
    }

    /// A server with this Podman for its Engine.
    fn site(&self) -> Site {
        Site::start(&self.docker_host(), &[])
    }

    /// The game's container.
    #[track_caller]
    fn container_of(&self, game: &Game) -> ContainerId {
        let found = self
            .engine()
            .list(&[(SESSION_LABEL, &game.id)])
            .expect("a list");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].id.clone()
    }

    fn is_empty(&self) -> bool {
        self.engine().list(&[]).is_ok_and(|list| list.is_empty())
    }

    #[track_caller]
    fn wait_until_up(&mut self) {
        let (engine, service) = (self.engine(), &mut self.service);
        wait_for("Podman's service", || {
            let ended = service.try_wait().expect("our child");
            assert_eq!(ended, None, "podman does not start");
            engine.ping().is_ok()
        });
    }

    fn load_images(&self) {
        let busybox = busybox::image(&docker::engine());
        let mut saving = Command::new("docker")
            .args(["--host", &docker::host(), "save"])
            .args(["shellcraft/rust", "shellcraft/perl", busybox])
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker.io is installed");
        let mut tar = saving.stdout.take().expect("piped");
        self.engine().load_images(&mut tar).expect("load");
        assert!(saving.wait().expect("our child").success());
    }

    /// Ends the service by a signal's name, and starts it again.
    #[track_caller]
    fn restart(&mut self, signal: &str) {
        self.end(signal);
        let engine = self.engine();
        wait_for("the service to be gone", || engine.probe().is_err());
        // One that is killed leaves it.
        let _ = fs::remove_file(self.dir.path().join("run/podman.sock"));
        self.service = spawn_service(self.dir.path());
        self.wait_until_up();
    }

    /// Sends a signal to the service: the process that we have started, and the one in the user namespace for which it
    /// stands.
    fn end(&mut self, signal: &str) {
        let group = format!("-{}", self.service.id());
        succeeds("kill", &["-s", signal, "--", &group]);
        // It is our child, and has taken the signal.
        let _ = self.service.wait();
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Without containers nothing of it runs but the service, and the process that keeps its user namespace.
        for container in self.engine().list(&[]).unwrap_or_default() {
            let _ = self.engine().remove(&container.id);
        }
        self.end("KILL");
        let pause = fs::read_to_string(self.dir.path().join("run/libpod/tmp/pause.pid"));
        if let Ok(pid) = pause {
            succeeds("kill", &["-s", "KILL", pid.trim()]);
        }
    }
}

fn make_user() {
    // Tests run in parallel.
    static MAKING: Mutex<()> = Mutex::new(());
    let _guard = MAKING.lock();
    let has_ids = fs::read_to_string("/etc/subuid").is_ok_and(|text| text.contains(USER));
    if !succeeds("id", &[USER]) {
        let home = ["--no-create-home", "--home-dir", "/nonexistent"];
        let flags = [&["--system", "--shell", "/usr/sbin/nologin"], &home[..]].concat();
        assert!(
            succeeds("useradd", &[&flags[..], &[USER]].concat()),
            "tests run as root"
        );
    }
    if !has_ids {
        let flags = ["--add-subuids", SUBIDS, "--add-subgids", SUBIDS, USER];
        assert!(succeeds("usermod", &flags), "uidmap is installed");
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Writes what README's "Rootless Podman" has an operator write.
fn configure(dir: &Path) {
    let profile = "templates/deploy/podman-seccomp.json";
    let profile = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(profile));
    let profile = profile.expect("it is there");
    let folder = dir.join("home/.config/containers");
    fs::create_dir_all(&folder).expect("a directory");
    let kept = folder.join("seccomp.json");
    fs::write(&kept, profile).expect("a file");
    // crun, which is the default, refuses machines that mount both versions of cgroups.
    let containers = format!(
        "[engine]\nruntime = \"runc\"\n[containers]\nseccomp_profile = \"{}\"\n",
        kept.display()
    );
    fs::write(folder.join("containers.conf"), containers).expect("a file");
    fs::write(
        folder.join("storage.conf"),
        "[storage]\ndriver = \"overlay\"\n",
    )
    .expect("a file");
    let owner = format!("{USER}:");
    let places = [dir.join("home"), dir.join("run")];
    let mut chown = Command::new("chown");
    let chown = chown.args(["-R", &owner]).args(places);
    assert!(chown.status().expect("coreutils").success());
}

fn spawn_service(dir: &Path) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"));
    let socket = format!("unix://{}", dir.join("run/podman.sock").display());
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER, "--regid", USER, "--clear-groups", "podman"])
        .args(["system", "service", "--time=0", &socket])
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| (OsStr::new("PATH").to_owned(), path)))
        .env("HOME", dir.join("home"))
        .env("XDG_RUNTIME_DIR", dir.join("run"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("a file"))
        // See `Podman::end`.
        .process_group(0);
    command.spawn().expect("podman is installed")
}

type Promise = fn(&Engine, &str);

/// Promises with their names.
macro_rules! named {
    ($($promise:ident,)*) => {
        &[$((stringify!($promise), promises::$promise)),*]
    };
}

/// Promises of the engine contract that Podman keeps to the letter.
///
/// Not among them, beside what has its own test below: `the_engine_says_who_it_is` (it says that it is Podman),
/// `images_are_found_by_name` (its list has `localhost/` before the names), `a_missing_image_is_not_found` and
/// `unknown_containers_are_not_found` (404 too, in other words), `missing_paths_are_not_found` (a directory that is not
/// there is made), `a_read_only_image_is_not_written_to` (it is: only its players can't), `waiting_has_a_limit` (one that
/// never ran has ended with 0 or with -1).
const KEPT: &[(&str, Promise)] = named![
    a_broken_image_archive_is_an_error,
    an_image_that_is_gone_already_is_removed,
    the_engine_tells_of_its_host,
    a_name_is_given_once,
    what_is_gone_can_be_killed_and_removed,
    an_attach_before_the_start_misses_nothing,
    a_flood_arrives_whole,
    control_c_ends_a_flood,
    control_p_arrives_at_once,
    no_byte_ends_the_attach,
    two_attached_see_the_same,
    closing_an_attach_wakes_its_reader,
    the_terminal_is_sized_after_the_start,
    starting_and_stopping_twice_is_fine,
    an_exit_ends_the_terminal_and_tells_its_code,
    a_kill_ends_the_terminal_and_tells_137,
    removing_a_running_container_ends_its_terminal,
    the_list_shows_only_what_carries_the_label,
    a_book_is_put_before_the_start_and_read_after_the_end,
    an_archive_has_a_limit,
    events_tell_of_the_end,
    closing_the_events_wakes_their_reader,
    many_threads_may_call_at_once,
];

const IMAGE: &str = "shellcraft-test/busybox";

#[test]
fn podman_keeps_most_promises() {
    let podman = Podman::start();
    for (name, promise) in KEPT {
        // Shown when it fails.
        println!("{name}");
        promise(&podman.engine(), IMAGE);
    }
}

/// What is not there is 404, so that callers need not know whose words these are.
#[test]
fn podman_says_in_other_words_what_is_not_there() {
    let podman = Podman::start();
    let engine = podman.engine();
    assert!(engine.ping().expect("ping").is_podman);
    let missing = crate::containers::body("shellcraft-test/no-such-image", "");
    let error = engine.create("no-image", &missing).expect_err("no image");
    assert!(error.is_not_found(), "{error}");
    let nobody = ContainerId("nobody".into());
    let errors = [
        engine.start(&nobody).err(),
        engine.inspect(&nobody).err(),
        engine.attach(&nobody).err(),
        engine.stat_archive(&nobody, "/home").err(),
        engine.get_archive(&nobody, "/home", 1 << 20).err(),
    ];
    for error in errors {
        let error: Error = error.expect("an error");
        assert!(error.is_not_found(), "{error}");
    }
}

/// In place of `a_file_that_is_cut_short_stays_root_s`.
#[test]
fn podman_s_unfinished_book_is_told_from_a_whole_one() {
    let podman = Podman::start();
    let engine = podman.engine();
    let unfinished = engine.unfinished().expect("it answers");
    let guinea = Guinea::create(&engine, IMAGE);
    let whole = archive(archive::FILE, &[b'x'; 100_000]);
    let read = || {
        let path = "/home/spellbook.dat";
        engine
            .get_archive(&guinea.id, path, 1 << 20)
            .expect("there is a file")
    };
    let put = |archive: &[u8]| engine.put_archive(&guinea.id, "/home", archive);
    for is_started in [false, true] {
        if is_started {
            engine.start(&guinea.id).expect("start");
        }
        put(&whole).expect("put");
        for bytes in [0, 1, 511, 512, 32_768, 99_999] {
            put(&whole[..512 + bytes]).expect_err("the archive breaks off");
            let (_, owner, book) = unpack(&read());
            // The container's user's, whoever's it really is: here is nothing to tell it by.
            assert_eq!((owner, book.len()), (1000, bytes));
            let found = archive::unpack(&read(), unfinished);
            assert!(
                matches!(found, Err(Unreadable::InPart)),
                "{bytes} {found:?}"
            );
        }
        // All of the file, and nothing behind it.
        for bytes in [512 + 100_000, whole.len()] {
            put(&whole[..bytes]).expect("put");
            let found = archive::unpack(&read(), unfinished).expect("a whole one");
            assert_eq!(found.bytes.len(), 100_000);
        }
        // Without a whole header the file that is there stays.
        put(&whole[..300]).expect_err("the archive breaks off");
        assert!(archive::unpack(&read(), unfinished).is_ok());
    }
}

#[test]
fn both_games_are_played_on_podman() {
    let podman = Podman::start();
    let site = podman.site();
    for shell in ["rust", "perl"] {
        let game = site.create(shell);
        let mut page = site.page(&game, None);
        let mut play = Play::default();
        let status = play.steps(&mut page, GAME).expect("it ends");
        assert!(matches!(GAME.last(), Some(Step::Ends(expected)) if *expected == status));
        let exit = page.note("exit");
        assert_eq!(
            (&exit["code"], exit["reason"].as_str(), page.closed),
            (&status.into(), Some("exited"), Some(1000)),
            "{shell}"
        );
        wait_for("the container to be removed", || podman.is_empty());
    }
    assert_eq!(site.stop(), 0);
}

/// Starts a game of the player with that cookie, or of a new one; returns it with the player's cookie.
#[track_caller]
fn create_as(site: &Site, cookie: Option<&str>) -> (Game, String) {
    let headers: Vec<_> = cookie.iter().map(|cookie| ("Cookie", *cookie)).collect();
    let reply = site.request("POST", "/session", &headers, b"");
    assert_eq!(reply.status, 201, "{reply:?}");
    let cookie = match (reply.header("set-cookie"), cookie) {
        (Some(new), _) => new.split(';').next().unwrap_or_default(),
        (None, Some(known)) => known,
        (None, None) => panic!("no cookie: {reply:?}"),
    };
    (Game::of(&reply), cookie.to_owned())
}

#[test]
fn a_game_and_its_book_outlive_a_server_on_podman() {
    let podman = Podman::start();
    let site = podman.site();
    let (game, cookie) = create_as(&site, None);
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    page.type_in("learn greet echo Hello, $1!\r");
    page.expect("learned greet");
    page.expect(" ~ ");
    let offset = page.offset;
    // A page that does not answer would be waited for.
    drop(page);
    let life = site.leave();

    let site = Site::start_in(life, &podman.docker_host(), &[]);
    wait_for("the game to be taken over", || {
        site.app().manager().is_settled()
    });
    let mut page = site.page(&game, Some(offset));
    assert_eq!(page.note("hello")["replay"], false);
    page.type_in("cast greet ag'ai'n\r");
    page.expect("Hello, again!");
    let path = game.path("/spellbook");
    let book = site.get(&path);
    assert_eq!(book.status, 200);
    assert!(
        book.text().contains("learn greet echo Hello, $1!"),
        "{}",
        book.text()
    );
    assert_eq!(site.delete(&game.path("")).status, 204);
    assert!(podman.is_empty());

    // What was saved at its end is in the player's next game, and another one can be put in its place.
    let (game, _) = create_as(&site, Some(&cookie));
    let mut page = site.page(&game, None);
    page.expect("(your spellbook holds 1 spell)");
    let path = game.path("/spellbook");
    assert_eq!(site.get(&path).body, book.body);
    let other = b"1587e6cd learn next pwd\n";
    assert_eq!(site.request("PUT", &path, &[], other).status, 204);
    page.type_in("cast ne'xt'\r");
    page.expect("/home\r\n");
    assert_eq!(site.get(&path).body, other);
    assert_eq!(site.stop(), 0);
    assert!(podman.is_empty());
}

#[test]
fn a_container_that_is_killed_on_podman_is_told_of_and_its_book_is_safe() {
    let podman = Podman::start();
    let site = podman.site();
    let (game, cookie) = create_as(&site, None);
    let mut page = site.page(&game, None);
    page.expect(" ~ ");
    page.type_in("learn greet echo Hello, $1!\r");
    page.expect("learned greet");
    podman
        .engine()
        .kill(&podman.container_of(&game))
        .expect("kill");
    assert_eq!(page.close_code(), 1000);
    assert_eq!(page.note("exit")["code"], 137);
    assert_eq!(site.get(&game.path("/status")).json()["status"], "stopped");
    wait_for("the container to be removed", || podman.is_empty());
    let (game, _) = create_as(&site, Some(&cookie));
    site.page(&game, None)
        .expect("(your spellbook holds 1 spell)");
}

/// Containers run without the service: a game goes on when it is back.
#[test]
fn a_game_goes_on_when_podman_s_service_comes_back() {
    let mut podman = Podman::start();
    let site = Site::start(
        &podman.docker_host(),
        &["--shells", &format!("busybox={IMAGE}")],
    );
    let game = site.create("busybox");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("remember=me; echo no''ted\r");
    page.expect("noted\r\n");
    for signal in ["TERM", "KILL"] {
        podman.restart(signal);
        page.seen.clear();
        plays_again(&mut page);
        page.type_in("echo it is $remember\r");
        page.expect("it is me\r\n");
    }
    assert_eq!(site.delete(&game.path("")).status, 204);
    assert!(podman.is_empty());
}

/// What a command of ours finds on this Podman, by name: verdict and note.
fn findings(podman: &Podman, arguments: &[&str]) -> Vec<(String, String, String)> {
    let data = tempfile::tempdir().expect("a directory");
    let output = Command::new(server_binary())
        .args(arguments)
        .args([
            "--json",
            "--docker-host",
            &podman.docker_host(),
            "--data-dir",
        ])
        .arg(data.path().join("new"))
        .output()
        .expect("it runs");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |finding: &Value, name: &str| finding[name].as_str().expect("a text").to_owned();
    let all = told["findings"].as_array().expect("a list").iter();
    all.map(|one| (text(one, "name"), text(one, "verdict"), text(one, "note")))
        .collect()
}

/// On version 1 of cgroups nothing is limited, and both say so and what to do. Nothing else is wrong.
#[test]
fn doctor_and_self_test_tell_what_rootless_podman_does_not_limit() {
    const CGROUPS: [&str; 6] = [
        "cgroups",
        "memory limit",
        "swap limit",
        "processor limit",
        "processes end",
        "memory ends",
    ];
    let podman = Podman::start();
    let info = podman.engine().info().expect("info");
    assert!(info.rootless, "{info:?}");
    for arguments in [&["doctor"][..], &["selftest", "--only", "look"]] {
        let found = findings(&podman, arguments);
        let failed = found.iter().filter(|(_, verdict, _)| verdict == "fail");
        for (name, _, note) in failed {
            assert!(
                CGROUPS.contains(&name.as_str()),
                "{arguments:?} {name}: {note}"
            );
        }
        for name in ["seccomp filter", "limits of a process", "capabilities"] {
            assert!(
                found
                    .iter()
                    .any(|(found, verdict, _)| found == name && verdict == "ok")
            );
        }
        if info.cgroup_version == "1" {
            let told = found.iter().find(|(name, ..)| name == "cgroups");
            let (_, verdict, note) = told.expect("a word about cgroups");
            assert_eq!(verdict, "fail");
            assert!(
                note.contains("boot with version 2") && note.contains("as root"),
                "{note}"
            );
        }
    }
    assert!(podman.is_empty());
}
