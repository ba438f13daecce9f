//! The sandbox images that are packed into this binary, if it was built with them (`make dist`).
//!
//! `.ci/dist` writes the output of `docker save` for each image, one after the other and packed together, as
//! `target/images/images.lzma2`; packed together they are much smaller than each packed alone. `images.list` says what is
//! in it, a line for each image: its name, the hash that `sandbox/build` also puts on the image as [`SOURCES`], and its
//! bytes. The module has no thread of its own.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};

use lzma_rust2::Lzma2Reader;
use lzma_rust2::filter::bcj::BcjReader;

/// The label that marks an image as one of this project's, and says which build it is.
pub const SOURCES: &str = "org.shellcraft.sources";

/// An image in an archive.
#[derive(Debug, Clone)]
pub struct Bundled {
    /// Its name, without a tag, which means `latest`.
    pub image: String,
    /// What it was made from: the value of its label [`SOURCES`].
    pub sources: String,
    /// The output of `docker save`.
    pub archive: Archive,
}

/// An archive of images.
#[derive(Debug, Clone)]
pub enum Archive {
    /// An archive that is not packed.
    Plain(Vec<u8>),
    /// A part of what `xz --format=raw --x86 --lzma2=dict=8MiB` has packed.
    Packed {
        /// The whole packed stream.
        bytes: Cow<'static, [u8]>,
        /// Where the archive begins in the unpacked stream.
        start: u64,
        /// How long it is in the unpacked stream.
        length: u64,
    },
}

/// The memory that unpacking takes while it runs.
const DICTIONARY_BYTES: u32 = 8 << 20;

impl Archive {
    /// A reader of the archive's tar.
    pub fn tar(&self) -> Box<dyn Read + '_> {
        match self {
            Archive::Plain(bytes) => Box::new(bytes.as_slice()),
            Archive::Packed {
                bytes,
                start,
                length,
            } => {
                let unpacked = Lzma2Reader::new(bytes.as_ref(), DICTIONARY_BYTES, None);
                let all = BcjReader::new_x86(unpacked, 0);
                Box::new(Behind { all, skip: *start }.take(*length))
            }
        }
    }
}

/// A reader that begins at some offset. What comes before has to be unpacked too.
struct Behind<R> {
    all: R,
    /// Bytes that are still to be skipped.
    skip: u64,
}

impl<R: Read> Read for Behind<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.skip > 0 {
            let passed = io::copy(&mut self.all.by_ref().take(self.skip), &mut io::sink())?;
            self.skip -= passed;
            if self.skip > 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        self.all.read(into)
    }
}

#[cfg(feature = "images")]
#[derive(rust_embed::RustEmbed)]
#[folder = "target/images"]
struct Files;

/// The images in this binary; none unless it was built with the feature `images`.
#[cfg(feature = "images")]
pub fn embedded() -> Vec<Bundled> {
    let file = |name| Files::get(name).map(|file| file.data);
    let (Some(list), Some(bytes)) = (file("images.list"), file("images.lzma2")) else {
        return Vec::new();
    };
    listed(&String::from_utf8_lossy(&list), bytes)
}

/// The images in this binary; none unless it was built with the feature `images`.
#[cfg(not(feature = "images"))]
pub fn embedded() -> Vec<Bundled> {
    Vec::new()
}

/// The images of a list, whose archives are in `bytes` one after the other.
#[cfg(any(test, feature = "images"))]
fn listed(list: &str, bytes: Cow<'static, [u8]>) -> Vec<Bundled> {
    let mut start = 0;
    let lines = list.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (name, sources) = (words.next()?, words.next()?);
        let length = words.next()?.parse().ok()?;
        let archive = Archive::Packed {
            bytes: bytes.clone(),
            start,
            length,
        };
        start += length;
        Some(Bundled {
            image: format!("shellcraft/{name}"),
            sources: sources.to_owned(),
            archive,
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(archive: &Archive) -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        archive.tar().read_to_end(&mut unpacked)?;
        Ok(unpacked)
    }

    /// `printf 'call %s' … | xz --format=raw --x86 --lzma2=dict=8MiB`
    #[test]
    fn what_xz_packs_is_unpacked() {
        let packed: &[u8] = include_bytes!("../../tests/support/packed.lzma2");
        let part = |packed, start, length| Archive::Packed {
            bytes: Cow::Borrowed(packed),
            start,
            length,
        };
        let expected: Vec<u8> = (0..64_u8)
            .flat_map(|number| [0xe8, number, 1, 0, 0, b'c', b'a', b'l', b'l'])
            .collect();
        let length = expected.len() as u64;
        assert_eq!(unpack(&part(packed, 0, length)).expect("whole"), expected);
        assert_eq!(
            unpack(&part(packed, 100, 50)).expect("a part"),
            expected[100..150]
        );
        assert!(unpack(&part(packed, length + 1, 1)).is_err());
        let torn = &packed[..packed.len() / 2];
        assert!(unpack(&part(torn, 0, length)).is_err());
    }

    #[test]
    fn a_list_says_where_each_image_is() {
        let bytes = Cow::Borrowed([].as_slice());
        let images = listed("rust 0abc 10\nperl 1def 20\n", bytes);
        let told: Vec<_> = images
            .iter()
            .map(|image| match image.archive {
                Archive::Packed { start, length, .. } => {
                    (image.image.as_str(), image.sources.as_str(), start, length)
                }
                Archive::Plain(_) => panic!("packed is what it is"),
            })
            .collect();
        assert_eq!(
            told,
            [
                ("shellcraft/rust", "0abc", 0, 10),
                ("shellcraft/perl", "1def", 10, 20)
            ]
        );
    }
}
