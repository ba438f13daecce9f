//! What the `README.md` files lead to is there: the files and headings that they link, and the functions that the tour of
//! the sources names.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a path is of what is made here and not kept: the next clone has no such file.
fn is_ignored(path: &Path) -> bool {
    let ignored = fs::read_to_string(root().join(".gitignore")).expect("the list");
    let mut lines = ignored.lines().map(|line| line.trim_start_matches('/'));
    lines.any(|line| path.starts_with(root().join(line)))
}

/// All `README.md` files of the tree.
fn guides() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("readable").path();
            if path.is_dir() && !path.ends_with(".git") && !is_ignored(&path) {
                folders.push(path);
            } else if path.ends_with("README.md") {
                found.push(path);
            }
        }
    }
    found
}

/// The text outside blocks of code.
fn prose(text: &str) -> String {
    let blocks = text.split("\n```").step_by(2);
    blocks.collect::<Vec<_>>().join("\n")
}

/// What each link of a text leads to, and what follows the link.
fn links(text: &str) -> Vec<(&str, &str)> {
    let links = text.match_indices("](").filter_map(|(at, _)| {
        let (target, rest) = text[at + 2..].split_once(')')?;
        Some((target, rest))
    });
    links.collect()
}

/// Where a link leads; nothing for one that leaves the tree.
fn file_of(guide: &Path, target: &str) -> Option<PathBuf> {
    if target.contains("://") {
        return None;
    }
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() {
        return Some(guide.to_owned());
    }
    let mut file = guide.parent().expect("it is in a folder").to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(file.pop()),
            part => file.push(part),
        }
    }
    Some(file)
}

/// What a heading is called in an address, as GitHub does it.
fn anchors(text: &str) -> Vec<String> {
    let mut times = HashMap::<String, usize>::new();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let named = headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |each: &char| each.is_alphanumeric() || matches!(each, ' ' | '-' | '_');
        let name: String = title.chars().filter(kept).collect();
        let name = name.replace(' ', "-");
        let time = times.entry(name.clone()).or_default();
        *time += 1;
        match *time {
            1 => name,
            time => format!("{name}-{}", time - 1),
        }
    });
    named.collect()
}

/// Why a link leads nowhere, if it does.
fn fault_of(guide: &Path, target: &str) -> Option<&'static str> {
    let file = file_of(guide, target)?;
    if !file.exists() || is_ignored(&file) {
        return Some("is not in the tree");
    }
    let (_, anchor) = target.split_once('#')?;
    let text = fs::read_to_string(&file).expect("a text");
    let is_there = anchors(&prose(&text)).iter().any(|name| name == anchor);
    (!is_there).then_some("has no such heading")
}

/// Whether a source has a function of that name.
fn defines(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).expect("a source");
    if file.extension().is_some_and(|extension| extension == "rs") {
        let starts = [format!("fn {name}("), format!("fn {name}<")];
        return starts.iter().any(|start| text.contains(start));
    }
    text.lines().any(|line| {
        let mut words = line.trim_start();
        for modifier in ["export ", "private ", "static ", "async ", "function "] {
            words = words.strip_prefix(modifier).unwrap_or(words);
        }
        words
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('('))
            && line.ends_with('{')
    })
}

#[test]
fn every_link_leads_somewhere() {
    let guides = guides();
    assert!(guides.len() > 3, "{guides:?}");
    let mut faults = Vec::new();
    for guide in guides {
        let text = fs::read_to_string(&guide).expect("a guide");
        for (target, _) in links(&prose(&text)) {
            if let Some(fault) = fault_of(&guide, target) {
                faults.push(format!("{}: {target} {fault}", guide.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The tour names a function as a link to its file, two colons and the name in backticks.
#[test]
fn every_function_of_the_tour_is_there() {
    let guide = root().join("src/README.md");
    let text = fs::read_to_string(&guide).expect("the tour");
    let text = prose(&text);
    let mut named = 0;
    let mut missing = Vec::new();
    for (target, rest) in links(&text) {
        let Some(name) = rest.strip_prefix("::`") else {
            continue;
        };
        let (name, _) = name.split_once('`').expect("the end of a name");
        let file = file_of(&guide, target).expect("a source");
        named += 1;
        if !defines(&file, name) {
            missing.push(format!("{target} has no function {name}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(named > 40, "only {named} functions are named");
    // No name without a link: it would not be looked for.
    assert_eq!(text.matches("::`").count(), named);
}

#[test]
fn anchors_are_headings_as_github_has_them() {
    let text = "# The terminal's WebSocket\n## `shellcraft doctor`\ntext\n## As a service (systemd)\n## Stop\n## Stop\n";
    let expected = [
        "the-terminals-websocket",
        "shellcraft-doctor",
        "as-a-service-systemd",
        "stop",
        "stop-1",
    ];
    assert_eq!(anchors(text), expected);
}
