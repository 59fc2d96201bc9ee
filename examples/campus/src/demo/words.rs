//! What people of a generated campus write: templates, filled with the words of a topic.
//!
//! `{t}` is a thing, `{m}` a meeting, `{p}` a place, `{r}` a remark, `{d}` a day, `{h}` an hour, `{n}` a small number, `{c}` a city.

use super::places::CITIES;
use super::rng::Rng;
use super::topics::Topic;

const TITLES: &[&str] = &[
    "{m} on {d}",
    "{d}: {m} at {h}",
    "A question about {t}",
    "What I learned about {t}",
    "Notes from {m}",
    "Who knows something about {t}?",
    "Looking for {n} people for {m}",
    "{t}: a beginner's guide",
    "Moved: {m} is now in {p}",
    "Against {t}",
    "In praise of {t}",
    "Thank you for {m}",
    "{t}, {n} years later",
    "Reading list: {t}",
    "Can somebody help with {t}?",
    "Report: {m} in {c}",
    "Next time: {t}",
    "An introduction, and {t}",
];

const OPENINGS: &[&str] = &[
    "We meet for {m} on {d} at {h} in {p}.",
    "Since the last time somebody asked about {t}, here is the longer answer.",
    "I have been thinking about {t} for {n} weeks and would like to hear from others.",
    "Last {d} there was {m} in {p}, and {n} of us came.",
    "I moved here from {c} in spring and am looking for people who care about {t}.",
    "There are {n} places left for {m}.",
    "A short report for everybody who could not come to {m}.",
    "Two of us are preparing {m} and need help with {t}.",
    "Every year the question of {t} comes up, and every year we answer it differently.",
    "For whoever missed it: {m} is in {p} this time, not where it was.",
];

const MIDDLES: &[&str] = &[
    "{r}",
    "{r}",
    "{r}",
    "Most of the discussion was about {t}, and then, as always, about {t}.",
    "Somebody from {c} joined us and told us how they handle {t} there.",
    "My own experience with {t} is limited to {n} attempts, {n} of them failures.",
    "There is a good introduction to {t} in the library, and the second chapter can be skipped.",
    "We talked about {t} until {h}, which was not the plan.",
    "If you have never been to {m}, this is the one to begin with.",
    "The group in {c} does this quite differently, and it seems to work.",
    "Three things about {t}: begin small, write it down, and ask somebody who has done it.",
    "I was wrong about {t} and am happy to say so.",
    "It costs nothing; a contribution to the room is welcome.",
];

const CLOSINGS: &[&str] = &[
    "Write to me if you want to join.",
    "See you on {d}.",
    "Answers here, please, so that everybody can read them.",
    "Same time in {n} weeks.",
    "Corrections are welcome.",
    "Tell a friend from your batch.",
    "I will bring the notes to {m}.",
    "No preparation needed.",
];

const DAYS: &[&str] = &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const HOURS: &[&str] = &["nine", "ten", "noon", "half past five", "six", "half past six", "seven", "eight"];
const NUMBERS: &[&str] = &["two", "three", "four", "five", "six", "eight", "nine", "twelve"];

/// The title of a post.
pub(super) fn title(rng: &mut Rng, topic: &Topic) -> String {
    let template = rng.pick(TITLES);
    capitalized(fill(template, rng, topic))
}

/// The body of a post: a few sentences, sometimes in two paragraphs.
pub(super) fn body(rng: &mut Rng, topic: &Topic) -> String {
    let mut sentences = vec![rng.pick(OPENINGS)];
    for _ in 0..=rng.below(5) {
        let next = rng.pick(MIDDLES);
        // Nobody says the same twice; a remark is another every time.
        if next == "{r}" || !sentences.contains(&next) {
            sentences.push(next);
        }
    }
    sentences.push(rng.pick(CLOSINGS));
    let paragraph = if sentences.len() > 5 { sentences.len() / 2 } else { usize::MAX };
    let mut body = String::new();
    for (at, template) in sentences.into_iter().enumerate() {
        let sentence = capitalized(fill(template, rng, topic));
        if body.contains(&sentence) {
            continue;
        }
        if at > 0 {
            body.push_str(if at == paragraph { "\n\n" } else { " " });
        }
        body.push_str(&sentence);
    }
    body
}

/// Fills a template. What stands between braces is one letter.
pub(super) fn fill(template: &str, rng: &mut Rng, topic: &Topic) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut parts = template.split('{');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or_default();
        text.push_str(match name {
            "t" => rng.pick(topic.things),
            "m" => rng.pick(topic.meetings),
            "p" => rng.pick(topic.places),
            "r" => rng.pick(topic.remarks),
            "d" => rng.pick(DAYS),
            "h" => rng.pick(HOURS),
            "n" => rng.pick(NUMBERS),
            _ => rng.pick(&CITIES),
        });
        text.push_str(rest);
    }
    text
}

pub(super) fn capitalized(text: String) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if first.is_lowercase() => first.to_uppercase().chain(letters).collect(),
        _ => text,
    }
}
