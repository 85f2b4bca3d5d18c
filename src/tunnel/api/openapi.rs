//! `GET /openapi.json`: the table of routes as an `OpenAPI` 3.1 document. Like every JSON of ours it is not translated.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::json_response;
use super::routes::{Door, Endpoint, Field, Kind, Method, ROUTES, Shape};

pub(super) async fn openapi() -> Response {
    json_response(StatusCode::OK, &document())
}

/// Returns the document; a copy of it stands in `docs/openapi.json`.
pub(super) fn document() -> Value {
    let mut paths: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for endpoint in ROUTES {
        paths.entry(endpoint.path).or_default().insert(endpoint.method.name(), operation(endpoint));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portwright tunnel server",
            "version": "1",
            "description": "Mappings, tokens and traffic of a tunnel server. The key comes in a header, never in the URL.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "header": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
            "schemas": { "Refusal": refusal() },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut responses = json!({ "200": { "description": "Done", "content": content(endpoint) } });
    let mut operation = Map::new();
    let mut say = |key: &str, value: Value| drop(operation.insert(key.to_owned(), value));
    say("summary", json!(endpoint.about));
    say("operationId", json!(endpoint.path.trim_start_matches('/').replace(['/', '.'], "_")));
    if endpoint.door != Door::Open {
        say("security", json!([{ "bearer": [] }, { "header": [] }]));
        let refused = json!({ "schema": { "$ref": "#/components/schemas/Refusal" } });
        let content = json!({ "application/json": refused });
        let refusal = json!({ "description": "Refused; `code` is stable", "content": content });
        responses.as_object_mut().map(|responses| responses.insert("default".to_owned(), refusal));
    }
    if endpoint.door == Door::Scraper {
        say("description", json!("Needs no key where api.metrics_public is true."));
    }
    if !endpoint.query.is_empty() {
        let parameter = |field: &Field| {
            json!({ "name": field.name, "in": "query", "required": field.needed, "description": field.about,
                "schema": kind(&field.kind) })
        };
        say("parameters", endpoint.query.iter().map(parameter).collect());
    }
    if let Some(shape) = endpoint.body {
        let content = json!({ "application/json": { "schema": object(shape, false) } });
        say("requestBody", json!({ "required": true, "content": content }));
    }
    say("responses", responses);
    Value::Object(operation)
}

fn content(endpoint: &Endpoint) -> Value {
    let (media_type, schema) = match (&endpoint.answer, endpoint.door) {
        (Kind::Text, _) => ("text/plain", kind(&Kind::Text)),
        (answer, Door::Open) => ("application/json", kind(answer)),
        (answer, _) => (
            "application/json",
            json!({
                "type": "object",
                "required": ["success", "message", "data"],
                "properties": {
                    "success": { "const": true },
                    "message": { "type": "string", "description": "For people, by Accept-Language" },
                    "data": kind(answer),
                },
            }),
        ),
    };
    json!({ media_type: { "schema": schema } })
}

fn refusal() -> Value {
    json!({
        "type": "object",
        "required": ["success", "message", "data", "code"],
        "properties": {
            "success": { "const": false },
            "message": { "type": "string", "description": "For people, by Accept-Language" },
            "data": { "type": "null" },
            "code": { "type": "string", "description": "For programs; never translated" },
            "field": { "type": "string", "description": "The field that it is about, where it is about one" },
        },
    })
}

fn object(shape: &Shape, is_answer: bool) -> Value {
    let property = |field: &Field| {
        let mut schema = kind(&field.kind);
        schema.as_object_mut().map(|schema| schema.insert("description".to_owned(), json!(field.about)));
        (field.name.to_owned(), schema)
    };
    let properties: Map<_, _> = shape.0.iter().map(property).collect();
    let needed: Vec<_> = shape.0.iter().filter(|field| field.needed).map(|field| field.name).collect();
    json!({ "type": "object", "properties": properties, "required": needed, "additionalProperties": is_answer })
}

fn kind(kind_of: &Kind) -> Value {
    match kind_of {
        Kind::Whole => json!({ "type": "integer" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::TextOrNull => json!({ "type": ["string", "null"] }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Any => json!({}),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::One(shape) => object(shape, true),
        Kind::Many(shape) => json!({ "type": "array", "items": object(shape, true) }),
    }
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Set to have the file written anew.
    const WRITE: &str = "PORTWRIGHT_WRITE_OPENAPI";

    #[test]
    fn the_committed_document_is_that_of_the_routes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        let text = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, &text).expect("a file");
        }
        let committed = std::fs::read_to_string(&path).expect("the document");
        assert!(committed == text, "docs/openapi.json is out of date; run this test with {WRITE}=1");
    }

    #[test]
    fn every_route_is_described_and_named_once() {
        let document = document();
        let mut seen = Vec::new();
        for endpoint in ROUTES {
            let operation = &document["paths"][endpoint.path][endpoint.method.name()];
            assert!(operation["summary"].as_str().is_some_and(|about| !about.is_empty()), "{}", endpoint.path);
            assert_eq!(operation.get("requestBody").is_some(), endpoint.method == Method::Post, "{}", endpoint.path);
            assert_eq!(operation.get("security").is_some(), endpoint.door != Door::Open, "{}", endpoint.path);
            seen.push((endpoint.path, endpoint.method.name()));
        }
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}
