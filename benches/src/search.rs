//! Ranked search beside what the databases have themselves: `ts_rank` over a multicolumn GIN index, and FTS5.

mod embedded;
#[cfg(feature = "rivals")]
mod engine;
mod quality;
mod server;

use std::collections::{BTreeMap, HashSet};

use stoa_search::{Audience, Document, MatchMode, Query, Results, Search, Store, Surface, Tag};

use crate::corpus;
use crate::{Case, Setup};

/// How many different searches of a kind there are at least.
const SEARCHES: usize = 200;
/// How many bytes a search with a cache may keep.
const CACHE: usize = 64 << 20;

/// Measures the search cases.
///
/// On a thread of its own that waits for its own connections: with several, another one would wait and wake the first, which on
/// a busy machine takes longer than the rest of a search. It is the same for ours and the rivals.
#[expect(clippy::unused_async, reason = "the other areas wait")]
pub async fn compare(setup: &Setup) -> Vec<Case> {
    std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let worker = scope.spawn(move || runtime.block_on(compare_here(setup)));
        worker.join().expect("no case fails")
    })
}

async fn compare_here(setup: &Setup) -> Vec<Case> {
    let (documents, corpus) = corpus::documents(setup, setup.size(200_000, 5_000));
    let questions = Questions::of(&documents);
    if setup.is_only("large") {
        return server::compare_large(setup, &documents, &questions).await;
    }
    let mut cases = server::compare(setup, &documents, &corpus, &questions).await;
    cases.extend(embedded::compare(setup, &documents, &corpus, &questions).await);
    cases.extend(quality::compare(setup).await);
    cases
}

fn document(document: &corpus::Document) -> Document {
    let tags = document.categories.iter().map(|tag| Tag::try_from(tag.as_str()).expect("a tag within the bounds"));
    Document::new(Surface::FEED, document.id.as_str().try_into().expect("an id within the bounds"))
        .title(&document.title)
        .body(&document.body)
        .audience(tags)
}

/// What is searched for, and by whom.
struct Questions {
    /// Words in 10 to 30 % of the documents.
    common: Vec<String>,
    /// Words in 20 to 200 documents.
    rare: Vec<String>,
    /// Sets of tags that reach about a quarter of the documents each.
    audiences: Vec<Vec<String>>,
}

impl Questions {
    fn of(documents: &[corpus::Document]) -> Self {
        let mut holding = BTreeMap::<String, usize>::new();
        for document in documents {
            let text = [&*document.title, " ", &document.body].concat().to_lowercase();
            let words: HashSet<&str> =
                text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).collect();
            for word in words {
                if let Some(count) = holding.get_mut(word) {
                    *count += 1;
                } else {
                    holding.insert(word.to_owned(), 1);
                }
            }
        }
        let total = documents.len();
        // Words that PostgreSQL and FTS5 search for too: none that one of them leaves out.
        let stop = [
            "that", "with", "this", "from", "which", "have", "these", "such", "than", "been", "also", "their",
            "between",
        ];
        let within = |from: usize, to: usize| -> Vec<String> {
            let fitting =
                holding.iter().filter(|(word, count)| (from..to).contains(*count) && !stop.contains(&&***word));
            fitting.map(|(word, _)| word.clone()).collect()
        };
        let rare = within(20, 200);
        let every = (rare.len() / SEARCHES).max(1);
        Self {
            common: within(total / 10, total * 3 / 10),
            rare: rare.into_iter().step_by(every).collect(),
            audiences: audiences(documents),
        }
    }

    /// One common word, or two.
    fn common(&self, call: usize) -> String {
        let word = |at: usize| self.common[at % self.common.len()].as_str();
        if call.is_multiple_of(2) {
            word(call / 2).to_owned()
        } else {
            [word(call), " ", word(call * 7 / 3 + 5)].concat()
        }
    }

    fn rare(&self, call: usize) -> String {
        self.rare[call % self.rare.len()].clone()
    }

    fn tags(&self, call: usize) -> &[String] {
        &self.audiences[call % self.audiences.len()]
    }

    fn audience(&self, call: usize) -> Audience {
        Audience::tags(self.tags(call).iter().map(|tag| Tag::try_from(tag.as_str()).expect("a tag within the bounds")))
    }
}

/// Five sets of tags, each of which reaches about a quarter of the documents.
fn audiences(documents: &[corpus::Document]) -> Vec<Vec<String>> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for tag in documents.iter().flat_map(|document| &document.categories) {
        *counts.entry(tag).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let set = |start: usize| {
        let (mut tags, mut reached) = (HashSet::new(), 0);
        for &(tag, _) in counts.iter().skip(start).step_by(5) {
            if reached >= documents.len() / 4 {
                break;
            }
            tags.insert(tag);
            reached =
                documents.iter().filter(|document| document.categories.iter().any(|tag| tags.contains(&**tag))).count();
        }
        tags.into_iter().map(str::to_owned).collect()
    };
    (0..5).map(set).collect()
}

async fn search<S: Store>(search: &Search<S>, conn: &mut S::Connection, text: &str, audience: &Audience) -> Results {
    let query = Query::text(text).mode(MatchMode::All).limit(10);
    search.search(conn, &query, audience).await.expect("the database answers")
}
