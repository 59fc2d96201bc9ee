//! What an answer may be made of: what the person who asks may see, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use stoa_membership::{BATCH, Scope};
use stoa_search::{Query, Surface};
use unicode_segmentation::UnicodeSegmentation as _;

use super::extract::Question;
use super::sql::AssistantSql as _;
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::calendar;
use crate::error::Result;
use crate::groups::GroupKind;
use crate::groups::sql::GroupSql as _;
use crate::http::layout::date;
use crate::marketplace::deals;
use crate::mentorship::sql::MatchSql as _;

/// How many hits are read, and of each surface that is not among them.
const HITS: usize = 12;
const HITS_ELSEWHERE: usize = 2;
/// How many of the rest are read.
const GROUPS: usize = 20;
const EVENTS: i64 = 8;
const MATCHES: i64 = 5;
const DEALS: i64 = 8;
/// The longest text of a passage, in characters; of a document, what is read to find it in.
const MAX_TEXT: usize = 1_000;
const MAX_READ: i32 = 64 * 1024;
/// How long a ranking may take: what it has by then will do.
const TIME_LIMIT: Duration = Duration::from_millis(250);

/// What was read for a question.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Each of another page.
    pub passages: Vec<Passage>,
}

/// A text on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Where it belongs.
    pub surface: String,
    /// Its id there.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// The page that it can be read on.
    pub url: String,
    /// Plain text.
    pub text: String,
}

/// Reads what there is for the viewer to be told, in their own snapshot: where they belong, what is coming, who they are matched with,
/// what they are offered, and what is found of every surface.
///
/// # Errors
/// If the database does not answer.
pub async fn read<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    question: &Question,
) -> Result<Context> {
    let mut context = Context::default();
    context.belonging::<B>(conn, viewer).await?;
    context.events::<B>(conn, viewer).await?;
    context.matches::<B>(conn, viewer).await?;
    context.deals::<B>(conn, viewer).await?;
    context.found(app, conn, viewer, question).await?;
    // A page that was read for what it is may be found for what it says as well.
    let mut seen = BTreeSet::new();
    context.passages.retain(|passage| seen.insert(passage.url.clone()));
    Ok(context)
}

impl Context {
    fn add(&mut self, surface: &str, id: &str, title: String, url: String, text: &str) {
        let text = text.chars().take(MAX_TEXT).collect();
        self.passages.push(Passage { surface: surface.into(), id: id.into(), title, url, text });
    }

    async fn belonging<B: Backend>(&mut self, conn: &mut B::Connection, viewer: &Viewer) -> Result<()> {
        // In an order that is the same every time.
        let mut scopes: Vec<&Scope> = viewer.memberships.scopes().collect();
        scopes.sort_unstable();
        for scope in scopes.iter().filter(|scope| scope.kind() == &BATCH) {
            let year = scope.id().as_str();
            let text = format!("You belong to the batch of {year}.");
            self.add("directory", viewer.user.as_str(), format!("Class of {year}"), "/me".into(), &text);
        }
        let groups = scopes.into_iter().filter(|scope| GroupKind::of_scope(scope).is_some());
        for scope in groups.take(GROUPS) {
            let Some(group) = conn.group(scope.id().as_str()).await? else { continue };
            let role = viewer.memberships.role(scope).map(ToString::to_string).unwrap_or_default();
            let text =
                format!("You belong to the group {}, and your role in it is {role}. {}", group.name, group.description);
            self.add("groups", &group.id, group.name, format!("/groups/{}", group.id), &text);
        }
        Ok(())
    }

    async fn events<B: Backend>(&mut self, conn: &mut B::Connection, viewer: &Viewer) -> Result<()> {
        for event in calendar::upcoming::<B>(conn, viewer, EVENTS).await? {
            let place = if event.place.is_empty() { String::new() } else { format!(" at {}", event.place) };
            let when = calendar::pages::span(&event);
            let text = format!("The upcoming event “{}” is on {when}{place}. {}", event.title, event.body);
            self.add("events", &event.id, event.title, format!("/events/{}", event.id), &text);
        }
        Ok(())
    }

    async fn matches<B: Backend>(&mut self, conn: &mut B::Connection, viewer: &Viewer) -> Result<()> {
        for one in conn.matches_of(viewer.user.as_str(), None, MATCHES).await? {
            let is_mentor = one.mentor_user_id == viewer.user.as_str();
            let (other, part) =
                if is_mentor { (&one.mentee_user_id, "mentee") } else { (&one.mentor_user_id, "mentor") };
            let name = name::<B>(conn, other).await?;
            let since = date(one.changed_at);
            let text = format!(
                "Your mentorship with {name}, who is your {part} in it, is {} since {}.",
                one.state,
                since.trim()
            );
            self.add("mentorship", &one.id, format!("Mentorship with {name}"), format!("/matches/{}", one.id), &text);
        }
        Ok(())
    }

    async fn deals<B: Backend>(&mut self, conn: &mut B::Connection, viewer: &Viewer) -> Result<()> {
        for deal in deals::list::<B>(conn, viewer, None, DEALS).await? {
            let until = date(deal.ends_at);
            let text = format!("The deal “{}” is on offer until {}. {}", deal.title, until.trim(), deal.body);
            self.add("marketplace", &deal.id, deal.title, format!("/deals/{}", deal.id), &text);
        }
        Ok(())
    }

    /// What the search finds for the viewer: the best of all, and something of every surface that has anything.
    async fn found<B: Backend>(
        &mut self,
        app: &App<B>,
        conn: &mut B::Connection,
        viewer: &Viewer,
        question: &Question,
    ) -> Result<()> {
        let Some(words) = question.words() else { return Ok(()) };
        let audience = viewer.audience()?;
        let query = Query::text(words).time_limit(TIME_LIMIT);
        let results = app.search.search(conn, &query.clone().limit(HITS), &audience).await?;
        let missing: Vec<Surface> =
            results.counts.keys().filter(|at| !results.hits.iter().any(|hit| hit.surface == **at)).cloned().collect();
        let mut hits = results.hits;
        for surface in missing {
            let query = query.clone().surfaces([surface]).limit(HITS_ELSEWHERE);
            hits.extend(app.search.search(conn, &query, &audience).await?.hits);
        }
        for hit in hits {
            // What cannot be read on a page cannot be cited.
            let Some(url) = &hit.url else { continue };
            let (surface, id) = (hit.surface.as_str(), hit.entity_id.as_str());
            let body = conn.found_text(surface, id, MAX_READ).await?.unwrap_or_default();
            let text = in_full(&body, hit.snippet.text.trim_matches('…'));
            let text = match hit.recency {
                Some(at) if hit.surface == Surface::EVENTS => format!("It is on {}. {text}", at.format("%-d %B %Y")),
                _ => text,
            };
            self.add(surface, id, hit.title.text.clone(), url.clone(), text.trim());
        }
        Ok(())
    }
}

/// The sentences that a part of a text is cut from.
fn in_full(body: &str, part: &str) -> String {
    let Some(start) = body.find(part) else { return part.to_owned() };
    let end = start + part.len();
    let touched = body.split_sentence_bound_indices().filter(|(at, text)| *at < end && at + text.len() > start);
    touched.map(|(_, text)| text).collect()
}

async fn name<B: Backend>(conn: &mut B::Connection, id: &str) -> Result<String> {
    use crate::directory::sql::DirectorySql as _;
    Ok(conn.person(id).await?.map_or_else(|| "somebody".to_owned(), |person| person.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_in_whole_sentences() {
        let body = "High tide is at ten. We launch at nine from the boat house. Two seats are free.";
        assert_eq!(in_full(body, "at nine from"), "We launch at nine from the boat house. ");
        assert_eq!(in_full(body, "ten. We"), "High tide is at ten. We launch at nine from the boat house. ");
        assert_eq!(in_full(body, body), body);
        assert_eq!(in_full(body, "of another text"), "of another text");
        assert_eq!(in_full("", ""), "");
    }
}
