//! The ranking: BM25F over quantised lengths and frequencies.
//!
//! [`Length`] and [`Frequency`] are the only places where a count loses precision. Every path that scores (stored terms today,
//! posting lists later) starts from these bytes and sums in the same order, so a score is a pure function of the documents
//! of a snapshot, to the last bit.

/// How soon a frequency saturates. With `B` and a title weight of 2.5: nDCG@10 .536 on Cranfield, .459 on CACM.
const K1: f32 = 1.2;
/// How much a long document must hold a word more often.
const B: f32 = 0.75;

/// How many words a document has, title and body together, to five significant bits: exact up to 31, then within 1/16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(u8);

impl Length {
    /// Quantises a count of words.
    pub(crate) fn of(words: usize) -> Self {
        Self(quantise::<4>(words, u8::MAX))
    }

    /// Returns the count this length stands for.
    pub(crate) fn words(self) -> u32 {
        expand::<4>(self.0)
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    pub(crate) const fn byte(self) -> u8 {
        self.0
    }
}

/// How often a word occurs in a document: three bits for the title (capped at 7), five for the body (exact up to 15, capped
/// at 60). Beyond that BM25 has long saturated, and one byte keeps posting lists small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frequency(u8);

impl Frequency {
    /// The word does not occur.
    pub(crate) const ABSENT: Self = Self(0);

    /// Quantises the counts in title and body.
    pub(crate) fn of(title: usize, body: usize) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 7")]
        let title = title.min(7) as u8;
        Self(title << 5 | quantise::<3>(body, 31))
    }

    /// Answers whether the word does not occur.
    pub(crate) fn is_absent(self) -> bool {
        self == Self::ABSENT
    }

    pub(crate) fn is_in_title(self) -> bool {
        self.0 >> 5 > 0
    }

    pub(crate) fn is_in_body(self) -> bool {
        self.0 & 31 > 0
    }

    /// Returns the count in title and body together, one in the title for `title_weight` in the body.
    pub(crate) fn weighted(self, title_weight: f32) -> f32 {
        let (title, body) = (f32::from(self.0 >> 5), count(expand::<3>(self.0 & 31)));
        title_weight * title + body
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    pub(crate) const fn byte(self) -> u8 {
        self.0
    }
}

/// A floating-point number without sign: `BITS` of mantissa, the rest exponent, rounded down, never above `max`.
fn quantise<const BITS: u32>(count: usize, max: u8) -> u8 {
    let exponent = (count.max(1).ilog2() + 1).saturating_sub(BITS + 1);
    let code = ((exponent as usize) << BITS) + (count >> exponent);
    u8::try_from(code).map_or(max, |code| code.min(max))
}

fn expand<const BITS: u32>(code: u8) -> u32 {
    let (exponent, mantissa) = (u32::from(code) >> BITS, u32::from(code) & ((1 << BITS) - 1));
    if exponent == 0 { mantissa } else { (mantissa | 1 << BITS) << (exponent - 1) }
}

/// Counts of words are far below 2^24, where every integer is an `f32`.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn count(count: u32) -> f32 {
    count as f32
}

/// What the ranking knows of the whole snapshot: all surfaces and all audiences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// How many documents there are.
    pub(crate) documents: u64,
    /// The sum of their quantised lengths.
    pub(crate) words: u64,
    /// For each word of the query, how many documents hold it.
    pub(crate) holding: Vec<u64>,
}

/// The numbers a query ranks by. A cursor carries them on, so that writes between two pages move nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// One for each scored slot of the query, in its order.
    pub(crate) words: Vec<f32>,
    /// The average length of a document.
    pub(crate) average_length: f32,
}

impl Weights {
    /// Derives the weights from a snapshot: the rarer a word and the higher its factor (how often it was typed), the heavier.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "statistics, not money")]
    pub(crate) fn of(statistics: &Statistics, factors: impl Iterator<Item = f32>) -> Self {
        let documents = statistics.documents as f64;
        let weight = |(&holding, factor): (&u64, f32)| {
            let holding = holding as f64;
            let rarity = (1.0 + (documents - holding + 0.5) / (holding + 0.5)).ln();
            (rarity * f64::from(factor)) as f32
        };
        Self {
            words: statistics.holding.iter().zip(factors).map(weight).collect(),
            average_length: (statistics.words as f64 / documents.max(1.0)).max(1.0) as f32,
        }
    }

    /// Prepares to score many documents.
    pub(crate) fn scorer(&self, title_weight: f32) -> Scorer<'_> {
        let norm = |code| {
            let length = count(Length::from_byte(code).words());
            K1 * (1.0 - B + B * length / self.average_length)
        };
        Scorer {
            words: &self.words,
            frequencies: table(|code| Frequency::from_byte(code).weighted(title_weight)),
            norms: table(norm),
        }
    }
}

/// [`Weights`] with the two tables that turn scoring into look-ups.
#[derive(Debug)]
pub(crate) struct Scorer<'a> {
    words: &'a [f32],
    frequencies: [f32; 256],
    norms: [f32; 256],
}

impl Scorer<'_> {
    /// Scores a document by its length and by the frequency of each word of the query, summed in the order of the words.
    pub(crate) fn score(&self, frequencies: &[Frequency], length: Length) -> f32 {
        let parts = frequencies.iter().enumerate().filter(|(_, frequency)| !frequency.is_absent());
        parts.fold(0.0, |score, (word, &frequency)| score + self.part(word, frequency, length))
    }

    /// Returns what one word adds to the score of a document.
    #[inline]
    pub(crate) fn part(&self, word: usize, frequency: Frequency, length: Length) -> f32 {
        let norm = self.norms[usize::from(length.byte())];
        let frequency = self.frequencies[usize::from(frequency.byte())];
        self.words[word] * (K1 + 1.0) * frequency / (frequency + norm)
    }
}

fn table(value: impl Fn(u8) -> f32) -> [f32; 256] {
    #[expect(clippy::cast_possible_truncation, reason = "the index is below 256")]
    std::array::from_fn(|code| value(code as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_exact_when_small_and_close_when_large() {
        for words in 0..32 {
            assert_eq!(Length::of(words).words() as usize, words);
        }
        for words in 0..500_000 {
            let kept = Length::of(words).words() as usize;
            assert!(kept <= words && words - kept <= words / 16, "{words} became {kept}");
        }
        assert_eq!(Length::of(usize::MAX).byte(), 255);
    }

    #[test]
    fn frequencies_of_title_and_body_are_kept_apart() {
        for (title, body, sum) in [(0, 1, "1"), (1, 0, "100"), (3, 15, "315"), (7, 60, "760")] {
            assert_eq!(Frequency::of(title, body).weighted(100.0).to_string(), sum);
        }
        assert_eq!(Frequency::of(1000, 1000), Frequency::of(7, 60));
        assert!(Frequency::of(0, 0).is_absent());
    }

    #[test]
    fn rare_words_weigh_more_and_no_weight_is_negative() {
        let weights =
            Weights::of(&Statistics { documents: 100, words: 1000, holding: vec![1, 50, 100] }, [1.0; 3].into_iter());
        assert!(weights.words[0] > weights.words[1] && weights.words[1] > weights.words[2] && weights.words[2] > 0.0);
        assert_eq!(weights.average_length.to_string(), "10");
        let empty = Weights::of(&Statistics { documents: 0, words: 0, holding: vec![0] }, [1.0].into_iter());
        assert!(empty.words[0].is_finite() && empty.average_length >= 1.0);
    }
}
