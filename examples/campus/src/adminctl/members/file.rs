//! A file of memberships, every line of which has to be right.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stoa_membership::{CHAPTER, GROUP, Grant, ImportRow, Role, Scope, UserId};

use crate::access;
use crate::app::App;
use crate::backend::Backend;
use crate::bulk::Bulk;
use crate::error::{Error, Result};

/// So many bad lines are named.
const NAMED: usize = 20;
/// So many ids are looked up at a time.
const LOOKUP: usize = 5_000;

/// One line. Columns beside these are a mistake: somebody thinks that they mean something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    scope: String,
    person: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    until: String,
}

/// Reads the memberships of a file, all of whose people and groups exist.
///
/// # Errors
/// [`Error::Invalid`] names the bad lines.
pub(super) async fn read<B: Backend>(app: &App<B>, path: &Path) -> Result<Vec<ImportRow>> {
    let unreadable = |error: csv::Error| Error::Invalid(format!("cannot read {}: {error}", path.display()));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(unreadable)?;
    let headings = reader.headers().map_err(unreadable)?.clone();
    for column in ["scope", "person"] {
        if !headings.iter().any(|heading| heading == column) {
            return Err(Error::Invalid(format!("the first line must name the columns, among them `{column}`")));
        }
    }
    let (mut rows, mut lines, mut problems) = (Vec::new(), Vec::new(), Problems::default());
    let mut known = HashSet::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => record.position().map_or(0, csv::Position::line),
            Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => return Err(unreadable(error)),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                problems.add(line, &reason(&error));
                continue;
            }
        };
        match record.deserialize(Some(&headings)).map_err(|error| reason(&error)).and_then(|line| row(&line)) {
            Err(problem) => problems.add(line, &problem),
            Ok(row) if !known.insert((row.user().clone(), row.scope().clone())) => {
                problems.add(line, "the same person and scope are on an earlier line");
            }
            Ok(row) => {
                rows.push(row);
                lines.push(line);
            }
        }
    }
    for (what, statement, ids) in [
        ("person", &PEOPLE, rows.iter().map(|row| Some(row.user().as_str())).collect::<Vec<_>>()),
        (
            "group",
            &GROUPS,
            rows.iter()
                .map(|row| Some(row.scope().id().as_str()).filter(|_| [GROUP, CHAPTER].contains(row.scope().kind())))
                .collect(),
        ),
    ] {
        let found = existing(app, statement, ids.iter().copied().flatten()).await?;
        for (id, &line) in ids.iter().zip(&lines) {
            if let Some(id) = id.filter(|id| !found.contains(*id)) {
                problems.add(line, &format!("there is no {what} `{id}`"));
            }
        }
    }
    problems.into_result(path).map(|()| rows)
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} fields and not {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        _ => error.to_string(),
    }
}

fn row(line: &Line) -> std::result::Result<ImportRow, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let scope: Scope = line.scope.parse().map_err(|error: stoa_membership::Error| text(&error))?;
    let user = UserId::new(&*line.person).map_err(|error| text(&error))?;
    let role = if line.role.is_empty() { access::lowest_role(&scope) } else { Role::new(&*line.role) };
    let role = role.map_err(|error| text(&error))?;
    access::check_role(&scope, &role).map_err(|error| text(&error))?;
    match line.state.as_str() {
        "" | "active" => {
            let mut grant = Grant::new(role);
            if !line.until.is_empty() {
                let until: DateTime<Utc> = line.until.parse().map_err(|_| "`until` is no RFC 3339 time".to_owned())?;
                grant = grant.until(until).map_err(|error| text(&error))?;
            }
            Ok(ImportRow::active(user, scope, grant))
        }
        _ if !line.until.is_empty() => Err("only an active membership has an end".to_owned()),
        "banned" => Ok(ImportRow::banned(user, scope, role)),
        "left" => Ok(ImportRow::left(user, scope, role)),
        _ => Err("the state must be active, banned or left".to_owned()),
    }
}

/// Which of the ids there are.
async fn existing<B: Backend>(
    app: &App<B>,
    statement: &Bulk,
    ids: impl Iterator<Item = &str>,
) -> Result<HashSet<String>> {
    #[derive(Serialize)]
    struct Id<'a> {
        id: &'a str,
    }
    let ids: HashMap<&str, Id<'_>> = ids.map(|id| (id, Id { id })).collect();
    let ids: Vec<Id<'_>> = ids.into_values().collect();
    let mut tx = app.read().await?;
    let mut found = HashSet::new();
    for some in ids.chunks(LOOKUP) {
        found.extend(statement.read(&mut *tx, some).await?);
    }
    Ok(found)
}

const PEOPLE: Bulk = Bulk {
    postgres: r#"
        SELECT id FROM campus_person
        WHERE id IN (SELECT id FROM json_to_recordset($1::json) AS row (id text COLLATE "C"))
    "#,
    sqlite: "SELECT id FROM campus_person WHERE id IN (SELECT value ->> 'id' FROM json_each($1))",
};

const GROUPS: Bulk = Bulk {
    postgres: r#"
        SELECT id FROM campus_group
        WHERE id IN (SELECT id FROM json_to_recordset($1::json) AS row (id text COLLATE "C"))
    "#,
    sqlite: "SELECT id FROM campus_group WHERE id IN (SELECT value ->> 'id' FROM json_each($1))",
};

/// What is wrong with which lines.
#[derive(Default)]
struct Problems {
    lines: Vec<(u64, String)>,
}

impl Problems {
    fn add(&mut self, line: u64, problem: &str) {
        self.lines.push((line, problem.to_owned()));
    }

    fn into_result(mut self, path: &Path) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.lines.sort();
        let mut message = format!("nothing was imported from {}", path.display());
        for (line, problem) in self.lines.iter().take(NAMED) {
            message = format!("{message}\n  line {line}: {problem}");
        }
        if self.lines.len() > NAMED {
            message = format!("{message}\n  and {} more", self.lines.len() - NAMED);
        }
        Err(Error::Invalid(message))
    }
}
