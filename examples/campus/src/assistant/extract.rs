//! An answer made of sentences that people of the campus wrote: those that fit the question best, each with where it stands.

use std::collections::{BTreeMap, BTreeSet};

use stoa_search::Language;
use stoa_search::analyzer::{self, Kind};
use unicode_segmentation::UnicodeSegmentation as _;

use super::context::Context;
use super::{Answer, Citations, Source};
use crate::error::Result;
use crate::text::text;

/// The longest question, in characters.
pub const MAX_QUESTION: usize = 500;
/// How many sentences an answer has at most, how many of them of one page, and how long they are together, in bytes.
const SENTENCES: usize = 5;
const SENTENCES_OF_ONE: usize = 2;
const MAX_ANSWER: usize = 1_200;
/// Sentences that fit this much worse than the best one are left out.
const GOOD_ENOUGH: f64 = 0.4;
/// Sentences that hold less of the question than this, title and all, are left out.
const COVERED: f64 = 0.3;
/// How much the title counts for each sentence below it.
const TITLE: f64 = 0.6;
/// As BM25 has them: how soon repeating a word is worth nothing, and how much a long sentence counts less.
const K1: f64 = 1.2;
const B: f64 = 0.6;

/// Words that a question is asked with, and not about.
const ASKING: &[&str] = &[
    "a", "about", "all", "am", "an", "and", "any", "anybody", "anyone", "anything", "are", "as", "at", "be", "been",
    "but", "by", "can", "coming", "could", "did", "do", "does", "for", "from", "get", "give", "had", "has", "have",
    "he", "her", "how", "i", "if", "in", "is", "it", "its", "know", "like", "me", "my", "need", "next", "of", "on",
    "or", "our", "please", "she", "should", "show", "so", "some", "tell", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "to", "up", "us", "want", "was", "we", "were", "what", "when", "where", "which",
    "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
];

/// What somebody asks, within its bounds.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
    words: Vec<String>,
}

impl Question {
    /// Parses a question of 1 to 500 characters.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::error::Error::Invalid) says what it is not.
    pub fn new(question: &str) -> Result<Self> {
        let text = text("the question", question, MAX_QUESTION)?;
        let mut words = Vec::new();
        analyzer::words(&text, |word| {
            if word.kind != Kind::Character && !ASKING.contains(&word.text) {
                words.push(word.text.to_owned());
            }
        });
        Ok(Self { text, words })
    }

    /// As it was asked.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is about, in words that are no operators of a search; nothing if it is about nothing.
    pub fn words(&self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.join(" "))
    }

    fn terms(&self) -> BTreeSet<String> {
        self.words.iter().map(|word| analyzer::term(word, Language::English).into_owned()).collect()
    }
}

/// A sentence and what it holds of the question.
struct Sentence<'a> {
    passage: usize,
    text: &'a str,
    counts: BTreeMap<String, f64>,
    length: f64,
}

/// Answers with the sentences that fit best; the same for the same question and context, always.
pub fn answer(question: &Question, context: &Context) -> Answer {
    let terms = question.terms();
    let sentences: Vec<Sentence<'_>> = context
        .passages
        .iter()
        .enumerate()
        .flat_map(|(passage, one)| one.text.unicode_sentences().map(move |text| (passage, text.trim())))
        .filter(|(_, text)| !text.is_empty())
        .map(|(passage, text)| Sentence::new(passage, text, &terms))
        .collect();
    let titles: Vec<Sentence<'_>> = context
        .passages
        .iter()
        .enumerate()
        .map(|(place, passage)| Sentence::new(place, &passage.title, &terms))
        .collect();
    let weights = Weights::new(&terms, &sentences, &titles);
    let score = |one: &Sentence<'_>| {
        let title = &titles[one.passage];
        let covered = weights.covered(one, title);
        if covered < COVERED { 0.0 } else { covered * (weights.of(one) + TITLE * weights.of(title)) }
    };
    let mut ranked: Vec<(f64, &Sentence<'_>)> = sentences.iter().map(|one| (score(one), one)).collect();
    // Stable: of equals, the one that was read first.
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let best = ranked.first().map_or(0.0, |(score, _)| *score);
    ranked.retain(|(score, _)| *score > 0.0 && *score >= GOOD_ENOUGH * best);
    write(ranked.into_iter().map(|(_, sentence)| sentence), context)
}

fn write<'a>(ranked: impl Iterator<Item = &'a Sentence<'a>>, context: &Context) -> Answer {
    let (mut lines, mut length, mut citations) = (Vec::new(), 0, Citations::default());
    let (mut said, mut of_one) = (BTreeSet::new(), BTreeMap::<usize, usize>::new());
    for sentence in ranked {
        let used = of_one.entry(sentence.passage).or_default();
        let fits = *used < SENTENCES_OF_ONE && length + sentence.text.len() <= MAX_ANSWER;
        // Two pages may say the same.
        if !fits || !said.insert(sentence.text) {
            continue;
        }
        (*used, length) = (*used + 1, length + sentence.text.len());
        lines.push(format!("{} [{}]", sentence.text, citations.number(sentence.passage)));
        if lines.len() == SENTENCES {
            break;
        }
    }
    let text =
        if lines.is_empty() { "Nothing that you may see says anything about this.".into() } else { lines.join("\n") };
    Answer { text, citations: citations.into_list(context), source: Source::Extractive, note: None }
}

impl<'a> Sentence<'a> {
    fn new(passage: usize, text: &'a str, terms: &BTreeSet<String>) -> Self {
        let (mut counts, mut length) = (BTreeMap::new(), 0.0);
        analyzer::words(text, |word| {
            if word.kind != Kind::Character {
                length += 1.0;
                let term = analyzer::term(word.text, Language::English);
                if terms.contains(&*term) {
                    *counts.entry(term.into_owned()).or_insert(0.0) += 1.0;
                }
            }
        });
        Self { passage, text, counts, length }
    }
}

/// How much each word of the question weighs: the more, the rarer it is in what was read.
struct Weights {
    weights: BTreeMap<String, f64>,
    average: f64,
}

impl Weights {
    fn new(terms: &BTreeSet<String>, sentences: &[Sentence<'_>], titles: &[Sentence<'_>]) -> Self {
        let all = || sentences.iter().chain(titles);
        let count = all().fold(0.0, |count, _| count + 1.0);
        let weight = |term: &String| {
            let holding = all().filter(|one| one.counts.contains_key(term)).fold(0.0, |count, _| count + 1.0);
            (1.0 + (count - holding + 0.5_f64) / (holding + 0.5)).ln()
        };
        let average = all().map(|one| one.length).sum::<f64>() / f64::max(count, 1.0);
        let used = terms.iter().filter(|term| all().any(|one| one.counts.contains_key(*term)));
        Self { weights: used.map(|term| (term.clone(), weight(term))).collect(), average: average.max(1.0) }
    }

    /// How much of the question is in a sentence or the title above it, from 0 to 1. Words that nobody uses do not count: they say more of
    /// how it was asked than of what is asked about.
    fn covered(&self, sentence: &Sentence<'_>, title: &Sentence<'_>) -> f64 {
        let is_held = |term: &String| sentence.counts.contains_key(term) || title.counts.contains_key(term);
        let held: f64 = self.weights.iter().filter(|(term, _)| is_held(term)).map(|(_, weight)| weight).sum();
        held / self.weights.values().sum::<f64>().max(f64::MIN_POSITIVE)
    }

    fn of(&self, sentence: &Sentence<'_>) -> f64 {
        let penalty = K1 * (1.0 - B + B * sentence.length / self.average);
        let part = |(term, count): (&String, &f64)| {
            self.weights.get(term).map_or(0.0, |weight| weight * count * (K1 + 1.0) / (count + penalty))
        };
        sentence.counts.iter().map(part).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::Passage;
    use super::*;

    fn context(passages: &[(&str, &str)]) -> Context {
        let passage = |(number, (title, text)): (usize, &(&str, &str))| Passage {
            surface: "feed".into(),
            id: number.to_string(),
            title: (*title).into(),
            url: format!("/posts/{number}"),
            text: (*text).into(),
        };
        Context { passages: passages.iter().enumerate().map(passage).collect() }
    }

    fn answered(question: &str, context: &Context) -> Answer {
        answer(&Question::new(question).unwrap(), context)
    }

    #[test]
    fn the_sentences_that_fit_are_cited_and_no_others() {
        let context = context(&[
            ("Chess", "Blitz is on Thursday. Bring a clock."),
            ("Sunday outing", "High tide is at ten, so we launch from the boat house at nine. Two seats are free."),
            ("Supper", "Nine kilos of potatoes."),
        ]);
        let answer = answered("When do we launch the boats on Sunday?", &context);
        assert!(
            answer.text.starts_with("High tide is at ten, so we launch from the boat house at nine. [1]"),
            "{answer:?}"
        );
        assert!(!answer.text.contains("potatoes") && !answer.text.contains("Thursday"), "{answer:?}");
        assert_eq!(answer.citations.len(), 1);
        assert_eq!((&*answer.citations[0].url, answer.citations[0].number), ("/posts/1", 1));
        assert_eq!(answered("When do we launch the boats on Sunday?", &context), answer, "again the same");
        for nothing in ["What about it?", "Is there a narwhal?", "\"-“", "?"] {
            let answer = answered(nothing, &context);
            assert!(answer.citations.is_empty() && answer.text.starts_with("Nothing that you may see"), "{answer:?}");
        }
    }

    #[test]
    fn an_answer_is_bounded_and_says_nothing_twice() {
        let long = format!("The boat is {}. ", "very ".repeat(60)).repeat(50);
        let answer = answered("boat", &context(&[("One", &long), ("Two", &long), ("Three", "A boat. A boat.")]));
        assert!(answer.text.len() <= MAX_ANSWER + SENTENCES * 8, "{}", answer.text.len());
        let lines: Vec<_> = answer.text.lines().collect();
        assert!(lines.len() <= SENTENCES && lines.iter().all(|line| line.ends_with(']')), "{lines:?}");
        assert_eq!(answer.text.matches("A boat.").count(), 1);
    }

    #[test]
    fn what_is_asked_with_is_sorted_out_and_what_is_asked_about_stays() {
        assert_eq!(Question::new("Who plays \"chess\" -well?").unwrap().words().unwrap(), "plays chess well");
        assert_eq!(Question::new("What is it?").unwrap().words(), None);
        for bad in ["", "  ", "a\0b", &"x".repeat(501)] {
            assert!(Question::new(bad).is_err(), "{bad:?}");
        }
    }
}
