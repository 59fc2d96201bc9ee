//! tantivy, in the process: a search engine without a database.

use sqlx::PgConnection;
use stoa_search::{Postgres, Search};
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, TermQuery, TermSetQuery};
use tantivy::schema::{Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, TokenStream};
use tantivy::{Index, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::{CACHE, Questions, SEARCHES, search};
use crate::case::Target;
use crate::timing::{median, percentile, times};
use crate::{Case, Setup, corpus};

/// Measures common words beside the engine, with a cache and without.
pub(super) async fn compare(
    setup: &Setup,
    documents: &[corpus::Document],
    questions: &Questions,
    stoa: &Search<Postgres>,
    conn: &mut PgConnection,
) -> Vec<Case> {
    let engine = Engine::of(documents);
    let with_cache = stoa.clone().with_cache(CACHE);
    let (mut ours, mut cached, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ours_middle, mut cached_middle, mut theirs_middle) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        let uncached = times(SEARCHES, async |call| {
            search(stoa, conn, &questions.common(call), &questions.audience(call)).await;
        });
        let uncached = uncached.await;
        let engine = times(SEARCHES, async |call| engine.search(&questions.common(call), questions.tags(call))).await;
        let of_cache = times(SEARCHES, async |call| {
            search(&with_cache, conn, &questions.common(call), &questions.audience(call)).await;
        });
        let of_cache = of_cache.await;
        if round > 0 {
            for (times, p95, middle) in [
                (uncached, &mut ours, &mut ours_middle),
                (of_cache, &mut cached, &mut cached_middle),
                (engine, &mut theirs, &mut theirs_middle),
            ] {
                middle.push(percentile(times.clone(), 50) / 1e3);
                p95.push(percentile(times, 95) / 1e3);
            }
        }
    }
    let (theirs, theirs_middle) = (median(theirs), median(theirs_middle));
    let case = |name, ours, middle: f64, target| {
        Case::ratio(name, ours, "ms p95", "tantivy", theirs, Target::AtMost(target))
            .note(format!("p50 {middle:.2} and {theirs_middle:.2} ms"))
    };
    vec![
        case("search.common_vs_tantivy", median(ours), median(ours_middle), 2.0),
        case("search.common_cached_vs_tantivy", median(cached), median(cached_middle), 1.2),
    ]
}

struct Engine {
    searcher: Searcher,
    analyzer: TextAnalyzer,
    id: Field,
    title: Field,
    body: Field,
    tags: Field,
}

impl Engine {
    fn of(documents: &[corpus::Document]) -> Self {
        let mut schema = Schema::builder();
        let text = TextOptions::default().set_stored().set_indexing_options(
            TextFieldIndexing::default().set_tokenizer("en_stem").set_index_option(IndexRecordOption::WithFreqs),
        );
        let [title, body] = ["title", "body"].map(|name| schema.add_text_field(name, text.clone()));
        let [id, tags] = ["id", "tags"].map(|name| schema.add_text_field(name, STRING | STORED));
        let index = Index::create_in_ram(schema.build());
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 500 << 20).expect("there is memory");
        for document in documents {
            let mut stored = TantivyDocument::default();
            stored.add_text(id, &document.id);
            stored.add_text(title, &document.title);
            stored.add_text(body, &document.body);
            document.categories.iter().for_each(|tag| stored.add_text(tags, tag));
            writer.add_document(stored).expect("there is memory");
        }
        writer.commit().expect("there is memory");
        let segments = index.searchable_segment_ids().expect("the index is there");
        if segments.len() > 1 {
            writer.merge(&segments).wait().expect("there is memory");
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().expect("the index is there");
        let analyzer = index.tokenizer_for_field(body).expect("a text field has one");
        Self { searcher: tantivy::IndexReader::searcher(&reader), analyzer, id, title, body, tags }
    }

    /// The best ten that hold all words, with all that is stored of them.
    fn search(&self, text: &str, tags: &[String]) {
        let mut parts: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        let mut analyzer = self.analyzer.clone();
        let mut words = analyzer.token_stream(text);
        while let Some(word) = words.next() {
            let in_field = |field| -> (Occur, Box<dyn Query>) {
                let term = Term::from_field_text(field, &word.text);
                (Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)))
            };
            parts.push((Occur::Must, Box::new(BooleanQuery::new(vec![in_field(self.title), in_field(self.body)]))));
        }
        let tags = TermSetQuery::new(tags.iter().map(|tag| Term::from_field_text(self.tags, tag)));
        parts.push((Occur::Must, Box::new(ConstScoreQuery::new(Box::new(tags), 0.0))));
        let best = self.searcher.search(&BooleanQuery::new(parts), &TopDocs::with_limit(10).order_by_score());
        for (_, address) in best.expect("the index is there") {
            let document: TantivyDocument = self.searcher.doc(address).expect("it was found");
            assert!(document.get_first(self.id).is_some());
        }
    }
}
