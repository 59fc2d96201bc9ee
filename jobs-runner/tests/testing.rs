//! The test kit, on a database that hosts test with.

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Runner, Source, Sqlite, testing};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Welcome {
    user: String,
}

impl Job for Welcome {
    const KIND: &'static str = "mail.welcome";
}

impl Handler<()> for Welcome {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        Ok(())
    }
}

fn welcome(user: &str) -> Welcome {
    Welcome { user: user.to_owned() }
}

#[tokio::test]
async fn what_is_enqueued_is_found_until_it_is_done() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    let pool = database.pool();
    let jobs = Jobs::new(Sqlite);
    let mut tx = Source::begin(pool).await.unwrap();
    jobs.enqueue_many(&mut tx, &[welcome("ada"), welcome("grace")]).await.unwrap();
    testing::assert_enqueued(&jobs, &mut tx, &welcome("grace")).await;
    assert_eq!(testing::enqueued::<Welcome, _>(&jobs, &mut tx).await.unwrap(), [welcome("ada"), welcome("grace")]);
    Source::commit(pool, tx).await.unwrap();
    Runner::new(jobs.clone(), pool.clone(), ()).handle::<Welcome>().drain().await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(testing::enqueued::<Welcome, _>(&jobs, &mut conn).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_not_enqueued_is_reported_with_what_is_and_where_it_was_wanted() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    let pool = database.pool().clone();
    let missed = async |users: &[&str]| {
        let (pool, users) = (pool.clone(), users.iter().map(|user| welcome(user)).collect::<Vec<_>>());
        let asserted = tokio::spawn(async move {
            let jobs = Jobs::new(Sqlite);
            let mut tx = Source::begin(&pool).await.unwrap();
            jobs.enqueue_many(&mut tx, &users).await.unwrap();
            testing::assert_enqueued(&jobs, &mut tx, &welcome("eve")).await;
        });
        let panic = asserted.await.unwrap_err().into_panic();
        panic.downcast::<String>().unwrap()
    };
    let message = missed(&["ada", "grace"]).await;
    assert!(message.starts_with(file!()), "{message}");
    let said = r#"no mail.welcome with {"user":"eve"} is enqueued; there are:
  {"user":"ada"}
  {"user":"grace"}"#;
    assert!(message.ends_with(said), "{message}");
    assert!(missed(&[]).await.ends_with("is enqueued; none is"));
}
