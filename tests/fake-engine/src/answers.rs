//! What the releases of Docker's Engine say beside what is asked for here: whole answers, with all that a client has to
//! skip, and the words of errors. `answers/README.md` tells where they are from. Pure.

use serde_json::Value;

/// The releases, oldest first, each with its file.
const FILES: [(&str, &str); 13] = [
    ("20.10", include_str!("../answers/20.10.json")),
    ("23.0", include_str!("../answers/23.0.json")),
    ("24.0", include_str!("../answers/24.0.json")),
    ("25.0", include_str!("../answers/25.0.json")),
    ("26.0", include_str!("../answers/26.0.json")),
    ("27.0", include_str!("../answers/27.0.json")),
    ("27.2", include_str!("../answers/27.2.json")),
    ("28.0", include_str!("../answers/28.0.json")),
    ("28.1", include_str!("../answers/28.1.json")),
    ("28.2", include_str!("../answers/28.2.json")),
    ("28.3", include_str!("../answers/28.3.json")),
    ("29.0", include_str!("../answers/29.0.json")),
    ("29.3", include_str!("../answers/29.3.json")),
];

/// The answers of one release, by operation; of none by default.
#[derive(Debug, Clone, Default)]
pub struct Answers(Value);

/// The names of all releases, oldest first.
pub fn releases() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(release, _)| *release)
}

impl Answers {
    /// Those of a release. Panics when there is none of that name, or its file is none.
    pub fn of(release: &str) -> Answers {
        let (_, text) = FILES
            .iter()
            .find(|(name, _)| *name == release)
            .expect("a release");
        let mut file: Value = serde_json::from_str(text).expect("JSON");
        let mut answers = match file["after"].as_str() {
            Some(before) => Answers::of(before).0,
            None => Value::Null,
        };
        lay(&mut answers, file["set"].take());
        for path in file["drop"].as_array().into_iter().flatten() {
            let (parent, name) = path
                .as_str()
                .and_then(|path| path.rsplit_once('/'))
                .expect("a path");
            let parent = answers.pointer_mut(parent).and_then(Value::as_object_mut);
            let dropped = parent.and_then(|parent| parent.remove(name));
            assert!(dropped.is_some(), "{release}: there is no {path}");
        }
        Answers(answers)
    }

    /// What `op` answers where `own` is what is known here.
    pub fn with(&self, op: &str, own: Value) -> Value {
        let mut answer = self.0[op].clone();
        lay(&mut answer, own);
        answer
    }

    /// A text of its own, of `SystemVersion`.
    pub fn version(&self, name: &str) -> Option<&str> {
        self.0["SystemVersion"][name].as_str()
    }

    /// The words of an error, with a container's id and name in them.
    pub fn message(&self, kind: &str, id: &str, name: &str) -> Option<String> {
        let words = self.0["messages"][kind].as_str()?;
        Some(words.replace("{id}", id).replace("{name}", name))
    }

    /// Whether the answer to a load that failed has this field.
    pub fn tells_load_error(&self, field: &str) -> bool {
        match self.0["load_error"].as_array() {
            Some(fields) => fields.iter().any(|known| known == field),
            None => true,
        }
    }
}

/// Lays `upper` over `lower`: objects are put together, everything else is replaced.
fn lay(lower: &mut Value, upper: Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => {
            for (name, value) in upper {
                lay(lower.entry(name).or_insert(Value::Null), value);
            }
        }
        (lower, upper) => *lower = upper,
    }
}
