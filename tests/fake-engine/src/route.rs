//! Which request is which operation, and what each one answers: the statuses and words of Docker 20.10.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::container::{Attacher, Container, Phase, State};
use crate::files;
use crate::http::{Connection, Reply, Request, begin_chunked, write_chunk};
use crate::shell;
use crate::trouble::Verdict;
use crate::world::{World, lock, seconds};

/// Serves one connection until it is closed or taken over.
pub fn serve(world: &Arc<World>, stream: Arc<UnixStream>) {
    let mut connection = Connection::new(stream.clone());
    while let Ok(Some(request)) = connection.read_request() {
        match answer(world, &mut connection, &request) {
            Ok(true) => {}
            // Taken over and ended, or broken.
            Ok(false) | Err(_) => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Answers a request; whether the connection can carry another one.
fn answer(world: &Arc<World>, connection: &mut Connection, request: &Request) -> io::Result<bool> {
    let stream = connection.stream.clone();
    let send = |reply: Reply| {
        let reply = identify(world, reply);
        reply
            .write(&stream, request.method == "HEAD")
            .map(|()| true)
    };
    let send_unless_silent = |op: &str, reply: Reply| {
        let is_torn = op == "PutContainerArchive" && world.trouble.tear_archives_after().is_some();
        world.trouble.hold_back(op);
        match is_torn || world.trouble.is_unanswered(op) {
            true => Ok(false),
            false => send(reply),
        }
    };
    if let Some(refusal) = check_version(world, request) {
        return send(refusal);
    }
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let Some(op) = operation(&request.method, &parts) else {
        return send(Reply::error(404, "page not found"));
    };
    let whom = subject(world, op, &parts, request);
    let judged = std::iter::once(op.to_owned()).chain(whom.map(|whom| format!("{op} {whom}")));
    for op in judged {
        match world.trouble.judge(&op) {
            Verdict::Go => {}
            Verdict::Refuse(status, message) => return send(Reply::error(status, message)),
            Verdict::Garble(raw) => {
                return io::Write::write_all(&mut &*stream, &raw).map(|()| false);
            }
            Verdict::Drop => return Ok(false),
        }
    }
    if !op.starts_with("Container") && op != "PutContainerArchive"
        || matches!(op, "ContainerCreate" | "ContainerList")
    {
        return match op {
            "SystemEvents" => stream_events(world, &stream, request).map(|()| false),
            _ => send_unless_silent(op, about_engine(world, op, request)),
        };
    }
    let name = parts.get(1).copied().unwrap_or_default();
    if op == "ContainerDelete" {
        *lock(&world.deletions).entry(name.to_owned()).or_default() += 1;
    }
    let Some(container) = world.find(name) else {
        let message = format!("No such container: {name}");
        if op == "ContainerAttach" {
            let head =
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
            return io::Write::write_all(&mut &*stream, format!("{head}{message}\n").as_bytes())
                .map(|()| false);
        }
        return send(Reply::error(404, message));
    };
    match op {
        "ContainerAttach" => attach(world, connection, request, &container).map(|()| false),
        "ContainerWait" => wait(world, &stream, &container).map(|()| true),
        _ => send_unless_silent(op, about_container(world, op, request, &container)),
    }
}

fn operation(method: &str, parts: &[&str]) -> Option<&'static str> {
    Some(match (method, parts) {
        ("GET" | "HEAD", ["_ping"]) => "SystemPing",
        ("GET", ["version"]) => "SystemVersion",
        ("GET", ["info"]) => "SystemInfo",
        ("GET", ["events"]) => "SystemEvents",
        ("GET", ["images", "json"]) => "ImageList",
        ("POST", ["images", "load"]) => "ImageLoad",
        ("GET", ["images", .., "json"]) => "ImageInspect",
        ("DELETE", ["images", ..]) => "ImageDelete",
        ("POST", ["containers", "create"] | ["libpod", "containers", "create"]) => {
            "ContainerCreate"
        }
        ("GET", ["containers", "json"]) => "ContainerList",
        ("GET", ["containers", _, "json"]) => "ContainerInspect",
        ("GET", ["containers", _, "stats"]) => "ContainerStats",
        ("POST", ["containers", _, "start"]) => "ContainerStart",
        ("POST", ["containers", _, "attach"]) => "ContainerAttach",
        ("POST", ["containers", _, "resize"]) => "ContainerResize",
        ("POST", ["containers", _, "stop"]) => "ContainerStop",
        ("POST", ["containers", _, "kill"]) => "ContainerKill",
        ("POST", ["containers", _, "wait"]) => "ContainerWait",
        ("DELETE", ["containers", _]) => "ContainerDelete",
        ("HEAD", ["containers", _, "archive"]) => "ContainerArchiveInfo",
        ("GET", ["containers", _, "archive"]) => "ContainerArchive",
        ("PUT", ["containers", _, "archive"]) => "PutContainerArchive",
        _ => return None,
    })
}

/// Whom an operation is about: a container's name, or an image's as it is asked for.
fn subject(world: &World, op: &str, parts: &[&str], request: &Request) -> Option<String> {
    match op {
        "ContainerCreate" => {
            let body: Value = serde_json::from_slice(&request.body).ok()?;
            let image = body["Image"].as_str().or(body["image"].as_str())?;
            // Trouble is an image's, however it is asked for.
            let name = find_image(world, image).map_or(image.to_owned(), |(name, _)| name);
            Some(name.trim_end_matches(":latest").to_owned())
        }
        "ImageInspect" => Some(parts.get(1..parts.len() - 1)?.join("/")),
        _ if op.starts_with("Container") || op == "PutContainerArchive" => {
            world.find(parts.get(1)?).map(|found| found.name.clone())
        }
        _ => None,
    }
}

fn check_version(world: &World, request: &Request) -> Option<Reply> {
    let minor = |version: &str| {
        version
            .strip_prefix("1.")
            .and_then(|minor| minor.parse::<u16>().ok())
    };
    let asked = request.version.as_deref()?;
    if request.path.starts_with("/libpod/") {
        // Podman's own calls have versions of their own.
        return None;
    }
    lock(&world.versions).insert(asked.to_owned());
    let (newest, oldest) = (
        &world.options().api_version,
        &world.options().min_api_version,
    );
    if minor(asked) > minor(newest) {
        let message =
            format!("client version {asked} is too new. Maximum supported API version is {newest}");
        return Some(Reply::error(400, message));
    }
    (minor(asked) < minor(oldest)).then(|| {
        let hint = "please upgrade your client to a newer version";
        Reply::empty(400).with("Content-Type", "text/plain; charset=utf-8").with_body(format!(
            "client version {asked} is too old. Minimum supported API version is {oldest}, {hint}\n"
        ))
    })
}

/// Every answer tells who we are.
fn identify(world: &World, reply: Reply) -> Reply {
    let reply = reply.with("Api-Version", world.options().api_version.clone());
    match world.options().is_podman {
        true => reply.with("Libpod-API-Version", "4.3.1"),
        false => reply,
    }
}

fn about_engine(world: &World, op: &str, request: &Request) -> Reply {
    match op {
        "SystemPing" => Reply::empty(200)
            .with("Content-Type", "text/plain")
            .with_body("OK"),
        "SystemVersion" => {
            let options = world.options();
            let own = options.answers.version("Version");
            let own = json!({
                "Version": own.unwrap_or("20.10.24+fake"), "ApiVersion": options.api_version,
                "MinAPIVersion": options.min_api_version, "Os": "linux", "Arch": "amd64",
            });
            Reply::json(200, &options.answers.with(op, own))
        }
        "ImageList" => {
            let rows = lock(&world.images)
                .iter()
                .map(|name| {
                    let own = json!({ "Id": image_id(world, name), "RepoTags": [name], "Size": 1 });
                    world.options().answers.with(op, own)
                })
                .collect();
            Reply::json(200, &Value::Array(rows))
        }
        "ImageInspect" => {
            let name = request
                .path
                .trim_start_matches("/images/")
                .trim_end_matches("/json");
            match has_image(world, name) {
                true => Reply::json(200, &image(world, name)),
                false => Reply::error(
                    404,
                    format!("no such image: {name}: No such image: {}", tagged(name)),
                ),
            }
        }
        "ImageLoad" => load(world, &request.body),
        "ImageDelete" => {
            let name = tagged(request.path.trim_start_matches("/images/"));
            let mut images = lock(&world.images);
            let before = images.len();
            images.retain(|known| *known != name);
            match images.len() < before {
                true => Reply::json(200, &json!([{ "Untagged": name }])),
                false => Reply::error(404, format!("No such image: {name}")),
            }
        }
        "SystemInfo" => {
            let answers = world.options().answers;
            let own = match answers.version("Version") {
                Some(_) => json!({ "DockerRootDir": "/nonexistent" }),
                None => json!({
                    "Driver": "overlay2", "DockerRootDir": "/nonexistent", "CgroupVersion": "2",
                    "CgroupDriver": "systemd", "SecurityOptions": ["name=seccomp,profile=default"],
                    "MemoryLimit": true, "SwapLimit": true, "CpuCfsQuota": true, "PidsLimit": true,
                    "ID": world.id, "LiveRestoreEnabled": true, "Warnings": null, "KernelVersion": "6.1.0",
                }),
            };
            Reply::json(200, &answers.with(op, own))
        }
        "ContainerList" => list(world, request),
        _ => create(world, request),
    }
}

/// `name` as `name:latest`.
pub fn tagged(name: &str) -> String {
    let has_tag = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    if has_tag {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

fn image(world: &World, name: &str) -> Value {
    let mut config = json!({
        "Labels": lock(&world.image_labels).get(&tagged(name)),
        "Cmd": ["/bin/shell"], "Entrypoint": null, "Volumes": null,
    });
    let configs = lock(&world.image_configs);
    let others = configs.get(&tagged(name)).and_then(Value::as_object);
    for (key, value) in others.into_iter().flatten() {
        config[key] = value.clone();
    }
    let own = json!({
        "Id": image_id(world, name), "RepoTags": [name], "Config": config, "Architecture": "amd64",
    });
    world.options().answers.with("ImageInspect", own)
}

/// Another one after each build.
fn image_id(world: &World, name: &str) -> String {
    let name = tagged(name);
    let build = lock(&world.image_builds).get(&name).copied();
    id_of_build(&name, build.unwrap_or_default())
}

fn id_of_build(name: &str, build: usize) -> String {
    format!("sha256:id-of-{name}-{build}")
}

/// The name, with a tag, and the id of the image that is asked for by its name or by its id. One that was built before
/// stays until it is pruned.
fn find_image(world: &World, asked: &str) -> Option<(String, String)> {
    let asked = asked.strip_prefix("sha256:").unwrap_or(asked);
    for name in lock(&world.images).iter() {
        if tagged(asked) == *name {
            return Some((name.clone(), image_id(world, name)));
        }
        let newest = lock(&world.image_builds).get(name).copied();
        let oldest = lock(&world.pruned_builds).get(name).copied();
        for build in oldest.unwrap_or_default()..=newest.unwrap_or_default() {
            let id = id_of_build(name, build);
            if id.strip_prefix("sha256:") == Some(asked) {
                return Some((name.clone(), id));
            }
        }
    }
    None
}

fn has_image(world: &World, name: &str) -> bool {
    lock(&world.images).contains(&tagged(name))
}

fn load(world: &World, archive: &[u8]) -> Reply {
    match images_in(archive) {
        Ok((names, labels)) => {
            let mut images = lock(&world.images);
            images.retain(|known| !names.contains(known));
            let labelled = names.iter().map(|name| (name.clone(), labels.clone()));
            lock(&world.image_labels).extend(labelled);
            images.extend(names);
            Reply::json(200, &json!({ "stream": "Loaded image\n" }))
        }
        Err(error) => {
            let message = format!("Error processing tar file(exit status 1): {error}");
            let mut answer = json!({ "errorDetail": { "message": message }, "error": message });
            if let Some(fields) = answer.as_object_mut() {
                let answers = world.options().answers;
                fields.retain(|field, _| answers.tells_load_error(field));
            }
            Reply::json(200, &answer)
        }
    }
}

/// The names and the labels of the image in a `docker save` archive.
fn images_in(archive: &[u8]) -> io::Result<(Vec<String>, Value)> {
    let manifest = json_in(archive, "manifest.json")?;
    let names = serde_json::from_value(manifest[0]["RepoTags"].clone())?;
    let config = manifest[0]["Config"].as_str().unwrap_or_default();
    let config = json_in(archive, config)?;
    Ok((names, config["config"]["Labels"].clone()))
}

fn json_in(archive: &[u8], name: &str) -> io::Result<Value> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with(name) {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            return Ok(serde_json::from_slice(&text)?);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn create(world: &World, request: &Request) -> Reply {
    let Ok(mut body) = serde_json::from_slice::<Value>(&request.body) else {
        return Reply::error(500, "invalid character in request body");
    };
    let is_libpod = request.path.starts_with("/libpod/");
    let asked_name = match is_libpod {
        true => body["name"].as_str().map(str::to_owned),
        false => request.query.get("name").cloned(),
    };
    if is_libpod {
        body = from_libpod(&body);
    }
    let image = body["Image"].as_str().unwrap_or_default();
    let Some(image) = find_image(world, image) else {
        return Reply::error(404, format!("No such image: {}", tagged(image)));
    };
    let id = world.new_id();
    let name = asked_name.unwrap_or_else(|| format!("fake_{}", &id[..12]));
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    {
        return Reply::error(
            400,
            format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        );
    }
    let size = console_size(world, request, &body);
    let container = Arc::new(Container::new(
        id.clone(),
        name.clone(),
        seconds(),
        body,
        image,
        size,
    ));
    {
        let mut containers = lock(&world.containers);
        if let Some(other) = containers.values().find(|other| other.name == name) {
            return Reply::error(
                409,
                format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to \
                 remove (or rename) that container to be able to reuse that name.",
                    other.id
                ),
            );
        }
        containers.insert(id.clone(), container.clone());
    }
    world.tell(&container, "create", &[]);
    Reply::json(201, &json!({ "Id": id, "Warnings": [] }))
}

/// What Podman's own specification of a container says, as far as anything here looks at it, in Docker's words.
fn from_libpod(specification: &Value) -> Value {
    let volumes = specification["volumes"].as_array().into_iter().flatten();
    let volumes: serde_json::Map<_, _> = volumes
        .filter_map(|volume| Some((volume["Dest"].as_str()?.to_owned(), json!({}))))
        .collect();
    json!({
        "Image": specification["image"],
        "Tty": specification["terminal"],
        "Labels": specification["labels"],
        "Volumes": volumes,
        "HostConfig": { "ReadonlyRootfs": specification["read_only_filesystem"] },
    })
}

/// The size a terminal begins with: nothing, unless the client's version knows `ConsoleSize`.
fn console_size(world: &World, request: &Request, body: &Value) -> (u16, u16) {
    let minor = request
        .version
        .as_deref()
        .and_then(|version| version.strip_prefix("1.")?.parse::<u16>().ok());
    if world.options().is_podman || minor < Some(42) {
        return (0, 0);
    }
    let [rows, cols] =
        serde_json::from_value(body["HostConfig"]["ConsoleSize"].clone()).unwrap_or([0, 0]);
    (cols, rows)
}

/// The labels a `filters` parameter asks for, as `key=value` or `key`.
fn wanted_labels(request: &Request) -> Vec<String> {
    let filters = request
        .query
        .get("filters")
        .map(String::as_str)
        .unwrap_or("{}");
    let filters: Value = serde_json::from_str(filters).unwrap_or_default();
    serde_json::from_value(filters["label"].clone()).unwrap_or_default()
}

fn has_labels(labels: &std::collections::BTreeMap<String, String>, wanted: &[String]) -> bool {
    wanted.iter().all(|wanted| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    })
}

fn list(world: &World, request: &Request) -> Reply {
    let wanted = wanted_labels(request);
    let wants_all = request.query.get("all").is_some_and(|all| all == "1");
    let mut rows = Vec::new();
    for container in world.all() {
        let state = container.lock();
        let (phase, status) = (state.phase, status(&state));
        drop(state);
        if has_labels(&container.labels(), &wanted) && (wants_all || phase == Phase::Running) {
            let own = json!({
                "Id": container.id, "Names": [format!("/{}", container.name)], "State": status,
                "ImageID": container.image_id, "Image": container.create_body["Image"], "Labels": container.labels(), "Created": container.created,
            });
            rows.push(world.options().answers.with("ContainerList", own));
        }
    }
    Reply::json(200, &Value::Array(rows))
}

pub fn status(state: &State) -> &'static str {
    match state.phase {
        Phase::Created => "created",
        Phase::Running if state.is_paused => "paused",
        Phase::Running => "running",
        Phase::Exited(_) => "exited",
    }
}

fn about_container(
    world: &Arc<World>,
    op: &str,
    request: &Request,
    container: &Arc<Container>,
) -> Reply {
    let path = request
        .query
        .get("path")
        .map(String::as_str)
        .unwrap_or_default();
    match op {
        "ContainerInspect" => inspect(world, container),
        "ContainerStats" => Reply::json(
            200,
            &json!({
                "cpu_stats": {"cpu_usage": {"total_usage": 1_000_000}},
                "memory_stats": {"usage": 3_145_728},
            }),
        ),
        "ContainerStart" if request.is_chunked => Reply::error(
            400,
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ),
        "ContainerStart" => start(world, container),
        "ContainerResize" => resize(world, request, container),
        "ContainerStop" if world.end(container, 137) => Reply::empty(204),
        "ContainerStop" => Reply::empty(304),
        "ContainerKill" if world.end(container, 137) => Reply::empty(204),
        "ContainerKill" => {
            let id = &container.id;
            let said = format!("Cannot kill container: {id}: Container {id} is not running");
            Reply::error(409, words(world, "cannot_kill", container, said))
        }
        "ContainerDelete" => delete(world, request, container),
        "ContainerArchiveInfo" => files::stat(container, path),
        "ContainerArchive" => files::get(world, container, path),
        _ => {
            let whole = request.body.len();
            let torn = world.trouble.tear_archives_after();
            let end = torn.map_or(whole, |bytes| whole.min(files::HEADER_BYTES + bytes));
            files::put(container, path, &request.body[..end])
        }
    }
}

fn inspect(world: &World, container: &Container) -> Reply {
    let state = container.lock();
    let exit_code = match state.phase {
        Phase::Exited(exit_code) => exit_code,
        Phase::Created | Phase::Running => 0,
    };
    let body = &container.create_body;
    let own = json!({
            "Id": container.id, "Name": format!("/{}", container.name),
            "State": {
                "Status": status(&state), "Running": state.phase == Phase::Running,
                "Paused": state.is_paused,
                "ExitCode": exit_code, "OOMKilled": state.oom_killed,
            },
            "Image": container.image_id,
            "Config": { "Tty": body["Tty"], "Image": body["Image"], "Labels": body["Labels"] },
            "HostConfig": body["HostConfig"],
    });
    Reply::json(200, &world.options().answers.with("ContainerInspect", own))
}

/// The words of an error about a container, as the release has them, or else these.
fn words(world: &World, kind: &str, container: &Container, words: String) -> String {
    let answers = world.options().answers;
    answers
        .message(kind, &container.id, &container.name)
        .unwrap_or(words)
}

fn start(world: &Arc<World>, container: &Arc<Container>) -> Reply {
    if !container.start() {
        return Reply::empty(304);
    }
    world.tell(container, "start", &[]);
    let running = container.clone();
    let has_started = world.spawn("fake-shell", move |world| {
        if let Some(exit_code) = shell::run(&running) {
            world.end(&running, exit_code);
        }
    });
    match has_started {
        true => Reply::empty(204),
        false => Reply::error(500, "OCI runtime create failed: no thread to be had"),
    }
}

fn resize(world: &World, request: &Request, container: &Container) -> Reply {
    let number = |name: &str| {
        request
            .query
            .get(name)
            .and_then(|text| text.parse::<i64>().ok())
    };
    let (Some(cols), Some(rows)) = (number("w"), number("h")) else {
        return Reply::error(400, "strconv.Atoi: parsing \"\": invalid syntax");
    };
    let mut state = container.lock();
    if state.phase != Phase::Running {
        let said = format!("Container {} is not running", container.id);
        return Reply::error(409, words(world, "not_running", container, said));
    }
    // Absurd sizes are taken and wrap around, as on the real Engine.
    let wrap = |number: i64| u16::try_from(number & 0xFFFF).unwrap_or_default();
    state.size = (wrap(cols), wrap(rows));
    Reply::empty(200)
}

fn delete(world: &World, request: &Request, container: &Container) -> Reply {
    let is_forced = request.query.get("force").is_some_and(|force| force == "1");
    if !is_forced && container.lock().phase == Phase::Running {
        let said = format!(
            "You cannot remove a running container {}. Stop the container before attempting removal or force remove",
            container.id
        );
        return Reply::error(409, words(world, "is_running", container, said));
    }
    world.end(container, 137);
    if lock(&world.containers).remove(&container.id).is_none() {
        return Reply::error(404, format!("No such container: {}", container.id));
    }
    world.tell(container, "destroy", &[]);
    Reply::empty(204)
}

/// The head goes out at once, the body when the container has ended.
fn wait(world: &World, stream: &UnixStream, container: &Container) -> io::Result<()> {
    begin_chunked(
        stream,
        &[("Api-Version", world.options().api_version.clone())],
    )?;
    let exit_code = container.await_end(|| world.is_over.load(Ordering::Acquire));
    let exit_code = exit_code.ok_or(io::ErrorKind::ConnectionAborted)?;
    write_chunk(
        stream,
        format!("{}\n", json!({ "Error": null, "StatusCode": exit_code })).as_bytes(),
    )?;
    write_chunk(stream, b"")
}

fn stream_events(world: &World, stream: &UnixStream, request: &Request) -> io::Result<()> {
    let wanted = wanted_labels(request);
    let mut seen = world.events_so_far();
    begin_chunked(
        stream,
        &[("Api-Version", world.options().api_version.clone())],
    )?;
    while let Some(happening) = world.next_event(seen) {
        seen += 1;
        if has_labels(&happening.labels, &wanted) {
            write_chunk(stream, format!("{}\n", happening.event).as_bytes())?;
        }
    }
    Ok(())
}

/// Makes the connection a terminal, until either side ends it.
fn attach(
    world: &World,
    connection: &mut Connection,
    request: &Request,
    container: &Arc<Container>,
) -> io::Result<()> {
    let stream = connection.stream.clone();
    let head = match request.is_upgrade {
        true => {
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        }
        false => "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
    };
    let attacher = Arc::new(Attacher {
        stream: stream.clone(),
        left: Mutex::new(world.trouble.cut_attach_after()),
    });
    {
        // One that has ended agrees too, and then says nothing. The head goes out under the lock, since
        // output may follow as soon as the lock is released.
        let mut state = container.lock();
        io::Write::write_all(&mut &*stream, head.as_bytes())?;
        if !matches!(state.phase, Phase::Exited(_)) {
            state.attachers.push(attacher.clone());
        }
    }
    let mut keys = DetachKeys::new(world, request);
    let mut chunk = connection.take_rest();
    loop {
        let (typed, is_detached) = keys.filter(&chunk);
        container.type_in(&typed);
        chunk.resize(4 << 10, 0);
        let amount = if is_detached {
            0
        } else {
            (&*stream).read(&mut chunk).unwrap_or(0)
        };
        if amount == 0 {
            container.detach(&attacher);
            return Ok(());
        }
        chunk.truncate(amount);
    }
}

/// Ends an attach when its detach keys are typed, and holds back what may become them.
struct DetachKeys {
    sequence: Vec<u8>,
    /// How many of them have just been typed.
    matched: usize,
}

impl DetachKeys {
    /// Ctrl-P Ctrl-Q unless the request says otherwise. An explicit emptiness disarms them on Podman and means the
    /// same as nothing on Docker.
    fn new(world: &World, request: &Request) -> DetachKeys {
        let mut pairs = request.raw_query.split('&');
        let wanted = pairs.find_map(|pair| pair.strip_prefix("detachKeys="));
        let sequence = match wanted {
            Some("") if world.options().is_podman => Vec::new(),
            None | Some("") => vec![16, 17],
            Some(keys) => keys.split(',').filter_map(byte_of).collect(),
        };
        DetachKeys {
            sequence,
            matched: 0,
        }
    }

    /// What of `keys` reaches the shell, and whether the client has detached.
    fn filter(&mut self, keys: &[u8]) -> (Vec<u8>, bool) {
        let mut typed = Vec::new();
        for key in keys {
            if self.sequence.get(self.matched) == Some(key) {
                self.matched += 1;
                if self.matched == self.sequence.len() {
                    return (typed, true);
                }
                continue;
            }
            typed.extend_from_slice(&self.sequence[..std::mem::take(&mut self.matched)]);
            typed.push(*key);
        }
        (typed, false)
    }
}

/// One key of a sequence: a byte as `%FF`.
fn byte_of(key: &str) -> Option<u8> {
    u8::from_str_radix(key.strip_prefix('%')?, 16).ok()
}
