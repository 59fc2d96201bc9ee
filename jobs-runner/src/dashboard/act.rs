//! What the buttons do.

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use serde::Deserialize;

use super::layout::Refusal;
use super::list::{MANY, Which, query};
use super::protect::{Visit, is_same_token};
use super::{Action, Guard, Site, job};
use crate::{Cancelled, Filter, Queue, Source, Store};

#[derive(Deserialize)]
pub(super) struct Sent {
    token: String,
    #[serde(default)]
    because: String,
    #[serde(flatten)]
    which: Which,
}

/// The action behind a word of an address, if the form is one of ours and the guard allows it.
async fn permit<G: Guard>(
    visit: &Visit,
    guard: &G,
    sent: &Sent,
    verb: &str,
    verbs: &[Verb],
) -> Result<Action, Refusal> {
    if !is_same_token(&sent.token, &visit.token) {
        return Err(Refusal::Elsewhere);
    }
    let (_, action) = verbs.iter().find(|(name, _)| *name == verb).ok_or(Refusal::NotFound)?;
    if visit.may(guard, *action).await { Ok(*action) } else { Err(Refusal::Forbidden) }
}

type Verb = (&'static str, Action);

const RETRY: Verb = ("retry", Action::Retry);
const CANCEL: Verb = ("cancel", Action::Cancel);
const DISCARD: Verb = ("discard", Action::Discard);
const DELETE: Verb = ("delete", Action::Delete);

pub(super) async fn on_one<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
    Path((id, verb)): Path<(String, String)>,
    Form(sent): Form<Sent>,
) -> Result<Redirect, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let action = permit(&visit, &*site.guard, &sent, &verb, &[RETRY, CANCEL, DISCARD, DELETE]).await?;
    let id = job::parse(&id)?;
    let mut tx = site.source.begin().await?;
    if site.jobs.find(&mut tx, id).await?.is_none() {
        return Err(Refusal::NotFound);
    }
    let done = match action {
        Action::Retry => site.jobs.retry(&mut tx, &Filter::default().id(id), 1).await?,
        Action::Cancel => u64::from(site.jobs.cancel(&mut tx, id).await? != Cancelled::NotFound),
        Action::Discard => u64::from(site.jobs.discard(&mut tx, id, &sent.because).await?),
        _ => u64::from(site.jobs.delete(&mut tx, id).await?),
    };
    site.source.commit(tx).await?;
    site.jobs.wake();
    let page = if action == Action::Delete && done > 0 { "list".to_owned() } else { format!("job/{id}") };
    Ok(Redirect::to(&format!("{}/{page}?done={verb}&n={done}", visit.base)))
}

pub(super) async fn on_many<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
    Path(verb): Path<String>,
    Form(sent): Form<Sent>,
) -> Result<Redirect, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let action = permit(&visit, &*site.guard, &sent, &verb, &[RETRY, CANCEL, DELETE]).await?;
    let filter = sent.which.filter()?;
    if filter.state.is_none() {
        return Err(Refusal::Bad("Of which state?"));
    }
    let mut tx = site.source.begin().await?;
    let done = match action {
        Action::Retry => site.jobs.retry(&mut tx, &filter, MANY).await?,
        Action::Cancel => site.jobs.cancel_many(&mut tx, &filter, MANY).await?,
        _ => site.jobs.delete_many(&mut tx, &filter, MANY).await?,
    };
    site.source.commit(tx).await?;
    site.jobs.wake();
    Ok(Redirect::to(&format!("{}/list?{}&done={verb}&n={done}", visit.base, query(&filter))))
}

pub(super) async fn on_queue<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
    Path((queue, verb)): Path<(String, String)>,
    Form(sent): Form<Sent>,
) -> Result<Redirect, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let verbs = [("pause", Action::Pause), ("resume", Action::Resume)];
    let action = permit(&visit, &*site.guard, &sent, &verb, &verbs).await?;
    let queue = Queue::new(queue).map_err(|_| Refusal::NotFound)?;
    let mut tx = site.source.begin().await?;
    match action {
        Action::Pause => site.jobs.pause(&mut tx, &queue).await?,
        _ => site.jobs.resume(&mut tx, &queue).await?,
    }
    site.source.commit(tx).await?;
    site.jobs.wake();
    let home = if visit.base.is_empty() { "/" } else { &visit.base };
    Ok(Redirect::to(&format!("{home}?done={verb}")))
}
