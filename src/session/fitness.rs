//! Judges whether an image is fit for players: pure, for the server and for `doctor`.

use std::io;

use super::sandbox::{HOME, PLAYER_GID, PLAYER_UID};
use crate::engine::types::ImageConfig;

/// The most that is read of an image's `/home`, which is small.
pub const HOME_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// The file that players are meant to write to.
const BOOK: &str = "/home/spellbook.dat";

/// Why containers of such an image can't be given to players, in words for the operator; none when they can.
pub fn judge(image: &ImageConfig) -> Option<String> {
    if image.cmd.is_empty() && image.entrypoint.is_empty() {
        return Some("it has no CMD, so there is nothing to run: give it one".into());
    }
    // DOCKER: each volume becomes a directory on the host's disk that no limit applies to.
    let is_home = |path: &str| path.trim_end_matches('/') == HOME;
    let volume = image.volumes.keys().find(|path| !is_home(path))?;
    Some(format!(
        "it has VOLUME {volume}, which players could fill the host's disk with: build it without"
    ))
}

/// The same judgement about what is in the image's `/home`, which a container gets on the host's disk.
pub fn judge_home(loose: &[String]) -> Option<String> {
    if loose.is_empty() {
        return None;
    }
    let places = loose.join(", ");
    Some(format!(
        "players may write to {places}, which is on the host's disk without a limit: give it to root, mode 755"
    ))
}

/// The directories and files of an archive that a player may write to, with the paths that they have in a container.
///
/// # Errors
/// When it is not a tar.
pub fn writable_in(archive: &[u8]) -> io::Result<Vec<String>> {
    let mut places = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        let (header, kind) = (entry.header(), entry.header().entry_type());
        if !kind.is_dir() && !kind.is_file() {
            continue;
        }
        let mode = header.mode()?;
        let may_write = match (header.uid()?, header.gid()?) {
            (PLAYER_UID, _) => mode & 0o200 != 0,
            (_, PLAYER_GID) => mode & 0o020 != 0,
            _ => mode & 0o002 != 0,
        };
        let path = format!("/{}", entry.path()?.display());
        let path = path.trim_end_matches('/');
        if may_write && path != BOOK {
            places.push(path.to_owned());
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::Empty;

    #[track_caller]
    fn check(cmd: &[&str], entrypoint: &[&str], volumes: &[&str], expected: Option<&str>) {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let volumes = volumes.iter().map(|path| ((*path).to_owned(), Empty {}));
        let image = ImageConfig {
            cmd: texts(cmd),
            entrypoint: texts(entrypoint),
            volumes: volumes.collect(),
            ..ImageConfig::default()
        };
        let cause = judge(&image);
        match expected {
            None => assert_eq!(cause, None),
            Some(part) => {
                let cause = cause.unwrap_or_default();
                assert!(cause.contains(part), "{part} is not in {cause:?}");
            }
        }
    }

    #[test]
    fn an_image_has_a_program_and_no_volumes() {
        check(&["sh"], &[], &[], None);
        check(&[], &["sh"], &[], None);
        check(&["sh"], &[], &["/home"], None);
        check(&["sh"], &[], &["/home/"], None);
        check(&[], &[], &[], Some("no CMD"));
        check(&["sh"], &[], &["/work"], Some("VOLUME /work"));
        check(
            &["sh"],
            &[],
            &["/home", "/home/player"],
            Some("VOLUME /home/player"),
        );
    }

    /// A directory of the player's, a directory for all, a file of the player's group.
    #[test]
    fn what_players_may_write_to_is_found() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind, mode, uid, gid| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(mode);
            header.set_uid(uid);
            header.set_gid(gid);
            tar.append_data(&mut header, path, &b""[..])
                .expect("an entry");
        };
        use tar::EntryType::{Directory, Regular};
        add("home/", Directory, 0o755, 0, 0);
        add("home/player/", Directory, 0o755, 1000, 1000);
        add("home/shared/", Directory, 0o777, 0, 0);
        add("home/read-only/", Directory, 0o555, 1000, 1000);
        add("home/notes", Regular, 0o664, 0, 1000);
        add("home/others", Regular, 0o664, 0, 0);
        add("home/spellbook.dat", Regular, 0o600, 1000, 1000);
        let archive = tar.into_inner().expect("a tar");
        let loose = writable_in(&archive).expect("a tar");
        assert_eq!(loose, ["/home/player", "/home/shared", "/home/notes"]);
        let cause = judge_home(&loose).expect("it is unfit");
        assert!(cause.contains("/home/player, /home/shared"), "{cause}");
        assert_eq!(judge_home(&[]), None);
        assert!(writable_in(b"no tar, and too short").is_err());
    }
}
