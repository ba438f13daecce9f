//! `GET /openapi.json`: the document that `templates/openapi.json` holds, written by hand, with what is true of every
//! route added.
//!
//! ```text
//! templates/openapi.json ─▶ + version, shells of this server ─▶ + HEAD ─▶ + answers and headers of all routes
//! ```
//!
//! The document is made once, at the start. `tests/it/openapi.rs` compares it with the route table and with the server's
//! answers.

use serde_json::{Map, Value, json};

use super::route;
use crate::texts;

/// The file's name among the templates.
const BY_HAND: &str = "openapi.json";
/// The key under which the file lists the answers that any route may give.
const ANY_ANSWER: &str = "x-any-answer";
/// The value that stands for a parameter when the route table is asked; a UUIDv4, as most parameters are.
const SAMPLE: &str = "00000000-0000-4000-8000-000000000000";

/// The document for a server with these shells, below this path, such as `/shell`; the path is empty for a server that has
/// the host for itself.
pub fn document<'a>(prefix: &str, shells: impl IntoIterator<Item = &'a str>) -> Value {
    let by_hand = texts::all().remove(BY_HAND).unwrap_or_default();
    let mut document: Value = serde_json::from_slice(&by_hand).expect("JSON, as every test shows");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    if !prefix.is_empty() {
        document["servers"][0]["url"] = prefix.into();
    }
    let mut shells: Vec<Value> = shells.into_iter().map(Value::from).collect();
    shells.push(Value::Null);
    document["components"]["schemas"]["CreateSession"]["properties"]["shell"]["enum"] =
        shells.into();
    let any = object(&mut document).remove(ANY_ANSWER).unwrap_or_default();
    for (path, item) in object(&mut document["paths"]) {
        add_head(path, object(item));
        for operation in object(item).values_mut() {
            let answers = object(&mut operation["responses"]);
            for (status, answer) in any.as_object().into_iter().flatten() {
                answers.entry(status).or_insert_with(|| answer.clone());
            }
            answers.values_mut().for_each(number_requests);
        }
    }
    object(&mut document["components"]["responses"])
        .values_mut()
        .for_each(number_requests);
    document
}

/// Adds HEAD wherever it is allowed: it is GET without the body.
fn add_head(path: &str, item: &mut Map<String, Value>) {
    let asked: Vec<&str> = path
        .split('/')
        .map(|part| if part.starts_with('{') { SAMPLE } else { part })
        .collect();
    if route::find("HEAD", &asked.join("/")).is_err() {
        return;
    }
    let Some(mut head) = item.get("get").cloned() else {
        return;
    };
    if let Some(id) = head["operationId"].as_str() {
        head["operationId"] = format!("{id}Head").into();
    }
    for answer in object(&mut head["responses"]).values_mut() {
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("content");
        }
    }
    item.insert("head".into(), head);
}

/// Adds `X-Request-Id`, which every answer carries. An answer that is only referred to gets it where it is defined.
fn number_requests(answer: &mut Value) {
    if answer.get("$ref").is_none() {
        answer["headers"]["X-Request-Id"] = json!({
            "description": "The request's number in the log.",
            "required": true,
            "schema": {"type": "string", "format": "uuid"},
        });
    }
}

/// The object that `value` is. A value that is not an object becomes one, which the tests would show.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made one above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_of_this_server() {
        let document = document("", ["rust", "perl"]);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["servers"][0]["url"], "/");
        assert_eq!(super::document("/a", [])["servers"][0]["url"], "/a");
        assert_eq!(
            document["components"]["schemas"]["CreateSession"]["properties"]["shell"]["enum"],
            json!(["rust", "perl", null])
        );
    }

    #[test]
    fn head_is_where_get_is_and_nothing_else_is_upgraded() {
        let document = document("", []);
        let paths = &document["paths"];
        assert_eq!(paths["/"]["head"]["operationId"], "landingHead");
        assert!(paths["/"]["head"]["responses"]["200"]["content"].is_null());
        assert!(paths["/session/{id}/ws"]["head"].is_null());
    }

    #[test]
    fn every_route_has_the_answers_of_all() {
        let document = document("", []);
        assert!(document[ANY_ANSWER].is_null());
        let answers = &document["paths"]["/healthz"]["get"]["responses"];
        assert_eq!(
            answers["431"],
            json!({"$ref": "#/components/responses/HeadersTooLarge"})
        );
        assert_eq!(answers["200"]["headers"]["X-Request-Id"]["required"], true);
    }
}
