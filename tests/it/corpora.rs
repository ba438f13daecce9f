//! What the fuzzers of `tests/fuzz` began with and what they found, once each.

use std::fs;
use std::path::Path;

use crate::probes::ALL;

#[test]
fn every_kept_input_is_handled() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let names: Vec<_> = fs::read_dir(&corpora)
        .expect("the corpora")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(names.len(), ALL.len(), "each corpus has its probe");
    for (name, probe) in ALL {
        let files = fs::read_dir(corpora.join(name)).expect("a corpus");
        let mut count = 0;
        for file in files {
            let path = file.expect("readable").path();
            let bytes = fs::read(&path).expect("a file");
            // A panic's message does not tell whose it is.
            println!("{}", path.display());
            probe(&bytes);
            count += 1;
        }
        assert!(count > 0, "the corpus {name} is empty");
    }
}
