//! Makes the attacker's image out of this very program, without any registry or builder.
//!
//! What is loaded is an archive as `docker save` writes it: one layer, its configuration and a manifest. A program that
//! is not static needs the libraries that this process has mapped; they come along.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::EntryType;

use crate::auth;
use crate::cli::attack::{MARK, PROGRAM, SECRET};

/// The archive of an image called `name`, for processors that the Engine calls `arch`.
///
/// # Errors
/// When this program or a library of its can't be read.
pub fn archive(name: &str, arch: &str) -> io::Result<Vec<u8>> {
    let layer = layer()?;
    let digest = auth::digest_bytes(&layer);
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "config": { "Cmd": [PROGRAM, "attack"], "Env": ["PATH=/"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created_by": "shellcraft selftest" }],
    })
    .to_string();
    let config_name = format!("{}.json", auth::digest(&config));
    let manifest = json!([{ "Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    file(&mut archive, &config_name, 0o644, config.as_bytes())?;
    file(&mut archive, "layer.tar", 0o644, &layer)?;
    file(
        &mut archive,
        "manifest.json",
        0o644,
        manifest.to_string().as_bytes(),
    )?;
    archive.into_inner()
}

/// An image's files. Attacks are easier there than in the game's own images: the program is root's and has the
/// set-user-id bit, and there are directories that every user might write to.
fn layer() -> io::Result<Vec<u8>> {
    let program = fs::read("/proc/self/exe")?;
    let mut layer = tar::Builder::new(Vec::new());
    for (name, mode) in [
        ("home/", 0o755),
        ("tmp/", 0o1777),
        ("etc/", 0o777),
        ("data/", 0o777),
    ] {
        let mut header = header(EntryType::Directory, mode, 0);
        layer.append_data(&mut header, name, io::empty())?;
    }
    file(&mut layer, relative(PROGRAM), 0o4755, &program)?;
    file(&mut layer, relative(MARK), 0o444, b"")?;
    file(&mut layer, relative(SECRET), 0o600, b"root's secret\n")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let libraries = libraries(&maps);
    for library in &libraries {
        file(
            &mut layer,
            relative(&library.display().to_string()),
            0o755,
            &fs::read(library)?,
        )?;
    }
    let aliases = libraries.iter().flat_map(|library| aliases(library));
    let loader = interpreter(&program).map(PathBuf::from).into_iter();
    // The loader is looked for under the name that is in the program, which is often a link to a link.
    let loader = loader.filter_map(|path| Some((fs::canonicalize(&path).ok()?, path)));
    for (target, alias) in aliases
        .chain(loader)
        .filter(|(target, alias)| target != alias)
    {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        layer.append_link(&mut header, relative(&alias.display().to_string()), target)?;
    }
    layer.into_inner()
}

/// The shared libraries that are mapped, the loader included; none in a static program.
fn libraries(maps: &str) -> BTreeSet<PathBuf> {
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let is_library = |path: &&str| path.contains(".so") && !path.ends_with(" (deleted)");
    paths.filter(is_library).map(PathBuf::from).collect()
}

/// Links beside a library that lead to it, such as `libc.so.6`.
fn aliases(library: &Path) -> Vec<(PathBuf, PathBuf)> {
    let Some(entries) = library.parent().and_then(|dir| fs::read_dir(dir).ok()) else {
        return Vec::new();
    };
    let stem = library
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stem: String = stem
        .chars()
        .take_while(|letter| letter.is_alphanumeric())
        .collect();
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&stem))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .filter(|entry| fs::canonicalize(entry.path()).is_ok_and(|target| target == library))
        .map(|entry| (library.to_owned(), entry.path()))
        .collect()
}

/// The loader that a 64-bit program names (ELF, `PT_INTERP`); none in a static one.
fn interpreter(program: &[u8]) -> Option<&str> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| {
        let field = program.get(at..at.checked_add(bytes)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte)),
        )
    };
    // Class 2 is 64-bit, data 1 is little-endian.
    if program.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let at = usize::try_from(table.checked_add(index * size)?).ok()?;
        if number(at, 4)? == PT_INTERP {
            let start = usize::try_from(number(at + 8, 8)?).ok()?;
            let text = program.get(start..)?.split(|byte| *byte == 0).next()?;
            return str::from_utf8(text).ok();
        }
    }
    None
}

fn header(kind: EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn file(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    let mut header = header(EntryType::Regular, mode, bytes.len() as u64);
    archive.append_data(&mut header, name, bytes)
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_off_the_map() {
        let maps = "55d0-55d1 r--p 00000000 fe:00 1 /usr/bin/shellcraft\n\
                    7f00-7f01 r-xp 00000000 fe:00 2 /usr/lib/libc.so.6\n\
                    7f02-7f03 r-xp 00001000 fe:00 2 /usr/lib/libc.so.6\n\
                    7f04-7f05 rw-p 00000000 00:00 0\n\
                    7ffd-7ffe rw-p 00000000 00:00 0 [stack]\n";
        let found: Vec<_> = libraries(maps).into_iter().collect();
        assert_eq!(found, [PathBuf::from("/usr/lib/libc.so.6")]);
    }

    #[test]
    fn a_program_names_its_loader() {
        assert_eq!(interpreter(b"#!/bin/sh"), None);
        let mut program = b"\x7fELF\x02\x01".to_vec();
        program.resize(64, 0);
        (program[32], program[54], program[56]) = (64, 56, 1);
        program.resize(120, 0);
        (program[64], program[72]) = (3, 120);
        program.extend_from_slice(b"/lib/ld.so\0rest");
        assert_eq!(interpreter(&program), Some("/lib/ld.so"));
        program[64] = 1;
        assert_eq!(interpreter(&program), None);
        assert_eq!(interpreter(&program[..70]), None);
    }

    /// The archive is what the Engine wants: a manifest that names a configuration and a layer, which are there.
    #[test]
    fn the_archive_is_whole() {
        let archive = archive("test:1", "amd64").expect("this test can be read");
        let mut archive = tar::Archive::new(archive.as_slice());
        let names: Vec<String> = archive
            .entries()
            .expect("an archive")
            .map(|entry| {
                entry
                    .expect("whole")
                    .path()
                    .expect("a name")
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names[1..], ["layer.tar", "manifest.json"]);
    }
}
