//! The HTML pages: ramhorns templates from `templates/`, in which everything is escaped.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ramhorns::{Content, Template};

use super::assets;
use crate::door::Response;
use crate::session::Shell;
use crate::texts;

/// No inline script or style, and no other host. The pages that may have the page in a frame are appended to it. `'self'`
/// covers the server's own WebSockets too (CSP Level 3 §6.7.2.8).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors";
/// No page may show the operator's pages in a frame: a page around them could guide an operator's clicks.
const NOBODY: &str = "'none'";

/// The parsed templates.
pub struct Pages {
    landing: Template<'static>,
    terminal: Template<'static>,
    admin: Template<'static>,
    error: Template<'static>,
    version: String,
    prefix: String,
    frame_ancestors: String,
}

/// The visitor that the start page is for.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// Whether visitors have to log in.
    pub has_logins: bool,
    /// Whether the server knows the visitor.
    pub is_known: bool,
}

#[derive(Content)]
struct Landing<'a> {
    version: &'a str,
    prefix: &'a str,
    shells: Vec<Choice<'a>>,
    has_logins: bool,
    is_known: bool,
}

#[derive(Content)]
struct Choice<'a> {
    name: &'a str,
    title: String,
    is_default: bool,
    is_broken: bool,
}

#[derive(Content)]
struct Terminal<'a> {
    version: &'a str,
    prefix: &'a str,
    session_id: &'a str,
    shell: &'a str,
    ws_url: &'a str,
    role: &'a str,
}

#[derive(Content)]
struct Admin<'a> {
    version: &'a str,
    prefix: &'a str,
}

#[derive(Content)]
struct Error<'a> {
    prefix: &'a str,
    status: u16,
    title: &'a str,
    message: &'a str,
}

impl Pages {
    /// Parses the templates. `frame_ancestors` says, in the words of a Content-Security-Policy, which pages may show those
    /// for players in a frame; none if it is empty. `prefix` stands before the path of every link.
    ///
    /// # Errors
    /// When a template is not valid, which any test would show.
    pub fn new(frame_ancestors: &str, prefix: &str) -> Result<Self, ramhorns::Error> {
        let frame_ancestors = match frame_ancestors {
            "" => NOBODY,
            some => some,
        };
        let mut texts = texts::all();
        let mut template = |name: &str| {
            let text = texts.remove(name).unwrap_or_default().into_owned();
            Template::new(String::from_utf8_lossy(&text).into_owned())
        };
        Ok(Self {
            landing: template("landing.html")?,
            terminal: template("terminal.html")?,
            admin: template("admin.html")?,
            error: template("error.html")?,
            version: assets::version(),
            prefix: prefix.to_owned(),
            frame_ancestors: frame_ancestors.to_owned(),
        })
    }

    /// The version that stands in the addresses of assets.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The page to start a game from. A shell that is `broken` can't be chosen. Visitors who had to log in can log out
    /// there, and visitors who are known may have a spellbook.
    pub fn landing(
        &self,
        shells: &[Shell],
        broken: &BTreeSet<String>,
        visitor: Visitor,
    ) -> Response {
        let Visitor {
            has_logins,
            is_known,
        } = visitor;
        let first = shells.iter().find(|shell| !broken.contains(&shell.name));
        let shells = shells
            .iter()
            .map(|shell| Choice {
                name: &shell.name,
                title: capitalised(&shell.name),
                is_default: first.is_some_and(|first| first.name == shell.name),
                is_broken: broken.contains(&shell.name),
            })
            .collect();
        self.for_players(
            200,
            self.landing.render(&Landing {
                version: &self.version,
                prefix: &self.prefix,
                shells,
                has_logins,
                is_known,
            }),
        )
    }

    /// The page in which to play or to watch.
    pub fn terminal(&self, session_id: &str, shell: &str, ws_url: &str, role: &str) -> Response {
        self.for_players(
            200,
            self.terminal.render(&Terminal {
                version: &self.version,
                prefix: &self.prefix,
                session_id,
                shell,
                ws_url,
                role,
            }),
        )
    }

    /// The operator's page. It contains nothing secret: it asks for what it shows.
    pub fn admin(&self) -> Response {
        html(
            200,
            self.admin.render(&Admin {
                version: &self.version,
                prefix: &self.prefix,
            }),
            NOBODY,
        )
    }

    /// The page of an error, for a person who followed a link.
    pub fn error(&self, status: u16, message: &str) -> Response {
        let title = match status {
            404 => "Nothing here",
            410 => "This game is over",
            401 | 403 => "Not for you",
            503 => "Not right now",
            _ => "Something went wrong",
        };
        self.for_players(
            status,
            self.error.render(&Error {
                prefix: &self.prefix,
                status,
                title,
                message,
            }),
        )
    }

    fn for_players(&self, status: u16, text: String) -> Response {
        html(status, text, &self.frame_ancestors)
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn html(status: u16, text: String, frame_ancestors: &str) -> Response {
    let headers = vec![
        ("Content-Type", "text/html; charset=utf-8".to_owned()),
        (
            "Content-Security-Policy",
            format!("{CONTENT_SECURITY_POLICY} {frame_ancestors}"),
        ),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Referrer-Policy", "no-referrer".to_owned()),
        ("Cross-Origin-Opener-Policy", "same-origin".to_owned()),
        ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
        ("Cache-Control", "no-store".to_owned()),
    ];
    Response {
        status,
        headers,
        body: Cow::Owned(text.into_bytes()),
    }
}

/// Packs a page for a client that accepts that. No page contains a stranger's words beside a secret, so its length does
/// not reveal a secret (BREACH).
pub fn pack(response: &mut Response, accept_encoding: Option<&str>) {
    let is_page =
        |(name, value): &(&str, String)| *name == "Content-Type" && value.starts_with("text/html");
    if !response.headers.iter().any(is_page) {
        return;
    }
    let vary = ("Vary", "Accept-Encoding".to_owned());
    response.headers.push(vary);
    if accept_encoding.is_some_and(|accepted| assets::allows(accepted, &["deflate"])) {
        response.body = Cow::Owned(texts::deflate(&response.body));
        let coding = ("Content-Encoding", "deflate".to_owned());
        response.headers.push(coding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(has_logins: bool, is_known: bool) -> Visitor {
        Visitor {
            has_logins,
            is_known,
        }
    }

    fn text(response: &Response) -> String {
        String::from_utf8(response.body.to_vec()).expect("UTF-8")
    }

    #[test]
    fn pages_are_packed_and_nothing_else_is() {
        let header = |response: &Response, name: &str| {
            let mut headers = response.headers.iter();
            let found = headers.find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        let pages = Pages::new("", "").expect("valid templates");
        let plain = pages.error(404, "Nothing here.");
        let mut packed = pages.error(404, "Nothing here.");
        pack(&mut packed, Some("gzip, deflate, br"));
        let coding = header(&packed, "Content-Encoding");
        assert_eq!(coding.as_deref(), Some("deflate"));
        assert_eq!(header(&packed, "Vary").as_deref(), Some("Accept-Encoding"));
        let unpacked =
            miniz_oxide::inflate::decompress_to_vec_zlib(&packed.body).expect("zlib's format");
        assert_eq!(unpacked, *plain.body);
        for refused in [None, Some("gzip, br"), Some("deflate;q=0")] {
            let mut kept = pages.error(404, "Nothing here.");
            pack(&mut kept, refused);
            assert_eq!(header(&kept, "Content-Encoding"), None);
            assert_eq!(header(&kept, "Vary").as_deref(), Some("Accept-Encoding"));
            assert_eq!(kept.body, plain.body);
        }
        let mut json = Response::error(404, "not_found", "Nothing here.");
        let body = json.body.clone();
        pack(&mut json, Some("deflate"));
        assert_eq!((header(&json, "Vary"), json.body), (None, body));
    }

    #[test]
    fn everything_is_escaped() {
        let pages = Pages::new("", "").expect("valid templates");
        let evil = "\"><script>alert(1)</script>";
        for page in [
            pages.terminal(evil, evil, evil, evil),
            pages.error(404, evil),
        ] {
            assert!(!text(&page).contains("<script>alert"), "{}", text(&page));
        }
    }

    #[test]
    fn no_inline_script_or_style() {
        let pages = Pages::new("", "").expect("valid templates");
        let shells = [
            Shell {
                name: "rust".into(),
                image: "i".into(),
            },
            Shell {
                name: "perl".into(),
                image: "i".into(),
            },
        ];
        let none = BTreeSet::new();
        for page in [
            pages.landing(&shells, &none, visitor(true, true)),
            pages.terminal("id", "rust", "ws://h/", "player"),
            pages.admin(),
            pages.error(404, "Gone."),
        ] {
            let text = text(&page);
            for forbidden in ["<script>", "<style", " style=", " onclick=", "//cdn", "{{"] {
                assert!(!text.contains(forbidden), "{forbidden} in {text}");
            }
        }
        let landing = text(&pages.landing(&shells, &none, visitor(false, false)));
        assert!(
            landing.contains("Rust") && landing.contains("value=\"perl\""),
            "{landing}"
        );
        let asks_for_book = |page: &Response| text(page).contains("data-known");
        assert!(!asks_for_book(&pages.landing(
            &shells,
            &none,
            visitor(true, false)
        )));
        assert!(asks_for_book(&pages.landing(
            &shells,
            &none,
            visitor(true, true)
        )));
        let has_logout = |page: &Response| text(page).contains("id=\"logout\"");
        assert!(!has_logout(&pages.landing(
            &shells,
            &none,
            visitor(false, false)
        )));
        assert!(has_logout(&pages.landing(
            &shells,
            &none,
            visitor(true, true)
        )));
    }

    #[test]
    fn every_link_begins_with_the_prefix() {
        let pages = Pages::new("", "/a/b").expect("valid templates");
        for page in [
            pages.landing(&[], &BTreeSet::new(), visitor(true, true)),
            pages.terminal("id", "rust", "ws://h/", "player"),
            pages.admin(),
            pages.error(404, "Gone."),
        ] {
            let text = text(&page);
            let links = text.split("href=\"").chain(text.split("src=\""));
            let begins = links.filter(|link| link.starts_with('/'));
            assert!(begins.clone().count() > 1, "{text}");
            assert!(
                begins.clone().all(|link| link.starts_with("/a/b/")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_shell_that_is_broken_can_t_be_chosen() {
        let pages = Pages::new("", "").expect("valid templates");
        let shells = ["rust", "perl"].map(|name| Shell {
            name: name.into(),
            image: "i".into(),
        });
        let broken = BTreeSet::from(["rust".to_owned()]);
        let landing = text(&pages.landing(&shells, &broken, visitor(false, false)));
        let choice = |name: &str| {
            let (_, rest) = landing
                .split_once(&format!("value=\"{name}\""))
                .expect("a choice");
            let tag = rest.split_once('>').expect("a tag").0;
            (tag.contains("disabled"), tag.contains("checked"))
        };
        assert_eq!(
            (choice("rust"), choice("perl")),
            ((true, false), (false, true))
        );
        assert_eq!(landing.matches("started now").count(), 1, "{landing}");
    }
}
