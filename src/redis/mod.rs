//! A Redis server (7 or newer), for operators who have one: its address, and a few connections to it.
//!
//! No threads of its own: a call blocks its caller, who must not hold a lock, for [`CALL`] at most. [`listen`] blocks its
//! caller for as long as that wants to hear.

mod link;
mod subscription;
mod url;

use std::collections::BTreeMap;

use ::redis::cmd;

pub use link::{CALL, Link};
pub use subscription::{Heard, listen};
pub use url::{NotAUrl, Url, without_secret};

/// Why Redis did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis can't be reached, or refuses, or gives an answer of another kind. Either nothing has changed, or it is not
    /// known whether something has.
    #[error("{0}")]
    Unavailable(String),
    /// A script has refused, and changed nothing: the instance's lease is another process's by now, or was buried.
    #[error("this instance's lease is no longer its own")]
    Fenced,
}

/// The key of an instance's lease, a hash. The fields that every reader needs: `epoch`, a number, one higher for each
/// life of the instance; `state`, `up`, `draining`, `away` or `buried`.
pub fn lease_key(instance: &str) -> String {
    format!("shellcraft:{instance}:lease")
}

/// The settings that decide whether books are safe, as far as `CONFIG GET` tells them.
///
/// # Errors
/// [`Error::Unavailable`] when Redis does not answer at all.
pub fn safety_settings(url: &Url) -> Result<BTreeMap<String, String>, Error> {
    let link = Link::new(url);
    link.call::<String>(&cmd("PING"))?;
    let mut settings = BTreeMap::new();
    for name in ["appendonly", "appendfsync", "maxmemory-policy"] {
        let asked = link.call::<BTreeMap<String, String>>(cmd("CONFIG").arg("GET").arg(name));
        // Some hosting providers of Redis forbid `CONFIG`.
        settings.extend(asked.unwrap_or_default());
    }
    Ok(settings)
}
