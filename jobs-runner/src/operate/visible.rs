//! Text of jobs for people: whoever wrote it, it moves no cursor, hides nothing and turns no line around.

/// Shows what would act instead of being read.
pub(crate) fn visible(text: &str) -> String {
    show(text, |_| false)
}

/// As [`visible`], and leaves line breaks and tabs as they are.
pub(crate) fn visible_lines(text: &str) -> String {
    show(text, |char| matches!(char, '\n' | '\t'))
}

fn show(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if acts(char) && !is_kept(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Control characters, marks and overrides of direction, separators of lines, and tags and blanks without a width.
pub(crate) fn acts(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(char, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        assert_eq!(visible("a\u{1b}[2Jb\r\n\u{202e}é\u{9b}"), "a\\u{1b}[2Jb\\r\\n\\u{202e}é\\u{9b}");
        assert_eq!(visible_lines("a\n\tb\r"), "a\n\tb\\r");
    }
}
