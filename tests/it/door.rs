//! The door as strangers meet it: raw sockets against a small service behind the real tiny_http.

mod hand_off;
mod hostile;
pub mod house;
mod life;
mod peers;
mod proxied;
mod requests;
mod staying;
