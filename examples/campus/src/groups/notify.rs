//! Telling the members of a group of a new post: a job, run after the post's transaction has committed.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, Failure, Handler, Job};
use stoa_membership::{Filter, PageRequest};

use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;
use crate::groups::sql::{GroupSql as _, NOTIFICATIONS, Notification};
use crate::notifications::delivery;

/// How many members are told in one transaction.
const BATCH: u32 = 500;

/// Tells every member of the post's group, except its author.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotifyGroup {
    /// The post.
    pub post_id: String,
}

impl Job for NotifyGroup {
    const KIND: &'static str = "groups.notify";
    const QUEUE: &'static str = "notifications";
}

impl<B: Backend> Handler<App<B>> for NotifyGroup {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        Ok(tell(context.state(), &self.post_id).await?)
    }
}

/// Tells the members page by page. Each page is a transaction of its own, and telling again changes nothing: after a crash the
/// job starts over.
async fn tell<B: Backend>(app: &App<B>, post_id: &str) -> Result<()> {
    let mut request = PageRequest::first(BATCH);
    loop {
        let mut tx = app.begin().await?;
        // A post that is gone by now needs no announcement.
        let Some(post) = tx.post(post_id).await? else { return Ok(()) };
        let page = app.membership.list_by_scope(&mut tx, &post.scope()?, &Filter::default(), &request).await?;
        let created_at = Utc::now().timestamp_micros();
        let people = page.items.iter().map(|member| member.user().as_str());
        let people: Vec<&str> = people.filter(|id| *id != post.author_id).collect();
        let rows: Vec<_> = people.iter().map(|person_id| Notification { person_id, post_id, created_at }).collect();
        NOTIFICATIONS.write(&mut *tx, &rows).await?;
        delivery::enqueue(app, &mut tx, &people, NotifyGroup::KIND, post_id).await?;
        app.commit(tx).await?;
        match page.next {
            Some(next) => request = PageRequest::first(BATCH).after(next),
            None => return Ok(()),
        }
    }
}
