//! What a log line says beside its sentence: whose request, which session, and what was measured.
//!
//! Fields come from three places. A thread that works for a request or a session says so once ([`enter`]), and all its
//! lines carry it, those of the Engine's client too. A line may have fields of its own (`info!(status = 200; "…")`).
//! And the server's sentences may begin with some, as in `session=… container=… could not be saved`.

use std::cell::RefCell;
use std::fmt::Display;

use log::Record;
use log::kv::{Error, Key, Value, VisitSource, VisitValue};

use super::names;

/// A field's name and value.
pub type Field = (String, serde_json::Value);

/// The fields with which a sentence may begin.
const LEADING: [&str; 4] = ["request", "session", "container", "instance"];

thread_local! {
    static ENTERED: RefCell<Vec<Field>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, this thread's lines carry its fields.
#[derive(Debug)]
pub struct Entered {
    count: usize,
    // The fields belong to this thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

/// This thread's lines carry these fields from now on: `request`, `session`, `peer`.
pub fn enter(fields: &[(&str, &dyn Display)]) -> Entered {
    let count = ENTERED.with_borrow_mut(|entered| {
        let before = entered.len();
        for (name, value) in fields {
            entered.push(((*name).to_owned(), value.to_string().into()));
        }
        before
    });
    Entered {
        count,
        _not_send: std::marker::PhantomData,
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.with_borrow_mut(|entered| entered.truncate(self.count));
    }
}

/// All fields of a line, each name once; and how many of them its sentence shows already.
pub fn of(record: &Record, sentence: &str) -> (Vec<Field>, usize) {
    let mut fields = leading(sentence);
    let shown = fields.len();
    // The visitor never returns an error.
    let _ = record.key_values().visit(&mut Collect(&mut fields));
    ENTERED.with_borrow(|entered| {
        for (name, value) in entered.iter().rev() {
            if !fields.iter().any(|(known, _)| known == name) {
                fields.push((name.clone(), value.clone()));
            }
        }
    });
    for (_, value) in fields.iter_mut().filter(|(name, _)| name != "request") {
        if let serde_json::Value::String(text) = value {
            *text = names::without_ids(text);
        }
    }
    (fields, shown)
}

/// The fields that the sentence begins with. Text from strangers never stands there.
fn leading(sentence: &str) -> Vec<Field> {
    let words = sentence.split(' ').map_while(|word| {
        let (name, value) = word.split_once('=')?;
        let is_value = |value: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
            !value.is_empty() && value.bytes().all(allowed)
        };
        (LEADING.contains(&name) && is_value(value)).then(|| (name.to_owned(), value.into()))
    });
    words.collect()
}

struct Collect<'a>(&'a mut Vec<Field>);

impl<'kvs> VisitSource<'kvs> for Collect<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let mut json = Json(serde_json::Value::Null);
        value.visit(&mut json)?;
        self.0.push((key.as_str().to_owned(), json.0));
        Ok(())
    }
}

struct Json(serde_json::Value);

impl<'v> VisitValue<'v> for Json {
    fn visit_any(&mut self, value: Value) -> Result<(), Error> {
        self.0 = value.to_string().into();
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }
}
