//! From text to words: one analyzer for every backend, for documents and for queries.
//!
//! * Words follow Unicode's rules (UAX #29), brought to NFKC and lower case. `node.js`, `snake_case` and `l'homme` fall into
//!   their parts; the single letters that an apostrophe leaves over are dropped (`l'`, `'s`).
//! * `C++` and `C#` stay apart from `C`.
//! * Scripts written without spaces (Han, kana, Thai and the like), and Hangul, become overlapping pairs of characters. A
//!   document also holds the single characters, so that a query of one character finds it.
//! * Stop words are kept: in every document they weigh next to nothing.
//! * A word becomes a *term* by stemming it in the document's language and dropping accents from Latin letters.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use crate::language::Language;

/// The longest word in bytes; what is longer is known by its beginning.
pub const MAX_WORD: usize = 128;

/// Counts up when the same text gives other terms. Stored with them, so that old ones can be told and indexed again.
pub(crate) const GENERATION: u8 = 1;

/// A word of a text, not yet stemmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word in NFKC and lower case.
    pub text: &'a str,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
    /// How it was found.
    pub kind: Kind,
    /// Whether it was longer than [`MAX_WORD`].
    pub is_cut: bool,
}

/// How a word was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By its boundaries.
    Whole,
    /// One character of a longer run without spaces.
    Character,
    /// Two neighbours in a run without spaces.
    Pair,
}

/// Calls `found` with each word of `text`.
pub fn words(text: &str, mut found: impl FnMut(Word<'_>)) {
    words_until(text, |word| {
        found(word);
        ControlFlow::Continue(())
    });
}

/// Calls `found` with the words of `text` until it breaks.
pub(crate) fn words_until(text: &str, found: impl FnMut(Word<'_>) -> ControlFlow<()>) {
    let mut splitter = Splitter { found, run: None, is_done: false };
    let mut word = String::new();
    for (start, segment) in text.unicode_word_indices() {
        if splitter.is_done {
            return;
        }
        let end = start + segment.len();
        let suffix = symbol_suffix(segment, &text[end..]);
        if segment.len() + suffix.len() <= MAX_WORD && segment.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            word.clear();
            word.push_str(segment);
            word.push_str(suffix);
            word.make_ascii_lowercase();
            splitter.end_run();
            splitter.whole(&word, start..end + suffix.len(), false);
        } else {
            splitter.segment(segment, start);
        }
    }
    splitter.end_run();
}

/// Reduces a word to the term that is stored and compared.
pub fn term(word: &str, language: Language) -> Cow<'_, str> {
    let is_stemmable = word.chars().all(char::is_alphabetic) && !word.starts_with(is_unspaced);
    let stem = if is_stemmable { language.stem(word) } else { Cow::Borrowed(word) };
    let stem = if stem.is_empty() { Cow::Borrowed(word) } else { stem };
    if stem.is_ascii() { stem } else { Cow::Owned(without_accents(&stem)) }
}

/// Returns `++` or `#` if the text after a word makes it the name of a programming language.
fn symbol_suffix<'a>(word: &str, rest: &'a str) -> &'a str {
    if !word.ends_with(|last: char| last.is_ascii_alphabetic()) {
        ""
    } else if rest.starts_with("++") {
        &rest[..2]
    } else if rest.starts_with('#') && !rest[1..].starts_with(char::is_alphanumeric) {
        &rest[..1]
    } else {
        ""
    }
}

/// Drops the marks from Latin letters and leaves every other script alone, where a mark makes another letter.
fn without_accents(term: &str) -> String {
    let mut latin = false;
    let bare = term.nfd().filter(|&c| {
        let is_accent = latin && ('\u{300}'..='\u{36f}').contains(&c);
        latin = c.is_ascii_alphabetic() || is_accent;
        !is_accent
    });
    bare.nfc().collect()
}

/// Cuts the segments that are more than an ASCII word, and pairs up what has no spaces.
struct Splitter<F> {
    found: F,
    /// The last character of the run without spaces that is being read.
    run: Option<RunEnd>,
    is_done: bool,
}

struct RunEnd {
    text: String,
    range: Range<usize>,
    is_paired: bool,
}

/// A part of a segment, between two separators.
struct Part {
    text: String,
    range: Range<usize>,
    is_cut: bool,
}

impl<F: FnMut(Word<'_>) -> ControlFlow<()>> Splitter<F> {
    fn segment(&mut self, segment: &str, offset: usize) {
        let mut parts = Vec::new();
        let mut open: Option<Part> = None;
        let mut apostrophe = false;
        for (range, cluster) in clusters(segment, offset) {
            for c in cluster.nfkc().flat_map(char::to_lowercase).nfkc() {
                let c = if c == 'ς' { 'σ' } else { c };
                if is_unspaced(c) {
                    self.parts(&mut parts, &mut open, apostrophe);
                    self.character(c, &range);
                } else if c.is_alphanumeric() || is_combining_mark(c) || is_decimal_point(c, open.as_ref()) {
                    let part = open.get_or_insert_with(|| Part::at(range.start));
                    part.push(c, range.end);
                } else if !is_ignorable(c) {
                    apostrophe |= matches!(c, '\'' | '\u{2019}' | '\u{ff07}');
                    parts.extend(open.take());
                }
            }
        }
        self.parts(&mut parts, &mut open, apostrophe);
    }

    /// Emits the parts read so far.
    fn parts(&mut self, parts: &mut Vec<Part>, open: &mut Option<Part>, apostrophe: bool) {
        parts.extend(open.take());
        let is_letter = |part: &Part| part.text.chars().nth(1).is_none();
        let drops_letters = apostrophe && !parts.iter().all(is_letter);
        for part in parts.drain(..) {
            if !(drops_letters && is_letter(&part)) {
                self.end_run();
                self.whole(part.text.trim_end_matches(['.', ',']), part.range, part.is_cut);
            }
        }
    }

    fn character(&mut self, c: char, range: &Range<usize>) {
        if is_combining_mark(c) {
            return self.mark(c, range);
        }
        let text = String::from(c);
        let last = self.run.take_if(|last| last.range.end == range.start || last.range == *range);
        let is_paired = last.is_some();
        if let Some(last) = last {
            self.emit(&last.text, last.range.clone(), Kind::Character);
            self.emit(&format!("{}{text}", last.text), last.range.start..range.end, Kind::Pair);
        } else {
            self.end_run();
        }
        self.run = Some(RunEnd { text, range: range.clone(), is_paired });
    }

    /// A vowel sign or tone mark belongs to the character before it.
    fn mark(&mut self, c: char, range: &Range<usize>) {
        if let Some(last) =
            self.run.as_mut().filter(|last| last.range.end >= range.start && last.text.len() < MAX_WORD / 2)
        {
            last.text.push(c);
            last.range.end = range.end;
        }
    }

    fn end_run(&mut self) {
        if let Some(last) = self.run.take() {
            let kind = if last.is_paired { Kind::Character } else { Kind::Whole };
            self.emit(&last.text, last.range, kind);
        }
    }

    fn whole(&mut self, text: &str, range: Range<usize>, is_cut: bool) {
        self.found(Word { text, range, kind: Kind::Whole, is_cut });
    }

    fn emit(&mut self, text: &str, range: Range<usize>, kind: Kind) {
        self.found(Word { text, range, kind, is_cut: false });
    }

    fn found(&mut self, word: Word<'_>) {
        if !self.is_done {
            self.is_done = (self.found)(word).is_break();
        }
    }
}

impl Part {
    fn at(start: usize) -> Self {
        Self { text: String::new(), range: start..start, is_cut: false }
    }

    fn push(&mut self, c: char, end: usize) {
        self.is_cut |= self.text.len() + c.len_utf8() > MAX_WORD;
        if !self.is_cut {
            self.text.push(c);
        }
        self.range.end = end;
    }
}

/// Splits a segment into base characters with all that composes with them, so that each can be normalised by itself.
fn clusters(segment: &str, offset: usize) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut rest = segment;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices();
        chars.next()?;
        let length = chars.find(|&(_, c)| !composes(c)).map_or(rest.len(), |(at, _)| at);
        let start = offset + segment.len() - rest.len();
        let (cluster, after) = rest.split_at(length);
        rest = after;
        Some((start..start + length, cluster))
    })
}

/// Marks, the second and third part of a Hangul syllable, and the voice marks of half-width kana.
fn composes(c: char) -> bool {
    is_combining_mark(c) || matches!(c, '\u{1160}'..='\u{11ff}' | '\u{ff9e}' | '\u{ff9f}')
}

fn is_decimal_point(c: char, before: Option<&Part>) -> bool {
    matches!(c, '.' | ',') && before.is_some_and(|part| part.text.ends_with(char::is_numeric))
}

/// Characters that shape a word without being part of it: soft hyphen, joiners, direction marks.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Han, kana, Hangul, Thai, Lao, Myanmar and Khmer: a reader, not a space, tells where a word ends.
fn is_unspaced(c: char) -> bool {
    matches!(
        c,
        '\u{e00}'..='\u{eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1100}'..='\u{11ff}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30ff}'
            | '\u{31f0}'..='\u{31ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7af}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}'
    ) && !is_separator(c)
}

/// The punctuation inside the blocks above.
fn is_separator(c: char) -> bool {
    !c.is_alphanumeric() && !is_combining_mark(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words a query would hold.
    fn split(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, |word| {
            assert!(text.is_char_boundary(word.range.start) && text.is_char_boundary(word.range.end), "{word:?}");
            assert!(!word.text.is_empty() && word.text.len() <= MAX_WORD, "{word:?}");
            if word.kind != Kind::Character {
                found.push(word.text.to_owned());
            }
        });
        found
    }

    fn terms(text: &str, language: Language) -> Vec<String> {
        split(text).iter().map(|word| term(word, language).into_owned()).collect()
    }

    #[test]
    fn words_are_lower_case_and_compatible_forms_are_one() {
        assert_eq!(split("Hello, WORLD! 42"), ["hello", "world", "42"]);
        assert_eq!(split("ﬁnd Ｆｕｌｌ ½ soft\u{ad}ware"), ["find", "full", "1", "2", "software"]);
        assert_eq!(split("cafe\u{301} ΟΔΟΣ"), ["café", "οδοσ"]);
        assert_eq!(
            split("ADA@Example.ORG multi-agent snake_case node.js"),
            ["ada", "example", "org", "multi", "agent", "snake", "case", "node", "js"]
        );
        assert_eq!(split("3.14 and 1,000."), ["3.14", "and", "1,000"]);
        assert_eq!(split(" \t\n\u{0}\u{1b} … 🎉 "), Vec::<String>::new());
    }

    #[test]
    fn programming_languages_keep_their_signs() {
        assert_eq!(
            split("C, C++, C# and F#. a+b C/C++17 #tag issue #7"),
            ["c", "c++", "c#", "and", "f#", "a", "b", "c", "c++", "17", "tag", "issue", "7"]
        );
        assert_eq!(terms("C++", Language::English), ["c++"]);
    }

    #[test]
    fn apostrophes_split_and_leave_no_single_letters() {
        assert_eq!(split("l'homme John's don’t rock'n'roll"), ["homme", "john", "don", "rock", "roll"]);
        assert_eq!(split("C's"), ["c", "s"]);
    }

    #[test]
    fn scripts_without_spaces_become_pairs() {
        assert_eq!(split("東京都 茶"), ["東京", "京都", "茶"]);
        assert_eq!(split("日本語のテスト2個"), ["日本", "本語", "語の", "のテ", "テス", "スト", "2", "個"]);
        assert_eq!(split("한국어 A한"), ["한국", "국어", "a", "한"]);
        assert_eq!(split("ｶﾞｽ"), split("ガス"));
        assert_eq!(split("ไทย"), ["ไท", "ทย"]);
        let mut single = Vec::new();
        words("東京", |word| single.push((word.text.to_owned(), word.range, word.kind)));
        assert_eq!(
            single,
            [
                ("東".to_owned(), 0..3, Kind::Character),
                ("東京".to_owned(), 0..6, Kind::Pair),
                ("京".to_owned(), 3..6, Kind::Character),
            ]
        );
    }

    #[test]
    fn ranges_point_into_the_original_text() {
        let text = "Ünïcode ﬁnd naïve—C++!";
        let mut found = Vec::new();
        words(text, |word| found.push(&text[word.range]));
        assert_eq!(found, ["Ünïcode", "ﬁnd", "naïve", "C++"]);
    }

    #[test]
    fn terms_are_stemmed_in_the_language_and_lose_latin_accents() {
        assert_eq!(terms("Connections running generous", Language::English), ["connect", "run", "generous"]);
        assert_eq!(terms("chevaux José", Language::French), ["cheval", "jos"]);
        assert_eq!(terms("José Ångström", Language::Other), ["jose", "angstrom"]);
        assert_eq!(terms("мой", Language::Other), ["мой"]);
        assert_eq!(terms("東京", Language::English), ["東京"]);
    }

    #[test]
    fn after_a_break_no_word_is_read() {
        for text in ["one two three", "東京都", "one-two-three"] {
            let mut found = 0;
            words_until(text, |_| {
                found += 1;
                if found == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(found, 2, "{text}");
        }
    }

    #[test]
    fn a_long_word_is_known_by_its_beginning() {
        for long in
            ["x".repeat(5000), "é".repeat(5000), "a\u{301}".repeat(5000), format!("a{}", "\u{301}".repeat(5000))]
        {
            let mut found = Vec::new();
            words(&long, |word| found.push((word.text.len() <= MAX_WORD, word.range, word.is_cut)));
            assert_eq!(found, [(true, 0..long.len(), true)]);
        }
    }
}
