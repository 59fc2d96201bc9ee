//! What the provider delivers: proven by a signature over its very bytes, before any of them is read.

use axum::body::{self, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, StatusCode};
use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use stoa_audit::RequestContext;

use super::inbound::{self, Inbound};
use super::outbound::{self, Status};
use super::{Sender, signature};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::{Routes, Site};

/// Adds the address that the provider is told. No session opens it and none is needed: whoever calls it has to know the secret.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/webhooks/whatsapp", verify::<B>).post("/webhooks/whatsapp", receive::<B>)
}

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
/// The largest delivery, in bytes: the provider promises not to send more.
const MAX_DELIVERY: usize = 3 << 20;
/// The longest texts that are taken from a delivery, in bytes; of what people write, in characters.
const MAX_ID: usize = 128;
const MAX_CHALLENGE: usize = 256;
const MAX_TEXT: usize = 1_000;

/// What the provider asks when it is told the address.
#[derive(Deserialize)]
struct Handshake {
    #[serde(rename = "hub.mode", default)]
    mode: String,
    #[serde(rename = "hub.verify_token", default)]
    verify_token: String,
    #[serde(rename = "hub.challenge", default)]
    challenge: String,
}

/// Gives the challenge back to whoever knows the token.
async fn verify<B: Backend>(
    State(site): State<Site<B>>,
    handshake: std::result::Result<Query<Handshake>, QueryRejection>,
) -> Result<String> {
    let sender = site.app.whatsapp.as_ref().ok_or(Error::NotFound)?;
    let Query(handshake) = handshake?;
    let shown = handshake.verify_token.as_bytes();
    if handshake.mode != "subscribe" || !signature::is_same(shown, sender.verify_token.as_bytes(), &sender.app_secret) {
        return Err(Error::Forbidden);
    }
    let challenge = handshake.challenge;
    // It is a number, as a rule; nothing that a browser could take for a page is given back.
    if !(1..=MAX_CHALLENGE).contains(&challenge.len()) || !challenge.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::Invalid("a challenge is made of letters and digits".into()));
    }
    Ok(challenge)
}

/// Stores what is delivered.
async fn receive<B: Backend>(State(site): State<Site<B>>, request: Request) -> Result<StatusCode> {
    let sender = site.app.whatsapp.as_ref().ok_or(Error::NotFound)?;
    let (parts, body) = request.into_parts();
    let context = parts.extensions.get::<RequestContext>().cloned().unwrap_or_default();
    let signature = parts.headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).ok_or(Error::BadSignature)?;
    let body = body::to_bytes(body, MAX_DELIVERY).await.map_err(|_| Error::TooLarge)?;
    if !signature::is_of(signature, &body, &sender.app_secret) {
        return Err(Error::BadSignature);
    }
    let delivery = Delivery::parse(&body, sender)?;
    inbound::receive(&site.app, sender, &context, &delivery.messages).await?;
    outbound::advance(&site.app, &delivery.statuses).await?;
    Ok(StatusCode::OK)
}

/// What of a delivery is for the number of campus, and is what it should be. The rest is left out: refusing it would only make the provider
/// deliver it again and again.
#[derive(Debug, Default)]
struct Delivery {
    messages: Vec<Inbound>,
    statuses: Vec<Status>,
}

impl Delivery {
    fn parse(body: &Bytes, sender: &Sender) -> Result<Self> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Error::Malformed("this is no JSON".into()))?;
        let changes = list(&body["entry"]).iter().flat_map(|entry| list(&entry["changes"]));
        let mut delivery = Self::default();
        for change in changes.filter(|change| change["field"] == "messages") {
            let value = &change["value"];
            if value["metadata"]["phone_number_id"] == *sender.phone_number_id {
                delivery.messages.extend(list(&value["messages"]).iter().filter_map(message));
                delivery.statuses.extend(list(&value["statuses"]).iter().filter_map(status));
            }
        }
        Ok(delivery)
    }
}

fn message(message: &Value) -> Option<Inbound> {
    let phone = message["from"].as_str().filter(|phone| is_phone(phone))?;
    let kind = message["type"].as_str()?;
    let body = match kind {
        "text" => message["text"]["body"].as_str()?,
        // What somebody taps below a template.
        "button" => message["button"]["text"].as_str()?,
        _ => "",
    };
    let now = Utc::now();
    let seconds = message["timestamp"].as_str().and_then(|seconds| seconds.parse().ok());
    let sent = seconds.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    // A clock that is ahead keeps no window open for longer.
    let received_at = sent.map_or(now, |sent| sent.clamp(now - TimeDelta::days(3_653), now));
    Some(Inbound {
        id: id(&message["id"])?,
        phone: phone.into(),
        kind: if matches!(kind, "text" | "button") { "text" } else { known(kind) }.into(),
        body: body.chars().filter(|character| !character.is_control() || *character == '\n').take(MAX_TEXT).collect(),
        received_at: received_at.timestamp_micros(),
    })
}

fn status(status: &Value) -> Option<Status> {
    let state = ["sent", "delivered", "read", "failed"].into_iter().find(|state| status["status"] == **state)?;
    let own_id = id(&status["biz_opaque_callback_data"]).unwrap_or_default();
    Some(Status { provider_id: id(&status["id"])?, own_id, state })
}

/// What somebody sends instead of a text; everything else, such as a reaction, is no message to be answered.
fn known(kind: &str) -> &'static str {
    const MEDIA: [&str; 7] = ["image", "audio", "video", "document", "sticker", "location", "contacts"];
    if MEDIA.contains(&kind) { "media" } else { "other" }
}

fn id(id: &Value) -> Option<String> {
    let id = id.as_str()?;
    ((1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())).then(|| id.to_owned())
}

fn is_phone(phone: &str) -> bool {
    (6..=20).contains(&phone.len()) && phone.bytes().all(|byte| byte.is_ascii_digit())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
