//! Secrets that systemd hands to the service as files (`LoadCredential=`): its unit as it is, behind its socket, which
//! a restart leaves open. The secrets' own files are root's, and no environment has them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::hmac;
use serde_json::{Value, json};

use crate::docker;
use crate::redis_server::RedisServer;
use crate::site::{ADMIN_TOKEN, Reply};
use crate::systemd::{INSTALL, Machine, check_confined};

const PASSWORD: &str = "the-password-of-a-redis-of-tests";
const JWT_SECRET: &str = "a secret that only the portal and this server know";
const NEXT_ADMIN_TOKEN: &str = "the-next-operator-of-tests";

/// A login of that subject, good for an hour.
fn token(secret: &str, subject: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let until = since.expect("after 1970").as_secs() + 3600;
    let part = |value: &Value| B64.encode(value.to_string());
    let header = part(&json!({"alg": "HS256", "typ": "JWT"}));
    let message = format!("{header}.{}", part(&json!({"sub": subject, "exp": until})));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = B64.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// Asks as whoever shows that token, through a proxy, where the machine itself has no privilege.
fn ask(machine: &Machine, method: &str, path: &str, token: &str) -> Reply {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("X-Forwarded-For", "192.0.2.1"),
    ];
    machine.client().request(method, path, &headers, b"")
}

/// Installs the service behind its socket, with these secrets in files of root's alone.
fn install(machine: &Machine, secrets: &[(&str, &str)]) {
    machine.run(INSTALL);
    // A setting counts before a credential.
    machine.run("sed -i 's/^ADMIN_TOKEN=/#&/' /etc/shellcraft.env");
    machine.set(&format!("INSTANCE={}", machine.instance));
    machine.set("POOL_SIZE=0");
    machine.set("AUTH=jwt");
    machine.run(
        "mkdir -m 700 /etc/secrets; mkdir /etc/systemd/system/shellcraft.service.d
        echo '[Service]' >/etc/systemd/system/shellcraft.service.d/secrets.conf",
    );
    for (name, secret) in secrets {
        keep(machine, name, secret);
        machine.run(&format!(
            "echo LoadCredential={name}:/etc/secrets/{name} >>/etc/systemd/system/shellcraft.service.d/secrets.conf"
        ));
    }
    machine.run(&format!(
        "sed -i 's/^ListenStream=.*/ListenStream={}/' /etc/systemd/system/shellcraft.socket
        systemctl daemon-reload
        systemctl enable --now shellcraft.socket
        systemctl enable --now shellcraft",
        machine.address
    ));
    machine.wait_until_ready();
}

fn keep(machine: &Machine, name: &str, secret: &str) {
    machine.run(&format!(
        "umask 277; rm -f /etc/secrets/{name}; printf %s '{secret}' >/etc/secrets/{name}"
    ));
}

#[test]
fn secrets_come_as_credentials_and_games_stay_through_restarts() {
    let redis = RedisServer::start_with_password(PASSWORD);
    let redis_url = redis
        .url()
        .replace("redis://", &format!("redis://:{PASSWORD}@"));
    let machine = Machine::boot();
    let secrets = [
        ("ADMIN_TOKEN", ADMIN_TOKEN),
        ("JWT_SECRET", JWT_SECRET),
        ("REDIS_URL", &redis_url),
    ];
    install(&machine, &secrets);
    check_confined(&machine);
    let environment = machine.run(&format!(
        "tr '\\0' '\\n' </proc/{}/environ",
        machine.show("MainPID")
    ));
    assert!(environment.contains("CREDENTIALS_DIRECTORY=/run/credentials/shellcraft.service"));
    for secret in [ADMIN_TOKEN, JWT_SECRET, PASSWORD] {
        assert!(!environment.contains(secret), "{environment}");
    }

    // JWT_SECRET: who the portal vouches for may play.
    let anna = token(JWT_SECRET, "anna");
    let forged = token("a secret that somebody else has made up by himself", "anna");
    assert_eq!(ask(&machine, "POST", "/session", &forged).status, 401);
    let reply = ask(&machine, "POST", "/session", &anna);
    assert_eq!(reply.status, 201, "{reply:?}");
    let id = reply.json()["session_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let authorization = format!("Bearer {anna}");
    let open = |query: &str| {
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Sec-WebSocket-Protocol", "shellcraft.v1"),
        ];
        let path = format!("/session/{id}/ws{query}");
        machine.client().open(&path, &headers).expect("it opens")
    };
    let mut page = open("");
    page.expect(" ~ ");
    page.type_in("learn mark echo I was $1\r");
    page.expect("learned mark");

    // REDIS_URL: the game is known there.
    let redis = redis::Client::open(redis_url.as_str()).expect("a URL");
    let mut redis = redis.get_connection().expect("it answers");
    let mut count = redis::cmd("KEYS");
    let keys: Vec<String> = count.arg("shellcraft:*").query(&mut redis).expect("keys");
    assert!(keys.iter().any(|key| key.contains(&id)), "{keys:?}");

    // ADMIN_TOKEN: metrics and games are the operator's.
    for (path, name) in [("/metrics", "shellcraft_sessions"), ("/sessions", &id)] {
        assert_eq!(ask(&machine, "GET", path, NEXT_ADMIN_TOKEN).status, 401);
        let reply = ask(&machine, "GET", path, ADMIN_TOKEN);
        assert!(
            reply.status == 200 && reply.text().contains(name),
            "{reply:?}"
        );
    }

    // Another secret is there after a restart, and the game goes on in its place.
    keep(&machine, "ADMIN_TOKEN", NEXT_ADMIN_TOKEN);
    machine.run("systemctl restart shellcraft");
    assert_eq!(page.close_code(), 1001);
    // Before the games are taken over, pages are told to come back.
    machine.wait_until_ready();
    let mut page = open(&format!("?from={}", page.offset));
    page.type_in("cast mark here\r");
    page.expect("I was here");
    assert_eq!(ask(&machine, "GET", "/sessions", ADMIN_TOKEN).status, 401);
    let log = machine.log();
    for secret in [ADMIN_TOKEN, NEXT_ADMIN_TOKEN, JWT_SECRET, PASSWORD] {
        assert!(!log.contains(secret), "{log}");
    }
    let all = ask(&machine, "DELETE", "/sessions", NEXT_ADMIN_TOKEN);
    assert!((200..300).contains(&all.status), "{all:?}");
    assert_eq!(page.close_code(), 4002);
    assert_eq!(docker::containers(&machine.instance), [] as [String; 0]);
}
