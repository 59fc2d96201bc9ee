//! CSV after RFC 4180, safe to open in a spreadsheet.

use super::json;
use crate::{Body, Entry, Personal, Result};

const HEADINGS: [&str; 22] = [
    "id",
    "at",
    "action",
    "outcome",
    "actor_kind",
    "actor_id",
    "impersonator_id",
    "on_behalf_of_id",
    "entity_type",
    "entity_id",
    "scope_type",
    "scope_id",
    "request_id",
    "trace_id",
    "client_ip",
    "client_trust",
    "before",
    "after",
    "personal_subject",
    "personal",
    "client_erased",
    "personal_erased",
];

pub(super) fn headings(lines: &mut String) {
    row(lines, &HEADINGS);
}

pub(super) fn line(entry: &Entry, lines: &mut String) -> Result<()> {
    let (record, request) = (&entry.record, &entry.record.request);
    let (id, at) = (entry.id.to_string(), json::at(entry));
    let body = |what, body: Option<&Body>| body.map_or(Ok(String::new()), |body| json::checked(what, body));
    let (before, after) = (body("before", record.before.as_ref())?, body("after", record.after.as_ref())?);
    let ip = request.client.as_ref().and_then(|client| client.ip.kept()).map_or_else(String::new, ToString::to_string);
    let kept = record.personal.as_ref().and_then(Personal::kept);
    let fields = body("fields", kept.map(|personal| &personal.fields))?;
    let erased = |is_erased: bool| if is_erased { "true" } else { "false" };
    row(
        lines,
        &[
            &id,
            &at,
            record.action.as_str(),
            record.outcome.as_str(),
            record.actor.kind(),
            record.actor.id(),
            record.impersonator.as_ref().map_or("", AsRef::as_ref),
            record.on_behalf_of.as_ref().map_or("", AsRef::as_ref),
            record.entity.kind().as_str(),
            record.entity.id().as_str(),
            record.scope.as_ref().map_or("", |scope| scope.kind().as_str()),
            record.scope.as_ref().map_or("", |scope| scope.id().as_str()),
            request.request_id.as_ref().map_or("", AsRef::as_ref),
            request.trace_id.as_ref().map_or("", AsRef::as_ref),
            &ip,
            request.client.map_or("", |client| client.trust.as_str()),
            &before,
            &after,
            kept.map_or("", |personal| personal.subject.as_str()),
            &fields,
            erased(request.client.is_some_and(|client| client.ip == Personal::Erased)),
            erased(record.personal == Some(Personal::Erased)),
        ],
    );
    Ok(())
}

fn row(lines: &mut String, cells: &[&str; HEADINGS.len()]) {
    for (index, cell) in cells.iter().enumerate() {
        lines.push_str(if index == 0 { "\"" } else { ",\"" });
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            lines.push('\'');
        }
        for character in cell.chars() {
            lines.push_str(if character == '"' { "\"" } else { "" });
            lines.push(character);
        }
        lines.push('"');
    }
    lines.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_ends_early() {
        let mut cells = [""; HEADINGS.len()];
        let bad = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a\",\"b", "a,b", "'x", "a=1"];
        cells[..bad.len()].copy_from_slice(&bad);
        let mut line = String::new();
        row(&mut line, &cells);
        let expected = [
            r#""'=1+1""#,
            r#""'+1""#,
            r#""'-1""#,
            r#""'@SUM(A1)""#,
            "\"'\tx\"",
            "\"'\rx\"",
            r#""a"",""b""#,
            r#""a,b""#,
            r#""'x""#,
            r#""a=1""#,
        ];
        assert_eq!(line, format!("{}{}\r\n", expected.join(","), ",\"\"".repeat(HEADINGS.len() - bad.len())));
    }
}
