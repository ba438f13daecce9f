//! What the README says of tests is true: each limit names the tests that show it, and they are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::architecture::rust_files;

/// The names of all functions that are marked as tests, in the sources and in the suites.
fn tests() -> BTreeSet<String> {
    let files = ["src", "tests"].into_iter().flat_map(rust_files);
    let name = |after: &str| {
        let name = after.trim_start().strip_prefix("fn ")?;
        Some(name.split('(').next()?.to_owned())
    };
    let names = |(_, text): (_, String)| -> Vec<String> {
        let marked = text.split("#[test]\n").skip(1).filter_map(name);
        // What every store promises, which a macro makes tests of.
        let promised = text.split("\npub fn ").skip(1).filter_map(|after| {
            let (name, rest) = after.split_once('(')?;
            rest.starts_with("place: &dyn Place)")
                .then(|| name.to_owned())
        });
        marked.chain(promised).collect()
    };
    files.flat_map(names).collect()
}

/// The rows of the table below a heading, each as its cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).expect("the README");
    let (_, below) = text.split_once(heading).expect("the heading");
    let lines = below.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

#[test]
fn each_limit_names_the_tests_that_show_it() {
    let tests = tests();
    let rows = table("\n## Limits\n");
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let [_, _, _, shown_by] = &row[..] else {
            panic!("not four cells: {row:?}");
        };
        let named: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test in {row:?}");
        for name in named {
            assert!(tests.contains(name), "there is no test {name:?}: {row:?}");
        }
    }
}
