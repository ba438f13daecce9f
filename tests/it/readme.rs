//! The tables of the README and of the API's are whole: each limit names the tests that show it, each setting and each route
//! has its row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use shellcraft::config::Config;
use shellcraft::http::route::TABLE;

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

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(path).expect("a text")
}

/// The rows of the README's table below a heading, each as its cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = read("README.md");
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

#[test]
fn what_a_fleet_s_players_notice_names_the_tests_that_show_it() {
    let tests = tests();
    let rows = table("\n`/readyz?for=balancer` is 503 only");
    assert!(rows.len() > 5, "{rows:?}");
    for row in rows {
        let [_, _, shown_by] = &row[..] else {
            panic!("not three cells: {row:?}");
        };
        let named: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test in {row:?}");
        for name in named {
            assert!(tests.contains(name), "there is no test {name:?}: {row:?}");
        }
    }
}

#[test]
fn each_setting_has_a_row_and_each_row_is_a_setting() {
    let command = Config::command();
    let settings = command.get_arguments().filter_map(|setting| {
        let name = setting.get_env()?.to_str()?;
        Some(name.to_owned())
    });
    let settings: BTreeSet<String> = settings.collect();
    let rows = table("\n## Settings\n").into_iter();
    let named = rows.flat_map(|row| {
        let names = row[0].split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(named.collect::<BTreeSet<String>>(), settings);
}

#[test]
fn each_route_is_in_the_api_s_tables() {
    let text = read("src/http/README.md");
    for (method, pattern) in TABLE {
        let is_named = ["`", "?"]
            .iter()
            .any(|end| text.contains(&format!("`{method} {pattern}{end}")));
        assert!(is_named, "{method} {pattern}");
    }
}
