//! Texts with the words that were found marked in them.

use std::ops::{ControlFlow, Range};

use crate::analyzer;
use crate::language::Language;

use crate::query::words::Words;
use crate::store::MAX_EXCERPT;

/// How long a snippet is, in bytes; it ends at the nearest character below.
const SNIPPET: usize = 240;
/// How much of a snippet stands before its first mark.
const LEAD: usize = 60;
/// After so many marks the best place for a snippet has been seen.
const ENOUGH: usize = 200;
/// How much of all bodies of a page is read for their snippets, in bytes: a page must not cost what its longest documents like.
const READ_BY_PAGE: usize = 1024 * 1024;

/// A text and the places in it that matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Highlighted {
    /// The text as it was indexed: not HTML, and not safe to be used as such.
    pub text: String,
    /// The matches as byte ranges of `text`, in order, without overlap.
    pub marks: Vec<Range<usize>>,
}

impl Highlighted {
    /// Returns the text as HTML: everything is escaped except the `<mark>` elements put around the matches.
    ///
    /// Safe as the content of an element; a document cannot smuggle in markup, nor forge a mark.
    pub fn html(&self) -> String {
        let mut html = String::with_capacity(self.text.len() + 16 * self.marks.len());
        let mut end = 0;
        for mark in &self.marks {
            escape(&self.text[end..mark.start], &mut html);
            html.push_str("<mark>");
            escape(&self.text[mark.clone()], &mut html);
            html.push_str("</mark>");
            end = mark.end;
        }
        escape(&self.text[end..], &mut html);
        html
    }

    /// Marks the words of a whole text; returns also which of them occur, one bit each.
    pub(crate) fn of(text: &str, language: Language, words: &mut Words) -> (Self, u64) {
        let found = found_in(text, language, words, usize::MAX);
        (Self::cut(text, 0..text.len(), &found), held(&found))
    }

    /// Cuts out the part of a body where most of the words come together, for one of `hits` on a page; returns also which of
    /// them occur as far as it was read, one bit each.
    pub(crate) fn snippet(text: &str, language: Language, words: &mut Words, hits: usize) -> (Self, u64) {
        let read = text.floor_char_boundary(MAX_EXCERPT.min(READ_BY_PAGE / hits));
        let found = found_in(&text[..read], language, words, ENOUGH);
        let start = best_start(&found).saturating_sub(LEAD);
        let range = cut_at_spaces(text, start);
        (Self::cut(text, range, &found), held(&found))
    }

    fn cut(text: &str, range: Range<usize>, found: &[Found]) -> Self {
        let before = if range.start > 0 { "…" } else { "" };
        let after = if range.end < text.len() { "…" } else { "" };
        let mut marks: Vec<Range<usize>> = Vec::new();
        for found in found.iter().filter(|found| range.start <= found.range.start && found.range.end <= range.end) {
            let mark = found.range.start - range.start + before.len()..found.range.end - range.start + before.len();
            match marks.last_mut() {
                // Pairs of characters overlap: together they are one mark.
                Some(last) if mark.start <= last.end => last.end = last.end.max(mark.end),
                _ => marks.push(mark),
            }
        }
        Self { text: [before, &text[range], after].concat(), marks }
    }
}

/// An occurrence of a word of the query.
struct Found {
    range: Range<usize>,
    word: usize,
}

fn held(found: &[Found]) -> u64 {
    found.iter().fold(0, |held, found| held | 1 << found.word)
}

fn found_in(text: &str, language: Language, words: &mut Words, limit: usize) -> Vec<Found> {
    let mut found = Vec::new();
    analyzer::words_until(text, |word| {
        if let Some(asked) = words.asks_for(word.text, language) {
            found.push(Found { range: word.range, word: asked });
        }
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    found.sort_by_key(|found: &Found| found.range.start);
    found
}

/// The start of the window that holds the most different words, then the most words, then comes first.
fn best_start(found: &[Found]) -> usize {
    let window = |(at, first): (usize, &Found)| {
        let inside = found[at..].iter().take_while(|found| found.range.end <= first.range.start + SNIPPET - LEAD);
        let words: Vec<usize> = inside.map(|found| found.word).collect();
        let seen = words.iter().fold(0_u64, |seen, word| seen | 1 << word);
        ((seen.count_ones(), words.len()), first.range.start)
    };
    let better = |best: ((u32, usize), usize), next: ((u32, usize), usize)| if next.0 > best.0 { next } else { best };
    found.iter().enumerate().map(window).fold(((0, 0), 0), better).1
}

/// The range of about [`SNIPPET`] bytes from `start`, at spaces where they are near, else at characters.
fn cut_at_spaces(text: &str, start: usize) -> Range<usize> {
    let start = text.ceil_char_boundary(start);
    let start = match text[start..text.floor_char_boundary(start + LEAD / 2)].find(char::is_whitespace) {
        Some(space) if start > 0 => start + space + 1,
        _ => start,
    };
    let start = text.ceil_char_boundary(start);
    let end = text.floor_char_boundary(start + SNIPPET);
    let end = match text[start..end].rfind(char::is_whitespace) {
        Some(space) if end < text.len() && space > SNIPPET / 2 => start + space,
        _ => end,
    };
    start..end
}

fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{MAX_PAGE, Query};

    fn words(query: &str) -> Words {
        Words::of(&Query::text(query)).unwrap()
    }

    #[test]
    fn html_escapes_all_but_its_own_marks() {
        let text = "<img src=x onerror=\"alert(1)\"> <mark>boats</mark> & 'oars'";
        let highlighted = Highlighted::of(text, Language::English, &mut words("boat")).0;
        assert_eq!(
            highlighted.html(),
            "&lt;img src=x onerror=&quot;alert(1)&quot;&gt; &lt;mark&gt;<mark>boats</mark>&lt;/mark&gt; &amp; &#39;oars&#39;"
        );
    }

    #[test]
    fn overlapping_pairs_are_one_mark() {
        let highlighted = Highlighted::of("私は東京都に", Language::Other, &mut words("東京都")).0;
        assert_eq!(highlighted.html(), "私は<mark>東京都</mark>に");
        assert_eq!(Highlighted::of("東京都", Language::Other, &mut words("京")).0.html(), "東<mark>京</mark>都");
    }

    #[test]
    fn excluded_words_are_not_marked() {
        let highlighted = Highlighted::of("boat ship", Language::English, &mut words("boat -ship")).0;
        assert_eq!(highlighted.html(), "<mark>boat</mark> ship");
    }

    #[test]
    fn a_snippet_shows_where_the_words_come_together() {
        let text =
            format!("one boat. {} Here a boat and an oar meet. {}", "filler ".repeat(100), "filler ".repeat(100));
        let snippet = Highlighted::snippet(&text, Language::English, &mut words("oar boat"), 1).0;
        assert!(snippet.text.starts_with('…') && snippet.text.ends_with('…') && snippet.text.len() <= SNIPPET + 6);
        let marked: Vec<&str> = snippet.marks.iter().map(|mark| &snippet.text[mark.clone()]).collect();
        assert_eq!(marked, ["boat", "oar"]);
        let plain = Highlighted::snippet("short", Language::English, &mut words("absent"), 1).0;
        assert_eq!((plain.text.as_str(), plain.marks.len()), ("short", 0));
    }

    #[test]
    fn a_snippet_is_sought_only_so_far() {
        let at = |place: usize, hits: usize| {
            let text = format!("{} boat {}", "é ".repeat(place / 3), "filler ".repeat(100));
            let snippet = Highlighted::snippet(&text, Language::English, &mut words("boat"), hits).0;
            assert_ne!(snippet.text.starts_with('…'), snippet.marks.is_empty());
            !snippet.marks.is_empty()
        };
        assert!(at(MAX_EXCERPT - 100, 1) && !at(MAX_EXCERPT + 100, 1));
        assert!(at(5000, MAX_PAGE) && !at(6000, MAX_PAGE));
    }

    #[test]
    fn a_snippet_never_cuts_a_character() {
        for text in [
            "é".repeat(1000),
            "東".repeat(1000),
            format!("{}boat{}", "🎉".repeat(300), "é".repeat(300)),
            "\u{3000}".repeat(400),
        ] {
            Highlighted::snippet(&text, Language::English, &mut words("boat 東"), 1).0.html();
        }
    }
}
