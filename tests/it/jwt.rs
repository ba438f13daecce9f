//! `AUTH=jwt`: players are who their token says, as long as it says so, and tokens are not to be had by tricks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as B64};
use fake_engine::FakeEngine;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use serde_json::{Value, json};
use shellcraft::auth::PlayerId;
use shellcraft::auth::Refusal;
use shellcraft::auth::jwks::{Authorities, Jwks};
use shellcraft::auth::jwt::{Demands, Keys, Verifier};
use shellcraft::auth::key::{BadKey, Key};
use tempfile::{NamedTempFile, TempDir};

use crate::containers::PATIENCE;
use crate::containers::own_address;
use crate::redis_server::RedisServer;
use crate::site::{ADMIN_TOKEN, Reply, Site, wait_for};

const SECRET: &str = "a secret that only the portal and this server know";
/// For tests only: it signs nothing anywhere else.
const RSA: &str = include_str!("../support/keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../support/keys/rsa.pub.pem");

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// Claims of a subject that are good for an hour, and more of them.
fn claims(subject: &str, more: Value) -> Value {
    let mut claims = json!({"sub": subject, "exp": now() + 3600});
    let more = more.as_object().expect("an object").clone();
    claims.as_object_mut().expect("an object").extend(more);
    claims
}

/// What is signed.
fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| B64.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn hs256(secret: &[u8], claims: &Value) -> String {
    let message = message(&json!({"alg": "HS256", "typ": "JWT"}), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", B64.encode(signature))
}

fn token(subject: &str) -> String {
    hs256(SECRET.as_bytes(), &claims(subject, json!({})))
}

/// An Ed25519 key and its name.
struct Ed(Ed25519KeyPair, &'static str);

impl Ed {
    fn new(seed: u8, name: &'static str) -> Ed {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]);
        Ed(key.expect("a seed"), name)
    }

    fn sign(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "EdDSA", "kid": self.1}), claims);
        format!("{message}.{}", B64.encode(self.0.sign(message.as_bytes())))
    }

    fn jwk(&self) -> Value {
        let x = B64.encode(self.0.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.1, "x": x})
    }

    fn pem(&self) -> String {
        // RFC 8410 §10.1: the same for each key, and then the key.
        let prefix = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        let der = [prefix, self.0.public_key().as_ref()].concat();
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }
}

/// An ES256 key, a new one each time.
struct Ec(EcdsaKeyPair);

impl Ec {
    fn new() -> Ec {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let text = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        Ec(EcdsaKeyPair::from_pkcs8(kind, text.as_ref(), &random).expect("the same key"))
    }

    fn sign(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "ES256", "kid": "ec"}), claims);
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes());
        format!("{message}.{}", B64.encode(signature.expect("signed")))
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (B64.encode(x), B64.encode(y));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "ec", "x": x, "y": y})
    }

    fn pem(&self) -> String {
        // RFC 5480 §2.1.1: id-ecPublicKey and prime256v1 for each key, and then the point.
        let prefix = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
            \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
        let der = [&prefix[..], self.0.public_key().as_ref()].concat();
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }
}

fn rsa() -> KeyPair {
    let text: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(text).expect("base64");
    KeyPair::from_pkcs8(&der).expect("a key")
}

fn rs256(key: &KeyPair, claims: &Value) -> String {
    let message = message(&json!({"alg": "RS256", "kid": "rsa"}), claims);
    let mut signature = vec![0; key.public().modulus_len()];
    let random = SystemRandom::new();
    key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        message.as_bytes(),
        &mut signature,
    )
    .expect("signed");
    format!("{message}.{}", B64.encode(signature))
}

fn rsa_jwk(key: &KeyPair) -> Value {
    let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(key.public());
    json!({"kty": "RSA", "alg": "RS256", "kid": "rsa", "n": B64.encode(n), "e": B64.encode(e)})
}

fn verifier(key: Key, demands: Demands) -> Verifier {
    Verifier::new(Keys::One(key), demands)
}

fn of_secret() -> Verifier {
    let key = Key::of_secret(SECRET.as_bytes()).expect("long enough");
    verifier(key, Demands::default())
}

/// What a token with these claims, signed as it should be, is taken for.
#[track_caller]
fn check(demands: &Demands, more: Value, expected: Result<(), Refusal>) {
    let key = Key::of_secret(SECRET.as_bytes()).expect("long enough");
    let token = hs256(SECRET.as_bytes(), &claims("anna", more.clone()));
    let taken_for = verifier(key, demands.clone()).verify(&token).map(drop);
    assert_eq!(taken_for, expected, "{more}");
}

#[test]
fn claims_are_checked() {
    let any = Demands::default();
    let now = now();
    check(&any, json!({}), Ok(()));
    check(&any, json!({"exp": now - 3600}), Err(Refusal::Expired));
    let patient = Demands {
        leeway: Duration::from_secs(120),
        ..Demands::default()
    };
    check(&any, json!({"exp": now - 60}), Err(Refusal::Expired));
    check(&patient, json!({"exp": now - 60}), Ok(()));
    check(&any, json!({"nbf": now + 60}), Err(Refusal::NotYet));
    check(&patient, json!({"nbf": now + 60}), Ok(()));
    check(&any, json!({"exp": null}), Err(Refusal::MissingClaim));
    check(&any, json!({"exp": "tomorrow"}), Err(Refusal::MissingClaim));
    check(
        &any,
        json!({"exp": (now + 60).to_string()}),
        Err(Refusal::MissingClaim),
    );
    check(&any, json!({"nbf": now + 3600}), Err(Refusal::NotYet));
    check(
        &any,
        json!({"nbf": (now + 3600).to_string()}),
        Err(Refusal::MissingClaim),
    );
    check(&any, json!({"nbf": now}), Ok(()));
    check(&any, json!({"sub": null}), Err(Refusal::MissingClaim));
    check(&any, json!({"sub": ""}), Err(Refusal::MissingClaim));
    check(&any, json!({"sub": 7}), Err(Refusal::MissingClaim));
    check(
        &any,
        json!({"sub": "x".repeat(256)}),
        Err(Refusal::MissingClaim),
    );
    check(
        &any,
        json!({"aud": "somebody"}),
        Err(Refusal::WrongAudience),
    );
    let strict = Demands {
        issuer: Some("https://login.example".into()),
        audience: Some("shellcraft".into()),
        ..Demands::default()
    };
    let (issuer, audience) = ("https://login.example", "shellcraft");
    check(&strict, json!({"iss": issuer, "aud": audience}), Ok(()));
    check(
        &strict,
        json!({"iss": issuer, "aud": ["a", audience]}),
        Ok(()),
    );
    check(&strict, json!({"iss": issuer}), Err(Refusal::MissingClaim));
    check(
        &strict,
        json!({"aud": audience}),
        Err(Refusal::MissingClaim),
    );
    check(
        &strict,
        json!({"iss": issuer, "aud": "other"}),
        Err(Refusal::WrongAudience),
    );
    check(
        &strict,
        json!({"iss": "https://evil.example", "aud": audience}),
        Err(Refusal::WrongIssuer),
    );
}

#[test]
fn tokens_that_nobody_has_signed() {
    let (good, claims) = (token("anna"), claims("anna", json!({})));
    let verifier = of_secret();
    assert!(verifier.verify(&good).is_ok());
    for alg in [
        "none", "None", "NONE", "nOnE", "HS512", "RS256", "ES256", "EdDSA", "",
    ] {
        let message = message(&json!({"alg": alg, "typ": "JWT"}), &claims);
        for signature in ["", "AA", good.rsplit('.').next().expect("a signature")] {
            let refused = verifier.verify(&format!("{message}.{signature}"));
            let expected = [Refusal::Malformed, Refusal::WrongAlgorithm];
            assert!(
                refused.is_err_and(|error| expected.contains(&error)),
                "{alg} {signature}"
            );
        }
    }
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let other = token("berta");
    let (other_message, _) = other.rsplit_once('.').expect("a signature");
    for forged in [
        format!("{other_message}.{signature}"),
        format!("{message}."),
        format!("{message}.{}", B64.encode([0; 32])),
        hs256(b"another secret that is as long as the right one", &claims),
    ] {
        assert_eq!(
            verifier.verify(&forged),
            Err(Refusal::WrongSignature),
            "{forged}"
        );
    }
    for odd in [
        "",
        ".",
        "..",
        "a.b.c",
        message,
        &"x".repeat(100_000),
        &good[1..],
        "é.é.é",
    ] {
        assert_eq!(verifier.verify(odd), Err(Refusal::Malformed), "{odd}");
    }
}

/// The public key is no secret, so it must not serve as one.
#[test]
fn a_key_is_for_one_algorithm() {
    let (ed, rsa) = (Ed::new(1, "ed"), rsa());
    let claims = claims("anna", json!({}));
    let key = |pem: &str| Key::of_pem(pem.as_bytes()).expect("a public key");
    let of_ed = verifier(key(&ed.pem()), Demands::default());
    let of_rsa = verifier(key(RSA_PUBLIC), Demands::default());
    assert!(of_ed.verify(&ed.sign(&claims)).is_ok());
    assert!(of_rsa.verify(&rs256(&rsa, &claims)).is_ok());
    assert_eq!(
        of_rsa.verify(&ed.sign(&claims)),
        Err(Refusal::WrongAlgorithm)
    );
    assert_eq!(
        of_ed.verify(&rs256(&rsa, &claims)),
        Err(Refusal::WrongAlgorithm)
    );
    let other = Ed::new(2, "ed");
    assert_eq!(
        of_ed.verify(&other.sign(&claims)),
        Err(Refusal::WrongSignature)
    );
    let der = rsa.public().as_ref();
    for secret in [RSA_PUBLIC.as_bytes(), RSA_PUBLIC.trim().as_bytes(), der] {
        let confused = of_rsa.verify(&hs256(secret, &claims));
        assert_eq!(confused, Err(Refusal::WrongAlgorithm));
    }
    for secret in [ed.pem().as_bytes(), ed.0.public_key().as_ref()] {
        let confused = of_ed.verify(&hs256(secret, &claims));
        assert_eq!(confused, Err(Refusal::WrongAlgorithm));
    }
}

#[test]
fn a_key_of_the_curve_p_256_is_for_es256() {
    let (ec, ed, rsa) = (Ec::new(), Ed::new(1, "ed"), rsa());
    let claims = claims("anna", json!({}));
    let key = Key::of_pem(ec.pem().as_bytes()).expect("a public key");
    let of_ec = verifier(key, Demands::default());
    let good = ec.sign(&claims);
    assert!(of_ec.verify(&good).is_ok());
    let wrong = Err(Refusal::WrongSignature);
    assert_eq!(of_ec.verify(&Ec::new().sign(&claims)), wrong);
    let (message_of_it, signature) = good.rsplit_once('.').expect("a signature");
    // All zero is what careless mathematics takes for a signature of anything (CVE-2022-21449).
    for signature in [vec![0_u8; 64], vec![0; 63], vec![], vec![0xff; 64]] {
        let forged = format!("{message_of_it}.{}", B64.encode(signature));
        assert_eq!(of_ec.verify(&forged), wrong);
    }
    let wrong = Err(Refusal::WrongAlgorithm);
    let point = ec.0.public_key().as_ref();
    for secret in [ec.pem().as_bytes(), ec.pem().trim().as_bytes(), point] {
        assert_eq!(of_ec.verify(&hs256(secret, &claims)), wrong);
    }
    for alg in ["ES384", "EdDSA", "RS256", "PS256"] {
        let message = message(&json!({"alg": alg, "kid": "ec"}), &claims);
        assert_eq!(of_ec.verify(&format!("{message}.{signature}")), wrong);
    }
    assert_eq!(of_ec.verify(&ed.sign(&claims)), wrong);
    assert_eq!(of_ec.verify(&rs256(&rsa, &claims)), wrong);
    let key = |pem: &str| Key::of_pem(pem.as_bytes()).expect("a public key");
    for pem in [RSA_PUBLIC, &ed.pem()] {
        let other = verifier(key(pem), Demands::default());
        assert_eq!(other.verify(&good), wrong);
    }
}

/// Keys of P-384 and of secp256k1, whose points are as long as ours, a compressed point, and one beside the curve.
#[test]
fn keys_of_other_curves_are_refused() {
    let ec = Ec::new();
    let beside = {
        let (pem, point) = (ec.pem(), ec.0.public_key().as_ref());
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let mut der = BASE64_STANDARD.decode(text).expect("base64");
        assert!(der.ends_with(point));
        *der.last_mut().expect("a byte") ^= 1;
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    };
    for (name, pem) in [
        ("P-384", include_str!("../support/keys/p384.pub.pem")),
        (
            "secp256k1",
            include_str!("../support/keys/secp256k1.pub.pem"),
        ),
        (
            "compressed",
            include_str!("../support/keys/p256_compressed.pub.pem"),
        ),
        ("beside the curve", &beside),
    ] {
        let refused = Key::of_pem(pem.as_bytes()).err();
        assert_eq!(refused, Some(BadKey::NotPem), "{name}");
    }
}

// A portal with public keys.

struct Portal {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    is_over: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Portal {
    fn start(keys: &[&Value]) -> Portal {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(String::new()));
        let (asked, is_over) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<bool>>::default());
        let (text, count, over) = (
            Arc::clone(&answer),
            Arc::clone(&asked),
            Arc::clone(&is_over),
        );
        let thread = std::thread::Builder::new().name("portal".into());
        let thread = thread.spawn(move || {
            for stream in listener.incoming() {
                if *over.lock().expect("no panic") {
                    return;
                }
                let mut stream = stream.expect("a connection");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(text.lock().expect("no panic").as_bytes());
            }
        });
        let portal = Portal {
            address,
            answer,
            asked,
            is_over,
            thread: Some(thread.expect("a thread")),
        };
        portal.offer(keys);
        portal
    }

    fn offer(&self, keys: &[&Value]) {
        self.say(200, &json!({"keys": keys}).to_string());
    }

    fn say(&self, status: u16, body: &str) {
        let length = body.len();
        *self.answer.lock().expect("no panic") = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        *self.is_over.lock().expect("no panic") = true;
        let _ = std::net::TcpStream::connect(self.address);
        let _ = self.thread.take().expect("it runs").join();
    }
}

fn fetching(portal: &Portal, pause: Duration) -> Verifier {
    let jwks = Jwks::new(&portal.url(), None).with_pause(pause);
    Verifier::new(Keys::Fetched(jwks), Demands::default())
}

#[test]
fn keys_are_fetched_and_changed() {
    let (old, new) = (Ed::new(1, "old"), Ed::new(2, "new"));
    let claims = claims("anna", json!({}));
    let portal = Portal::start(&[&old.jwk()]);
    let verifier = fetching(&portal, Duration::ZERO);
    for _ in 0..3 {
        assert!(verifier.verify(&old.sign(&claims)).is_ok());
    }
    assert_eq!(portal.asked(), 1, "they are kept");
    assert_eq!(
        verifier.verify(&new.sign(&claims)),
        Err(Refusal::UnknownKey)
    );
    let rsa = rsa();
    let ec = Ec::new();
    portal.offer(&[&new.jwk(), &rsa_jwk(&rsa), &ec.jwk()]);
    assert!(verifier.verify(&new.sign(&claims)).is_ok());
    assert!(verifier.verify(&rs256(&rsa, &claims)).is_ok());
    assert!(verifier.verify(&ec.sign(&claims)).is_ok());
    // Another key under the same name, and the public one as a secret.
    let wrong = Err(Refusal::WrongSignature);
    assert_eq!(verifier.verify(&Ec::new().sign(&claims)), wrong);
    let message = message(&json!({"alg": "HS256", "kid": "ec"}), &claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, ec.0.public_key().as_ref());
    let confused = format!(
        "{message}.{}",
        B64.encode(hmac::sign(&key, message.as_bytes()))
    );
    assert_eq!(verifier.verify(&confused), Err(Refusal::UnknownKey));
    assert_eq!(
        verifier.verify(&old.sign(&claims)),
        Err(Refusal::UnknownKey)
    );
    // The portal talks nonsense for a while, or breaks: what is known stays.
    let long = format!("{{\"keys\":[], \"x\": \"{}\"}}", "x".repeat(1 << 20));
    for (status, body) in [
        (200, "no"),
        (200, "{\"keys\":[]}"),
        (500, "{}"),
        (302, ""),
        (200, &long),
    ] {
        portal.say(status, body);
        let asked = portal.asked();
        assert_eq!(
            verifier.verify(&old.sign(&claims)),
            Err(Refusal::UnknownKey)
        );
        assert!(portal.asked() > asked);
        assert!(
            verifier.verify(&new.sign(&claims)).is_ok(),
            "{status} {body:.9}"
        );
    }
    drop(portal);
    assert!(
        verifier.verify(&new.sign(&claims)).is_ok(),
        "the portal is away"
    );
}

/// A portal that changes its key again and again, as soon as the new one is published, while logins never pause: who comes
/// during a fetch is asked to come again, and nobody is told that the token is bad.
#[test]
fn keys_are_changed_under_load() {
    const THREADS: usize = 8;
    const CHANGES: u8 = 10;
    let key = |number: u8| Ed::new(number + 1, format!("key-{number}").leak());
    let claims = claims("anna", json!({}));
    let token = |number: u8| key(number).sign(&claims);
    let portal = Portal::start(&[&key(0).jwk()]);
    let verifier = fetching(&portal, Duration::ZERO);
    let current = Mutex::new((0, token(0)));
    let is_over = AtomicBool::new(false);
    // The newest key that each thread was believed with.
    let believed: [AtomicUsize; THREADS] = Default::default();
    thread::scope(|scope| {
        // A failed check must not leave the threads running.
        let _over = OnDrop(&is_over);
        for newest in &believed {
            let (current, is_over, verifier) = (&current, &is_over, &verifier);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let (number, token) = current.lock().expect("no panic").clone();
                    match verifier.verify(&token) {
                        Ok(bearer) => {
                            assert_eq!(bearer.player, PlayerId::of_subject("anna"));
                            newest.store(usize::from(number), Ordering::SeqCst);
                        }
                        Err(Refusal::KeysAway) => thread::yield_now(),
                        Err(refusal) => panic!("key {number}: {refusal:?}"),
                    }
                }
            });
        }
        for number in 1..=CHANGES {
            // The old ones stay, for whoever was told by them.
            let jwks: Vec<Value> = (0..=number).map(|number| key(number).jwk()).collect();
            portal.offer(&jwks.iter().collect::<Vec<_>>());
            *current.lock().expect("no panic") = (number, token(number));
            wait_for("all to be believed with the new key", || {
                let is_there =
                    |newest: &AtomicUsize| newest.load(Ordering::SeqCst) == usize::from(number);
                believed.iter().all(is_there)
            });
        }
    });
}

/// Says that it is over, by a panic too.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn keys_that_nobody_has_are_not_asked_for_again_and_again() {
    let (known, unknown) = (Ed::new(1, "known"), Ed::new(2, "unknown"));
    let claims = claims("anna", json!({}));
    let portal = Portal::start(&[&known.jwk()]);
    let verifier = fetching(&portal, Duration::from_secs(3600));
    for _ in 0..20 {
        assert_eq!(
            verifier.verify(&unknown.sign(&claims)),
            Err(Refusal::UnknownKey)
        );
    }
    assert_eq!(portal.asked(), 1);
    assert!(verifier.verify(&known.sign(&claims)).is_ok());
}

#[test]
fn without_keys_nobody_is_believed() {
    let ed = Ed::new(1, "ed");
    let claims = claims("anna", json!({}));
    let portal = Portal::start(&[]);
    let verifier = fetching(&portal, Duration::ZERO);
    assert_eq!(verifier.verify(&ed.sign(&claims)), Err(Refusal::KeysAway));
    portal.offer(&[&ed.jwk()]);
    assert!(verifier.verify(&ed.sign(&claims)).is_ok());
}

/// Caddy with a certificate of its own authority, which answers with `keys` at `/keys`.
struct TlsPortal {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl TlsPortal {
    fn start(keys: &Value) -> TlsPortal {
        let directory = TempDir::new().expect("a directory");
        let address = own_address();
        std::fs::write(directory.path().join("keys"), keys.to_string()).expect("written");
        // Who asks by an address names no server.
        let text = format!(
            "{{\n admin off\n skip_install_trust\n auto_https disable_redirects\n default_sni {}\n}}\n\
             https://{address} {{\n bind {}\n tls internal\n root * {}\n file_server\n}}\n",
            address.ip(),
            address.ip(),
            directory.path().display()
        );
        let config = directory.path().join("Caddyfile");
        std::fs::write(&config, text).expect("written");
        let child = Command::new("caddy")
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(&config)
            .env("HOME", directory.path())
            .env("XDG_DATA_HOME", directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("caddy: {error}; install the package caddy"));
        TlsPortal {
            child,
            directory,
            address,
        }
    }

    fn url(&self) -> String {
        format!("https://{}/keys", self.address)
    }

    /// Its authority's certificate, once it has made one.
    fn authority(&self) -> Option<Authorities> {
        let path = "caddy/pki/authorities/local/root.crt";
        Authorities::of_pem(&std::fs::read(self.directory.path().join(path)).ok()?)
    }
}

impl Drop for TlsPortal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_come_over_tls_from_whom_an_authority_vouches_for() {
    let ed = Ed::new(1, "ed");
    let token = ed.sign(&claims("anna", json!({})));
    let portal = TlsPortal::start(&json!({"keys": [ed.jwk()]}));
    let fetching = |authorities| {
        let jwks = Jwks::new(&portal.url(), authorities).with_pause(Duration::ZERO);
        Verifier::new(Keys::Fetched(jwks), Demands::default())
    };
    wait_for("a certificate", || portal.authority().is_some());
    let vouched = fetching(portal.authority());
    wait_for("the keys", || vouched.verify(&token).is_ok());
    let unknown = fetching(None);
    assert_eq!(unknown.verify(&token), Err(Refusal::KeysAway));
}

// A server that wants tokens.

const BY_TOKEN: [&str; 4] = ["--auth", "jwt", "--jwt-secret", SECRET];

fn site(more: &[&str]) -> (FakeEngine, Site) {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[&BY_TOKEN, more].concat());
    (engine, site)
}

fn ask(site: &Site, method: &str, path: &str, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    site.request(method, path, &headers, b"")
}

/// A code would outlive the login.
#[test]
fn who_logs_in_has_no_recovery_code() {
    let (_engine, site) = site(&[]);
    let anna = token("anna");
    assert_eq!(ask(&site, "POST", "/session", &anna).status, 201);
    let code = format!("2{}", "-00000000".repeat(8));
    let body = json!({ "recovery_code": code }).to_string();
    for (path, body) in [("/recovery-code", ""), ("/recover", body.as_str())] {
        let bearer = format!("Bearer {anna}");
        let headers = [("Authorization", bearer.as_str())];
        let refused = site.request("POST", path, &headers, body.as_bytes());
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
        assert!(refused.header("set-cookie").is_none());
    }
    let page = site.get("/").text();
    assert!(!page.contains("ecovery code"), "{page}");
}

#[test]
fn a_token_makes_a_player_and_its_sessions_are_theirs() {
    let (engine, site) = site(&["--jwt-operator-claim", "roles=operator"]);
    let nobody = site.post("/session", "");
    assert_eq!(
        (nobody.status, nobody.code().as_str()),
        (401, "unauthorized")
    );
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    let stolen = hs256(
        SECRET.as_bytes(),
        &claims("anna", json!({"exp": now() - 60})),
    );
    for bad in ["x", &stolen, &token("anna")[..60]] {
        let reply = ask(&site, "POST", "/session", bad);
        assert_eq!(reply.status, 401, "{bad}");
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
    assert_eq!(engine.calls("ContainerCreate"), 0);
    let (anna, berta) = (token("anna"), token("berta"));
    let created = ask(&site, "POST", "/session", &anna);
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("set-cookie"), None);
    let body = created.json();
    assert!(
        body["token"].is_null(),
        "a session's token would outlive the login"
    );
    let path = format!("/session/{}", body["session_id"].as_str().expect("an id"));
    let status = format!("{path}/status");
    // Another token of hers is as good; other people's are not.
    let again = hs256(SECRET.as_bytes(), &claims("anna", json!({"jti": "2"})));
    assert_eq!(ask(&site, "GET", &status, &again).status, 200);
    assert_eq!(ask(&site, "GET", &status, &berta).status, 404);
    assert_eq!(ask(&site, "DELETE", &path, &berta).status, 404);
    assert_eq!(site.get(&status).status, 401);
    assert_eq!(ask(&site, "GET", &status, ADMIN_TOKEN).status, 200);
    // Operators are made by a claim.
    assert_eq!(
        ask(&site, "GET", "/sessions", &anna).code(),
        "operator_only"
    );
    let claims = claims("clara", json!({"roles": ["player", "operator"]}));
    let clara = hs256(SECRET.as_bytes(), &claims);
    assert_eq!(ask(&site, "GET", "/sessions", &clara).status, 200);
    assert_eq!(ask(&site, "GET", &status, &clara).status, 200);
    assert_eq!(ask(&site, "DELETE", &path, &anna).status, 204);
}

#[test]
fn a_browser_logs_in_and_out() {
    let (_engine, site) = site(&[
        "--public-url",
        "https://play.example",
        "--jwt-cookie",
        "pass",
    ]);
    let anna = token("anna");
    assert_eq!(site.post("/login", "").status, 401);
    assert_eq!(ask(&site, "POST", "/login", "x").status, 401);
    let long = hs256(
        SECRET.as_bytes(),
        &claims("anna", json!({"x": "x".repeat(4000)})),
    );
    assert_eq!(ask(&site, "POST", "/login", &long).code(), "token_too_long");
    let reply = ask(&site, "POST", "/login", &anna);
    assert_eq!(reply.status, 204, "{reply:?}");
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(
        set.starts_with(&format!("pass={anna}; Path=/; Max-Age=3")),
        "{set}"
    );
    assert!(
        set.ends_with("; HttpOnly; SameSite=Strict; Secure"),
        "{set}"
    );
    let cookie = format!("pass={anna}");
    let mine = [("Cookie", cookie.as_str())];
    let created = site.request("POST", "/session", &mine, b"").json();
    let id = created["session_id"].as_str().expect("an id");
    let connect = site.request("GET", &format!("/session/{id}/connect"), &mine, b"");
    assert_eq!(connect.status, 200);
    let mut page = site
        .open(&format!("/session/{id}/ws"), &mine)
        .expect("a terminal");
    page.expect("$ ");
    // One that a neighbouring host has planted beside it makes nobody the other.
    let planted = format!("pass={}; pass={anna}", token("mallory"));
    let refused = site.request("POST", "/session", &[("Cookie", &planted)], b"");
    assert_eq!(refused.status, 401, "{refused:?}");
    let twice = format!("pass={anna}; pass={anna}");
    let connect = format!("/session/{id}/connect");
    assert_eq!(
        site.request("GET", &connect, &[("Cookie", &twice)], b"")
            .status,
        200
    );
    let reply = site.request("POST", "/logout", &mine, b"");
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.starts_with("pass=; Path=/; Max-Age=0"), "{set}");
    assert_eq!(page.close_code(), 1008);
}

/// No upgrade after it has run out, and terminals that are open then end, whichever way they were opened.
#[test]
fn a_login_that_runs_out_ends_its_terminals() {
    let (_engine, site) = site(&[]);
    let owner = token("anna");
    let created = ask(&site, "POST", "/session", &owner).json();
    let id = created["session_id"].as_str().expect("an id");
    // Long enough to open a terminal on the slowest machine, or the test would tell nothing.
    let exp = now() + 5;
    let short = hs256(SECRET.as_bytes(), &claims("anna", json!({"exp": exp})));
    let bearer = format!("Bearer {short}");
    let ticket = ask(&site, "POST", &format!("/session/{id}/ticket"), &short).json();
    let ticket = ticket["ticket"].as_str().expect("a ticket");
    let mut by_ticket = site
        .open(&format!("/session/{id}/ws?ticket={ticket}"), &[])
        .expect("a terminal");
    by_ticket.expect("$ ");
    assert_eq!(by_ticket.close_code(), 1008);
    assert!(now() >= exp, "not before");
    let mut late = site
        .open(&format!("/session/{id}/ws"), &[("Authorization", &bearer)])
        .ok();
    // Within the clocks' leeway it may be let in, and is sent away at once.
    if let Some(late) = &mut late {
        assert_eq!(late.close_code(), 1008);
    }
    let owner = format!("Bearer {owner}");
    let mut page = site
        .open(&format!("/session/{id}/ws"), &[("Authorization", &owner)])
        .expect("the game goes on");
    page.type_in("echo on\r");
    page.expect("on");
}

/// A token that was issued so many seconds from now.
fn issued(subject: &str, seconds: i64) -> String {
    let iat = now().checked_add_signed(seconds).expect("after 1970");
    hs256(SECRET.as_bytes(), &claims(subject, json!({"iat": iat})))
}

#[test]
fn a_player_who_is_revoked_is_sent_away_and_may_log_in_again() {
    let flags = [
        "--jwt-operator-claim",
        "roles=operator",
        "--jwt-leeway",
        "1s",
    ];
    let (engine, site) = site(&flags);
    let (anna, berta) = (issued("anna", -5), issued("berta", -5));
    let name = PlayerId::of_subject("anna");
    let path = format!("/admin/revoked/{name}");
    let created = ask(&site, "POST", "/session", &anna).json();
    let id = created["session_id"].as_str().expect("an id").to_owned();
    let (status, ws) = (format!("/session/{id}/status"), format!("/session/{id}/ws"));
    let bearer = |token: &str| format!("Bearer {token}");
    let open = |token: &str| site.open(&ws, &[("Authorization", &bearer(token))]);
    let mut page = open(&anna).expect("a terminal");
    page.expect("$ ");
    let link = ask(&site, "POST", &format!("/session/{id}/watch"), &anna).json();
    let link = link["ws_url"].as_str().expect("an address").to_owned();
    let link = &link[link.find("/watch/").expect("a path")..];
    let mut spectator = site.open(link, &[]).expect("a spectator");
    spectator.expect("$ ");
    let ticket = ask(&site, "POST", &format!("/session/{id}/ticket"), &anna).json();
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    let other = ask(&site, "POST", "/session", &berta).json();
    // Not for players, not even of themselves, and not for a page of another site.
    assert_eq!(ask(&site, "PUT", &path, &anna).code(), "operator_only");
    assert_eq!(ask(&site, "GET", "/admin/revoked", &anna).status, 403);
    let operator = bearer(ADMIN_TOKEN);
    let foreign = [
        ("Authorization", operator.as_str()),
        ("Origin", "http://evil.example"),
    ];
    for method in ["PUT", "DELETE"] {
        assert_eq!(site.request(method, &path, &foreign, b"").status, 403);
    }
    assert_eq!(
        ask(&site, "DELETE", &path, ADMIN_TOKEN).code(),
        "not_revoked"
    );
    // Of this very second, by a clock that may be ahead, and by one that is wrong.
    let [new, ahead, wrong] = [0, 1, 1_000_000].map(|seconds| issued("anna", seconds));
    let reply = ask(&site, "PUT", &path, ADMIN_TOKEN);
    assert_eq!((reply.status, &reply.json()["sessions"]), (200, &json!(1)));
    let revoked = now();
    assert_eq!(page.close_code(), 1008);
    assert_eq!(spectator.close_code(), 1008);
    assert!(site.open(link, &[]).is_err(), "the link is revoked");
    // Whatever was issued before opens nothing, nor does what does not say when it was.
    for old in [&anna, &new, &ahead, &wrong, &token("anna")] {
        for (method, path) in [
            ("GET", status.as_str()),
            ("POST", "/session"),
            ("POST", "/login"),
            ("DELETE", &format!("/session/{id}")),
        ] {
            let reply = ask(&site, method, path, old);
            assert_eq!(reply.status, 401, "{method} {path}");
            assert!(reply.text().contains("ended by the server's operator"));
        }
        assert!(open(old).is_err());
    }
    assert!(site.open(&format!("{ws}?ticket={ticket}"), &[]).is_err());
    // Others are left alone, and so is the game.
    let other = format!(
        "/session/{}/status",
        other["session_id"].as_str().expect("an id")
    );
    assert_eq!(ask(&site, "GET", &other, &berta).status, 200);
    assert_eq!(
        ask(&site, "GET", &status, ADMIN_TOKEN).json()["status"],
        "running"
    );
    // Whoever logs in anew goes on.
    wait_for("clocks to agree that it is later", || now() > revoked + 1);
    let again = issued("anna", 0);
    let mut page = open(&again).expect("a terminal");
    page.type_in("echo again\r");
    page.expect("again");
    // It holds over a restart, until it is taken back.
    let life = site.leave();
    let site = Site::start_in(
        life,
        &engine.docker_host(),
        &[&BY_TOKEN[..], &flags].concat(),
    );
    wait_for("the server to be ready", || {
        site.get("/readyz").status == 200
    });
    assert_eq!(ask(&site, "GET", &status, &anna).status, 401);
    let list = ask(&site, "GET", "/admin/revoked", ADMIN_TOKEN).json();
    assert_eq!(list["revoked"][0]["player"], name.to_string());
    assert_eq!(ask(&site, "DELETE", &path, ADMIN_TOKEN).status, 204);
    assert_eq!(ask(&site, "GET", &status, &anna).status, 200);
    let list = ask(&site, "GET", "/admin/revoked", ADMIN_TOKEN).json();
    assert_eq!(list["revoked"], json!([]));
}

/// A container may take minutes where many want one: the ticket is no newer than what it was asked for with.
#[test]
fn a_game_that_is_made_for_somebody_who_is_revoked_meanwhile_opens_nothing() {
    let (engine, site) = site(&[]);
    let anna = issued("anna", -5);
    let path = format!("/admin/revoked/{}", PlayerId::of_subject("anna"));
    engine.hang("ContainerCreate");
    let created = thread::scope(|scope| {
        let start = scope.spawn(|| ask(&site, "POST", "/session", &anna));
        assert!(engine.await_calls("ContainerCreate", 1, PATIENCE));
        assert_eq!(ask(&site, "PUT", &path, ADMIN_TOKEN).status, 200);
        engine.release("ContainerCreate");
        start.join().expect("no panic").json()
    });
    let ws = created["ws_url"].as_str().expect("an address");
    let opened = site.open(&ws[ws.find("/session/").expect("a path")..], &[]);
    assert!(opened.is_err(), "the ticket is good");
}

#[test]
fn servers_that_share_a_redis_tell_each_other_who_is_revoked() {
    let engine = FakeEngine::start();
    let redis = RedisServer::start();
    let url = redis.url();
    let more = ["--redis-url", &url];
    let flags = [&BY_TOKEN[..], &more].concat();
    let [one, two] = [(); 2].map(|()| Site::start(&engine.docker_host(), &flags));
    let anna = issued("anna", -5);
    let created = ask(&two, "POST", "/session", &anna).json();
    let ws = created["ws_url"].as_str().expect("an address");
    let mut page = two
        .open(&ws[ws.find("/session/").expect("a path")..], &[])
        .expect("a terminal");
    page.expect("$ ");
    let path = format!("/admin/revoked/{}", PlayerId::of_subject("anna"));
    assert_eq!(ask(&one, "PUT", &path, ADMIN_TOKEN).status, 200);
    assert_eq!(page.close_code(), 1008);
    assert_eq!(ask(&two, "POST", "/session", &anna).status, 401);
    assert_eq!(ask(&one, "DELETE", &path, ADMIN_TOKEN).status, 204);
    wait_for("the other server to know", || {
        ask(&two, "POST", "/session", &anna).status == 201
    });
}

#[test]
fn an_operator_who_is_revoked_is_none() {
    let (_engine, site) = site(&["--jwt-operator-claim", "roles=operator"]);
    let claims = claims("clara", json!({"roles": "operator", "iat": now() - 5}));
    let clara = hs256(SECRET.as_bytes(), &claims);
    let login = json!({"token": clara}).to_string();
    let log_in = || site.request("POST", "/admin/login", &[], login.as_bytes());
    let reply = log_in();
    let set = reply.header("set-cookie").expect("a cookie");
    let cookie = [("Cookie", set.split(';').next().expect("a value"))];
    let health = || site.request("GET", "/admin/health", &cookie, b"").status;
    assert_eq!(health(), 200);
    let path = format!("/admin/revoked/{}", PlayerId::of_subject("clara"));
    assert_eq!(ask(&site, "PUT", &path, ADMIN_TOKEN).status, 200);
    assert_eq!(health(), 401);
    assert_eq!(ask(&site, "GET", "/sessions", &clara).status, 401);
    assert_eq!(log_in().status, 401);
}

#[test]
fn a_server_takes_tokens_signed_by_a_public_key() {
    let engine = FakeEngine::start();
    let (ed, claims) = (Ed::new(1, "ed"), claims("anna", json!({})));
    let mut pem = NamedTempFile::new().expect("a file");
    pem.write_all(RSA_PUBLIC.as_bytes()).expect("written");
    let path = pem.path().to_str().expect("UTF-8");
    let flags = ["--auth", "jwt", "--jwt-public-key-file", path];
    let site = Site::start(&engine.docker_host(), &flags);
    let created = ask(&site, "POST", "/session", &rs256(&rsa(), &claims));
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(
        ask(&site, "POST", "/session", &ed.sign(&claims)).status,
        401
    );
    // The portal is away when the server starts, and comes.
    let portal = Portal::start(&[]);
    portal.say(503, "");
    let flags = ["--auth", "jwt", "--jwt-jwks-url", &portal.url()];
    let site = Site::start(&engine.docker_host(), &flags);
    let away = ask(&site, "POST", "/session", &ed.sign(&claims));
    assert_eq!(
        (away.status, away.code().as_str()),
        (503, "login_unavailable")
    );
    assert!(away.header("retry-after").is_some());
    assert_eq!(site.get("/healthz").status, 200);
}

#[test]
fn without_tokens_there_is_nothing_to_log_in_with() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    assert_eq!(ask(&site, "POST", "/login", "x").code(), "not_found");
}
