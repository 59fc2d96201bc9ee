//! How well results are ordered: nDCG@10 over the whole of two judged collections, with the default parameters.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use stoa_search::{Audience, Document, Hit, Memory, Query, Search, Source, Surface, memory};

use crate::case::Target;
use crate::{Case, Setup, corpus};

/// How many hits of each query count.
const DEPTH: usize = 10;

#[derive(Deserialize)]
struct Question {
    id: String,
    text: String,
}

/// Relevant documents and their grades, by query.
type Judgements = HashMap<String, HashMap<String, i32>>;

/// Measures the collections that lie beside the corpus.
pub(super) async fn compare(setup: &Setup) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, folder, target) in [("search.ndcg_cranfield", "cranfield", 0.52), ("search.ndcg_cacm", "cacm", 0.44)] {
        let Some(folder) = setup.beside_corpus(folder) else { continue };
        let (quality, quoting, queries) = quality(&folder).await;
        let case = Case::absolute(name, quality, "", Target::AtLeast(target));
        cases
            .push(case.note(format!("nDCG@{DEPTH} of {queries} queries; {quoting:.3} if their quotation marks count")));
    }
    cases
}

/// The mean over the queries that have a relevant document, and how many those are.
///
/// They are sentences, some of which quote the title of a paper that the collection does not have: for us quotation marks ask for a
/// document that has these words side by side, which is not what they mean there. So they are left out; the second mean is with them.
async fn quality(folder: &Path) -> (f64, f64, usize) {
    let documents: Vec<corpus::Document> = corpus::lines(&folder.join("docs.jsonl.gz"), usize::MAX);
    let questions: Vec<Question> = corpus::lines(&folder.join("queries.jsonl"), usize::MAX);
    let judgements = judgements(&folder.join("qrels.tsv"));

    let database = memory::Database::default();
    let mut conn = database.acquire().await.expect("memory is there");
    let search = Search::new(Memory);
    let indexed = |document: &corpus::Document| {
        Document::new(Surface::FEED, document.id.as_str().try_into().expect("an id within the bounds"))
            .title(&document.title)
            .body(&document.body)
    };
    let batch: Vec<Document> = documents.iter().map(indexed).collect();
    search.upsert_many(&mut conn, &batch).await.expect("memory is there");

    let mut sums = [0.0; 2];
    let mut queries = 0;
    for question in &questions {
        let Some(relevant) = judgements.get(&question.id) else { continue };
        let mut ideal: Vec<i32> = relevant.values().copied().collect();
        ideal.sort_unstable_by_key(|grade| std::cmp::Reverse(*grade));
        let ideal = gain(ideal.into_iter());
        for (sum, text) in sums.iter_mut().zip([question.text.replace('"', " "), question.text.clone()]) {
            let query = Query::text(text).limit(DEPTH);
            let results = search.search(&mut conn, &query, &Audience::everything()).await.expect("memory is there");
            let grade = |hit: &Hit| relevant.get(hit.entity_id.as_str()).copied().unwrap_or_default();
            *sum += gain(results.hits.iter().map(grade)) / ideal;
        }
        queries += 1;
    }
    let [without, with] = sums.map(|sum| sum / queries as f64);
    (without, with, queries)
}

/// The discounted gain of grades in the order of their hits.
fn gain(grades: impl Iterator<Item = i32>) -> f64 {
    (2_u32..).zip(grades.take(DEPTH)).map(|(rank, grade)| (2_f64.powi(grade) - 1.0) / f64::from(rank).log2()).sum()
}

/// Reads lines of query, document and grade; those of grade 0 say that a document is not relevant.
fn judgements(file: &Path) -> Judgements {
    let mut judgements = Judgements::new();
    for line in std::fs::read_to_string(file).expect("the collection is readable").lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let &[query, document, grade] = &parts[..] else { continue };
        let grade: i32 = grade.trim().parse().expect("a grade is a number");
        if grade > 0 {
            judgements.entry(query.to_owned()).or_default().insert(document.to_owned(), grade);
        }
    }
    judgements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_hit_gains_more() {
        assert!((gain([3, 0, 1].into_iter()) - 7.5).abs() < 1e-12);
        assert!(gain([0, 1].into_iter()) < gain([1, 0].into_iter()));
    }
}
