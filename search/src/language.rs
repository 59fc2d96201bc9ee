//! The languages whose words can be reduced to their stems.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use frostem::{Algorithm, Stemmer};

use crate::error::{Error, Result};

macro_rules! languages {
    ($($name:ident $byte:literal $code:literal)*) => {
        /// The language a document is written in; it decides how its words are stemmed.
        ///
        /// A query needs none: its words are compared with each document in that document's language.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Language {
            /// `und`: words are indexed as they are written. Fit for names, codes and languages not listed here.
            Other = 0,
            $(#[doc = concat!("`", $code, "`.")] $name = $byte,)*
            /// `en`, the default.
            #[default]
            English = 1,
        }

        impl Language {
            /// Every language, in the order of its byte.
            pub const ALL: &[Self] = &[Self::Other, Self::English, $(Self::$name),*];

            /// Returns the ISO 639-1 code; `und` for [`Language::Other`].
            pub const fn code(self) -> &'static str {
                match self {
                    Self::Other => "und",
                    Self::English => "en",
                    $(Self::$name => $code,)*
                }
            }

            fn stemmer(self) -> Option<Stemmer> {
                match self {
                    Self::Other => None,
                    Self::English => Some(Stemmer::new(Algorithm::English)),
                    $(Self::$name => Some(Stemmer::new(Algorithm::$name)),)*
                }
            }
        }
    };
}

// The bytes are stored: they never change and are never used again.
languages! {
    Arabic 2 "ar"
    Catalan 3 "ca"
    Danish 4 "da"
    Dutch 5 "nl"
    Estonian 6 "et"
    Finnish 7 "fi"
    French 8 "fr"
    German 9 "de"
    Greek 10 "el"
    Hindi 11 "hi"
    Hungarian 12 "hu"
    Indonesian 13 "id"
    Italian 14 "it"
    Norwegian 15 "no"
    Polish 16 "pl"
    Portuguese 17 "pt"
    Romanian 18 "ro"
    Russian 19 "ru"
    Spanish 20 "es"
    Swedish 21 "sv"
    Turkish 22 "tr"
    Ukrainian 23 "uk"
}

impl Language {
    pub(crate) const fn byte(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Reads a stored code; a newer release may know more of them.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn from_stored(code: &str) -> Self {
        code.parse().unwrap_or(Self::Other)
    }

    pub(crate) fn stem(self, word: &str) -> Cow<'_, str> {
        self.stemmer().map_or(Cow::Borrowed(word), |stemmer| stemmer.stem(word))
    }
}

impl Language {
    /// Answers whether the stem of a word begins as the word does: this language's stemmer takes off endings only.
    pub(crate) const fn keeps_beginnings(self) -> bool {
        matches!(self, Self::Other | Self::English)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Language {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        let known = Self::ALL.iter().copied().find(|language| language.code() == code);
        known.ok_or(Error::Invalid { what: "language", problem: "is not known" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_codes_lead_back_to_the_language() {
        for (at, &language) in Language::ALL.iter().enumerate() {
            assert_eq!(usize::from(language.byte()), at);
            assert_eq!(Language::from_byte(language.byte()), Some(language));
            assert_eq!(language.code().parse::<Language>().unwrap(), language);
        }
        assert_eq!(Language::from_byte(200), None);
    }
}
