//! `shellcraft files`: the files that an operator needs beside the binary, which contains them: the systemd unit,
//! proxies' configurations, the settings to fill in, dashboards and alert rules. No threads.

use std::io::{self, Write};

use crate::texts;

/// The files' folder in [`texts`].
const FOLDER: &str = "deploy/";

/// Prints the file called `name`, or all names. The status is for the shell: 1 when there is no such file.
pub fn run(name: Option<&str>) -> bool {
    let text = match name {
        None => list(),
        Some(name) => match text_of(name) {
            Some(text) => text,
            None => {
                eprintln!(
                    "shellcraft: there is no file {name:?}; `shellcraft files` lists what there is"
                );
                return false;
            }
        },
    };
    // Fails when the reader has left, as `head` does.
    io::stdout().write_all(&text).is_ok()
}

/// A file's text.
pub(super) fn text_of(name: &str) -> Option<Vec<u8>> {
    let text = texts::all().remove(&format!("{FOLDER}{name}"))?;
    Some(text.into_owned())
}

fn list() -> Vec<u8> {
    let texts = texts::all();
    let names = texts.keys().filter_map(|name| name.strip_prefix(FOLDER));
    let lines = names.map(|name| format!("{name}\n"));
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::config::Config;

    fn text(name: &str) -> String {
        String::from_utf8(text_of(name).expect("it is there")).expect("UTF-8")
    }

    #[test]
    fn all_of_them_are_listed() {
        let listed = String::from_utf8(list()).expect("names");
        for name in [
            "Caddyfile",
            "Dockerfile",
            "compose.yaml",
            "haproxy.cfg",
            "nginx.conf",
            "shellcraft.env",
            "shellcraft.service",
            "shellcraft.socket",
            "traefik.yml",
        ] {
            assert!(listed.lines().any(|line| line == name), "{listed}");
        }
    }

    /// Each setting is in the file, with its default, and each line of the file is a setting.
    #[test]
    fn the_settings_are_all_there() {
        let text = text("shellcraft.env");
        let listed: BTreeSet<_> = text
            .lines()
            .filter(|line| !line.starts_with("# ") && !line.is_empty())
            .map(|line| line.strip_prefix('#').expect("commented out"))
            .collect();
        let command = Config::command();
        let settings = command.get_arguments().filter_map(|setting| {
            let name = setting.get_env()?.to_str()?;
            let default = setting.get_default_values().first();
            let default = match (name, default) {
                // The default depends on who asks; this is what the service has.
                ("DATA_DIR", _) => "/var/lib/shellcraft",
                (_, Some(default)) => default.to_str()?,
                (_, None) => "",
            };
            Some(format!("{name}={default}"))
        });
        let settings: BTreeSet<_> = settings.collect();
        let settings: BTreeSet<_> = settings.iter().map(String::as_str).collect();
        assert_eq!(listed, settings);
    }
}
