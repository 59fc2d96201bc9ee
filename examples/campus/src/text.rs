//! Texts from outside, held to their bounds.

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, Utc};
use serde::Serializer;

use crate::error::{Error, Result};

/// Trims a line from outside and holds it to its bounds.
pub(crate) fn line(what: &str, line: &str, max: usize) -> Result<String> {
    let line = text(what, line, max)?;
    if line.contains(['\n', '\t']) {
        return Err(Error::Invalid(format!("{what} must be a single line")));
    }
    Ok(line)
}

/// As [`line`], or nothing.
pub(crate) fn line_if_any(what: &str, text: &str, max: usize) -> Result<String> {
    if text.trim().is_empty() { Ok(String::new()) } else { line(what, text, max) }
}

/// As [`text`], or nothing.
pub(crate) fn text_if_any(what: &str, body: &str, max: usize) -> Result<String> {
    if body.trim().is_empty() { Ok(String::new()) } else { text(what, body, max) }
}

/// Trims a text from outside and holds it to its bounds. Line breaks and tabs are the only control characters let through.
pub(crate) fn text(what: &str, text: &str, max: usize) -> Result<String> {
    let text = text.trim().replace("\r\n", "\n");
    if text.is_empty() {
        return Err(Error::Invalid(format!("{what} must not be empty")));
    }
    if text.chars().count() > max {
        return Err(Error::Invalid(format!("{what} must not be longer than {max} characters")));
    }
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
        return Err(Error::Invalid(format!("{what} must not hold control characters")));
    }
    Ok(text)
}

/// The end of a day to come, in UTC.
pub(crate) fn end_of(day: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let day: Option<NaiveDate> = day.parse().ok();
    let end = day.and_then(|day| day.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0));
    let end = end.ok_or_else(|| Error::Invalid("the day must be written as 2030-12-31".into()))?.and_utc();
    if end > now { Ok(end) } else { Err(Error::Invalid("the day must not have passed".into())) }
}

/// Writes a moment, kept in microseconds since 1970, as RFC 3339 has it.
// By reference, as serde calls it.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn moment<S: Serializer>(micros: &i64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match rfc3339(*micros) {
        Some(text) => serializer.serialize_str(&text),
        None => serializer.serialize_none(),
    }
}

/// As [`moment`], or nothing.
#[allow(clippy::ref_option)]
pub(crate) fn moment_if_any<S: Serializer>(
    micros: &Option<i64>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match micros {
        Some(micros) => moment(micros, serializer),
        None => serializer.serialize_none(),
    }
}

fn rfc3339(micros: i64) -> Option<String> {
    Some(DateTime::from_timestamp_micros(micros)?.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_lasts_to_its_end() {
        let now = "2030-05-17T23:59:59Z".parse().unwrap();
        assert_eq!(end_of("2030-05-17", now).unwrap().to_rfc3339(), "2030-05-18T00:00:00+00:00");
        for bad in ["2030-05-16", "", "tomorrow", "2030-02-30", "+262142-12-31"] {
            assert!(matches!(end_of(bad, now), Err(Error::Invalid(_))), "{bad}");
        }
    }
}
