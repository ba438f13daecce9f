//! `tests/compose.yaml`, and the one that `shellcraft files` prints, as an operator uses them: server and Redis in containers of
//! their own, a game through the published port, restarts of both, and nothing left in the end.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::containers::unique;
use crate::dist;
use crate::docker::{self, docker, inspect};
use crate::site::{Client, Game, wait_for};

/// A whole book of one spell.
const BOOK: &str = "7ba74375 learn greet echo Hello, $1!\n";

/// Both services under a project's name of their own, which is also the server's instance; taken down when it goes out of
/// scope.
struct Stack {
    name: String,
    file: PathBuf,
    /// What the file's variables are, beside those that all have.
    variables: Vec<(&'static str, String)>,
    _folder: Option<TempDir>,
}

impl Stack {
    /// Builds the images and starts everything.
    #[track_caller]
    fn up() -> Stack {
        let stack = Stack::prepared();
        stack.compose(&["up", "-d", "--build"]);
        stack
    }

    /// `tests/compose.yaml`, and what its images are built of.
    #[track_caller]
    fn prepared() -> Stack {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // It begins with an empty folder, which another test may be building an image of.
        static PREPARED: OnceLock<()> = OnceLock::new();
        PREPARED.get_or_init(|| {
            let mut prepare = Command::new(root.join(".ci/compose"));
            succeed(prepare.env("DOCKER_HOST", docker::host()));
        });
        Stack {
            name: unique(),
            file: root.join("tests/compose.yaml"),
            variables: Vec::new(),
            _folder: None,
        }
    }

    /// The operators' file in a folder of its own, set up as its head says. No registry is needed: Redis is that of
    /// `tests/compose.yaml`.
    #[track_caller]
    fn up_as_the_file_says() -> (Stack, Stack) {
        let redis = Stack::prepared();
        redis.compose(&["build", "redis"]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::copy(dist::binary(), path("shellcraft")).expect("copied");
        for name in ["compose.yaml", "Dockerfile", "shellcraft.env"] {
            let mut print = Command::new(path("shellcraft"));
            let text = succeed(print.args(["files", name]));
            // Without a pool there is less to wait for.
            let swapped = text.replace("\n#POOL_SIZE=2\n", "\nPOOL_SIZE=0\n");
            fs::write(path(name), swapped).expect("written");
        }
        let host = docker::host();
        let socket = host.strip_prefix("unix://").expect("a socket's path");
        let group = fs::metadata(socket).expect("it is there").gid();
        let stack = Stack {
            name: unique(),
            file: path("compose.yaml"),
            variables: vec![
                ("DOCKER_GID", group.to_string()),
                ("DOCKER_SOCKET", socket.to_owned()),
                ("REDIS_IMAGE", format!("{}/redis", redis.name)),
                ("REDIS_USER", "65533:65533".to_owned()),
            ],
            _folder: Some(folder),
        };
        stack.compose(&["up", "-d", "--build"]);
        (stack, redis)
    }

    fn try_compose(&self, words: &[&str]) -> Output {
        self.command(words)
            .output()
            .expect("docker-compose is needed: .ci/setup test installs it")
    }

    /// Runs `docker-compose` with these words; it must succeed. Returns what it printed.
    #[track_caller]
    fn compose(&self, words: &[&str]) -> String {
        succeed(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker-compose");
        command
            .arg("-f")
            .arg(&self.file)
            .args(["-p", &self.name])
            .args(words)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("DOCKER_HOST", docker::host())
            .env("COMPOSE_IMAGES", &self.name)
            .env("INSTANCE", &self.name)
            // One that is free.
            .env("SHELLCRAFT_PORT", "0")
            .env("POOL_SIZE", "0");
        command
    }

    /// A client of the server. Asked again after a restart: the Engine takes another port that is free.
    #[track_caller]
    fn client(&self) -> Client {
        let address = self.compose(&["port", "server", "8080"]);
        let address: SocketAddr = address.trim().parse().expect("an address");
        assert!(address.ip().is_loopback(), "published to all: {address}");
        Client::at(address)
    }

    #[track_caller]
    fn wait_until_ready(&self) -> Client {
        let client = self.client();
        wait_for("the server to be ready", || {
            let reply = client.try_request("GET", "/readyz", &[], b"");
            reply.is_some_and(|reply| reply.status == 200)
        });
        client
    }

    /// What the Engine knows of a service's container.
    #[track_caller]
    fn inspect(&self, service: &str) -> Value {
        inspect(self.compose(&["ps", "-q", service]).trim())
    }

    /// What the Engine still has of the project, and of the server's games.
    fn leftovers(&self) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let of_project = [["ps", "-aq"], ["volume", "ls"], ["network", "ls"]]
            .map(|list| [&list, &["-q", "--filter", &project][..]].concat());
        let all = of_project.iter().flat_map(|words| {
            let text = docker(words);
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        all.chain(docker::containers(&self.name)).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.try_compose(&["logs", "--no-color", "--tail", "50"]);
            eprintln!("{}", String::from_utf8_lossy(&log.stdout));
        }
        self.try_compose(&["down", "-v", "--rmi", "all", "--timeout", "20"]);
        for container in docker::containers(&self.name) {
            docker::try_docker(&["rm", "-fv", &container]);
        }
    }
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; .ci/setup test installs it"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A new game, of this player if there is one yet, and the player's cookie.
#[track_caller]
fn create(client: &Client, shell: &str, cookie: &str) -> (Game, String) {
    let body = format!("{{\"shell\":\"{shell}\"}}");
    let shown = [("Cookie", cookie)];
    let shown = if cookie.is_empty() { &[] } else { &shown[..] };
    let reply = client.request("POST", "/session", shown, body.as_bytes());
    assert_eq!(reply.status, 201, "{reply:?}");
    let set = reply.header("set-cookie").expect("a cookie");
    let (cookie, _) = set.split_once(';').expect("attributes");
    (Game::of(&reply), cookie.to_owned())
}

/// The service's process has no rights but its user's, and can't get any.
#[track_caller]
fn check_confined(stack: &Stack, service: &str, user: &str) {
    let container = stack.inspect(service);
    assert_eq!(container["HostConfig"]["ReadonlyRootfs"], true, "{service}");
    let status = fs::read_to_string(format!("/proc/{}/status", container["State"]["Pid"]));
    let status = status.expect("it runs");
    let uids = format!("Uid:\t{user}\t{user}\t{user}\t{user}");
    assert!(status.lines().any(|found| found == uids), "{status}");
    docker::check_powerless(&status);
}

#[test]
fn compose_brings_up_a_server_that_keeps_books_and_games() {
    let stack = Stack::up();
    let client = stack.wait_until_ready();
    check_confined(&stack, "server", "65534");
    check_confined(&stack, "redis", "65533");
    for service in ["server", "redis"] {
        wait_for("the service to be healthy", || {
            stack.inspect(service)["State"]["Health"]["Status"] == "healthy"
        });
    }

    let (game, cookie) = create(&client, "rust", "");
    let mut page = client.page(&game, None);
    page.expect(" ~ ");
    let put = client.request("PUT", &game.path("/spellbook"), &[], BOOK.as_bytes());
    assert_eq!(put.status, 204, "{put:?}");
    page.type_in("cast greet you\r");
    page.expect("Hello, you!");
    assert_eq!(client.delete(&game.path("")).status, 204);
    assert_eq!(page.close_code(), 4002);

    stack.compose(&["restart", "redis"]);
    let client = stack.wait_until_ready();
    let (game, cookie) = create(&client, "perl", &cookie);
    let mut page = client.page(&game, None);
    page.type_in("cast greet again\r");
    page.expect("Hello, again!");
    page.type_in("learn mark echo I was $1\r");
    page.expect("learned mark");

    stack.compose(&["restart", "server"]);
    assert_eq!(page.close_code(), 1001);
    let client = stack.wait_until_ready();
    let mut resumed = client.page(&game, Some(page.offset));
    let hello = resumed.note("hello");
    assert_eq!(
        (&hello["offset"], &hello["replay"]),
        (&page.offset.into(), &false.into())
    );
    resumed.type_in("cast mark here\r");
    resumed.expect("I was here");
    // The key of players' cookies is in Redis too.
    let (next, _) = create(&client, "rust", &cookie);
    let book = client.get(&next.path("/spellbook"));
    // And the new game begins with what the one that goes on has learnt.
    let both = format!("{BOOK}92f291fc learn mark echo I was $1\n");
    assert_eq!((book.status, book.text()), (200, both));

    // Other containers of the same instance find the games too.
    stack.compose(&["down"]);
    assert_eq!(docker::containers(&stack.name).len(), 2);
    stack.compose(&["up", "-d"]);
    let client = stack.wait_until_ready();
    let mut resumed = client.page(&game, Some(resumed.offset));
    resumed.type_in("cast mark there\r");
    resumed.expect("I was there");

    stack.compose(&["kill", "-s", "SIGINT", "server"]);
    assert_eq!(resumed.close_code(), 1001);
    wait_for("the server to end for good", || {
        let state = &stack.inspect("server")["State"];
        state["Status"] == "exited" && state["ExitCode"] == 0
    });
    assert_eq!(docker::containers(&stack.name), [] as [String; 0]);
    stack.compose(&["down", "-v"]);
    assert_eq!(stack.leftovers(), [] as [String; 0]);
}

/// The file for operators, from the binary alone, through an upgrade as its head says.
#[test]
fn the_operators_file_brings_up_a_server_that_keeps_books_and_games() {
    let (stack, _redis) = Stack::up_as_the_file_says();
    let client = stack.wait_until_ready();
    check_confined(&stack, "server", "65534");
    check_confined(&stack, "redis", "65533");
    wait_for("the server to be healthy", || {
        stack.inspect("server")["State"]["Health"]["Status"] == "healthy"
    });
    let (game, cookie) = create(&client, "rust", "");
    let mut page = client.page(&game, None);
    page.expect(" ~ ");
    let put = client.request("PUT", &game.path("/spellbook"), &[], BOOK.as_bytes());
    assert_eq!(put.status, 204, "{put:?}");

    // The same container once more, whose /tmp is another one's then, and another container.
    for words in [
        &["restart", "server"][..],
        &["up", "-d", "--build", "--force-recreate", "server"],
    ] {
        stack.compose(words);
        assert_eq!(page.close_code(), 1001);
        let offset = page.offset;
        let client = stack.wait_until_ready();
        page = client.page(&game, Some(offset));
        assert_eq!(page.note("hello")["replay"], false);
        page.type_in("cast greet you\r");
        page.expect("Hello, you!");
    }

    // All of it goes but the volume.
    let client = stack.client();
    assert_eq!(client.delete(&game.path("")).status, 204);
    stack.compose(&["down"]);
    stack.compose(&["up", "-d"]);
    let client = stack.wait_until_ready();
    let (next, _) = create(&client, "perl", &cookie);
    let book = client.get(&next.path("/spellbook"));
    assert_eq!((book.status, book.text().as_str()), (200, BOOK));
    stack.compose(&["kill", "-s", "SIGINT", "server"]);
    wait_for("the games to be gone", || {
        docker::containers(&stack.name).is_empty()
    });
    stack.compose(&["down", "-v"]);
    assert_eq!(stack.leftovers(), [] as [String; 0]);
}
