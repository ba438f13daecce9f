//! What is behind the door: the part that answers its requests. The door calls it from its router threads.

use super::connection::Connection;
use super::message::{Request, Response};

/// Answers requests. Called from many router threads at the same time; may block, within the door's `answer_deadline`.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. A panic in here becomes a 500.
    fn answer(&self, request: Request) -> Answer;

    /// The headers of every answer to a request with this `Origin`, the door's own answers included.
    fn headers_for(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let _ = origin;
        Vec::new()
    }
}

/// What becomes of a request.
pub enum Answer {
    /// An ordinary answer, after which the connection is closed, or waits for the next request.
    Response(Response),
    /// The closure gets the connection itself, on the connection's own thread, and must answer there.
    HandOff(HandOff),
}

/// Runs a connection from here on. It should end when its owner shuts the socket down.
pub type HandOff = Box<dyn FnOnce(Connection) + Send>;
