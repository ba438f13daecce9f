//! What each route does; each resource has a file. Handlers talk to the session manager and know nothing of Docker.

mod admin;
mod fleet;
mod health;
mod login;
mod metrics;
mod recording;
mod recovery;
pub(super) mod session;
pub(super) mod spellbook;
mod watch;

use super::error::ApiError;
use super::pages::Visitor;
use super::reply::{Handled, json_response, now, text};
use super::route::Route;
use super::{Side, Site, assets};
use crate::door::{Body, Request};

impl Site {
    /// Does what the route asks for.
    pub(super) fn handle(&self, route: Route, request: Request, side: Side) -> Handled {
        check_encoding(&request)?;
        match route {
            Route::Health => now(text("ok")),
            Route::Ready => self.ready(&request),
            Route::Landing => {
                let shells = &self.manager.settings().shells;
                let broken = self.manager.shells_known_broken();
                let visitor = Visitor {
                    has_logins: self.guard.gate.wants_tokens(),
                    is_known: self.is_known(&request),
                };
                now(self.pages.landing(shells, &broken, visitor))
            }
            Route::Asset(name) => now(assets::serve(
                &name,
                request.query.as_deref(),
                |name| request.header(name),
                self.pages.version(),
            )?),
            Route::Metrics => self.metrics(&request, side),
            Route::OpenApi => now(json_response(200, &self.openapi)),
            Route::Fleet => self.fleet(&request),
            Route::ListSessions => self.list(&request),
            Route::DestroySessions => self.destroy_all(&request),
            Route::CreateSession => self.create(&request),
            Route::Queue(ticket) => self.queue(ticket),
            Route::Status(id) => self.status(id, &request),
            Route::DestroySession(id) => self.destroy(id, &request),
            Route::Connect(id) => self.connect(id, &request),
            Route::Terminal(id) => self.terminal(id, &request),
            Route::CreateTicket(id) => self.create_ticket(id, &request),
            Route::Admin => now(self.pages.admin()),
            Route::AdminLogin => self.admin_login(&request),
            Route::AdminLogout => self.admin_logout(&request),
            Route::AdminHealth => self.admin_health(&request),
            Route::AdminNotice => self.admin_notice(&request),
            Route::AdminDrain => self.admin_drain(&request),
            Route::Revoked => self.list_revoked(&request),
            Route::Revoke(player) => self.revoke(player, &request),
            Route::Restore(player) => self.restore(player, &request),
            Route::UndoDrain => self.undo_drain(&request),
            Route::AdminBooks => self.list_books(&request),
            Route::ExpireBooks => self.expire_books(&request),
            Route::AdminBook(player) => self.export_book(player, &request),
            Route::PutAdminBook(player) => self.import_book(player, request),
            Route::Login => self.login(&request),
            Route::Logout => self.logout(&request),
            Route::CreateWatchLink(id) => self.create_watch_link(id, &request),
            Route::RevokeWatchLinks(id) => self.revoke_watch_links(id, &request),
            Route::Spellbook(id) => self.spellbook(id, &request),
            Route::PutSpellbook(id) => self.put_spellbook(id, request),
            Route::BookVersions => self.book_versions(&request),
            Route::RecoveryCode => self.recovery_code(&request),
            Route::Recover => self.recover(&request),
            Route::UploadBook => self.upload_book(request),
            Route::BookVersion(sha256) => self.book_version(sha256, &request),
            Route::RestoreVersion(sha256) => self.restore_version(sha256, &request),
            Route::Watch(secret) => self.watch(&secret, &request),
            Route::WatchTerminal(secret) => self.watch_terminal(&secret, &request),
            Route::StartRecording(id) => self.start_recording(id, &request),
            Route::Recording(id) => self.recording(id, &request),
            Route::DropRecording(id) => self.drop_recording(id, &request),
        }
    }
}

/// Checks that a body is not encoded: a body that has to be unpacked first could be a bomb.
fn check_encoding(request: &Request) -> Result<(), ApiError> {
    let is_packed = request
        .header("content-encoding")
        .is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
    let is_empty = matches!(&request.body, Body::Whole(body) if body.is_empty());
    if is_packed && !is_empty {
        return Err(ApiError::new(
            415,
            "unsupported_encoding",
            "Send the body as it is, without a Content-Encoding.",
        )
        .with("Accept-Encoding", "identity"));
    }
    Ok(())
}
