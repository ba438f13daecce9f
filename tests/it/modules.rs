//! Which module knows which, read off the sources: as the table in `lib.rs` says, and nowhere in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::architecture::{rows, sources};

/// Modules by their paths, each with those that its code names.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// The module that a file below `src` holds: `session::store` for `session/store/mod.rs`. None for the two roots.
pub fn module_of(file: &Path) -> Option<String> {
    let below = file
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .expect("a file below src");
    let text = below
        .with_extension("")
        .to_string_lossy()
        .replace('/', "::");
    let module = text.strip_suffix("::mod").unwrap_or(&text);
    (!["lib", "main"].contains(&module)).then(|| module.to_owned())
}

/// The paths that a `use` brings in: `a::{b, c::{d, e}}` is three.
fn paths_of(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![
            tree.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned(),
        ];
    };
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for letter in rest.trim_end().trim_end_matches('}').chars().chain([',']) {
        match letter {
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            _ => {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                part.push(letter);
            }
        }
    }
    let inner = parts.iter().filter(|part| !part.trim().is_empty());
    let paths = inner.flat_map(|part| paths_of(part.trim()));
    paths
        .map(|path| format!("{}{path}", before.trim()))
        .collect()
}

/// All paths in a file's code that it uses, or that begin at the crate or at a module's parent.
pub fn paths_in(code: &str) -> Vec<String> {
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join(" ");
    let uses = code
        .split(" use ")
        .skip(1)
        .filter_map(|rest| rest.split(';').next());
    let mut paths: Vec<String> = uses.flat_map(paths_of).collect();
    for root in ["crate::", "super::"] {
        paths.extend(code.match_indices(root).map(|(at, _)| {
            let is_part = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
            code[at..]
                .chars()
                .take_while(|letter| is_part(*letter))
                .collect()
        }));
    }
    paths
}

/// The module that a path in this module's code leads into.
fn target(module: &str, path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut steps: Vec<&str> = path.split("::").filter(|step| !step.is_empty()).collect();
    let mut base: Vec<&str> = match *steps.first()? {
        "crate" => Vec::new(),
        _ => module.split("::").collect(),
    };
    while let Some(&("crate" | "self" | "super")) = steps.first() {
        if steps.remove(0) == "super" {
            base.pop();
        }
    }
    base.extend(steps);
    while !base.is_empty() && !modules.contains(&base.join("::")) {
        base.pop();
    }
    (!base.is_empty()).then(|| base.join("::"))
}

fn edges() -> Edges {
    let files: Vec<(String, String)> = sources("")
        .into_iter()
        .filter_map(|(path, code)| Some((module_of(&path)?, code)))
        .collect();
    let modules: BTreeSet<String> = files.iter().map(|(module, _)| module.clone()).collect();
    let known = |(module, code): (String, String)| {
        let targets = paths_in(&code).into_iter();
        let targets = targets.filter_map(|path| target(&module, &path, &modules));
        let others = targets.filter(|other| *other != module).collect();
        (module, others)
    };
    files.into_iter().map(known).collect()
}

/// A way that leads from a module back to it, if there is one.
fn circle(edges: &Edges) -> Option<Vec<String>> {
    fn walk(edges: &Edges, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let here = way.last().expect("a way").clone();
        for next in edges.get(&here).into_iter().flatten() {
            if let Some(at) = way.iter().position(|step| step == next) {
                way.drain(..at);
                return true;
            }
            if !done.contains(next) {
                way.push(next.clone());
                if walk(edges, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        walk(edges, &mut way, &mut done).then_some(way)
    })
}

fn top(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// The edges between the modules that `lib.rs` names.
fn top_edges() -> Edges {
    let mut tops = Edges::new();
    for (module, others) in edges() {
        let others = others.iter().map(|other| top(other).to_owned());
        let others = others.filter(|other| other != top(&module));
        tops.entry(top(&module).to_owned())
            .or_default()
            .extend(others);
    }
    tops
}

#[test]
fn the_table_of_modules_says_who_knows_whom() {
    let words = |cell: &String| -> BTreeSet<String> {
        let words = cell
            .split([',', ' '])
            .filter(|word| !word.is_empty() && *word != "–");
        words.map(str::to_owned).collect()
    };
    let told: Edges = rows("Modules")
        .into_iter()
        .map(|row| (row[0].clone(), words(&row[1])))
        .collect();
    assert_eq!(told, top_edges());
}

/// From the bottom up: each row's module knows only those of rows above it.
#[test]
fn no_modules_know_each_other_in_a_circle() {
    let mut seen = BTreeSet::new();
    for row in rows("Modules") {
        for known in top_edges().remove(&row[0]).unwrap_or_default() {
            assert!(
                seen.contains(&known),
                "{} knows {known}, which is below it",
                row[0]
            );
        }
        seen.insert(row[0].clone());
    }
}

/// A folder's head knows what is in it, and that what its head says: such pairs are one.
#[test]
fn no_files_know_each_other_in_a_circle() {
    let is_within = |inner: &str, outer: &str| inner.starts_with(&format!("{outer}::"));
    let mut edges = edges();
    for (module, others) in &mut edges {
        others.retain(|other| !is_within(other, module) && !is_within(module, other));
    }
    assert_eq!(circle(&edges), None);
}

#[test]
fn a_circle_is_found() {
    let edge = |from: &str, to: &[&str]| {
        let to = to.iter().map(|one| (*one).to_owned()).collect();
        (from.to_owned(), to)
    };
    let mut edges = Edges::from([edge("a", &["b", "c"]), edge("b", &["d"]), edge("c", &["d"])]);
    assert_eq!(circle(&edges), None);
    edges.extend([edge("d", &["c"])]);
    assert_eq!(circle(&edges), Some(vec!["d".to_owned(), "c".to_owned()]));
    let trees = paths_of("crate::a::{self, b::{c, d as e}, f}");
    assert_eq!(
        trees,
        [
            "crate::a::self",
            "crate::a::b::c",
            "crate::a::b::d",
            "crate::a::f"
        ]
    );
    let modules = BTreeSet::from(["a".to_owned(), "a::b".to_owned(), "a::g".to_owned()]);
    assert_eq!(
        target("a::g", "super::b::c", &modules).as_deref(),
        Some("a::b")
    );
    assert_eq!(target("a::g", "crate::x::y", &modules), None);
}
