//! The metrics of a server that was used, the files for operators that name them, and who may read them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fake_engine::FakeEngine;
use serde_json::{Value, json};

use crate::site::{ADMIN_TOKEN, Client, Site, wait_for};

const DASHBOARD: &str = include_str!("../../templates/deploy/grafana.json");
const ALERTS: &str = include_str!("../../templates/deploy/alerts.yml");
const SITUATIONS: &str = include_str!("../alerts.yml");

fn operator() -> (&'static str, String) {
    ("Authorization", format!("Bearer {ADMIN_TOKEN}"))
}

#[track_caller]
fn value(site: &Client, wanted: &str) -> f64 {
    let text = site.get("/metrics").text();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(&format!("{wanted} ")));
    let value = value.unwrap_or_else(|| panic!("no {wanted} in {text}"));
    value.parse().expect("a number")
}

/// A server on which everything has happened once that can.
fn used() -> (FakeEngine, Site) {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--rate-limit", "2/h"]);
    let game = site.create("rust");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("echo hello\r");
    page.expect("hello");
    let offset = page.offset;
    drop(page);
    site.page(&game, Some(offset)).type_in("exit\r");
    let other = site.create("perl");
    assert_eq!(site.post("/session", "").status, 429);
    assert_eq!(site.delete(&other.path("")).status, 204);
    wait_for("the ends to be counted", || {
        let text = site.get("/metrics").text();
        let is_counted =
            |reason| text.contains(&format!("sessions_ended_total{{reason=\"{reason}\"}} 1"));
        is_counted("exited") && is_counted("destroyed")
    });
    assert!(engine.containers().is_empty());
    (engine, site)
}

/// The words that follow `before` in a source, in quotes: the names that a type's values have in the metrics.
fn label_values(source: &str, before: &str) -> Vec<String> {
    let lines = source.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with(before));
    let words = lines.filter_map(|line| line.split('"').nth(1));
    words.map(str::to_owned).collect()
}

/// Without its series at zero, the first time that something happens is lost to `rate()`.
#[test]
fn what_has_not_happened_yet_is_zero() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let lives = include_str!("../../src/session/metrics/lives.rs");
    let reaper = include_str!("../../src/session/metrics/reaper.rs");
    let line = include_str!("../../src/session/admission/metrics.rs");
    let books = include_str!("../../src/session/spellbook/metrics.rs");
    let store = include_str!("../../src/session/store/metrics.rs");
    let operations = include_str!("../../src/engine/operation.rs");
    let text = site.get("/metrics").text();
    for (source, before, fewest, series) in [
        (lives, "Limit::", 5, "sessions_refused_total{reason=\"*\"}"),
        (reaper, "Work::", 4, "reaper_failures_total{work=\"*\"}"),
        (
            line,
            "NoTurnReason::",
            4,
            "queue_turned_away_total{reason=\"*\"}",
        ),
        (
            books,
            "Outcome::",
            6,
            "spellbook_saves_total{outcome=\"*\"}",
        ),
        (
            store,
            "Call::",
            17,
            "store_call_errors_total{call=\"*\",kind=\"unavailable\"}",
        ),
        (
            operations,
            "pub const ",
            22,
            "engine_call_errors_total{call=\"*\",kind=\"refused\"}",
        ),
    ] {
        let names = label_values(source, before);
        assert!(names.len() >= fewest, "{before}: {names:?}");
        let missing = names.into_iter().filter(|name| {
            let line = format!("shellcraft_{} ", series.replace('*', name));
            !text.lines().any(|it| it.starts_with(&line))
        });
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "{series} {missing:?} in {text}");
    }
}

/// Prometheus' own checker: where `.ci/setup test` has put it, else on the PATH.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/promtool");
    let program = if fetched.exists() {
        fetched
    } else {
        "promtool".into()
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: .ci/setup test fetches it");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), told.into_owned())
}

/// The metrics' types by name.
fn families(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types = types.filter_map(|line| line.split_once(' '));
    types
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// All of our names in a text; those of a histogram's parts without their ends.
fn names(text: &str, families: &BTreeMap<String, String>) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_name(letter));
    let ours = words.filter(|word| word.starts_with("shellcraft_") || word.starts_with("process_"));
    let whole = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let base = ends.iter().find_map(|end| word.strip_suffix(end));
        let is_histogram =
            |base: &&str| families.get(*base).is_some_and(|kind| kind == "histogram");
        base.filter(is_histogram).unwrap_or(word).to_owned()
    };
    ours.map(whole).collect()
}

/// All values of `key` in a document.
fn find_all(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner.as_str() {
                    Some(text) if name == key => found.push(text.to_owned()),
                    _ => find_all(inner, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_all(item, key, found)),
        _ => {}
    }
}

fn dashboard_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut found = Vec::new();
    find_all(&dashboard, "expr", &mut found);
    assert!(found.len() > 30, "{}", found.len());
    found
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let (_engine, site) = used();
    let (is_fine, told) = promtool(&["check", "metrics"], &site.get("/metrics").text());
    assert!(is_fine && told.trim().is_empty(), "{told}");
}

#[test]
fn dashboard_and_alerts_name_what_there_is_and_the_dashboard_shows_all_of_it() {
    let (_engine, site) = used();
    let families = families(&site.get("/metrics").text());
    let known: BTreeSet<String> = families.keys().cloned().collect();
    let shown = names(&dashboard_queries().join("\n"), &families);
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "the dashboard names {unknown:?}");
    let hidden: Vec<_> = known.difference(&shown).collect();
    assert!(hidden.is_empty(), "the dashboard lacks {hidden:?}");
    let alerted = names(ALERTS, &families);
    let unknown: Vec<_> = alerted.difference(&known).collect();
    assert!(
        unknown.is_empty() && alerted.len() > 10,
        "alerts name {unknown:?}"
    );
}

#[test]
fn every_query_can_be_parsed() {
    let folder = tempfile::tempdir().expect("a directory");
    let check = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        let path = path.to_str().expect("UTF-8");
        let (is_fine, told) = promtool(&["check", "rules", path], "");
        assert!(is_fine && told.contains("SUCCESS"), "{told}");
    };
    check("alerts.yml", ALERTS);
    // JSON is YAML.
    let rule = |(number, query): (usize, String)| {
        let query = query.replace("$__rate_interval", "5m");
        json!({"record": format!("query_{number}"), "expr": query})
    };
    let rules: Vec<_> = dashboard_queries()
        .into_iter()
        .enumerate()
        .map(rule)
        .collect();
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    check("dashboard.yml", &rules.to_string());
}

/// Recorded situations raise the alerts that they should, and no other.
#[test]
fn alerts_are_raised_where_they_should_be() {
    let folder = tempfile::tempdir().expect("a directory");
    let situations = folder.path().join("situations.yml");
    std::fs::write(folder.path().join("rules.yml"), ALERTS).expect("written");
    std::fs::write(&situations, SITUATIONS).expect("written");
    let situations = situations.to_str().expect("UTF-8");
    let (is_fine, told) = promtool(&["test", "rules", situations], "");
    assert!(is_fine && told.contains("SUCCESS"), "{told}");
}

/// One that is never seen to be raised may be one that never is.
#[test]
fn every_alert_has_a_situation_that_raises_it() {
    let alerts = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let raised = |name: &&str| SITUATIONS.contains(&format!("- alertname: {name}\n"));
    let (raised, never): (Vec<&str>, Vec<&str>) = alerts.partition(raised);
    assert!(never.is_empty() && raised.len() > 10, "{never:?}");
}

#[test]
fn what_happened_is_counted() {
    let (_engine, site) = used();
    let resumed = "shellcraft_terminal_resumes_total{how=\"exact\"}";
    wait_for("the last terminal to be gone", || {
        value(&site, "shellcraft_viewers{role=\"player\"}") == 0.0
    });
    assert_eq!(value(&site, resumed), 1.0);
    assert!(value(&site, "shellcraft_terminal_echo_seconds_count") >= 1.0);
    assert!(value(&site, "shellcraft_terminal_echo_seconds_sum") > 0.0);
    assert_eq!(value(&site, "shellcraft_input_bytes_total"), 16.0);
    let written = value(&site, "shellcraft_output_bytes_total");
    let sent = value(&site, "shellcraft_sent_bytes_total");
    assert!(sent > 0.0 && written > 0.0, "{sent} of {written}");
    for call in ["ContainerCreate", "ContainerAttach", "ContainerStart"] {
        let count = format!("shellcraft_engine_call_duration_seconds_count{{call=\"{call}\"}}");
        assert_eq!(value(&site, &count), 2.0, "{call}");
    }
    let inserts = "shellcraft_store_call_duration_seconds_count{call=\"insert\"}";
    assert_eq!(value(&site, inserts), 2.0);
    assert!(value(&site, "process_resident_memory_bytes") > 1e6);
    let text = site.get("/metrics").text();
    assert!(text.contains("# TYPE shellcraft_door_turned_away_total counter"));
}

#[test]
fn the_engine_s_failures_are_counted_by_call_and_kind() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    engine.refuse("ContainerCreate", 500, "no room");
    assert_eq!(site.post("/session", "").status, 503);
    let failed = "shellcraft_engine_call_errors_total{call=\"ContainerCreate\",kind=\"refused\"}";
    assert_eq!(value(&site, failed), 1.0);
    assert_eq!(value(&site, "shellcraft_sessions_failed_total"), 1.0);
}

#[test]
fn what_the_door_turned_away_is_a_counter_across_scrapes() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let bad = "shellcraft_door_turned_away_total{reason=\"bad_request\"}";
    for count in 1..=3 {
        assert_eq!(site.exchange(b"GARBAGE\r\n\r\n").status, 400);
        assert_eq!(value(&site, bad), f64::from(count));
        assert_eq!(value(&site, bad), f64::from(count));
    }
}

#[test]
fn through_a_proxy_metrics_are_the_operator_s() {
    let engine = FakeEngine::start();
    for flags in [[].as_slice(), &["--trusted-proxies", "127.0.0.1"]] {
        let site = Site::start(&engine.docker_host(), flags);
        let from = ("X-Forwarded-For", "203.0.113.1");
        let bare = site.request("GET", "/metrics", &[from], b"");
        assert_eq!((bare.status, bare.code().as_str()), (401, "unauthorized"));
        let (name, token) = operator();
        let shown = site.request("GET", "/metrics", &[from, (name, &token)], b"");
        assert_eq!(shown.status, 200);
        assert_eq!(site.get("/metrics").status, 200, "the machine itself");
    }
}

#[test]
fn the_operator_s_routes_move_to_the_private_address() {
    let engine = FakeEngine::start();
    let flags = ["--metrics-bind", "127.0.0.1:0"];
    let site = Site::start(&engine.docker_host(), &flags);
    let address = site.app().private_addr().expect("a second address");
    let private = Client::at(address);
    let (name, token) = operator();
    let get = |client: &Client, path: &str| client.request("GET", path, &[(name, &token)], b"");
    for path in ["/metrics", "/sessions"] {
        assert_eq!(site.get(path).status, 404, "{path}");
        let reply = get(&site, path);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
        assert_eq!(get(&private, path).status, 200, "{path}");
    }
    // Nor does a wrong method show that they are somewhere.
    for (method, path) in [
        ("POST", "/metrics"),
        ("PUT", "/sessions"),
        ("GET", "/admin/drain"),
        ("PUT", "/admin"),
    ] {
        let reply = site.request(method, path, &[], b"");
        assert_eq!(reply.status, 404, "{method} {path}");
        let reply = private.request(method, path, &[], b"");
        assert_eq!(reply.status, 405, "{method} {path}");
    }
    // A page whose name leads here now asks from this machine, by that name.
    let rebound = "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(private.exchange(rebound.as_bytes()).status, 401);
    // The address is no leave of its own: but numbers are not worth a token.
    assert_eq!(private.get("/sessions").status, 401);
    assert_eq!(private.get("/metrics").status, 200);
    assert_eq!(private.get("/healthz").status, 200);
    assert_eq!(site.get("/healthz").status, 200);
    // Both count into the same metrics.
    let game = site.create("rust");
    assert_eq!(
        value(
            &private,
            "shellcraft_sessions_created_total{shell=\"rust\"}"
        ),
        1.0
    );
    assert!(get(&private, "/sessions").text().contains(&game.id));
    let head = private.request(
        "GET",
        "/metrics",
        &[("X-Forwarded-For", "203.0.113.1")],
        b"",
    );
    assert_eq!(head.status, 200, "a proxy of the operator's own");
    assert_eq!(site.stop(), 0);
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "it is closed too"
    );
}

/// What a session's budget is spent on.
#[test]
fn the_memory_of_terminals_is_told_by_part() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let part = |part: &str| site.metric(&format!("terminal_memory_bytes{{part=\"{part}\"}}"));
    let parts = ["scrollback", "state", "recording"];
    assert_eq!(parts.map(part), [0.0; 3]);
    let game = site.create("rust");
    let mut page = site.page(&game, None);
    page.expect("$ ");
    page.type_in("seq 100000\r");
    page.expect("\r\n100000\r\n");
    // More than a scrollback holds, so that the terminal's state is kept as well; nothing is recorded yet.
    wait_for("scrollback and state", || {
        part("scrollback") >= f64::from(256 << 10) && part("state") > 1024.0
    });
    assert_eq!(part("recording"), 0.0);
    assert_eq!(site.post(&game.path("/recording"), "").status, 201);
    page.type_in("seq 1000\r");
    page.expect("\r\n1000\r\n");
    let recorded = part("recording");
    assert!((3_893.0..40_000.0).contains(&recorded), "{recorded}");
}
