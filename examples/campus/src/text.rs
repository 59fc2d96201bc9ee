//! Texts from outside, held to their bounds.

use crate::error::{Error, Result};

/// Trims a line from outside and holds it to its bounds.
pub(crate) fn line(what: &str, line: &str, max: usize) -> Result<String> {
    let line = text(what, line, max)?;
    if line.contains(['\n', '\t']) {
        return Err(Error::Invalid(format!("{what} must be a single line")));
    }
    Ok(line)
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
