//! The assistant: answers a question from what whoever asks may see, and says where each sentence stands.
//!
//! Everything that an answer is made of is read as the person who asks, in one snapshot; that is over before anything is asked
//! elsewhere. Without a model the answer is made of sentences of what was read. With one, the same passages are sent to it, and its
//! answer counts only as far as it names them.

pub mod breaker;
pub mod context;
pub mod extract;
pub mod model;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;

use serde::Serialize;
use utoipa::ToSchema;

use self::context::Context;
use self::extract::Question;
use self::model::ModelError;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Result;
use crate::surface::Surface;

/// What the assistant brings: nothing of its own but the way to ask.
pub const SURFACE: Surface = Surface {
    name: "assistant",
    tables: &[],
    scopes: &[],
    documents: None,
    actions: &[],
    jobs: &[],
    capabilities: &[],
    paths: &["/assistant", "/api/v1/assistant"],
};

/// Answers a question, as the caller: nothing that they may not see is ever looked at.
///
/// No connection is held while a model is asked. A question is a read, and leaves no record.
///
/// # Errors
/// [`Error::NotSignedIn`](crate::error::Error::NotSignedIn) if there is no such person; [`Error::Invalid`](crate::error::Error::Invalid) if
/// the question is empty, or longer than 500 characters; [`Error::Internal`](crate::error::Error::Internal).
pub async fn ask<B: Backend>(app: &App<B>, caller: &Caller, question: &str) -> Result<Answer> {
    let question = Question::new(question)?;
    let context = {
        let (mut tx, viewer) = app.read_as(&caller.user).await?;
        context::read(app, &mut tx, &viewer, &question).await?
    };
    Ok(answer(app, &question, &context).await)
}

/// Answers a question from what was read.
pub(crate) async fn answer<B: Backend>(app: &App<B>, question: &Question, context: &Context) -> Answer {
    let note = match &app.model {
        Some(model) if !context.passages.is_empty() => match model.ask(question, context).await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(cause = crate::error::causes(&error), "the model gave no answer");
                Some(note(&error))
            }
        },
        _ => None,
    };
    Answer { note, ..extract::answer(question, context) }
}

/// What whoever asks is told instead of what went wrong.
fn note(error: &ModelError) -> &'static str {
    match error {
        ModelError::Ungrounded => "The language model named no source: these are sentences of what you may read.",
        _ => "The language model cannot be reached: these are sentences of what you may read.",
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Answer {
    /// Plain text; `[1]` after a sentence is the citation of that number.
    pub text: String,
    /// Where it stands.
    pub citations: Vec<Citation>,
    /// Who wrote it.
    pub source: Source,
    /// What there is to know of how it came about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Who wrote an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The people of the campus: it is made of their sentences.
    Extractive,
    /// A language model, from what they wrote.
    Model,
}

/// Where something stands that an answer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Citation {
    /// As the text has it.
    pub number: usize,
    /// What it is called.
    pub title: String,
    /// The page that it can be read on.
    pub url: String,
}

/// Numbers what is cited in the order in which it is cited first.
#[derive(Debug, Default)]
struct Citations {
    /// Passages, by their place in the context.
    cited: Vec<usize>,
}

impl Citations {
    /// The number of a passage, from 1.
    fn number(&mut self, passage: usize) -> usize {
        let known = self.cited.iter().position(|cited| *cited == passage);
        known.unwrap_or_else(|| {
            self.cited.push(passage);
            self.cited.len() - 1
        }) + 1
    }

    fn into_list(self, context: &Context) -> Vec<Citation> {
        let named = self.cited.into_iter().filter_map(|place| context.passages.get(place)).enumerate();
        let citation = |(place, passage): (usize, &context::Passage)| Citation {
            number: place + 1,
            title: passage.title.clone(),
            url: passage.url.clone(),
        };
        named.map(citation).collect()
    }
}
