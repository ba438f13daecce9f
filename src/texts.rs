//! Texts that the binary contains besides the page's files: the pages' templates, files for operators, and the API's
//! description.
//!
//! They are read at the start, or now and then without hurry, so `make dist` packs them (`.ci/dist`: a tar in a gzip,
//! with their names below `templates`). Other builds contain them unpacked. No threads run here.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// All texts by name, such as `landing.html` and `deploy/nginx.conf`.
///
/// # Panics
/// When `.ci/dist` has packed anything but texts.
pub fn all() -> BTreeMap<String, Cow<'static, [u8]>> {
    embedded()
}

#[cfg(not(feature = "images"))]
#[derive(rust_embed::RustEmbed)]
#[folder = "templates"]
struct Templates;

#[cfg(not(feature = "images"))]
fn embedded() -> BTreeMap<String, Cow<'static, [u8]>> {
    let names = Templates::iter();
    names
        .filter_map(|name| Some((name.to_string(), Templates::get(&name)?.data)))
        .collect()
}

#[cfg(feature = "images")]
fn embedded() -> BTreeMap<String, Cow<'static, [u8]>> {
    let packed = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/target/texts.tar.gz"));
    let texts = unpacked(packed).expect("what `make dist` packs is a tar in a gzip");
    let owned = |(name, text)| (name, Cow::Owned(text));
    texts.into_iter().map(owned).collect()
}

/// Unpacks the files of a tar in a gzip.
#[cfg(any(feature = "images", test))]
fn unpacked(packed: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    use std::io::Read;
    let tar = gunzip(packed)?;
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut files = Vec::new();
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if entry.header().entry_type().is_file() {
            let name = entry.path().ok()?.to_str()?.to_owned();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).ok()?;
            files.push((name, text));
        }
    }
    Some(files)
}

/// Unpacks what gzip writes when it is given no file name: a head of ten bytes, the data, a checksum and a length.
pub fn gunzip(packed: &[u8]) -> Option<Vec<u8>> {
    /// The most bytes that are unpacked: more than any text here has.
    const LONGEST: usize = 8 << 20;
    let deflated = packed.get(10..packed.len().checked_sub(8)?)?;
    miniz_oxide::inflate::decompress_to_vec_with_limit(deflated, LONGEST).ok()
}

/// Packs a text as the content coding `deflate` has it (RFC 9110 8.4.1.2: in the zlib format). The setting is fast
/// rather than small, because the text is packed anew for each request.
pub fn deflate(text: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec_zlib(text, 1)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A tar in a gzip, as `.ci/dist` packs it, is read.
    #[test]
    fn what_is_packed_is_unpacked() {
        let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let packed = Command::new("sh")
            .args(["-c", "cd \"$0\" && tar -c -- * | gzip -9n", templates])
            .stderr(Stdio::inherit())
            .output()
            .expect("sh, tar and gzip")
            .stdout;
        let files: BTreeMap<_, _> = unpacked(&packed).expect("a tar").into_iter().collect();
        let plain = all();
        assert!(plain.len() > 5, "{:?}", plain.keys());
        assert!(files.keys().eq(plain.keys()));
        assert!(files.iter().all(|(name, text)| plain[name] == *text));
        assert!(unpacked(&packed[..packed.len() / 2]).is_none());
        assert!(gunzip(b"short").is_none());
        let text = b"a word, a word, and another word".repeat(100);
        let packed = deflate(&text);
        assert!(packed.len() < text.len() / 10, "{}", packed.len());
        let unpacked =
            miniz_oxide::inflate::decompress_to_vec_zlib(&packed).expect("zlib's format");
        assert_eq!(unpacked, text);
    }
}
