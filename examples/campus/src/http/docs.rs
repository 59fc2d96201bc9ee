//! The JSON routes, described for people: a page written from the same document that machines read.

use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use maud::{Markup, PreEscaped, html};
use serde_json::Value;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response};

use super::{api, bare_page};

/// What any JSON route may answer.
const ANYWHERE: [(&str, &str); 5] = [
    ("400", "Something in the request is malformed."),
    ("401", "There is no token, or one that does not hold."),
    ("403", "A browser says that another site sent the request."),
    ("429", "Too many requests: `Retry-After` says when there is room for another."),
    ("504", "It took too long and was given up."),
];

/// Adds what holds for every route: how to sign in, and what errors look like.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(
        "A signed token: `sub` is the id of the person, `exp` the time when it ends. A browser sends it in the cookie `campus_session`.",
    ));
    document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(token.build()));
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let responses = &mut operation.responses.responses;
        for (status, meaning) in ANYWHERE {
            responses.entry(status.to_owned()).or_insert_with(|| Response::new(meaning).into());
        }
        for (status, response) in responses {
            let RefOr::T(response) = response else { continue };
            if response.description.is_empty() {
                phrase(status).clone_into(&mut response.description);
            }
            if status.starts_with(['4', '5']) {
                let problem = Content::new(Some(Ref::from_schema_name("ProblemBody")));
                response.content = [("application/problem+json".to_owned(), RefOr::T(problem))].into_iter().collect();
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn phrase(status: &str) -> &'static str {
    status.parse().ok().and_then(|status: StatusCode| status.canonical_reason()).unwrap_or_default()
}

/// One route, as the page shows it.
struct Route<'a> {
    method: &'a str,
    path: &'a str,
    operation: &'a Value,
}

/// Nothing in it depends on who asks, or when.
static DOCUMENT: LazyLock<Value> =
    // Maps with text keys only: that is always JSON.
    LazyLock::new(|| serde_json::to_value(api::document()).unwrap_or_default());

/// The document, for machines.
pub(super) async fn document() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// The page, for people.
pub(super) async fn page() -> Markup {
    static PAGE: LazyLock<String> = LazyLock::new(|| written(&DOCUMENT).into_string());
    PreEscaped(PAGE.clone())
}

fn written(document: &Value) -> Markup {
    let mut routes = routes(document);
    routes.sort_by_key(|route| tag(route));
    bare_page(
        "The API",
        &html! {
            h1 { "The API" }
            p.lead { (prose(&document["info"]["description"])) }
            p.soft {
                "For machines: " a href="/api/v1/openapi.json" { "openapi.json" } ". Sign in with "
                code { "Authorization: Bearer TOKEN" } ". " (prose(&document["components"]["securitySchemes"]["token"]["description"]))
            }
            @for group in routes.chunk_by(|one, other| tag(one) == tag(other)) {
                section {
                    h2 { (tag(&group[0])) }
                    div.stack { @for route in group { (route_card(route)) } }
                }
            }
            section {
                h2 { "Schemas" }
                div.stack {
                    @for (name, schema) in members(&document["components"]["schemas"]) { (schema_card(name, schema)) }
                }
            }
        },
    )
}

fn routes(document: &Value) -> Vec<Route<'_>> {
    let routes = members(&document["paths"])
        .flat_map(|(path, item)| members(item).map(move |(method, operation)| Route { method, path, operation }));
    routes.filter(|route| route.operation.is_object()).collect()
}

fn tag<'a>(route: &Route<'a>) -> &'a str {
    text(&route.operation["tags"][0])
}

fn route_card(route: &Route<'_>) -> Markup {
    let operation = route.operation;
    html! {
        article.card {
            h3 { span.badge { (route.method.to_uppercase()) } " " code { (route.path) } }
            p { (text(&operation["summary"])) @if let Some(more) = operation["description"].as_str() { " " (more) } }
            @if let Some(parameters) = operation["parameters"].as_array() {
                div.scroll {
                    table {
                        thead { tr { th { "Parameter" } th { "In" } th { "Type" } th { "Meaning" } } }
                        tbody {
                            @for parameter in parameters {
                                tr {
                                    td { code { (text(&parameter["name"])) } @if parameter["required"] == true { " required" } }
                                    td { (text(&parameter["in"])) }
                                    td { (kind(&parameter["schema"])) }
                                    td { (prose(&parameter["description"])) }
                                }
                            }
                        }
                    }
                }
            }
            @for (media, content) in members(&operation["requestBody"]["content"]) {
                p { "Body: " (kind(&content["schema"])) " as " code { (media) } }
            }
            div.scroll {
                table {
                    thead { tr { th { "Status" } th { "Meaning" } th { "Body" } } }
                    tbody {
                        @for (status, response) in members(&operation["responses"]) {
                            tr {
                                td { (status) }
                                td { (prose(&response["description"])) }
                                td { @for (_, content) in members(&response["content"]) { (kind(&content["schema"])) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn schema_card(name: &str, schema: &Value) -> Markup {
    let parts = schema["allOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice);
    html! {
        article.card id={ "schema-" (name) } {
            h3 { (name) }
            p { (prose(&schema["description"])) }
            @for part in parts.iter().filter(|part| part["$ref"].is_string()) { p { "All of " (kind(part)) ", and:" } }
            @if let Some(variants) = schema["enum"].as_array() { p { (listed(variants)) } }
            @if let Some(variants) = schema["oneOf"].as_array() { p { "One of: " @for variant in variants { (kind(variant)) " " } } }
            @if parts.iter().any(|part| part["properties"].is_object()) {
                div.scroll {
                    table {
                        thead { tr { th { "Field" } th { "Type" } th { "Meaning" } } }
                        tbody {
                            @for part in parts {
                                @for (field, property) in members(&part["properties"]) {
                                    tr {
                                        td {
                                            code { (field) }
                                            @if part["required"].as_array().is_some_and(|required| required.iter().any(|name| name == field)) {
                                                " required"
                                            }
                                        }
                                        td { (kind(property)) }
                                        td { (prose(&property["description"])) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a schema takes, in one line.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(variants) = schema[key].as_array() {
            return html! { @for (index, variant) in variants.iter().enumerate() { @if index > 0 { " or " } (kind(variant)) } };
        }
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        one => text(one).to_owned(),
    };
    html! {
        (types)
        @if schema["items"].is_object() { " of " (kind(&schema["items"])) }
        @if let Some(format) = schema["format"].as_str() { ", " (format) }
        @if let Some(variants) = schema["enum"].as_array() { ": " (listed(variants)) }
        @for (key, words) in BOUNDS {
            @if let Some(bound) = schema.get(key) { ", " (words) " " (bound) }
        }
    }
}

/// Bounds of a schema, and how they are said.
const BOUNDS: [(&str, &str); 6] = [
    ("minLength", "length at least"),
    ("maxLength", "length at most"),
    ("minItems", "items at least"),
    ("maxItems", "items at most"),
    ("minimum", "at least"),
    ("maximum", "at most"),
];

fn listed(values: &[Value]) -> String {
    values
        .iter()
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join(", ")
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description, which marks code as Markdown does.
fn prose(value: &Value) -> Markup {
    html! {
        @for (index, part) in text(value).split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
