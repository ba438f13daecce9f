//! Recordings: the player starts, downloads and drops them.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::door::Request;
use crate::http::error::ApiError;
use crate::http::reply::{Handled, download, json_response, no_content, now};
use crate::http::{Outcome, Site};
use crate::session::{self, SessionId};

impl Site {
    pub(in crate::http) fn start_recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.own_session(id, request)?;
        if session.snapshot().state.is_over() {
            return Err(session::Error::Over.into());
        }
        if !session
            .hub
            .start_recording(Instant::now(), SystemTime::now())
        {
            let message = "There is a recording already; delete it to start another.";
            return Err(ApiError::new(409, "already_recording", message));
        }
        now(json_response(
            201,
            &json!({"recording_url": format!("{}/session/{}/recording", self.own_address(request), id.to_text())}),
        ))
    }

    pub(in crate::http) fn recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.owned_session(id, request)?;
        if !session.hub.has_recording() {
            return Err(no_recording());
        }
        let place = session.hub.download().ok_or_else(|| {
            let message =
                "This recording is being downloaded twice already; try again in a moment.";
            ApiError::new(429, "too_many_downloads", message).retry_after(Duration::from_secs(2))
        })?;
        let text = session.hub.recording().ok_or_else(no_recording)?;
        let response = download(
            "application/x-asciicast",
            "shellcraft.cast",
            text.into_bytes(),
        );
        Ok(Outcome::Download(response, place))
    }

    pub(in crate::http) fn drop_recording(&self, id: SessionId, request: &Request) -> Handled {
        let session = self.own_session(id, request)?;
        if session.hub.drop_recording() {
            now(no_content())
        } else {
            Err(no_recording())
        }
    }
}

fn no_recording() -> ApiError {
    ApiError::new(404, "no_recording", "Nothing was recorded in this session.")
}
