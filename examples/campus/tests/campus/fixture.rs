//! Campus on a fresh database of either kind.

use campus::app::App;
use campus::backend::{Backend, Postgres, Sqlite};
use campus::demo;
use stoa_membership::{Filter, PageRequest, Scope, UserId};

/// A database that lives as long as this value.
pub(crate) trait Fixture: Send + Sync + Sized {
    type Backend: Backend;
    /// Whether two transactions that write can be open at once.
    const CONCURRENT_WRITERS: bool;

    /// An empty database.
    fn empty() -> impl Future<Output = Self>;
    /// The backend over it.
    fn backend(&self) -> Self::Backend;
    /// The URL that another process can open it with.
    fn url(&self) -> &str;
    /// Runs statements that no part of campus would.
    fn execute(&self, sql: &'static str) -> impl Future<Output = ()>;
    /// Says whether the database refuses a statement that no part of campus would run.
    fn refuses(&self, sql: &'static str) -> impl Future<Output = bool>;
    /// Reads one number.
    fn count(&self, sql: &'static str) -> impl Future<Output = i64>;
    /// Reads one column of texts.
    fn texts(&self, sql: &'static str) -> impl Future<Output = Vec<String>>;
    /// Every table.
    fn tables(&self) -> impl Future<Output = Vec<String>>;
    /// A statement that reads a line for each table, another one whenever the table has changed. Left out are audit records, which a
    /// refusal may leave, and what is noted beside an answer of who looked at what.
    fn contents(&self) -> impl Future<Output = &'static str>;
    /// Makes the next insertion into one of [`STEPS`] fail.
    fn break_step(&self, step: usize) -> impl Future<Output = ()>;

    /// The demo campus.
    async fn demo() -> (Self, App<Self::Backend>) {
        let fixture = Self::empty().await;
        let app = App::open(fixture.backend()).await.unwrap();
        demo::make(&app).await.unwrap();
        (fixture, app)
    }

    /// The rows of every step, in the order of [`STEPS`].
    async fn counts(&self) -> [i64; 4] {
        [
            self.count("SELECT count(*) FROM campus_post").await,
            self.count("SELECT count(*) FROM search_document").await,
            self.count("SELECT count(*) FROM audit_record").await,
            self.count("SELECT count(*) FROM jobs_queue_job").await,
        ]
    }
}

/// Whether [`Fixture::contents`] reads the table.
fn is_read(table: &str) -> bool {
    !table.starts_with("audit_") && table != "recommendation_signal"
}

/// The tables that *create a group post* writes, in its order. Before the first it reads the memberships.
pub(crate) const STEPS: [&str; 4] = ["campus_post", "search_document", "audit_record", "jobs_queue_job"];

/// A group of the demo and one of its members.
pub(crate) async fn a_member<B: Backend>(app: &App<B>) -> (Scope, UserId) {
    let chess = Scope::group("chess").unwrap();
    let mut tx = app.read().await.unwrap();
    let page = app.membership.list_by_scope(&mut tx, &chess, &Filter::default(), &PageRequest::first(1)).await.unwrap();
    (chess, page.items[0].user().clone())
}

pub(crate) struct OnSqlite(testkit::Sqlite);
pub(crate) struct OnPostgres(testkit::Postgres);

impl OnSqlite {
    /// The pool, as a host has it.
    pub(crate) fn pool(&self) -> &sqlx::SqlitePool {
        self.0.pool()
    }
}

impl Fixture for OnSqlite {
    type Backend = Sqlite;
    const CONCURRENT_WRITERS: bool = false;

    async fn empty() -> Self {
        Self(testkit::sqlite(&[]).await)
    }

    fn backend(&self) -> Sqlite {
        Sqlite::new(self.0.pool().clone())
    }

    fn url(&self) -> &str {
        self.0.url()
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.0.pool()).await.unwrap();
    }

    async fn refuses(&self, sql: &'static str) -> bool {
        sqlx::raw_sql(sql).execute(self.0.pool()).await.is_err()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.0.pool()).await.unwrap()
    }

    async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(self.0.pool()).await.unwrap()
    }

    async fn tables(&self) -> Vec<String> {
        self.texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
            .await
    }

    async fn contents(&self) -> &'static str {
        let columns = r"
            SELECT schema.name || ' ' || group_concat('quote(' || columns.name || ')', '||')
            FROM sqlite_schema AS schema, pragma_table_info(schema.name) AS columns
            WHERE schema.type = 'table' AND schema.name NOT LIKE 'sqlite_%'
            GROUP BY schema.name
            ORDER BY schema.name
        ";
        let tables = self.texts(columns).await;
        let reads = tables.iter().filter_map(|line| line.split_once(' ')).filter(|(table, _)| is_read(table));
        let reads = reads.map(|(table, columns)| {
            format!("SELECT '{table} ' || count(*) || ' ' || coalesce(group_concat({columns}), '') FROM {table}")
        });
        reads.collect::<Vec<_>>().join(" UNION ALL ").leak()
    }

    async fn break_step(&self, step: usize) {
        self.execute(match STEPS[step] {
            "campus_post" => {
                "CREATE TRIGGER broken BEFORE INSERT ON campus_post BEGIN SELECT RAISE(ABORT, 'broken'); END"
            }
            "search_document" => {
                "CREATE TRIGGER broken BEFORE INSERT ON search_document BEGIN SELECT RAISE(ABORT, 'broken'); END"
            }
            "audit_record" => {
                "CREATE TRIGGER broken BEFORE INSERT ON audit_record BEGIN SELECT RAISE(ABORT, 'broken'); END"
            }
            _ => "CREATE TRIGGER broken BEFORE INSERT ON jobs_queue_job BEGIN SELECT RAISE(ABORT, 'broken'); END",
        })
        .await;
    }
}

impl Fixture for OnPostgres {
    type Backend = Postgres;
    const CONCURRENT_WRITERS: bool = true;

    async fn empty() -> Self {
        Self(testkit::postgres(&[]).await)
    }

    fn backend(&self) -> Postgres {
        Postgres::new(self.0.pool().clone())
    }

    fn url(&self) -> &str {
        self.0.url()
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.0.pool()).await.unwrap();
    }

    async fn refuses(&self, sql: &'static str) -> bool {
        sqlx::raw_sql(sql).execute(self.0.pool()).await.is_err()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.0.pool()).await.unwrap()
    }

    async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(self.0.pool()).await.unwrap()
    }

    async fn tables(&self) -> Vec<String> {
        self.texts("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename").await
    }

    async fn contents(&self) -> &'static str {
        let tables = self.tables().await;
        // The transaction that wrote a row is another one after every change of it.
        let reads = tables.iter().filter(|table| is_read(table)).map(|table| {
            format!("SELECT '{table} ' || count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0) FROM {table}")
        });
        reads.collect::<Vec<_>>().join(" UNION ALL ").leak()
    }

    async fn break_step(&self, step: usize) {
        self.execute(
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$",
        )
        .await;
        self.execute(match STEPS[step] {
            "campus_post" => {
                "CREATE TRIGGER broken BEFORE INSERT ON campus_post FOR EACH ROW EXECUTE FUNCTION broken()"
            }
            "search_document" => {
                "CREATE TRIGGER broken BEFORE INSERT ON search_document FOR EACH ROW EXECUTE FUNCTION broken()"
            }
            "audit_record" => {
                "CREATE TRIGGER broken BEFORE INSERT ON audit_record FOR EACH ROW EXECUTE FUNCTION broken()"
            }
            _ => "CREATE TRIGGER broken BEFORE INSERT ON jobs_queue_job FOR EACH ROW EXECUTE FUNCTION broken()",
        })
        .await;
    }
}
