//! Documents to search: real ones from a file, or made from a Zipf distribution.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Setup;

/// A document of a corpus.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
}

/// The first documents of the corpus, and what it is.
pub(crate) fn documents(setup: &Setup, count: usize) -> (Vec<Document>, String) {
    let Some(path) = &setup.corpus else { return (generated(count), format!("{count} generated documents")) };
    let documents: Vec<Document> = lines(path, count);
    let name = format!("{} documents of {}", documents.len(), path.file_name().unwrap_or_default().display());
    (documents, name)
}

/// The first lines of a file of JSON objects, perhaps gzipped.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path, count: usize) -> Vec<T> {
    let file = File::open(path).expect("the corpus is there");
    let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let lines = BufReader::new(reader).lines().take(count);
    lines
        .map(|line| serde_json::from_str(&line.expect("the corpus is readable")).expect("a line of the corpus"))
        .collect()
}

/// Documents of 150 words whose frequencies fall as natural language's do. The commonest are the words the searches ask for.
fn generated(count: usize) -> Vec<Document> {
    let mut random = SplitMix(7);
    let mut word = move || {
        let uniform = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        // The inverse of a Zipf distribution over 50,000 words.
        let rank = 50_000_f64.powf(uniform) as usize - 1;
        COMMON.get(rank).map_or_else(|| format!("w{rank}"), |&word| word.to_owned())
    };
    let mut text = |length: usize| (0..length).map(|_| word()).collect::<Vec<_>>().join(" ");
    (0..count)
        .map(|index| Document {
            id: format!("g{index}"),
            title: text(8),
            body: text(142),
            categories: (0..3).map(|tag| format!("t{}", (index * 7 + tag * 13) % 40)).collect(),
        })
        .collect()
}

/// Words that stand in more than a tenth of the documents.
pub(crate) const COMMON: [&str; 8] = ["model", "results", "paper", "show", "method", "data", "based", "using"];

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
