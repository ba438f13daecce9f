//! Path tricks: a target means what its letters say, however they are written, or nothing.

use fake_engine::FakeEngine;

use super::{says, statuses};
use crate::site::Site;

#[test]
fn no_spelling_leads_where_its_letters_do_not() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let game = site.create("rust");
    let id = &game.id;
    for target in [
        "//",
        "//healthz",
        "/./healthz",
        "/x/../healthz",
        "/healthz/",
        "/healthz/.",
        "/healthz;x=y",
        "/;/healthz",
        "/healthz%00",
        "/healthz%20",
        "/healthz%0a",
        "/healthz%23",
        "/HEALTHZ",
        "/..%2fhealthz",
        "/%2e%2e/healthz",
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/..%c0%af..%c0%afetc/passwd",
        "/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
        "/%e0%80%ae%e0%80%ae/etc/passwd",
        "/..%255c..%255cetc/passwd",
        "/..\\..\\etc\\passwd",
        "/assets/..",
        "/assets/.",
        "/assets/",
        "/assets/%2e%2e",
        "/assets/..%2fCargo.toml",
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2fetc%2fpasswd",
        "/assets/terminal.js/..",
        "/assets/terminal.js%00.css",
        "/assets//terminal.js",
        "/assets/TERMINAL.JS",
        "/assets/terminal.js.gz",
        "/session/../sessions",
        "/session/%2e%2e/sessions",
        "/session/ID/../../sessions",
        "/session/ID;/status",
        "/session/ID%2fstatus",
        "/session//ID/status",
        "/session/ID//status",
        "/session/ID/status/",
        "/session/ID%00/status",
        "/session/{ID}/status",
        "/session/urn:uuid:ID/status",
        "/session/*/status",
        "/watch/../sessions",
        "/queue/../sessions",
    ] {
        let target = target.replace("ID", id);
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = says(site.address, head.as_bytes());
        let told = statuses(&answer);
        assert!(matches!(told[..], [400 | 404]), "{target}: {answer}");
        assert!(
            !answer.contains("root:") && !answer.contains("[package]"),
            "{answer}"
        );
    }
    // A letter is the same one in another spelling (RFC 3986 6.2.2.2).
    let first = id.as_bytes()[0];
    for target in [
        "/%68eal%74hz".to_owned(),
        format!("/session/%{first:x}{}/status", &id[1..]),
    ] {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
            game.token
        );
        let answer = says(site.address, head.as_bytes());
        assert_eq!(statuses(&answer), [200], "{target}: {answer}");
    }
    for upper in [id.to_uppercase(), id.replace('-', "")] {
        let reply = site.get(&format!("/session/{upper}/status"));
        assert_eq!(reply.status, 404, "{upper}: one spelling an id");
    }
}

/// Absolute, authority and asterisk form, and what is no target at all.
#[test]
fn other_forms_of_targets_lead_nowhere_else() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let address = site.address;
    for (line, expected) in [
        (format!("GET http://{address}/healthz HTTP/1.1"), 200),
        (
            "GET http://169.254.169.254/latest/meta-data HTTP/1.1".into(),
            404,
        ),
        ("GET http://h@h/healthz HTTP/1.1".into(), 400),
        ("GET http:///healthz HTTP/1.1".into(), 400),
        ("GET file:///etc/passwd HTTP/1.1".into(), 400),
        (format!("CONNECT {address} HTTP/1.1"), 400),
        ("CONNECT / HTTP/1.1".into(), 405),
        ("GET healthz HTTP/1.1".into(), 400),
        ("GET ../healthz HTTP/1.1".into(), 400),
        ("GET * HTTP/1.1".into(), 404),
        ("OPTIONS * HTTP/1.1".into(), 204),
        ("OPTIONS http://h HTTP/1.1".into(), 204),
        ("OPTIONS /healthz HTTP/1.1".into(), 204),
        ("OPTIONS /x HTTP/1.1".into(), 404),
        ("TRACE /healthz HTTP/1.1".into(), 405),
        ("GET /healthz".into(), 400),
        ("GET /healthz HTTP/0.9".into(), 505),
        ("GET  /healthz HTTP/1.1".into(), 400),
        ("GET /healthz  HTTP/1.1".into(), 400),
        ("GET\t/healthz\tHTTP/1.1".into(), 400),
        (" GET /healthz HTTP/1.1".into(), 400),
        ("GET /health\0z HTTP/1.1".into(), 400),
        ("GET /health\u{7f}z HTTP/1.1".into(), 400),
        ("GET /\u{2025}/healthz HTTP/1.1".into(), 400),
        ("G\u{0}T /healthz HTTP/1.1".into(), 400),
    ] {
        let answer = says(address, format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!(statuses(&answer), [expected], "{line:?}: {answer}");
    }
}
