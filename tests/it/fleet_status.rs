//! What a fleet tells its operator: `GET /fleet`, and the metrics that only a server in a fleet has.

use fake_engine::FakeEngine;
use serde_json::{Value, json};

use crate::fleet_support::{Fleet, wait_until_known};
use crate::site::{ADMIN_TOKEN, Client, Site, wait_for};

const FAMILIES: [(&str, usize); 6] = [
    ("fleet_instances{state=", 4),
    ("fleet_beats_total{outcome=", 3),
    ("fleet_buried_total ", 1),
    ("fleet_relays_open ", 1),
    ("fleet_relayed_bytes_total ", 1),
    ("fleet_unreachable{home=", 1),
];

fn ask(site: &Client) -> Value {
    let token = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("Authorization", token.as_str())];
    site.request("GET", "/fleet", &headers, b"").json()
}

/// What `/fleet` says of an instance.
fn told(at: &Site, of: &str) -> Value {
    let fleet = ask(at);
    let instances = fleet["instances"].as_array().expect("a list");
    let mut found = instances.iter().filter(|one| one["name"] == of);
    found.next().cloned().unwrap_or_default()
}

fn series(site: &Client, start: &str) -> usize {
    let text = site.get("/metrics").text();
    let start = format!("shellcraft_{start}");
    text.lines().filter(|line| line.starts_with(&start)).count()
}

#[test]
fn a_server_without_a_fleet_tells_of_none() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    assert_eq!(series(&site, "fleet_"), 0);
    assert_eq!(site.stranger().get("/fleet").status, 401);
    assert_eq!(ask(&site)["error"]["code"], "no_fleet");
}

#[test]
fn each_server_tells_of_all() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.start(), fleet.start());
    let (name, other) = (&one.site.instance, &two.site.instance);
    wait_for("both to know each other", || {
        told(&one.site, other)["state"] == "up" && told(&two.site, name)["state"] == "up"
    });
    let answer = ask(&one.site);
    assert_eq!(answer["instance"], **name);
    assert_eq!(
        (&answer["number"], &answer["epoch"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(answer["lease_seconds"], 60.0);
    let peer = two.site.app().peer_addr().expect("an address");
    wait_for("the other to be told of in full", || {
        let told = told(&one.site, other);
        let expected = json!({
            "name": other, "number": 2, "epoch": 2, "state": "up", "version": env!("CARGO_PKG_VERSION"),
            "shells": ["rust", "perl"], "stock": {}, "playing": 0, "room": told["room"],
            "engine_up": true, "peer_url": format!("http://{peer}"), "direct_url": null, "is_this": false,
            "settings_differ": false,
        });
        assert_eq!(told, expected);
        told["room"].as_u64() > Some(0)
    });
    assert_eq!(told(&one.site, name)["is_this"], true);
    assert_eq!(one.site.stranger().get("/fleet").status, 401);
    let other = other.clone();
    drop(two.site.leave());
    wait_for("the other to be away", || {
        told(&one.site, &other)["state"] == "away"
    });
}

#[test]
fn other_settings_are_told_of_on_both_sides() {
    let fleet = Fleet::new();
    let (one, same) = (
        fleet.start(),
        fleet.start_with("secret", &["--max-sessions", "7"]),
    );
    let other = fleet.start_with("secret", &["--idle-timeout", "20m"]);
    let differs = |at: &Site, of: &Site| told(at, &of.instance)["settings_differ"].clone();
    let (one, same, other) = (&one.site, &same.site, &other.site);
    wait_for("the other to be found", || differs(one, other) == true);
    wait_for("the first to be found", || differs(other, one) == true);
    wait_for("the same to be known", || differs(one, same) == false);
    assert_eq!(differs(one, one), false);
    assert_eq!(differs(other, other), false);
}

#[test]
fn what_a_fleet_does_is_counted() {
    let fleet = Fleet::new();
    let (home, front) = (fleet.start(), fleet.start());
    let game = home.site.create("rust");
    wait_until_known(&front.site, &game.path("/status"));
    for (start, count) in FAMILIES {
        assert_eq!(series(&front.site, start), count, "{start}");
    }
    let metric = |name: &str| front.site.metric(&format!("fleet_{name}"));
    assert_eq!(metric("instances{state=\"up\"}"), 2.0);
    assert_eq!(metric("instances{state=\"buried\"}"), 0.0);
    assert!(metric("beats_total{outcome=\"counted\"}") >= 1.0);
    assert_eq!(metric("beats_total{outcome=\"failed\"}"), 0.0);
    assert_eq!(metric("beats_total{outcome=\"refused\"}"), 0.0);
    let unreachable = format!("unreachable{{home=\"{}\"}}", home.site.instance);
    assert_eq!(metric(&unreachable), 0.0);
    let mut page = front.site.page(&game, None);
    page.expect("$ ");
    assert_eq!(metric("relays_open"), 1.0);
    let before = metric("relayed_bytes_total");
    page.type_in("echo counted\r");
    page.expect("\r\ncounted\r\n");
    drop(page);
    wait_for("the relay to end", || metric("relays_open") == 0.0);
    assert!(metric("relayed_bytes_total") > before + 100.0);
    let life = home.site.leave();
    wait_for("the home to be away", || {
        metric("instances{state=\"away\"}") == 1.0
    });
    assert_eq!(front.site.get(&game.path("/status")).status, 503);
    assert_eq!(metric(&unreachable), 1.0);
    let again = fleet.site(life, &home.engine, "secret", &[]);
    wait_until_known(&front.site, &game.path("/status"));
    assert_eq!(metric(&unreachable), 0.0);
    drop(again);
}

/// Redis has lost the lease: the next beat is refused, and those after it are counted.
#[test]
fn beats_are_counted_by_what_became_of_them() {
    let fleet = Fleet::new();
    let one = fleet.start();
    fleet.redis.ask::<()>(&[b"FLUSHALL"]);
    let beats = |outcome: &str| {
        let name = format!("fleet_beats_total{{outcome=\"{outcome}\"}}");
        one.site.metric(&name)
    };
    wait_for("the loss to be noticed", || beats("refused") == 1.0);
    let counted = beats("counted");
    wait_for("the server to be in again", || beats("counted") > counted);
}
