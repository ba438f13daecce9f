//! A container's files as the archive calls see them: tar in, tar out.

use std::io::{self, Cursor, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::container::{Container, File};
use crate::http::Reply;
use crate::world::{World, lock, seconds};

/// What a tar has before a file's bytes.
pub const HEADER_BYTES: usize = 512;

/// What every image has.
const DIRECTORIES: [&str; 4] = ["/", "/bin", "/home", "/tmp"];

pub fn put(container: &Container, dir: &str, archive: &[u8]) -> Reply {
    let dir = clean(dir);
    if !DIRECTORIES.contains(&dir.as_str()) {
        return not_found(container, &dir);
    }
    let is_volume = container.create_body["Volumes"].get(&dir).is_some();
    if container.create_body["HostConfig"]["ReadonlyRootfs"] == true && !is_volume {
        return Reply::error(500, "container rootfs is marked read-only");
    }
    match unpack(container, &dir, archive) {
        Ok(()) => Reply::empty(200),
        Err(error) => Reply::error(500, error.to_string()),
    }
}

fn unpack(container: &Container, dir: &str, archive: &[u8]) -> io::Result<()> {
    for entry in tar::Archive::new(Cursor::new(archive)).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let header = entry.header();
        let mut file = File {
            mode: header.mode()?,
            uid: header.uid()?,
            gid: header.gid()?,
            mtime: header.mtime()?,
            data: Vec::new(),
        };
        let path = clean(&format!("{dir}/{}", entry.path()?.display()));
        let size = usize::try_from(entry.size()).map_err(io::Error::other)?;
        // What an archive that breaks off has is there all the same.
        let _ = entry.read_to_end(&mut file.data);
        let is_whole = file.data.len() == size;
        if !is_whole {
            // It would become its owner's, and get its time, when all of it is there.
            (file.uid, file.gid, file.mtime) = (0, 0, seconds());
        }
        container.lock().files.insert(path, file);
        if !is_whole {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

pub fn get(world: &World, container: &Container, path: &str) -> Reply {
    let path = clean(path);
    if DIRECTORIES.contains(&path.as_str()) {
        let loose = lock(&world.loose_directories)
            .get(&container.image_name)
            .cloned();
        return match pack_directory(container, &path, &loose.unwrap_or_default()) {
            Ok(archive) => Reply::empty(200)
                .with("Content-Type", "application/x-tar")
                .with_body(archive),
            Err(error) => Reply::error(500, error.to_string()),
        };
    }
    let Some(file) = container.lock().files.get(&path).cloned() else {
        return not_found(container, &path);
    };
    match pack(base_name(&path), &file) {
        Ok(archive) => stat_header(Reply::empty(200), &path, &file)
            .with("Content-Type", "application/x-tar")
            .with_body(archive),
        Err(error) => Reply::error(500, error.to_string()),
    }
}

pub fn stat(container: &Container, path: &str) -> Reply {
    let path = clean(path);
    match container.lock().files.get(&path) {
        Some(file) => stat_header(Reply::empty(200), &path, file),
        None => not_found(container, &path),
    }
}

/// The directory, which is root's, with what of the image's is the player's, and what was put into it.
fn pack_directory(container: &Container, path: &str, loose: &[String]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let below = |full: &str| format!("{}{}/", base_name(path), &full[path.len()..]);
    add_directory(&mut archive, &below(path), 0)?;
    let is_below = |full: &&String| full.starts_with(&format!("{path}/"));
    for directory in loose.iter().filter(is_below) {
        add_directory(&mut archive, &below(directory), 1000)?;
    }
    for (name, file) in &container.lock().files {
        if name.starts_with(&format!("{path}/")) {
            let mut header = header_of(file)?;
            let name = format!("{}{}", base_name(path), &name[path.len()..]);
            archive.append_data(&mut header, name, file.data.as_slice())?;
        }
    }
    archive.into_inner()
}

fn add_directory(archive: &mut tar::Builder<Vec<u8>>, path: &str, owner: u64) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(seconds());
    header.set_size(0);
    archive.append_data(&mut header, path, io::empty())
}

fn pack(name: &str, file: &File) -> io::Result<Vec<u8>> {
    let mut header = header_of(file)?;
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, file.data.as_slice())?;
    archive.into_inner()
}

fn header_of(file: &File) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(file.mode);
    header.set_uid(file.uid);
    header.set_gid(file.gid);
    header.set_mtime(file.mtime);
    header.set_size(u64::try_from(file.data.len()).map_err(io::Error::other)?);
    Ok(header)
}

fn stat_header(reply: Reply, path: &str, file: &File) -> Reply {
    let stat: Value = json!({
        "name": base_name(path), "size": file.data.len(), "mode": file.mode & 0o777,
        "mtime": "2026-01-01T00:00:00Z", "linkTarget": "",
    });
    reply.with(
        "X-Docker-Container-Path-Stat",
        STANDARD.encode(stat.to_string()),
    )
}

fn not_found(container: &Container, path: &str) -> Reply {
    Reply::error(
        404,
        format!(
            "Could not find the file {path} in container {}",
            container.id
        ),
    )
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `//home/./x/` as `/home/x`.
pub fn clean(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    format!("/{}", parts.join("/"))
}
