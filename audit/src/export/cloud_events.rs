//! `CloudEvents` 1.0 around OCSF events of class 6003, API Activity.

use super::json::{at, details, object};
use crate::{Entry, Outcome, Personal, Result};

/// The version of the OCSF schema that the attributes are taken from.
const OCSF_VERSION: &str = "1.3.0";

pub(super) fn line(entry: &Entry, source: &str, lines: &mut String) -> Result<()> {
    object(lines, |event| {
        event.text("specversion", "1.0");
        event.text("id", &entry.id.to_string());
        event.text("source", source);
        event.text("type", entry.record.action.as_str());
        event.text("subject", &entry.record.entity.to_string());
        event.text("time", &at(entry));
        event.text("datacontenttype", "application/json");
        event.object("data", |data| {
            let action = entry.record.action.as_str();
            // The grammar of actions has exactly one slash.
            let (service, method) = action.split_once('/').unwrap_or((action, action));
            let activity = activity(method);
            data.raw("category_uid", "6");
            data.raw("class_uid", "6003");
            data.raw("activity_id", &activity.to_string());
            data.text("activity_name", method);
            data.raw("type_uid", &(6003 * 100 + activity).to_string());
            data.raw("severity_id", "1");
            data.raw("time", &entry.id.at().timestamp_millis().to_string());
            data.raw("status_id", if entry.record.outcome == Outcome::Succeeded { "1" } else { "2" });
            data.text("status_detail", entry.record.outcome.as_str());
            data.object("metadata", |metadata| {
                metadata.text("version", OCSF_VERSION);
                metadata.text("uid", &entry.id.to_string());
                metadata.optional("correlation_uid", entry.record.request.request_id.as_ref());
                metadata.object("product", |product| {
                    product.text("name", "stoa-audit");
                    product.text("vendor_name", "Stoa");
                    Ok(())
                })
            })?;
            data.object("actor", |actor| {
                actor.object("user", |user| {
                    user.text("uid", entry.record.actor.id());
                    user.text("type", entry.record.actor.kind());
                    Ok(())
                })
            })?;
            data.object("api", |api| {
                api.text("operation", method);
                api.object("service", |named| {
                    named.text("name", service);
                    Ok(())
                })
            })?;
            data.object("src_endpoint", |endpoint| {
                if let Some(Personal::Kept(ip)) = entry.record.request.client.map(|client| client.ip) {
                    endpoint.text("ip", &ip.to_string());
                }
                Ok(())
            })?;
            data.resources(&entry.record.entity)?;
            data.object("unmapped", |unmapped| {
                unmapped.optional("impersonator", entry.record.impersonator.as_ref());
                unmapped.optional("on_behalf_of", entry.record.on_behalf_of.as_ref());
                if let Some(scope) = &entry.record.scope {
                    unmapped.entity("scope", scope)?;
                }
                details(entry, unmapped)
            })
        })
    })?;
    lines.push('\n');
    Ok(())
}

/// Create 1, read 2, update 3, delete 4, and 99 for what is none of these, which its name then tells.
fn activity(method: &str) -> u32 {
    let begins = |verbs: &[&str]| {
        // `Settle` is no `Set`: the verb ends where the next word begins.
        let is_verb = |rest: &str| !rest.starts_with(|letter: char| letter.is_ascii_lowercase());
        verbs.iter().any(|verb| method.strip_prefix(verb).is_some_and(is_verb))
    };
    match () {
        () if begins(&["Create"]) => 1,
        () if begins(&["Get", "List", "Read", "Search"]) => 2,
        () if begins(&["Set", "Update"]) => 3,
        () if begins(&["Delete"]) => 4,
        () => 99,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_is_told_by_the_verb() {
        for (method, expected) in [
            ("CreatePost", 1),
            ("GetPost", 2),
            ("List", 2),
            ("UpdatePost", 3),
            ("Settle", 99),
            ("DeletePost", 4),
            ("Join", 99),
        ] {
            assert_eq!(activity(method), expected, "{method}");
        }
    }
}
