//! The names of a spellbook's versions: a number that grows, and the content's checksum.
//!
//! `books/<player>/00000012.<sha256>.book` holds the book's bytes and nothing else: an operator copies it as it is,
//! and `sha256sum` tells whether it is whole. One rename puts the content and its checksum in place together.

use super::super::checksum;

/// The name of a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    /// Grows with each version of a player's book.
    pub(super) number: u64,
    /// SHA-256 of the content, in hexadecimal.
    pub(super) checksum: String,
}

impl Version {
    /// The version after all of these, with this content; none when there are no numbers left.
    pub(super) fn next(versions: &[Version], book: &[u8]) -> Option<Version> {
        let newest = versions.iter().map(|version| version.number).max();
        Some(Version {
            number: newest.unwrap_or(0).checked_add(1)?,
            checksum: checksum(book),
        })
    }

    /// Reads a file's name; none when it is no version's.
    pub(super) fn of(name: &str) -> Option<Version> {
        let (number, checksum) = name.strip_suffix(".book")?.split_once('.')?;
        let version = Version {
            number: number.parse().ok()?,
            checksum: checksum.to_owned(),
        };
        // A name that the store would write differently is not one of its names.
        (version.name() == name && checksum.len() == 64).then_some(version)
    }

    pub(super) fn name(&self) -> String {
        format!("{:08}.{}.book", self.number, self.checksum)
    }

    /// Whether `book` is this version's content, whole.
    pub(super) fn is_of(&self, book: &[u8]) -> bool {
        self.checksum == checksum(book)
    }
}

/// The versions among these names, newest first.
pub(super) fn versions(names: &[String]) -> Vec<Version> {
    let mut versions: Vec<_> = names.iter().filter_map(|name| Version::of(name)).collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let first = Version::next(&[], b"abc").unwrap();
        assert_eq!(
            first.name(),
            "00000001.ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.book"
        );
        assert_eq!(Version::of(&first.name()), Some(first.clone()));
        assert!(first.is_of(b"abc") && !first.is_of(b"ab"));
        let second = Version::next(std::slice::from_ref(&first), b"").unwrap();
        let names = [first.name(), second.name(), "lost+found".into()];
        assert_eq!(versions(&names), [second, first.clone()]);
        let last = Version {
            number: u64::MAX,
            ..first
        };
        assert_eq!(Version::of(&last.name()), Some(last.clone()));
        assert_eq!(Version::next(&[last], b""), None);
    }

    #[test]
    fn other_names_are_not_ours() {
        let checksum = checksum(b"");
        for name in [
            format!("1.{checksum}.book"),
            format!("+0000001.{checksum}.book"),
            format!("00000001.{checksum}.book.broken"),
            format!("00000001.{}.book", &checksum[1..]),
            "00000001.book".into(),
            ".book".into(),
            String::new(),
        ] {
            assert_eq!(Version::of(&name), None, "{name}");
        }
    }
}
