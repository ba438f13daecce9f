//! A whole server in this process, and clients that speak to it through its real doors.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use shellcraft::app::App;
use shellcraft::auth::cookie::PLAIN_NAME;
use shellcraft::auth::{CookieKey, PlayerSecret};
use shellcraft::config::Config;
use shellcraft::session::ShutdownMode;
use shellcraft::session::bundle::Bundled;
use tempfile::TempDir;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::containers::{PATIENCE, unique};

/// The operator's secret of every server here.
pub const ADMIN_TOKEN: &str = "the-operator-of-tests";

/// The key of players' cookies where tests make these up.
pub const COOKIE_KEY: &str = "the-key-of-the-cookies-of-tests!";

/// The `Cookie` header of the player with that secret of 64 hexadecimal digits, for servers with [`COOKIE_KEY`].
pub fn cookie_of(secret: &str) -> String {
    let player = PlayerSecret::parse(&format!("2.{secret}")).expect("64 digits");
    let key = CookieKey::new(COOKIE_KEY.as_bytes());
    format!("{PLAIN_NAME}={}", key.sign(&player))
}

/// The tokens of all sessions that clients here have started, by the session's id.
static TOKENS: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// What one life of a server leaves to the next.
pub struct Life {
    instance: String,
    data: Arc<TempDir>,
}

impl Life {
    /// What a server that never ran leaves.
    pub fn new(instance: &str) -> Life {
        Life {
            instance: instance.to_owned(),
            data: Arc::new(TempDir::new().expect("a directory")),
        }
    }

    /// The directory with its records and books.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }
}

/// A server, stopped when it goes out of scope.
pub struct Site {
    app: Option<App>,
    client: Client,
    /// The instance that its containers belong to.
    pub instance: String,
    /// Where it keeps what outlives it.
    data: Arc<TempDir>,
}

impl Deref for Site {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Site {
    /// Starts a server on a port of its own, for the Engine at `docker_host`, with further flags.
    pub fn start(docker_host: &str, flags: &[&str]) -> Site {
        Site::start_as(&unique(), docker_host, flags)
    }

    /// Goes to the server through a proxy from now on.
    pub fn go_through(&mut self, proxy: SocketAddr) {
        self.client = Client::at(proxy);
    }

    /// Starts a server under an instance's name.
    pub fn start_as(instance: &str, docker_host: &str, flags: &[&str]) -> Site {
        Site::start_in(Life::new(instance), docker_host, flags)
    }

    /// Starts a server's next life: the same instance with the same data.
    pub fn start_in(life: Life, docker_host: &str, flags: &[&str]) -> Site {
        Site::start_bringing(Vec::new(), life, docker_host, flags)
    }

    /// The same, of a server that brings these images along.
    pub fn start_bringing(
        images: Vec<Bundled>,
        life: Life,
        docker_host: &str,
        flags: &[&str],
    ) -> Site {
        let Life { instance, data } = life;
        let data_dir = data.path().to_str().expect("a path in UTF-8").to_owned();
        let own = [
            "shellcraft",
            "--port",
            "0",
            "--docker-host",
            docker_host,
            "--instance",
            &instance,
            "--data-dir",
            &data_dir,
        ];
        let own = own
            .into_iter()
            .chain(["--admin-token", ADMIN_TOKEN, "--log-level", "off"]);
        // Tests count containers; those that want a pool say so.
        let pool = if flags.contains(&"--pool-size") {
            [].as_slice()
        } else {
            &["--pool-size", "0"]
        };
        let own = own.chain(pool.iter().copied());
        let own = own.chain(unlimited(flags));
        let arguments = own.chain(flags.iter().copied()).map(OsString::from);
        let config = Config::read(arguments).expect("the flags are valid");
        let app = App::start_with(&config, None, images).expect("the server starts");
        Site {
            client: Client::at(app.address().tcp().expect("an address")),
            app: Some(app),
            instance,
            data,
        }
    }

    /// What runs inside; panics once it has left.
    pub fn app(&self) -> &App {
        self.app.as_ref().expect("it runs")
    }

    /// The directory with its records and books.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Stops it, with all its sessions, and says how many threads were left behind.
    pub fn stop(mut self) -> usize {
        let app = self.app.take().expect("it runs");
        app.stop(ShutdownMode::Drain, || false)
    }

    /// Stops it and leaves its sessions to the next life.
    pub fn leave(mut self) -> Life {
        let life = self.life();
        let app = self.app.take().expect("it runs");
        assert_eq!(app.stop(ShutdownMode::Leave, || false), 0);
        life
    }

    /// What the next life needs.
    pub fn life(&self) -> Life {
        Life {
            instance: self.instance.clone(),
            data: Arc::clone(&self.data),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            app.stop(ShutdownMode::Drain, || false);
        }
    }
}

/// Flags that lift what one address may do: all of the tests are one. Those about limits say which they want.
pub fn unlimited(flags: &[&str]) -> Vec<&'static str> {
    let lifted = [
        ["--rate-limit", "off"],
        ["--sessions-per-player", "100000"],
        ["--sessions-per-address", "100000"],
        ["--connections-per-address", "100000"],
    ];
    let wanted = lifted.into_iter().filter(|[flag, _]| !flags.contains(flag));
    wanted.flatten().collect()
}

/// Speaks to a server, whether it is in this process or in one of its own. What it asks of a session that a client here
/// has started it asks as the owner, with the session's token, unless the request shows something else.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where the server listens, or the proxy before it.
    pub address: SocketAddr,
    is_stranger: bool,
}

impl Client {
    /// A client of the server at this address, with no cookie yet.
    pub fn at(address: SocketAddr) -> Client {
        Client {
            address,
            is_stranger: false,
        }
    }

    /// One that shows nothing but what it is told to.
    pub fn stranger(&self) -> Client {
        Client {
            is_stranger: true,
            ..self.clone()
        }
    }

    /// The `Authorization` header of the session's owner, where that is to be sent.
    pub fn authorization(&self, path: &str, headers: &[(&str, &str)]) -> Option<String> {
        let shows_something = headers.iter().any(|(name, _)| {
            ["authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str())
        });
        if self.is_stranger || shows_something || path.contains("ticket=") {
            return None;
        }
        let id = path.strip_prefix("/session/")?.split(['/', '?']).next()?;
        let tokens = TOKENS.lock().expect("no panic");
        Some(format!("Bearer {}", tokens.get(id)?))
    }

    /// Sends a GET request.
    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    /// Sends a POST request with a JSON body.
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.request("POST", path, &[], body.as_bytes())
    }

    /// Sends a DELETE request.
    pub fn delete(&self, path: &str) -> Reply {
        self.request("DELETE", path, &[], b"")
    }

    /// A metric's value, as whoever scrapes sees it.
    #[track_caller]
    pub fn metric(&self, wanted: &str) -> f64 {
        let text = self.get("/metrics").text();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&format!("shellcraft_{wanted} ")));
        let value = value.unwrap_or_else(|| panic!("no {wanted} in {text}"));
        value.parse().expect("a number")
    }

    /// Sends one request and reads its answer to the end.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let reply = self.exchange(&self.whole_request(method, path, headers, body));
        reply.note_token(method, path);
        crate::openapi_check::check(method, path, &reply);
        reply
    }

    /// The same with a server that may die meanwhile: none when no whole answer came.
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE * 3)).ok()?;
        let _ = stream.write_all(&self.whole_request(method, path, headers, body));
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        find(&answer, b"\r\n\r\n")?;
        let reply = Reply::parse(&answer);
        reply.note_token(method, path);
        let length = reply.header("content-length").map_or(Ok(0), str::parse);
        (length == Ok(reply.body.len())).then_some(reply)
    }

    fn whole_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(authorization) = self.authorization(path, headers) {
            head += &format!("Authorization: {authorization}\r\n");
        }
        // The end of the answer is where the connection ends, behind a proxy too.
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("connection"))
        {
            head += "Connection: close\r\n";
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    /// Sends raw bytes and reads the answer to the end.
    #[track_caller]
    pub fn exchange(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // An answer may come, and the connection end, before all of it is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Reply::parse(&answer)
    }

    /// A bare connection to the server.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        // Longer than the server itself waits for anything before it answers that it was in vain.
        stream
            .set_read_timeout(Some(PATIENCE * 3))
            .expect("a timeout");
        stream
    }

    /// Starts a game.
    #[track_caller]
    pub fn create(&self, shell: &str) -> Game {
        let reply = self.post("/session", &format!("{{\"shell\":\"{shell}\"}}"));
        assert_eq!(reply.status, 201, "{reply:?}");
        Game::of(&reply)
    }

    /// A raw client at the game's terminal.
    #[track_caller]
    pub fn raw(&self, game: &Game) -> Player {
        self.open(&format!("/session/{}/ws", game.id), &[])
            .expect("the terminal opens")
    }

    /// A client that speaks `shellcraft.v1`; `from` is its offset, if it had one.
    #[track_caller]
    pub fn page(&self, game: &Game, from: Option<u64>) -> Player {
        let query = from.map_or(String::new(), |from| format!("?from={from}"));
        let path = format!("/session/{}/ws{query}", game.id);
        self.open(&path, &[("Sec-WebSocket-Protocol", "shellcraft.v1")])
            .expect("the terminal opens")
    }

    /// The same with a server that may die meanwhile: the HTTP status with which it was refused, or none when the
    /// connection broke.
    pub fn try_page(&self, game: &Game, from: Option<u64>) -> Result<Player, Option<u16>> {
        let query = from.map_or(String::new(), |from| format!("?from={from}"));
        let path = format!("/session/{}/ws{query}", game.id);
        let stream = TcpStream::connect(self.address).map_err(|_| None)?;
        self.open_on(
            stream,
            &path,
            &[("Sec-WebSocket-Protocol", "shellcraft.v1")],
        )
        .map_err(|refused| refused.ok())
    }

    /// Opens a WebSocket, or says with what HTTP status that was refused.
    pub fn open(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Player, u16> {
        self.open_on(self.connect(), path, headers)
            .map_err(|refused| {
                refused.unwrap_or_else(|broken| panic!("the handshake broke: {broken}"))
            })
    }

    fn open_on(
        &self,
        stream: TcpStream,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Player, Result<u16, String>> {
        let mut request = format!("ws://{}{path}", self.address)
            .into_client_request()
            .expect("a valid URL");
        if let Some(authorization) = self.authorization(path, headers) {
            let authorization = authorization.parse().expect("a valid header");
            request.headers_mut().insert("Authorization", authorization);
        }
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("a valid header"));
        }
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        match tungstenite::client::client_with_config(request, stream, Some(config)) {
            Ok((socket, response)) => {
                let is_v1 = response.headers().contains_key("sec-websocket-protocol");
                Ok(Player {
                    socket,
                    seen: Vec::new(),
                    is_v1,
                    offset: 0,
                    acks: is_v1,
                    notes: Vec::new(),
                    closed: None,
                })
            }
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(Ok(response.status().as_u16()))
            }
            Err(other) => Err(Err(other.to_string())),
        }
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let due = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < due, "waited in vain for: {what}");
        // A look every few milliseconds is not a sleep for luck: the condition decides.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A session's id and secret.
#[derive(Debug, Clone)]
pub struct Game {
    /// The session's id.
    pub id: String,
    /// The bearer token of its player.
    pub token: String,
}

impl Game {
    /// The game that the answer to `POST /session` tells of.
    #[track_caller]
    pub fn of(reply: &Reply) -> Game {
        let body = reply.json();
        let text = |name: &str| body[name].as_str().expect(name).to_owned();
        Game {
            id: text("session_id"),
            token: text("token"),
        }
    }

    /// A path below the session's own, such as `/status`.
    pub fn path(&self, rest: &str) -> String {
        format!("/session/{}{rest}", self.id)
    }

    /// The header by which its owner is known.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header fields, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, decoded from chunks.
    pub body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    fn parse(answer: &[u8]) -> Reply {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(500)]).into_owned();
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {shown:?}"));
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Reply {
            status: status.unwrap_or_else(|| panic!("no status: {shown:?}")),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: answer[end + 4..].to_vec(),
        }
    }

    /// Remembers the token, if this is the answer to `POST /session`.
    fn note_token(&self, method: &str, path: &str) {
        if (method, path, self.status) != ("POST", "/session", 201) {
            return;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return;
        };
        if let (Some(id), Some(token)) = (body["session_id"].as_str(), body["token"].as_str()) {
            let mut tokens = TOKENS.lock().expect("no panic");
            tokens.insert(id.to_owned(), token.to_owned());
        }
    }

    /// A header field's value; upper and lower case are the same.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of an error, which every error has.
    #[track_caller]
    pub fn code(&self) -> String {
        let body = self.json();
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|message| message.ends_with('.')),
            "{body}"
        );
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        body["error"]["code"].as_str().expect("a code").to_owned()
    }
}

/// A client at a terminal.
pub struct Player {
    /// The client's end of the WebSocket.
    pub socket: WebSocket<TcpStream>,
    /// Output that came and was not expected yet.
    pub seen: Vec<u8>,
    is_v1: bool,
    /// Absolute offset of the next byte, where the server told one.
    pub offset: u64,
    /// Whether output is acknowledged as it comes.
    pub acks: bool,
    /// Control messages that came and were not asked for yet.
    pub notes: Vec<Value>,
    /// The code of the close frame, once it came; 1006 for an end without one (RFC 6455 §7.1.5).
    pub closed: Option<u16>,
}

impl Player {
    /// Sends keys, as a page does.
    pub fn type_in(&mut self, keys: &str) {
        self.send(Message::binary(keys.as_bytes().to_vec()));
    }

    /// Sends a message, whatever it is.
    pub fn send(&mut self, message: Message) {
        self.socket
            .send(message)
            .expect("the server takes messages");
    }

    /// Sends a control message.
    pub fn control(&mut self, value: Value) {
        self.send(Message::text(value.to_string()));
    }

    /// Reports a new size, as a page does.
    pub fn resize(&mut self, cols: u32, rows: u32) {
        self.control(serde_json::json!({"type": "resize", "cols": cols, "rows": rows}));
    }

    /// Waits until `text` shows, and forgets everything up to its end.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let due = Instant::now() + PATIENCE;
        let mut looked = 0;
        loop {
            if let Some(at) = find(&self.seen[looked..], text.as_bytes()) {
                let rest = self.seen.split_off(looked + at + text.len());
                let before = std::mem::replace(&mut self.seen, rest);
                return String::from_utf8_lossy(&before).into_owned();
            }
            looked = self.seen.len().saturating_sub(text.len());
            let tail = self.seen.len().saturating_sub(2000);
            let shown = || String::from_utf8_lossy(&self.seen[tail..]).into_owned();
            assert!(
                Instant::now() < due,
                "waited in vain for {text:?}: {:?} {:?}",
                shown(),
                self.notes
            );
            let goes_on = self.read(due);
            assert!(
                goes_on,
                "closed with {:?} before {text:?}: {:?} {:?}",
                self.closed,
                String::from_utf8_lossy(&self.seen[tail..]),
                self.notes
            );
        }
    }

    /// Waits for a control message of that type.
    #[track_caller]
    pub fn note(&mut self, kind: &str) -> Value {
        let due = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.notes.iter().position(|note| note["type"] == kind) {
                return self.notes.remove(at);
            }
            assert!(
                self.read(due),
                "closed with {:?} before a {kind}: {:?}",
                self.closed,
                self.notes
            );
            assert!(
                Instant::now() < due,
                "waited in vain for a {kind}: {:?}",
                self.notes
            );
        }
    }

    /// Waits for the end and returns the close code.
    #[track_caller]
    pub fn close_code(&mut self) -> u16 {
        let due = Instant::now() + PATIENCE;
        while self.read(due) {
            assert!(
                Instant::now() < due,
                "waited in vain for the end: {:?}",
                self.notes
            );
        }
        self.closed.expect("it ended")
    }

    /// Reads one message; whether the connection goes on.
    pub fn read(&mut self, due: Instant) -> bool {
        if self.closed.is_some() {
            return false;
        }
        let left = due
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        self.socket
            .get_ref()
            .set_read_timeout(Some(left))
            .expect("a timeout");
        match self.socket.read() {
            Ok(Message::Binary(output)) => {
                self.seen.extend_from_slice(&output);
                self.offset += output.len() as u64;
                if self.acks {
                    // Fails only when the server has closed meanwhile, which the next read tells.
                    let ack = serde_json::json!({"type": "ack", "offset": self.offset});
                    let _ = self.socket.send(Message::text(ack.to_string()));
                }
            }
            Ok(Message::Text(text)) => {
                assert!(self.is_v1, "a raw client got text: {text}");
                let note: Value = serde_json::from_str(&text).expect("control messages are JSON");
                if note["type"] == "hello" {
                    self.offset = note["offset"].as_u64().expect("an offset");
                }
                self.notes.push(note);
            }
            Ok(Message::Close(frame)) => {
                self.closed = Some(frame.map_or(1005, |frame| frame.code.into()));
                // Sends the answer, and tells when the server has hung up.
                while self.socket.read().is_ok() {}
                return false;
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {}
            Err(_) => {
                self.closed = Some(1006);
                return false;
            }
        }
        true
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Where `needle` begins in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// How many threads of this process have that name. It must tell whose they are: other tests run beside.
pub fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    // A thread may end while we look.
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|found| found.trim_end() == name)
        .count()
}
