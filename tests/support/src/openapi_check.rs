//! Holds every answer that a test sees against `/openapi.json`: its status, its headers, its media type, its body.

use std::sync::LazyLock;

use serde_json::Value;
use shellcraft::http::openapi::document;

use crate::site::Reply;

/// The document of a server with the catalogue that it has by default.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document("", ["rust", "perl"]));

/// Checks the answer to a request. A path that the document does not know gets an error, in the form of all errors.
#[track_caller]
pub fn check(method: &str, target: &str, reply: &Reply) {
    let shown = format!("{method} {target}: {} {}", reply.status, reply.text());
    let operation = operation(method, target);
    if operation.is_null() {
        let is_error = matches!(reply.status, 400..=599);
        assert!(is_error, "/openapi.json does not know of {shown}");
        return;
    }
    let answer = resolve(&operation["responses"][reply.status.to_string()]);
    assert!(!answer.is_null(), "not in /openapi.json: {shown}");
    for (name, header) in answer["headers"].as_object().into_iter().flatten() {
        let value = reply.header(&name.to_lowercase());
        assert!(
            value.is_some() || header["required"] != true,
            "no {name}: {shown}"
        );
        if let Some(value) = value {
            fits(&header["schema"], &value.into())
                .unwrap_or_else(|why| panic!("{name} {why}: {shown}"));
        }
    }
    if method == "HEAD" || answer["content"].is_null() {
        assert!(reply.body.is_empty(), "an empty body is promised: {shown}");
        return;
    }
    let media_type = reply.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let schema = &answer["content"][media_type]["schema"];
    assert!(
        !schema.is_null(),
        "{media_type:?} is not in /openapi.json: {shown}"
    );
    let body = match media_type {
        "application/json" => reply.json(),
        // A letter a byte, so that lengths are those of the bytes.
        _ => reply
            .body
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()
            .into(),
    };
    fits(schema, &body).unwrap_or_else(|why| panic!("not as /openapi.json says: {why}: {shown}"));
}

/// What the document says of a method and a path, query and all. Null where it knows neither.
fn operation(method: &str, target: &str) -> &'static Value {
    let path = target.split('?').next().unwrap_or_default();
    let is_meant = |pattern: &str| {
        let (asked, known): (Vec<&str>, Vec<&str>) =
            (path.split('/').collect(), pattern.split('/').collect());
        let mut pairs = asked.iter().zip(&known);
        asked.len() == known.len()
            && pairs.all(|(asked, known)| known.starts_with('{') || asked == known)
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    // `/watch/{secret}` and the like: what is spelled out goes first.
    let mut found: Vec<_> = paths
        .iter()
        .filter(|(pattern, _)| is_meant(pattern))
        .collect();
    found.sort_by_key(|(pattern, _)| pattern.matches('{').count());
    let Some((_, item)) = found.first() else {
        return &Value::Null;
    };
    &item[method.to_lowercase()]
}

fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(place) => DOCUMENT
            .pointer(place.trim_start_matches('#'))
            .expect("it leads somewhere"),
        None => value,
    }
}

/// Whether `value` fits `schema`. Only what the document uses is understood; anything else is an error, so that no
/// rule is passed over.
fn fits(schema: &'static Value, value: &Value) -> Result<(), String> {
    let schema = resolve(schema);
    for (rule, wanted) in schema.as_object().ok_or("a schema is no object")? {
        let holds = match rule.as_str() {
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|name| is_of(name, value)),
                name => is_of(name, value),
            },
            "const" => wanted == value,
            "enum" => wanted
                .as_array()
                .is_some_and(|allowed| allowed.contains(value)),
            "allOf" => {
                for part in wanted.as_array().ok_or("allOf is no list")? {
                    fits(part, value)?;
                }
                true
            }
            "required" => {
                let names = wanted
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                names.into_iter().all(|name| value.get(name).is_some())
            }
            "properties" => {
                for (name, schema) in wanted.as_object().ok_or("properties is no object")? {
                    if let Some(value) = value.get(name) {
                        fits(schema, value).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
                true
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    fits(wanted, item)?;
                }
                true
            }
            "minimum" => value.as_f64() >= wanted.as_f64(),
            "maximum" => value.as_f64() <= wanted.as_f64(),
            "minLength" => length(value) >= wanted.as_u64().map(|least| least as usize),
            "maxLength" => length(value) <= wanted.as_u64().map(|most| most as usize),
            // Patterns and formats are schemathesis's to check.
            "pattern" | "format" | "description" | "contentMediaType" => true,
            unknown => return Err(format!("the rule {unknown} is not understood here")),
        };
        if !holds {
            return Err(format!("{value} breaks {rule}: {wanted}"));
        }
    }
    Ok(())
}

fn length(value: &Value) -> Option<usize> {
    value.as_str().map(|text| text.chars().count())
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("null") => value.is_null(),
        _ => false,
    }
}
