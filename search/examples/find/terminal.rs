//! Results in a terminal.

use std::error::Error;
use std::io::Write;

use sqlx::SqliteConnection;
use stoa_search::{Audience, Highlighted, Query, Search, Sqlite};

/// Searches and prints the best ten.
pub(crate) async fn show(
    search: &Search<Sqlite>,
    conn: &mut SqliteConnection,
    text: &str,
) -> Result<(), Box<dyn Error>> {
    let found = search.search(conn, &Query::text(text).limit(10), &Audience::everything()).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} found in {:.1?}", found.total, found.timings.rank + found.timings.fetch)?;
    for hit in &found.hits {
        writeln!(
            out,
            "{:6.2}  {}  [{}]\n        {}",
            hit.score,
            painted(&hit.title),
            hit.entity_id,
            painted(&hit.snippet)
        )?;
    }
    if let Some(other) = found.did_you_mean {
        writeln!(out, "Did you mean: {other}?")?;
    }
    Ok(())
}

/// Marks in bold. What a document holds of control characters must not reach the terminal.
fn painted(text: &Highlighted) -> String {
    let plain = |part: &str| part.replace(char::is_control, " ");
    let (parts, end) = text.marks.iter().fold((String::new(), 0), |(parts, end), mark| {
        (
            parts + &plain(&text.text[end..mark.start]) + "\x1b[1m" + &plain(&text.text[mark.clone()]) + "\x1b[0m",
            mark.end,
        )
    });
    parts + &plain(&text.text[end..])
}
