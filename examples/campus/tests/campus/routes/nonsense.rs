//! Requests that nobody means, made of one that somebody does.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::case::{Case, FORM, JSON};
use super::world::World;

/// What is no id, or the id of nothing.
const IDS: [&str; 6] = ["%00", "%FF", "%C3%28", "..%2F..%2Fetc", "-1", NOTHING];

/// An id that nothing has.
pub(super) const NOTHING: &str = "00000000-0000-7000-8000-000000000000";

/// What is wrong with the question mark and after it: refused, or overlooked.
const QUERIES: [&str; 5] = ["after=%00", "after=zz", "limit=0", "limit=many", "before=%F0%9F%98%80"];

/// Longer than any text may be.
const LONG: usize = 20_001;

/// A request, and what it has to be answered with.
pub(super) struct Nonsense {
    pub(super) path: String,
    pub(super) body: String,
    pub(super) kind: &'static str,
    /// This, or any of the statuses that blame whoever asks.
    pub(super) status: Option<StatusCode>,
    /// Whether it may also be overlooked.
    pub(super) may_pass: bool,
}

/// Everything that is wrong about the case in turn.
pub(super) fn of(case: &Case, world: &World) -> Vec<Nonsense> {
    let (path, body) = (world.put(case.path), world.put(case.body));
    let kind = case.kind();
    let sent = |path: String, body: String| Nonsense { path, body, kind, status: None, may_pass: false };
    let mut all = Vec::new();
    let long = "x".repeat(300);
    for id in IDS.into_iter().chain([&*long]).filter(|_| case.path.contains('{')) {
        all.push(sent(world.put_instead(case.path, id), body.clone()));
    }
    let mark = if path.contains('?') { '&' } else { '?' };
    let broken = sent(format!("{path}{mark}x=%FF"), body.clone());
    all.push(Nonsense { status: Some(StatusCode::BAD_REQUEST), ..broken });
    if !case.is_write() {
        let queries = QUERIES.iter().map(|query| sent(format!("{path}{mark}{query}"), String::new()));
        all.extend(queries.map(|nonsense| Nonsense { may_pass: true, ..nonsense }));
        return all;
    }
    let huge = sent(path.clone(), "x".repeat(300_000));
    all.push(Nonsense { status: Some(StatusCode::PAYLOAD_TOO_LARGE), ..huge });
    if !body.is_empty() {
        let bodies = if case.is_api() { objects(&body) } else { forms(&body) };
        all.extend(bodies.into_iter().map(|body| sent(path.clone(), body)));
        let kind = if case.is_api() { FORM } else { JSON };
        all.push(Nonsense { kind, ..sent(path, body) });
    }
    all
}

/// An object with one field after the other made into what it cannot be, and what is no object.
fn objects(body: &str) -> Vec<String> {
    let object: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{body}: {error}"));
    let mut all: Vec<String> = ["", "{", "null", "[]", "7", "\"text\"", "\u{0}"].map(Into::into).into();
    all.push("[".repeat(10_000));
    for (name, value) in object.as_object().expect("an object") {
        let wrong = match value {
            Value::String(text) => {
                vec![json!(7), json!([text]), json!(format!("{text}\u{0}")), json!("x".repeat(LONG))]
            }
            Value::Number(_) => vec![json!("many"), json!(1e300), json!(i64::MIN), json!([1])],
            Value::Bool(_) => vec![json!("maybe"), json!([true])],
            Value::Array(_) => vec![json!(7), json!("text"), json!([7]), json!(["x\u{0}"]), json!([])],
            _ => vec![json!("text"), json!(7)],
        };
        for wrong in wrong {
            let mut object = object.clone();
            object[name] = wrong;
            all.push(object.to_string());
        }
    }
    all
}

/// A form with one field after the other made into what it cannot be.
fn forms(body: &str) -> Vec<String> {
    let fields: Vec<_> = body.split('&').filter_map(|field| field.split_once('=')).collect();
    let mut all = vec!["%FF".into()];
    for (at, (_, value)) in fields.iter().enumerate() {
        for wrong in [format!("{value}%00"), "%FF".into(), "x".repeat(LONG)] {
            let mut fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields[at] = format!("{}={wrong}", fields[at].split('=').next().unwrap_or_default());
            all.push(fields.join("&"));
        }
    }
    all
}
