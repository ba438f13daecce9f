//! `/openapi.json` is true: it has every route and method of the table and nothing else, and clients that are made
//! from it find nothing. That every answer in these tests fits it is checked where they are read, in
//! `tests/support/src/openapi_check.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_engine::FakeEngine;
use shellcraft::http::route::TABLE;

use crate::site::{ADMIN_TOKEN, Site};

type Table = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_route_and_method_is_in_it_and_nothing_else() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let document = site.get("/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths");
    let described: Table = paths
        .iter()
        .map(|(path, item)| {
            let methods = item.as_object().expect("an item").keys();
            (path.clone(), methods.cloned().collect())
        })
        .collect();
    let mut table = Table::new();
    for (method, path) in TABLE {
        let methods = table.entry(path.to_owned()).or_default();
        methods.insert(method.to_lowercase());
    }
    let mut without_head = described.clone();
    for methods in without_head.values_mut() {
        methods.remove("head");
    }
    assert_eq!(without_head, table);
    // And HEAD where, and only where, it is answered.
    for (path, methods) in described {
        let sample = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        let parts = path.split('/');
        let parts = parts.map(|part| if part.starts_with('{') { sample } else { part });
        let target = parts.collect::<Vec<_>>().join("/");
        let reply = site.request("BREW", &target, &[], b"");
        let allowed = reply.header("allow").unwrap_or_default().to_lowercase();
        let allowed: BTreeSet<String> = allowed.split(", ").map(str::to_owned).collect();
        assert_eq!((reply.status, allowed), (405, methods), "{path}");
    }
}

#[test]
fn its_shells_are_those_of_the_server() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--shells", "sh=shellcraft/rust"]);
    let document = site.get("/openapi.json").json();
    let shell = &document["components"]["schemas"]["CreateSession"]["properties"]["shell"];
    assert_eq!(shell["enum"], serde_json::json!(["sh", null]));
}

/// A program of the environment that `.ci/setup test` makes of `tests/requirements.txt`.
pub fn installed(program: &str) -> PathBuf {
    let path = root().join("target/python/bin").join(program);
    assert!(
        path.exists(),
        "{} is missing: run .ci/setup test",
        path.display()
    );
    path
}

#[test]
fn it_is_valid_openapi_3_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("openapi.json");
    let document = shellcraft::http::openapi::document("", ["rust"]);
    fs::write(&file, document.to_string()).expect("a file");
    let output = Command::new(installed("openapi-spec-validator"))
        .args(["--schema", "3.1"])
        .arg(&file)
        .output()
        .expect("openapi-spec-validator runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Requests that fit the document, requests that just do not, and chains of them.
#[test]
fn schemathesis_finds_nothing() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &["--max-sessions", "100000"]);
    let watched = site.create("rust");
    let link = site.post(&watched.path("/watch"), "").json();
    let link = link["watch_url"].as_str().expect("a link");
    let (_, secret) = link.rsplit_once('/').expect("a path");
    let output = Command::new(installed("schemathesis"))
        .env("WATCH_SECRET", secret)
        .arg("--config-file")
        .arg(root().join("tests/schemathesis.toml"))
        .args(["run", &format!("http://{}/openapi.json", site.address)])
        .arg("--header")
        .arg(format!("Authorization: Bearer {ADMIN_TOKEN}"))
        // It keeps what it learned; every run here is to be the same.
        .current_dir(tempfile::tempdir().expect("a directory").path())
        .output()
        .expect("schemathesis runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(site.get("/healthz").status, 200);
}
