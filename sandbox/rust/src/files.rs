//! Looking around: `ls`, `cat`, `cd`, and the names Tab offers. Reads only, never writes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::out::{Out, Stop};

/// Where the spellbook lies and `~` points to.
pub const HOME: &str = "/home";

/// What is wrong with a path, in the game's words.
pub fn trouble(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::NotADirectory => "not a directory",
        ErrorKind::IsADirectory => "is a directory (try: ls)",
        // Ours, from `open_plain`.
        ErrorKind::InvalidInput => "not a plain file",
        _ => "cannot be read",
    }
}

/// The path a word means: `~` is home.
pub fn resolve(word: &str) -> PathBuf {
    match word.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            PathBuf::from(format!("{HOME}{rest}"))
        }
        _ => PathBuf::from(word),
    }
}

/// Prints one path for `ls`; a directory is headed by its name when there are several.
pub fn list(out: &mut Out, word: &str, has_company: bool) -> Result<io::Result<()>, Stop> {
    let path = resolve(word);
    let names = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => names(&path),
        Ok(_) => {
            out.line(word)?;
            return Ok(Ok(()));
        }
        Err(error) => Err(error),
    };
    let names = match names {
        Ok(names) => names,
        Err(error) => return Ok(Err(error)),
    };
    if has_company {
        out.line(&format!("{word}:"))?;
    }
    let mut page = Vec::new();
    for name in names
        .iter()
        .filter(|name| !name.as_bytes().starts_with(b"."))
    {
        page.extend(
            name.as_bytes()
                .iter()
                .map(|&byte| if byte.is_ascii_control() { b'?' } else { byte }),
        );
        page.push(b'\n');
    }
    out.write(&page)?;
    Ok(Ok(()))
}

/// The names in a directory, sorted by bytes, directories with a `/`.
fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let mut name = entry.file_name().into_vec();
        // Follows links, as `cd` does.
        if fs::metadata(entry.path()).is_ok_and(|found| found.is_dir()) {
            name.push(b'/');
        }
        names.push(OsString::from_vec(name));
    }
    names.sort();
    Ok(names)
}

/// Prints a file for `cat`.
pub fn print(out: &mut Out, word: &str) -> Result<io::Result<()>, Stop> {
    let mut file = match open_plain(&resolve(word)) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let mut block = [0; 16 * 1024];
    loop {
        out.check()?;
        match file.read(&mut block) {
            Ok(0) => return Ok(Ok(())),
            Ok(len) => out.write(&block[..len])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Opens a plain file. Devices and pipes are refused: reading the terminal itself would hang.
fn open_plain(path: &Path) -> io::Result<File> {
    let refuse = |found: fs::Metadata| match found {
        found if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        found if !found.is_file() => Err(io::Error::from(ErrorKind::InvalidInput)),
        _ => Ok(()),
    };
    refuse(fs::metadata(path)?)?;
    // The path may have changed meanwhile: O_NONBLOCK and a second look keep that harmless.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    refuse(file.metadata()?)?;
    Ok(file)
}

/// Changes the directory for `cd`.
pub fn enter(word: &str) -> io::Result<()> {
    std::env::set_current_dir(resolve(word))
}

/// The directory we are in.
pub fn here() -> String {
    std::env::current_dir().map_or_else(|_| "/".into(), |path| path.to_string_lossy().into_owned())
}

/// The directory as the prompt shows it.
pub fn short_here() -> String {
    let here = here();
    match here.strip_prefix(HOME) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => here,
    }
}

/// What a path begun like this may become. Names that are not UTF-8 are left out.
pub fn complete(begun: &str) -> Vec<String> {
    let (directory, start) = match begun.rfind('/') {
        Some(slash) => begun.split_at(slash + 1),
        None => ("", begun),
    };
    let place = if directory.is_empty() {
        PathBuf::from(".")
    } else {
        resolve(directory)
    };
    names(&place)
        .unwrap_or_default()
        .iter()
        .filter_map(|name| OsStr::to_str(name))
        .filter(|name| {
            name.starts_with(start) && (start.starts_with('.') || !name.starts_with('.'))
        })
        .map(|name| format!("{directory}{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_a_tilde() {
        assert_eq!(resolve("~"), Path::new("/home"));
        assert_eq!(resolve("~/x"), Path::new("/home/x"));
        assert_eq!(resolve("~x"), Path::new("~x"));
        assert_eq!(resolve("a/~"), Path::new("a/~"));
    }

    #[test]
    fn tab_offers_what_is_there() {
        let place = tempfile::tempdir().expect("a temporary directory");
        for name in ["apple.txt", "apricot.txt", ".hidden", "bear.txt"] {
            fs::write(place.path().join(name), "").expect("writable");
        }
        fs::create_dir(place.path().join("attic")).expect("writable");
        let at = |begun: &str| {
            let base = format!("{}/", place.path().display());
            let found = complete(&format!("{base}{begun}"));
            found
                .iter()
                .map(|path| path.replace(&base, ""))
                .collect::<Vec<_>>()
        };
        assert_eq!(at("a"), ["apple.txt", "apricot.txt", "attic/"]);
        assert_eq!(at(".h"), [".hidden"]);
        assert_eq!(at("zebra").len(), 0);
    }

    #[test]
    fn only_plain_files_are_opened() {
        let kind = |path: &str| {
            open_plain(Path::new(path))
                .map(drop)
                .map_err(|error| trouble(&error))
        };
        assert_eq!(kind("/dev/null"), Err("not a plain file"));
        assert_eq!(kind("/"), Err("is a directory (try: ls)"));
        assert_eq!(kind("/no/such"), Err("no such file or directory"));
        assert_eq!(kind("/etc/passwd/x"), Err("not a directory"));
    }
}
