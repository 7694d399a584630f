//! `openapi.yaml`: a description of this API that programs read, made from one table of routes.
//!
//! <https://spec.openapis.org/oas/v3.1.1.html>. Names of operations and tags are Prometheus'. As there, only a
//! description in version 3.2 tells of the endless stream `notifications/live`, which 3.1 has no words for.

mod table;

use super::Api;
use super::error::{ApiError, ApiResult, ErrorType};
use super::params::Params;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::sync::Arc;
use table::{Body, Form, Param, ROUTES, Route, TAGS};

/// `GET /openapi.yaml`.
pub(crate) async fn description(State(api): State<Arc<Api>>, params: Params) -> ApiResult<Response> {
    let streams = matches!(params.get("openapi_version"), "3.2" | "3.2.0");
    let mut yaml = String::new();
    push(&mut yaml, &document(api.build.version, streams), 0)
        .map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ];
    Ok((headers, yaml).into_response())
}

fn document(version: &str, streams: bool) -> Value {
    let tags: Vec<Value> =
        TAGS.iter().map(|(name, what)| json!({"name": name, "description": what})).collect();
    let mut paths = Map::new();
    for route in ROUTES.iter().filter(|route| streams || !matches!(route.answers, Body::Events)) {
        let methods = route.methods.iter().map(|method| ((*method).to_owned(), operation(route, method)));
        paths.insert(route.path.to_owned(), Value::Object(methods.collect()));
    }
    json!({
        "openapi": if streams { "3.2.0" } else { "3.1.0" },
        "info": {
            "title": "Nilometer",
            "description": "Prometheus' HTTP API over the metrics of many clusters.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
            "version": version,
        },
        "servers": [{"url": "/api/v1"}],
        "tags": tags,
        "security": [{}, {"token": []}, {"password": []}],
        "paths": paths,
        "components": components(),
    })
}

fn components() -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "password": {"type": "http", "scheme": "basic"},
        },
        "schemas": {
            "Success": {
                "type": "object",
                "required": ["status", "data"],
                "properties": {
                    "status": {"const": "success"},
                    "data": {},
                    "warnings": texts,
                    "infos": texts,
                },
            },
            "Error": {
                "type": "object",
                "required": ["status", "errorType", "error"],
                "properties": {
                    "status": {"const": "error"},
                    "errorType": {"type": "string"},
                    "error": {"type": "string"},
                },
            },
        },
    })
}

fn operation(route: &Route, method: &str) -> Value {
    let in_form = method == "post" && matches!(route.asks, Body::Json);
    let id = match route.methods.first() {
        Some(first) if *first == method => route.id.to_owned(),
        _ => format!("{}-{method}", route.id),
    };
    let (status, error) = match (&route.asks, &route.answers) {
        (_, Body::Nothing) => ("204", json!({"text/plain": {}})),
        (Body::Protobuf, _) => ("200", json!({"text/plain": {}})),
        _ => ("200", content(&Body::Json, "Error")),
    };
    let mut operation = json!({
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": id,
        "responses": {
            status: {"description": "It is done.", "content": content(&route.answers, "Success")},
            "default": {"description": "Why it is not.", "content": error},
        },
    });
    let listed: Vec<Value> =
        route.params.iter().filter(|param| param.in_path || !in_form).map(parameter).collect();
    if !listed.is_empty() {
        operation["parameters"] = Value::Array(listed);
    }
    if in_form && !route.params.is_empty() {
        operation["requestBody"] = json!({
            "content": {"application/x-www-form-urlencoded": {"schema": form(route.params)}},
        });
    } else if matches!(route.asks, Body::Protobuf) {
        operation["requestBody"] = json!({"required": true, "content": content(&route.asks, "")});
    }
    operation
}

fn content(body: &Body, schema: &str) -> Value {
    let (kind, schema) = match body {
        Body::Json => {
            ("application/json", json!({"schema": {"$ref": format!("#/components/schemas/{schema}")}}))
        }
        Body::Protobuf => ("application/x-protobuf", json!({})),
        Body::Yaml => ("application/yaml", json!({})),
        Body::Lines => ("application/x-ndjson", json!({})),
        Body::Events => ("text/event-stream", json!({"itemSchema": {"type": "object"}})),
        Body::Nothing => return json!({}),
    };
    Value::Object(Map::from_iter([(kind.to_owned(), schema)]))
}

fn parameter(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": if param.in_path { "path" } else { "query" },
        "required": param.required,
        "description": param.says,
        "schema": schema(param.form),
    })
}

fn form(params: &[Param]) -> Value {
    let fields = params.iter().filter(|param| !param.in_path);
    let properties: Map<String, Value> = fields
        .clone()
        .map(|param| {
            let mut field = schema(param.form);
            field["description"] = param.says.into();
            (param.name.to_owned(), field)
        })
        .collect();
    let required: Vec<&str> = fields.filter(|param| param.required).map(|param| param.name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn schema(form: Form) -> Value {
    match form {
        Form::Text => json!({"type": "string"}),
        Form::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Form::Whole => json!({"type": "integer", "format": "int64", "minimum": 0}),
        Form::Flag => json!({"type": "boolean"}),
        // Seconds, or a text: RFC 3339 for times, `5m` for durations.
        Form::Time => json!({"oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}),
        Form::Duration => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
    }
}

/// Writes `value` as YAML; texts stay as in JSON, which are YAML too.
fn push(out: &mut String, value: &Value, depth: usize) -> std::fmt::Result {
    let indent = "  ".repeat(depth);
    let is_leaf = |value: &Value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                write!(out, "{indent}{}:", Value::from(name.as_str()))?;
                if is_leaf(field) {
                    writeln!(out, " {field}")?;
                } else {
                    out.push('\n');
                    push(out, field, depth + 1)?;
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if is_leaf(item) {
                    writeln!(out, "{indent}- {item}")?;
                } else {
                    writeln!(out, "{indent}-")?;
                    push(out, item, depth + 1)?;
                }
            }
        }
        leaf => writeln!(out, "{indent}{leaf}")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn yaml_is_written() {
        let mut out = String::new();
        let value = json!({"a": [{"b": "c: \"d\""}, 1, []], "e": {}, "f": {"g": null}});
        push(&mut out, &value, 0).unwrap();
        assert_eq!(
            out,
            "\"a\":\n  -\n    \"b\": \"c: \\\"d\\\"\"\n  - 1\n  - []\n\"e\": {}\n\"f\":\n  \"g\": null\n"
        );
    }

    /// Those that are served are described, and the other way round.
    #[test]
    fn the_table_is_whole() {
        let routes = |text: &'static str, root: &'static str| {
            let calls = text.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1));
            calls.filter_map(move |path| path.strip_prefix(root)).collect::<BTreeSet<_>>()
        };
        let mut served = routes(include_str!("mod.rs"), "");
        served.retain(|path| !path.starts_with("/api/v1"));
        served.remove("/federate");
        served.extend(routes(include_str!("mod.rs"), "/api/v1"));
        served.extend(routes(include_str!("../app.rs"), "/api/v1"));
        let listed: BTreeSet<_> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(served, listed);
    }

    #[test]
    fn operations_have_names_of_their_own_and_known_tags() {
        let whole = document("1", true);
        let mut ids = BTreeSet::new();
        for (path, methods) in whole["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
                let tag = operation["tags"][0].as_str().unwrap();
                assert!(TAGS.iter().any(|(name, _)| *name == tag), "{path}");
            }
        }
        assert!(document("1", false)["paths"].get("/notifications/live").is_none());
    }
}
