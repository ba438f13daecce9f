//! The fleet's secret, which all its instances read from a file, and what is proved with it: HMAC-SHA256 (RFC 2104), by
//! `ring` as all cryptography here.
//!
//! No threads. While the secret changes, the file has two lines: proofs are made with the first, and taken with either. So
//! a new secret comes first as the second line of every host, then as the first, and then the old one leaves.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::hmac;
use rustix::fs::OFlags;

/// A secret has at least as many bytes as the hash (RFC 2104 §3).
pub const LEAST_BYTES: usize = 32;
/// No honest file is longer: two lines of some hundred digits.
const FILE_MOST_BYTES: u64 = 4096;
/// A proof's length: that of SHA-256.
pub const PROOF_BYTES: usize = 32;

/// Why a file can't be used; the text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    /// It is not there, or may not be read.
    #[error("the fleet's secret can't be read from {path:?}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// It is a directory, a pipe, a device.
    #[error("the fleet's secret can't be read from {0:?}: a file is needed")]
    NotAFile(PathBuf),
    /// Its mode lets others in.
    #[error(
        "other users may open {path:?}, which has the fleet's secret in it (mode {mode:04o}): run chmod 600 on it"
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its mode's last twelve bits.
        mode: u32,
    },
    /// It is no file with a secret.
    #[error(
        "{0:?} is too long for the fleet's secret: one or two lines are needed, 4096 bytes at most"
    )]
    TooLong(PathBuf),
    /// What it holds can't be used.
    #[error("the fleet's secret in {path:?} can't be used: {cause}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Unfit,
    },
}

/// Why a text can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A line is too short, or there is none.
    #[error("line {line} needs at least 32 bytes, such as openssl rand -hex 32 prints")]
    Short {
        /// Its number, from 1 on.
        line: usize,
    },
    /// There are more than two.
    #[error("it has more than two lines, the secret and the one that comes or goes")]
    ManyLines,
}

/// What all instances of a fleet know.
#[derive(Clone)]
pub struct FleetSecret {
    /// What we prove with.
    own: hmac::Key,
    /// What is accepted too.
    other: Option<hmac::Key>,
}

impl FleetSecret {
    /// Reads the file, which only its owner may open.
    ///
    /// # Errors
    /// A line for the operator.
    pub fn read(path: &Path) -> Result<FleetSecret, BadSecret> {
        let own = || path.to_owned();
        let unreadable = |cause| BadSecret::Unreadable { path: own(), cause };
        let file = open(path).map_err(unreadable)?;
        // The open file is asked and not its name, which may be another's by now.
        let found = file.metadata().map_err(unreadable)?;
        if !found.is_file() {
            return Err(BadSecret::NotAFile(own()));
        }
        let mode = found.mode() & 0o7777;
        // A credential that systemd hands to a service with a user of its own is root's and has an access list, whose mask
        // shows as the group's right to read.
        let is_systemd_s = found.uid() == 0 && mode & 0o777 == 0o440;
        if mode & 0o077 != 0 && !is_systemd_s {
            return Err(BadSecret::OpenToOthers { path: own(), mode });
        }
        let mut text = Vec::new();
        let read = file.take(FILE_MOST_BYTES + 1).read_to_end(&mut text);
        let bytes = read.map_err(unreadable)?;
        if bytes as u64 > FILE_MOST_BYTES {
            return Err(BadSecret::TooLong(own()));
        }
        FleetSecret::of_text(&text).map_err(|cause| BadSecret::Unfit { path: own(), cause })
    }

    /// One or two lines, without the blanks around them.
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn of_text(text: &[u8]) -> Result<FleetSecret, Unfit> {
        let mut lines = text.trim_ascii_end().split(|byte| *byte == b'\n');
        let own = key(lines.next().unwrap_or_default(), 1)?;
        let other = lines.next().map(|line| key(line, 2)).transpose()?;
        match lines.next() {
            None => Ok(FleetSecret { own, other }),
            Some(_) => Err(Unfit::ManyLines),
        }
    }

    /// The proof that who says this knows the secret.
    pub(super) fn prove(&self, message: &[u8]) -> [u8; PROOF_BYTES] {
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(hmac::sign(&self.own, message).as_ref());
        proof
    }

    /// Whether who has said this knows the secret, or the one that comes or goes. The time that this takes does not tell
    /// where a wrong proof is wrong.
    pub(super) fn is_proof(&self, message: &[u8], proof: &[u8; PROOF_BYTES]) -> bool {
        let accepts = |key: &hmac::Key| hmac::verify(key, message, proof).is_ok();
        accepts(&self.own) || self.other.as_ref().is_some_and(accepts)
    }
}

impl fmt::Debug for FleetSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FleetSecret(hidden)")
    }
}

/// Opens without waiting, as a pipe would let us do.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
}

fn key(line: &[u8], number: usize) -> Result<hmac::Key, Unfit> {
    let secret = line.trim_ascii();
    if secret.len() < LEAST_BYTES {
        return Err(Unfit::Short { line: number });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::auth::secret::to_hex;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";

    fn secret(text: &str) -> FleetSecret {
        FleetSecret::of_text(text.as_bytes()).expect("long enough")
    }

    /// Reads a file with this text and mode: the error's text, or nothing.
    fn error_of(text: &[u8], mode: u32) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        let read = FleetSecret::read(&path);
        let name = format!("{path:?}");
        read.err()
            .map(|error| error.to_string().replace(&name, "FILE"))
    }

    #[track_caller]
    fn check(text: &str, mode: u32, expected: Option<&str>) {
        assert_eq!(error_of(text.as_bytes(), mode).as_deref(), expected);
    }

    #[test]
    fn a_file_has_one_or_two_long_lines_and_is_its_owner_s() {
        let short = |line| {
            format!(
                "the fleet's secret in FILE can't be used: line {line} needs at least 32 bytes, such as openssl rand -hex 32 prints"
            )
        };
        let open = |mode| {
            format!(
                "other users may open FILE, which has the fleet's secret in it (mode {mode}): run chmod 600 on it"
            )
        };
        check(ONE, 0o600, None);
        check(&format!("{ONE}\n"), 0o400, None);
        check(&format!("{ONE}\r\n{TWO}\r\n\n"), 0o600, None);
        check("", 0o600, Some(&short(1)));
        check(&ONE[1..], 0o600, Some(&short(1)));
        check(&format!("\n{ONE}"), 0o600, Some(&short(1)));
        check(
            &format!("{}          \n", &ONE[9..]),
            0o600,
            Some(&short(1)),
        );
        check(&format!("{ONE}\n{}", &TWO[1..]), 0o600, Some(&short(2)));
        check(
            &format!("{ONE}\n{TWO}\n{ONE}"),
            0o600,
            Some(
                "the fleet's secret in FILE can't be used: it has more than two lines, the secret and the one that comes or goes",
            ),
        );
        // As systemd hands a credential over, if the file is root's.
        let open_to_group = open("0440");
        let is_roots = rustix::process::geteuid().is_root();
        check(ONE, 0o440, (!is_roots).then_some(&*open_to_group));
        check(ONE, 0o640, Some(&open("0640")));
        check(ONE, 0o604, Some(&open("0604")));
        check(ONE, 0o610, Some(&open("0610")));
        let too_long = "FILE is too long for the fleet's secret: one or two lines are needed, 4096 bytes at most";
        check(&"x".repeat(4096), 0o600, None);
        check(&"x".repeat(4097), 0o600, Some(too_long));
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = FleetSecret::read(&folder.path().join("none"));
        assert!(matches!(missing, Err(BadSecret::Unreadable { .. })));
        let itself = FleetSecret::read(folder.path());
        assert!(matches!(itself, Err(BadSecret::NotAFile(_))), "{itself:?}");
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe");
        let pipe = FleetSecret::read(&pipe);
        assert!(matches!(pipe, Err(BadSecret::NotAFile(_))), "{pipe:?}");
    }

    #[test]
    fn the_first_line_proves_and_both_are_accepted() {
        let (old, new) = (secret(ONE), secret(TWO));
        let both = secret(&format!("{ONE}\n{TWO}"));
        let swapped = secret(&format!("{TWO}\n{ONE}"));
        let accepts =
            |secret: &FleetSecret, by: &FleetSecret| secret.is_proof(b"it", &by.prove(b"it"));
        assert!(accepts(&old, &old) && !accepts(&old, &new) && !accepts(&new, &old));
        // Each step of a change: the hosts that have taken it and those that have not understand each other.
        for (before, after) in [(&old, &both), (&both, &swapped), (&swapped, &new)] {
            assert!(accepts(before, after) && accepts(after, before));
        }
        assert!(!both.is_proof(b"It", &both.prove(b"it")));
    }

    /// RFC 4231 §4.7, whose key is long enough for us.
    #[test]
    fn proofs_are_hmac_sha_256() {
        let secret = FleetSecret::of_text(&[0xaa; 131]).expect("long enough");
        let proof = secret.prove(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(
            to_hex(&proof),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_secret_is_never_printed() {
        let printed = format!("{:?}", secret(&format!("{ONE}\n{TWO}")));
        assert_eq!(printed, "FleetSecret(hidden)");
        let error = error_of(&ONE.as_bytes()[1..], 0o600).expect("too short");
        assert!(!error.contains(&ONE[1..9]), "{error}");
    }
}
