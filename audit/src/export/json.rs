//! NDJSON, and JSON that stays on its line.

use chrono::SecondsFormat;

use crate::id::is_unprintable;
use crate::{Body, Entity, Entry, Error, Personal, Result};

pub(super) fn line(entry: &Entry, lines: &mut String) -> Result<()> {
    object(lines, |json| {
        json.text("id", &entry.id.to_string());
        json.text("at", &at(entry));
        json.text("action", entry.record.action.as_str());
        json.text("outcome", entry.record.outcome.as_str());
        json.object("actor", |json| {
            json.text("kind", entry.record.actor.kind());
            json.text("id", entry.record.actor.id());
            Ok(())
        })?;
        json.optional("impersonator", entry.record.impersonator.as_ref());
        json.optional("on_behalf_of", entry.record.on_behalf_of.as_ref());
        json.entity("entity", &entry.record.entity)?;
        if let Some(scope) = &entry.record.scope {
            json.entity("scope", scope)?;
        }
        details(entry, json)
    })?;
    lines.push('\n');
    Ok(())
}

/// Writes what a record says besides who did what to what.
pub(super) fn details(entry: &Entry, json: &mut Object<'_>) -> Result<()> {
    let request = &entry.record.request;
    json.optional("request_id", request.request_id.as_ref());
    json.optional("trace_id", request.trace_id.as_ref());
    if let Some(client) = &request.client {
        json.object("client", |json| {
            match client.ip {
                Personal::Kept(ip) => json.text("ip", &ip.to_string()),
                Personal::Erased => json.raw("erased", "true"),
            }
            json.text("trust", client.trust.as_str());
            Ok(())
        })?;
    }
    json.body("before", entry.record.before.as_ref())?;
    json.body("after", entry.record.after.as_ref())?;
    match &entry.record.personal {
        None => Ok(()),
        Some(Personal::Erased) => json.object("personal", |json| {
            json.raw("erased", "true");
            Ok(())
        }),
        Some(Personal::Kept(personal)) => json.object("personal", |json| {
            json.text("subject", personal.subject.as_str());
            json.body("fields", Some(&personal.fields))
        }),
    }
}

/// Returns the record's time in RFC 3339, with microseconds.
pub(super) fn at(entry: &Entry) -> String {
    entry.id.at().to_rfc3339_opts(SecondsFormat::Micros, true)
}

pub(super) fn object(out: &mut String, members: impl FnOnce(&mut Object<'_>) -> Result<()>) -> Result<()> {
    out.push('{');
    members(&mut Object { out, is_empty: true })?;
    out.push('}');
    Ok(())
}

/// A JSON object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &'static str) {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        string(self.out, name);
        self.out.push(':');
    }

    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        string(self.out, value);
    }

    pub(super) fn optional(&mut self, name: &'static str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.text(name, value.as_ref());
        }
    }

    /// Writes JSON that this crate has made.
    pub(super) fn raw(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.out.push_str(value);
    }

    pub(super) fn entity(&mut self, name: &'static str, entity: &Entity) -> Result<()> {
        self.object(name, |json| {
            json.text("type", entity.kind().as_str());
            json.text("id", entity.id().as_str());
            Ok(())
        })
    }

    /// Writes the one resource of an OCSF event.
    pub(super) fn resources(&mut self, entity: &Entity) -> Result<()> {
        self.raw("resources", "[");
        object(self.out, |json| {
            json.text("uid", entity.id().as_str());
            json.text("type", entity.kind().as_str());
            Ok(())
        })?;
        self.out.push(']');
        Ok(())
    }

    /// Embeds a body, once it is sure that it is one JSON value and cannot end before its end.
    pub(super) fn body(&mut self, name: &'static str, body: Option<&Body>) -> Result<()> {
        if let Some(body) = body {
            self.name(name);
            self.out.push_str(&checked(name, body)?);
        }
        Ok(())
    }

    pub(super) fn object(
        &mut self,
        name: &'static str,
        members: impl FnOnce(&mut Object<'_>) -> Result<()>,
    ) -> Result<()> {
        self.name(name);
        object(self.out, members)
    }
}

/// Returns a body on one line.
pub(super) fn checked(what: &'static str, body: &Body) -> Result<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(body.as_str()).map_err(|_| Error::Corrupt { what })?;
    let mut line = String::with_capacity(body.as_str().len());
    for character in body.as_str().chars() {
        match character {
            // JSON has them only between values.
            '\n' | '\r' | '\t' => line.push(' '),
            // And these only within texts, where an escape means the same.
            character => escaped(&mut line, character),
        }
    }
    Ok(line)
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            character => escaped(out, character),
        }
    }
    out.push('"');
}

fn escaped(out: &mut String, character: char) {
    if is_unprintable(character) {
        // All of them are in the basic plane: four digits are enough.
        let code = u32::from(character);
        out.push_str("\\u");
        out.extend([12, 8, 4, 0].map(|bits| char::from_digit(code >> bits & 0xf, 16).unwrap_or('0')));
    } else {
        out.push(character);
    }
}
