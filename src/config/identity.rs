//! The settings by which players and operators are known, and what of them fits together.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::parse::{Parsed, admin_token, redis_url};
use crate::auth::cookie::{KEY_BYTES, Names};
use crate::auth::gate::{JwtSettings, KeySource};
use crate::auth::jwks::Authorities;
use crate::auth::jwt::{Demands, OperatorClaim};
use crate::auth::key::Key;
use crate::auth::{self, CookieKey, Mode};
use crate::redis;

/// No key's file is bigger.
const FILE_LIMIT_BYTES: u64 = 64 * 1024;

/// Flags whose values are never printed.
pub(super) const SECRET_FLAGS: [&str; 3] = ["--admin-token", "--cookie-key", "--jwt-secret"];

/// Who players are, and who is an operator.
#[derive(Debug, Clone, Args)]
pub struct Identities {
    /// How players are known: anonymous (a cookie that anybody gets) or jwt (a token that somebody else gives out).
    #[arg(long, env = "AUTH", default_value = "anonymous", value_parser = auth)]
    pub auth: Auth,

    /// Key that signs players' cookies, at least 32 characters. Without it one is made and kept in the store.
    #[arg(long, env = "COOKIE_KEY", hide_env_values = true, value_parser = cookie_key)]
    pub cookie_key: Option<Secret>,

    /// File with that key, in place of COOKIE_KEY.
    #[arg(long, env = "COOKIE_KEY_FILE", value_name = "FILE")]
    pub cookie_key_file: Option<PathBuf>,

    /// Secret of tokens signed with HS256, at least 32 characters.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_parser = jwt_secret)]
    pub jwt_secret: Option<Secret>,

    /// File with that secret, in place of JWT_SECRET.
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,

    /// File with the public key (PEM) of tokens signed with RS256, ES256 or EdDSA.
    #[arg(long, env = "JWT_PUBLIC_KEY_FILE", value_name = "FILE")]
    pub jwt_public_key_file: Option<PathBuf>,

    /// Address of the public keys (JWKS) of tokens signed with RS256, ES256 or EdDSA.
    #[arg(long, env = "JWT_JWKS_URL", hide_env_values = true, value_name = "URL", value_parser = jwks_url)]
    pub jwt_jwks_url: Option<Secret>,

    /// File with that address, in place of JWT_JWKS_URL, for one with a password in it.
    #[arg(long, env = "JWT_JWKS_URL_FILE", value_name = "FILE")]
    pub jwt_jwks_url_file: Option<PathBuf>,

    /// File with the certificates (PEM) of the authorities that may vouch for that address, in place of the public ones.
    #[arg(long, env = "JWT_JWKS_CA_FILE", value_name = "FILE")]
    pub jwt_jwks_ca_file: Option<PathBuf>,

    /// What a token's iss must be; any without it.
    #[arg(long, env = "JWT_ISSUER", value_parser = some_text)]
    pub jwt_issuer: Option<String>,

    /// What a token's aud must be or hold; without it tokens must have none.
    #[arg(long, env = "JWT_AUDIENCE", value_parser = some_text)]
    pub jwt_audience: Option<String>,

    /// Claim that makes an operator, such as role=operator; the claim may be a list that holds the value.
    #[arg(long, env = "JWT_OPERATOR_CLAIM", value_parser = operator_claim)]
    pub jwt_operator_claim: Option<OperatorClaim>,

    /// How far this host's clock and the portal's may differ.
    #[arg(long, env = "JWT_LEEWAY", default_value = "10s", value_parser = leeway)]
    pub jwt_leeway: Duration,

    /// Name of the cookie that may hold a token.
    #[arg(long, env = "JWT_COOKIE", default_value = "shellcraft_jwt", value_parser = cookie_name)]
    pub jwt_cookie: String,

    /// File with the operator's token, in place of ADMIN_TOKEN.
    #[arg(long, env = "ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

/// How players are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// By a cookie that anybody gets.
    Anonymous,
    /// By a token.
    Jwt,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(hidden)")
    }
}

impl Identities {
    /// The operator's token: the one given, or the one in the file.
    ///
    /// # Errors
    /// A line for the operator.
    pub(super) fn admin_token(&self, given: Option<String>) -> Parsed<Option<String>> {
        let name = "ADMIN_TOKEN";
        let given = given.map(Secret);
        let from_file = from_file(name, given.as_ref(), self.admin_token_file.as_deref())?;
        let token = from_file.map(|text| {
            let bad = |cause| format!("{name}_FILE has no token in it: {cause}");
            admin_token(&text).map_err(bad)
        });
        token.transpose()
    }

    /// What the server needs of all this.
    ///
    /// # Errors
    /// A line for the operator.
    pub(super) fn settings(&self, admin_token: Option<String>) -> Parsed<auth::Settings> {
        let key = self.cookie_key.as_ref();
        let key = from_file("COOKIE_KEY", key, self.cookie_key_file.as_deref())?;
        let cookie_key = key.map(|text| {
            let bad = |cause| format!("COOKIE_KEY_FILE has no key in it: {cause}");
            cookie_key(&text).map_err(bad)
        });
        let cookie_key = cookie_key.transpose()?;
        Ok(auth::Settings {
            mode: self.mode()?,
            cookie_key: cookie_key.map(|key| CookieKey::new(key.0.as_bytes())),
            // They depend on PUBLIC_URL.
            names: Names::default(),
            admin_token,
        })
    }

    fn mode(&self) -> Parsed<Mode> {
        let sources = [
            ("JWT_SECRET", self.jwt_secret.is_some()),
            ("JWT_SECRET_FILE", self.jwt_secret_file.is_some()),
            ("JWT_PUBLIC_KEY_FILE", self.jwt_public_key_file.is_some()),
            ("JWT_JWKS_URL", self.jwt_jwks_url.is_some()),
            ("JWT_JWKS_URL_FILE", self.jwt_jwks_url_file.is_some()),
        ];
        let given: Vec<_> = sources.iter().filter(|(_, is_set)| *is_set).collect();
        match (self.auth, &given[..]) {
            (Auth::Anonymous, []) => Ok(Mode::Anonymous),
            (Auth::Anonymous, [(name, _), ..]) => Err(format!(
                "{name} is set, but AUTH is anonymous, which has no use for it: set AUTH=jwt or leave it out"
            )),
            (Auth::Jwt, []) => Err(
                "AUTH=jwt needs the key that tokens are signed with: set JWT_SECRET, JWT_SECRET_FILE, \
                 JWT_PUBLIC_KEY_FILE, JWT_JWKS_URL or JWT_JWKS_URL_FILE"
                    .into(),
            ),
            (Auth::Jwt, [_]) => Ok(Mode::Jwt(JwtSettings {
                key: self.key()?,
                demands: Demands {
                    issuer: self.jwt_issuer.clone(),
                    audience: self.jwt_audience.clone(),
                    operator: self.jwt_operator_claim.clone(),
                    leeway: self.jwt_leeway,
                },
                cookie: self.jwt_cookie.clone(),
            })),
            (Auth::Jwt, [(one, _), (other, _), ..]) => Err(format!(
                "{one} and {other} are both set, and tokens are signed with one key: leave one of them out"
            )),
        }
    }

    fn authorities(&self) -> Parsed<Option<Authorities>> {
        let Some(path) = &self.jwt_jwks_ca_file else {
            return Ok(None);
        };
        let pem = read("JWT_JWKS_CA_FILE", path)?;
        let authorities = Authorities::of_pem(pem.as_bytes()).ok_or_else(|| {
            format!("JWT_JWKS_CA_FILE can't be {path:?}: certificates in PEM are needed")
        })?;
        Ok(Some(authorities))
    }

    fn key(&self) -> Parsed<KeySource> {
        let url = self.jwt_jwks_url.as_ref();
        if let Some(url) = from_file("JWT_JWKS_URL", url, self.jwt_jwks_url_file.as_deref())? {
            let bad = |cause| format!("JWT_JWKS_URL_FILE has no address in it: {cause}");
            return Ok(KeySource::Url {
                url: jwks_url(&url).map_err(bad)?.0,
                authorities: self.authorities()?,
            });
        }
        if let Some(path) = &self.jwt_public_key_file {
            let pem = read("JWT_PUBLIC_KEY_FILE", path)?;
            let key = Key::of_pem(pem.as_bytes());
            let bad = |cause| format!("JWT_PUBLIC_KEY_FILE can't be {path:?}: {cause}");
            return key.map(KeySource::Known).map_err(bad);
        }
        let secret = self.jwt_secret.as_ref();
        let secret = from_file("JWT_SECRET", secret, self.jwt_secret_file.as_deref())?;
        let key = Key::of_secret(secret.unwrap_or_default().as_bytes());
        let bad = |cause| format!("JWT_SECRET_FILE has no secret in it: {cause}");
        key.map(KeySource::Known).map_err(bad)
    }
}

/// A secret that is given itself or in a file; not both.
fn from_file(name: &str, given: Option<&Secret>, path: Option<&Path>) -> Parsed<Option<String>> {
    match (given, path) {
        (Some(_), Some(_)) => Err(format!(
            "{name} and {name}_FILE are both set: leave one of them out"
        )),
        (given, None) => Ok(given.map(|secret| secret.0.clone())),
        (None, Some(path)) => read(&format!("{name}_FILE"), path).map(Some),
    }
}

/// A small file's text, without the line's end that editors add.
fn read(name: &str, path: &Path) -> Parsed<String> {
    let bad = |cause: String| format!("{name} can't be {path:?}: {cause}");
    let is_file = std::fs::metadata(path).map(|found| found.is_file());
    match is_file {
        Ok(true) => {}
        Ok(false) => return Err(bad("a file is needed".into())),
        Err(cause) => return Err(bad(cause.to_string())),
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|cause| bad(cause.to_string()))?;
    let read = file.take(FILE_LIMIT_BYTES).read_to_string(&mut text);
    read.map_err(|cause| bad(cause.to_string()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn auth(text: &str) -> Parsed<Auth> {
    Auth::from_str(text, false).map_err(|_| "one of anonymous and jwt is needed".into())
}

fn cookie_key(text: &str) -> Parsed<Secret> {
    long_enough(text, KEY_BYTES)
}

fn jwt_secret(text: &str) -> Parsed<Secret> {
    long_enough(text, auth::key::SECRET_LEAST_BYTES)
}

fn long_enough(text: &str, least: usize) -> Parsed<Secret> {
    if text.len() < least {
        return Err(format!(
            "at least {least} characters are needed, such as openssl rand -hex 32 prints"
        ));
    }
    Ok(Secret(text.to_owned()))
}

/// Redis's address: the one given, or the one in the file.
///
/// # Errors
/// A line for the operator.
pub(super) fn redis_address(
    given: Option<redis::Url>,
    path: Option<&Path>,
) -> Parsed<Option<redis::Url>> {
    let Some(path) = path else { return Ok(given) };
    // It is only looked at whether there is one.
    let given = given.map(|_| Secret(String::new()));
    let text = from_file("REDIS_URL", given.as_ref(), Some(path))?;
    let bad = |cause| format!("REDIS_URL_FILE has no address in it: {cause}");
    text.map(|text| redis_url(&text).map_err(bad)).transpose()
}

/// It may have a user and a password, which are sent along.
fn jwks_url(text: &str) -> Parsed<Secret> {
    let form = "an address such as https://login.example.org/.well-known/jwks.json is needed";
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.parse::<ureq::http::Uri>().is_ok();
    is_good
        .then(|| Secret(text.to_owned()))
        .ok_or_else(|| form.into())
}

fn leeway(text: &str) -> Parsed<Duration> {
    let form = "a duration of whole seconds, from 0s to 5m, is needed";
    let duration = humantime::parse_duration(text).map_err(|_| form)?;
    let is_good = duration <= Duration::from_secs(300) && duration.subsec_nanos() == 0;
    is_good.then_some(duration).ok_or_else(|| form.into())
}

fn some_text(text: &str) -> Parsed<String> {
    if text.is_empty() {
        return Err("a text is needed; leave it out for none".into());
    }
    Ok(text.to_owned())
}

fn operator_claim(text: &str) -> Parsed<OperatorClaim> {
    let form = "a claim and its value such as role=operator are needed";
    let (name, value) = text.split_once('=').ok_or(form)?;
    if name.is_empty() || value.is_empty() {
        return Err(form.into());
    }
    Ok(OperatorClaim {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn cookie_name(text: &str) -> Parsed<String> {
    // RFC 6265 §4.1.1, and nothing that would end the name.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        return Err("a cookie's name such as shellcraft_jwt is needed".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io::Write;

    use tempfile::NamedTempFile;

    use clap::CommandFactory;

    use super::super::{Config, Stop};
    use super::*;
    use crate::session::store;

    const LONG: &str = "0123456789abcdef0123456789abcdef";
    const ED: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    fn read(arguments: &[&str]) -> Result<Config, String> {
        let all = ["shellcraft"].iter().chain(arguments).map(OsString::from);
        Config::read(all).map_err(|stop| match stop {
            Stop::Refuse(line) => line,
            Stop::Print(text) => panic!("printed {text}"),
        })
    }

    #[track_caller]
    fn check(arguments: &[&str], expected: &str) {
        let line = read(arguments).expect_err("refused");
        assert!(line.contains(expected), "{expected:?} is not in {line:?}");
        assert!(!line.contains('\n'), "{line:?}");
        assert!(!line.contains("hush"), "{line:?}");
    }

    fn file(text: &str) -> (NamedTempFile, String) {
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let path = file.path().to_str().expect("UTF-8").to_owned();
        (file, path)
    }

    #[test]
    fn what_does_not_fit_together() {
        check(&["--auth", "ldap"], "anonymous and jwt");
        check(&["--auth", "jwt"], "AUTH=jwt needs the key");
        check(&["--jwt-secret", LONG], "AUTH is anonymous");
        let both = [
            "--auth",
            "jwt",
            "--jwt-secret",
            LONG,
            "--jwt-jwks-url",
            "https://a/b",
        ];
        check(&both, "JWT_SECRET and JWT_JWKS_URL are both set");
        check(
            &["--jwt-secret", "hush"],
            "JWT_SECRET (--jwt-secret) can't be (hidden): at least 32",
        );
        check(
            &["--cookie-key", "hush"],
            "COOKIE_KEY (--cookie-key) can't be (hidden): at least 32",
        );
        let (_short, path) = file("hush\n");
        check(
            &["--auth", "jwt", "--jwt-secret-file", &path],
            "JWT_SECRET_FILE has no secret",
        );
        check(&["--cookie-key-file", &path], "COOKIE_KEY_FILE has no key");
        check(
            &["--admin-token-file", &path],
            "ADMIN_TOKEN_FILE has no token",
        );
        check(&["--auth", "jwt", "--jwt-public-key-file", &path], "PEM");
        check(
            &["--cookie-key", LONG, "--cookie-key-file", &path],
            "both set",
        );
        check(
            &["--cookie-key-file", "/nonexistent"],
            "COOKIE_KEY_FILE can't be",
        );
        check(&["--cookie-key-file", "/dev/zero"], "a file is needed");
        check(&["--jwt-jwks-url", "login.example"], "jwks.json");
        check(&["--jwt-leeway", "1h"], "from 0s to 5m");
        check(&["--jwt-leeway", "1500ms"], "from 0s to 5m");
        check(
            &[
                "--jwt-jwks-url",
                "ftp://me:hush@login.example/keys?key=hush",
            ],
            "can't be \"ftp://***@login.example/keys?***\"",
        );
        check(
            &["--auth", "jwt", "--jwt-jwks-url-file", &path],
            "JWT_JWKS_URL_FILE has no address in it",
        );
        check(
            &["--redis-url-file", &path],
            "REDIS_URL_FILE has no address in it",
        );
        check(
            &["--redis-url", "redis://:hush@db", "--redis-url-file", &path],
            "REDIS_URL and REDIS_URL_FILE are both set",
        );
        let ca = [
            "--auth",
            "jwt",
            "--jwt-jwks-url",
            "https://a/b",
            "--jwt-jwks-ca-file",
            &path,
        ];
        check(&ca, "certificates in PEM");
        check(&["--jwt-operator-claim", "operator"], "role=operator");
        check(&["--jwt-cookie", "a;b"], "cookie's name");
    }

    #[test]
    fn keys_of_each_kind() {
        let (_secret, secret) = file(&format!("{LONG}\n"));
        let (_public, public) = file(ED);
        for arguments in [
            ["--jwt-secret", LONG],
            ["--jwt-secret-file", &secret],
            ["--jwt-public-key-file", &public],
            ["--jwt-jwks-url", "https://login.example.org/keys?a=b"],
        ] {
            let config = read(&[&["--auth", "jwt"][..], &arguments].concat()).expect("valid");
            assert!(matches!(config.auth_settings.mode, Mode::Jwt(_)));
            assert!(!format!("{config:?}").contains(LONG));
        }
        let config = read(&["--admin-token-file", &secret]).expect("valid");
        assert_eq!(config.auth_settings.admin_token.as_deref(), Some(LONG));
        assert!(config.auth_settings.cookie_key.is_none());
        let config = read(&["--cookie-key", LONG]).expect("valid");
        assert!(config.auth_settings.cookie_key.is_some());
    }

    #[test]
    fn addresses_with_passwords_come_from_files() {
        let url = "https://me:hush@login.example.org/keys";
        let (_jwks, jwks) = file(&format!("{url}\n"));
        for arguments in [["--jwt-jwks-url", url], ["--jwt-jwks-url-file", &jwks]] {
            let config = read(&[&["--auth", "jwt"][..], &arguments].concat()).expect("valid");
            let Mode::Jwt(JwtSettings {
                key: KeySource::Url { url: found, .. },
                ..
            }) = &config.auth_settings.mode
            else {
                panic!("{arguments:?}")
            };
            assert_eq!(found, url);
            assert!(!format!("{config:?}").contains("hush"));
        }
        let (_redis, redis) = file("redis://:hush@db:6379/0\n");
        let config = read(&["--redis-url-file", &redis]).expect("valid");
        let expected = "redis://:hush@db:6379/0".parse().expect("valid");
        assert_eq!(config.store_choice(), store::Choice::Redis(expected));
        assert!(!format!("{config:?}").contains("hush"));
    }

    /// So that none need stand in the environment or on a command line, where others may read it.
    #[test]
    fn every_secret_may_be_in_a_file() {
        let command = Config::command();
        let names: Vec<String> = command
            .get_arguments()
            .filter_map(|setting| setting.get_env()?.to_str().map(str::to_owned))
            .collect();
        let is_secret = |setting: &&clap::Arg| setting.is_hide_env_values_set();
        let secrets = command.get_arguments().filter(is_secret);
        let secrets = secrets.filter_map(|setting| setting.get_env()?.to_str());
        let secrets: Vec<_> = secrets.collect();
        for name in &secrets {
            assert!(names.contains(&format!("{name}_FILE")), "{name}");
        }
        // And what has such a twin is a secret.
        for name in names.iter().filter_map(|name| name.strip_suffix("_FILE")) {
            let is_given_as_file_only =
                ["JWT_PUBLIC_KEY", "JWT_JWKS_CA", "FLEET_SECRET"].contains(&name);
            assert!(is_given_as_file_only || secrets.contains(&name), "{name}");
        }
        assert!(secrets.len() >= 5, "{secrets:?}");
    }

    #[test]
    fn a_private_key_is_refused() {
        let (_file, path) = file(&ED.replace("PUBLIC", "PRIVATE"));
        check(
            &["--auth", "jwt", "--jwt-public-key-file", &path],
            "a public key in PEM is needed",
        );
    }
}
