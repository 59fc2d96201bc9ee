//! The dashboard, asked as a browser asks it.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use stoa_jobs_runner::dashboard::{Action, Dashboard, Guard, Nobody};
use stoa_jobs_runner::{
    Context, Cron, Failure, Filter, Handler, Heartbeat, Job, JobId, Jobs, Memory, PageRequest, Postgres, Queue, Runner,
    Source, Sqlite, State, Store, WorkerId, memory,
};
use tower::ServiceExt;

#[derive(Serialize, Deserialize)]
struct Mail {
    text: String,
}

impl Job for Mail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = "mails";
}

impl Handler<()> for Mail {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        if self.text.is_empty() { Ok(()) } else { Err(Failure::fatal(self.text)) }
    }
}

/// What a host's middleware would know of whoever asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Admin,
    Reader,
}

fn guard(request: &Parts, action: Action) -> impl Future<Output = bool> + Send + use<> {
    let role = request.extensions.get::<Role>().copied();
    async move { role == Some(Role::Admin) || role == Some(Role::Reader) && action == Action::View }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The part of the text after one and before another.
    fn between(&self, before: &str, after: &str) -> &str {
        let (_, rest) = self.text.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", self.text));
        rest.split_once(after).unwrap().0
    }
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct Browser {
    router: Router,
    role: Option<Role>,
}

impl Browser {
    fn new<S: Store + Clone, P: Source<Connection = S::Connection>>(jobs: &Jobs<S>, source: &P) -> Self {
        let dashboard = Dashboard::new(jobs.clone(), source.clone(), guard);
        Self { router: Router::new().nest("/admin/jobs", dashboard.router()), role: Some(Role::Admin) }
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(role) = self.role {
            request.extensions_mut().insert(role);
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(format!("/admin/jobs{path}")).body(Body::empty()).unwrap()).await
    }

    /// As from a form of one of the pages.
    async fn post(&self, path: &str, form: &str) -> Answer {
        let headers = [("cookie", &*format!("a=b; stoa_jobs_token={TOKEN}")), ("origin", "https://host.example")];
        self.post_with(path, &headers, &format!("token={TOKEN}&{form}")).await
    }

    async fn post_with(&self, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let mut request = Request::post(format!("/admin/jobs{path}"))
            .header(header::HOST, "host.example")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }
}

async fn enqueue<S: Store, P: Source<Connection = S::Connection>>(jobs: &Jobs<S>, source: &P, text: &str) -> JobId {
    let mut conn = source.acquire().await.unwrap();
    jobs.enqueue(&mut conn, &Mail { text: text.to_owned() }).await.unwrap()
}

async fn state<S: Store, P: Source<Connection = S::Connection>>(
    jobs: &Jobs<S>,
    source: &P,
    id: JobId,
) -> Option<State> {
    let mut conn = source.acquire().await.unwrap();
    jobs.find(&mut conn, id).await.unwrap().map(|job| job.state)
}

fn in_memory() -> (Jobs<Memory>, memory::Database, Browser) {
    let (jobs, database) = (Jobs::new(Memory), memory::Database::default());
    let browser = Browser::new(&jobs, &database);
    (jobs, database, browser)
}

#[tokio::test]
async fn an_operator_works_in_memory() {
    operate(Memory, &memory::Database::default()).await;
}

#[tokio::test]
async fn an_operator_works_on_sqlite() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    operate(Sqlite, database.pool()).await;
}

#[tokio::test]
async fn an_operator_works_on_postgres() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    operate(Postgres, database.pool()).await;
}

/// Every page and every button once.
async fn operate<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: &P) {
    let jobs = Jobs::new(store.clone());
    let browser = Browser::new(&jobs, source);
    let empty = browser.get("").await;
    assert_eq!(empty.status, StatusCode::OK);
    assert!(empty.text.contains("No queue holds a job"), "{}", empty.text);

    let good = enqueue(&jobs, source, "").await;
    let bad = enqueue(&jobs, source, "no such user").await;
    let waiting = browser.get("/list?state=pending&queue=mails&kind=mail").await;
    assert!(waiting.text.contains(&format!("/admin/jobs/job/{bad}\">")), "{}", waiting.text);
    let paused = browser.post("/queue/mails/pause", "").await;
    assert_eq!((paused.status, paused.header("location")), (StatusCode::SEE_OTHER, "/admin/jobs?done=pause"));
    assert!(browser.get("?done=pause").await.text.contains("The queue is paused."));
    let runner = Runner::new(jobs.clone(), source.clone(), ()).handle::<Mail>();
    assert_eq!(runner.drain().await.unwrap().succeeded, 0);
    browser.post("/queue/mails/resume", "").await;
    assert_eq!(runner.drain().await.unwrap().succeeded, 1);

    let overview = browser.get("?live").await;
    assert!(overview.text.contains("1 succeeded, 1 dead, 0 cancelled"), "{}", overview.text);
    assert!(overview.text.contains("no such user"));
    assert_eq!(overview.header("refresh"), "5");
    let page = browser.get(&format!("/job/{bad}")).await;
    assert!(page.text.contains("Attempt 1") && page.text.contains("fatal"), "{}", page.text);
    assert!(page.text.contains("&quot;text&quot;: &quot;no such user&quot;"), "{}", page.text);

    let retried = browser.post(&format!("/job/{bad}/retry"), "").await;
    assert_eq!(retried.header("location"), format!("/admin/jobs/job/{bad}?done=retry&n=1"));
    assert_eq!(state(&jobs, source, bad).await, Some(State::Pending));
    browser.post(&format!("/job/{bad}/discard"), "because=the+account+is+closed").await;
    let page = browser.get(&format!("/job/{bad}")).await;
    assert!(page.text.contains("the account is closed"), "{}", page.text);
    assert_eq!(state(&jobs, source, bad).await, Some(State::Dead));
    let many = browser.post("/list/retry", "state=dead&queue=mails&kind=").await;
    assert_eq!(many.header("location"), "/admin/jobs/list?state=dead&queue=mails&done=retry&n=1");
    browser.post(&format!("/job/{bad}/cancel"), "").await;
    assert_eq!(state(&jobs, source, bad).await, Some(State::Cancelled));
    browser.post("/list/delete", "state=cancelled").await;
    assert_eq!(state(&jobs, source, bad).await, None);
    let deleted = browser.post(&format!("/job/{good}/delete"), "").await;
    assert_eq!(deleted.header("location"), "/admin/jobs/list?done=delete&n=1");
    assert_eq!(browser.post(&format!("/job/{good}/delete"), "").await.status, StatusCode::NOT_FOUND);

    assert!(browser.get("/health").await.text.contains("No worker beats."));
    let mut conn = source.acquire().await.unwrap();
    let queue = &Queue::from_static("parcels");
    let beat = Heartbeat { worker: WorkerId::from(7), queue, process: "<b>web-1:11", lease: Duration::ZERO };
    store.beat(&mut conn, beat).await.unwrap();
    drop(conn);
    let health = browser.get("/health").await;
    for shown in [">parcels<", ">&lt;b&gt;web-1:11<", ">lost<"] {
        assert!(health.text.contains(shown), "{}", health.text);
    }

    assert!(browser.get("/cron").await.text.contains("No runner has had a cron entry."));
    let nightly = Cron::new("mail.nightly", "30 2 * * *", Mail { text: String::new() }).unwrap();
    let nightly = nightly.zone("Europe/Berlin").unwrap();
    Runner::new(jobs.clone(), source.clone(), ()).cron(nightly).drain().await.unwrap();
    let cron = browser.get("/cron").await;
    for shown in ["mail.nightly", "30 2 * * *", "Europe/Berlin", ">served<", "<time "] {
        assert!(cron.text.contains(shown), "{}", cron.text);
    }
}

#[tokio::test]
async fn a_dashboard_lets_nobody_in_by_default() {
    let (jobs, database, mut browser) = in_memory();
    let id = enqueue(&jobs, &database, "secret").await;
    let closed = Dashboard::new(jobs.clone(), database.clone(), Nobody);
    browser.router = Router::new().nest("/admin/jobs", closed.router());
    for path in ["", "/list", "/cron", "/health", "/nowhere", &format!("/job/{id}")] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(!answer.text.contains("secret"));
    }
    assert_eq!(browser.post(&format!("/job/{id}/delete"), "").await.status, StatusCode::FORBIDDEN);
    assert!(state(&jobs, &database, id).await.is_some());
}

#[tokio::test]
async fn who_may_only_look_sees_no_button_and_can_press_none() {
    let (jobs, database, mut browser) = in_memory();
    let id = enqueue(&jobs, &database, "").await;
    let page = format!("/job/{id}");
    assert!(browser.get(&page).await.text.contains("<form method=\"post\""));
    browser.role = Some(Role::Reader);
    for path in ["", "/list?state=pending", &page] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.text.contains("method=\"post\""), "{}", answer.text);
    }
    for verb in ["retry", "cancel", "discard", "delete"] {
        assert_eq!(browser.post(&format!("/job/{id}/{verb}"), "").await.status, StatusCode::FORBIDDEN);
    }
    for path in ["/list/cancel", "/queue/mails/pause"] {
        assert_eq!(browser.post(path, "state=pending").await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(state(&jobs, &database, id).await, Some(State::Pending));
    browser.role = None;
    assert_eq!(browser.get("").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let (jobs, database, browser) = in_memory();
    let id = enqueue(&jobs, &database, "").await;
    let path = format!("/job/{id}/cancel");
    let cookie = format!("stoa_jobs_token={TOKEN}");
    let ours = [("cookie", &*cookie), ("origin", "https://host.example"), ("sec-fetch-site", "same-origin")];
    let token = format!("token={TOKEN}");
    let other = "token=ffffffffffffffffffffffffffffffff";
    let foreign: [(&[(&str, &str)], &str); 8] = [
        (&ours[1..], &token),                                            // no cookie
        (&ours[..1], &token),                                            // from nowhere
        (&ours, other),                                                  // another token
        (&ours, "token="),                                               // none
        (&[ours[0], ("origin", "https://evil.example")], &token),        // from elsewhere
        (&[ours[0], ("origin", "null")], &token),                        // from a sandbox
        (&[ours[0], ours[1], ("sec-fetch-site", "cross-site")], &token), // the browser knows better
        (&[("cookie", "stoa_jobs_token="), ours[1]], "token="),          // an empty cookie
    ];
    for (headers, form) in foreign {
        assert_eq!(browser.post_with(&path, headers, form).await.status, StatusCode::FORBIDDEN, "{headers:?} {form}");
    }
    assert!(browser.post_with(&path, &ours, "").await.status.is_client_error());
    assert_eq!(state(&jobs, &database, id).await, Some(State::Pending));
    assert_eq!(browser.post_with(&path, &ours, &token).await.status, StatusCode::SEE_OTHER);
    assert_eq!(state(&jobs, &database, id).await, Some(State::Cancelled));
}

/// The cookie that a page sets is what its own forms bring, and is for these pages only.
#[tokio::test]
async fn a_page_gives_its_forms_a_token() {
    let (jobs, database, browser) = in_memory();
    let id = enqueue(&jobs, &database, "").await;
    let page = browser.get(&format!("/job/{id}")).await;
    let token = page.between("name=\"token\" value=\"", "\"").to_owned();
    let cookie = page.header("set-cookie");
    assert_eq!(cookie, format!("stoa_jobs_token={token}; Path=/admin/jobs; HttpOnly; SameSite=Strict"));
    assert_ne!(browser.get("").await.header("set-cookie"), cookie);
    let headers = [("cookie", cookie.split(';').next().unwrap()), ("sec-fetch-site", "same-origin")];
    let answer = browser.post_with(&format!("/job/{id}/cancel"), &headers, &format!("token={token}")).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::SEE_OTHER, ""));
}

#[tokio::test]
async fn the_text_of_a_job_is_only_text() {
    let (jobs, database, browser) = in_memory();
    let text = "</pre><script>alert(1)</script>\" onload='x' \u{202e}\u{1b}[2J";
    let id = enqueue(&jobs, &database, text).await;
    Runner::new(jobs, database, ()).handle::<Mail>().drain().await.unwrap();
    for path in ["", "/list", "/list?state=dead", &format!("/job/{id}")] {
        let page = browser.get(path).await;
        assert!(page.text.contains("&lt;script&gt;alert(1)") && !page.text.contains("<script"), "{}", page.text);
        assert!(page.text.contains("\\u{202e}\\u{1b}[2J") && !page.text.contains(['\u{202e}', '\u{1b}']), "{path}");
    }
    let page = browser.get("/list?state=dead&done=%3Cscript%3E&n=%3Cscript%3E").await;
    assert!(page.status == StatusCode::OK && !page.text.contains("<script"), "{}", page.text);
}

#[tokio::test]
async fn every_answer_forbids_scripts_and_frames() {
    let (_, _, browser) = in_memory();
    for path in ["", "/list", "/job/7", "/style.css", "/list?state=x"] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'"));
        assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"));
        assert!(
            !answer.text.contains("<script") && !answer.text.contains(" style=") && !answer.text.contains("http://")
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_wrong_is_refused() {
    let (jobs, database, browser) = in_memory();
    let id = enqueue(&jobs, &database, "").await;
    for path in ["/job/999", "/job/x", "/job/99999999999999999999", "/nowhere", "/job"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in
        ["/list?state=gone", "/list?queue=No%20Queue", "/list?kind=%00", "/list?below=x", "/list?state=a&state=b"]
    {
        assert_eq!(browser.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    for path in
        ["/job/999/retry", "/job/x/retry", &format!("/job/{id}/explode"), "/list/discard", "/queue/A/pause", "/list"]
    {
        assert_eq!(browser.post(path, "state=dead").await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for form in ["", "state=gone", "state=dead&queue=No"] {
        assert_eq!(browser.post("/list/retry", form).await.status, StatusCode::BAD_REQUEST, "{form}");
    }
    let large = format!("because={}", "x".repeat(20_000));
    assert_eq!(browser.post(&format!("/job/{id}/discard"), &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(state(&jobs, &database, id).await, Some(State::Pending));
}

#[tokio::test]
async fn a_long_list_is_walked_page_by_page() {
    let (jobs, database, browser) = in_memory();
    let mut conn = database.acquire().await.unwrap();
    let mails: Vec<Mail> = (0..120).map(|_| Mail { text: String::new() }).collect();
    jobs.enqueue_many(&mut conn, &mails).await.unwrap();
    let (mut path, mut rows, mut pages) = ("/list?state=pending".to_owned(), 0, 0);
    loop {
        let page = browser.get(&path).await;
        rows += page.text.matches("<td class=\"title\">").count();
        pages += 1;
        if !page.text.contains("rel=\"next\"") {
            break;
        }
        path = page.between("rel=\"next\" href=\"/admin/jobs", "\"").replace("&amp;", "&");
    }
    assert_eq!((rows, pages), (120, 3));
    assert!(browser.get(&path).await.text.contains("← Latest"));
}

/// A router of its own, a path of its own: a host may mount it at the root too.
#[tokio::test]
async fn links_lead_to_where_it_is_mounted() {
    let (jobs, database, mut browser) = in_memory();
    enqueue(&jobs, &database, "").await;
    assert!(browser.get("").await.text.contains("href=\"/admin/jobs/list?queue=mails\""));
    browser.router = Dashboard::new(jobs.clone(), database.clone(), Everybody).router();
    let request = Request::get("/").body(Body::empty()).unwrap();
    let page = browser.send(request).await;
    assert!(page.text.contains("href=\"/list?queue=mails\"") && page.text.contains("href=\"/\""), "{}", page.text);
    assert!(page.header("set-cookie").contains("; Path=/;"));
    let mut conn = database.acquire().await.unwrap();
    let listed =
        jobs.list(&mut conn, &Filter::default().queue(Queue::from_static("mails")), &PageRequest::first(9)).await;
    assert_eq!(listed.unwrap().items.len(), 1);
}

struct Everybody;

impl Guard for Everybody {
    async fn allows(&self, _: &Parts, _: Action) -> bool {
        true
    }
}

/// A history of a million (under `STOA_TEST_FULL`; else a small one), most of it succeeded, with a queue in front of it.
const FILL_SQLITE: &str = r#"
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < $1)
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error, run_at, created_at,
        attempted_at, finished_at)
    SELECT n, 'queue' || (n % 7), 'kind' || (n % 50), '{"number": ' || n || ', "text": "' || hex(zeroblob(60)) || '"}',
        CASE WHEN n % 1000 = 0 THEN 'dead' WHEN n % 1000 = 1 THEN 'cancelled' ELSE 'succeeded' END,
        CASE WHEN n % 1000 = 0 THEN 'fatal' END, 5, 1, 20, 0, CASE WHEN n % 1000 = 0 THEN 'no such account' END,
        at - 2000000, at - 2000000, at - 1000000, at
    FROM (SELECT n, CAST(unixepoch('subsec') * 1000000 AS INTEGER) - ($1 - n) * 10000 AS at FROM number)
"#;
const FILL_POSTGRES: &str = r#"
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error, run_at, created_at,
        attempted_at, finished_at)
    SELECT n, 'queue' || (n % 7), 'kind' || (n % 50), '{"number": ' || n || ', "text": "' || repeat('0', 120) || '"}',
        CASE WHEN n % 1000 = 0 THEN 'dead' WHEN n % 1000 = 1 THEN 'cancelled' ELSE 'succeeded' END,
        CASE WHEN n % 1000 = 0 THEN 'fatal' END, 5, 1, 20, 0, CASE WHEN n % 1000 = 0 THEN 'no such account' END,
        at - interval '2 seconds', at - interval '2 seconds', at - interval '1 second', at
    FROM (SELECT n, statement_timestamp() - ($1 - n) * interval '10 milliseconds' AS at FROM generate_series(1, $1) AS n) AS number
"#;

fn finished() -> i64 {
    if std::env::var_os("STOA_TEST_FULL").is_some() { 1_000_000 } else { 20_000 }
}

#[tokio::test]
async fn pages_are_quick_over_a_long_history_on_sqlite() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    sqlx::query(FILL_SQLITE).bind(finished()).execute(database.pool()).await.unwrap();
    pages_are_quick(Sqlite, database.pool()).await;
}

#[tokio::test]
async fn pages_are_quick_over_a_long_history_on_postgres() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    sqlx::query(FILL_POSTGRES).bind(finished()).execute(database.pool()).await.unwrap();
    // As the vacuum would, sooner or later.
    sqlx::query("ANALYZE jobs_queue_history").execute(database.pool()).await.unwrap();
    pages_are_quick(Postgres, database.pool()).await;
}

/// Far above what they take, and far below what a count or a sort of a million rows does.
const QUICK: std::time::Duration = std::time::Duration::from_millis(750);

async fn pages_are_quick<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: &P) {
    let jobs = Jobs::new(store);
    let browser = Browser::new(&jobs, source);
    let (last, middle) = (finished(), finished() / 2);
    for path in [
        String::new(),
        "/list".to_owned(),
        format!("/list?below={middle}"),
        "/list?state=succeeded&below=60".to_owned(),
        "/list?state=dead".to_owned(),
        format!("/list?state=dead&below={middle}"),
        "/list?state=running".to_owned(),
        "/list?queue=queue3&kind=kind7".to_owned(),
        "/list?state=dead&kind=kind0".to_owned(),
        "/health".to_owned(),
        format!("/job/{last}"),
    ] {
        let mut times = Vec::new();
        for _ in 0..9 {
            let began = std::time::Instant::now();
            let answer = browser.get(&path).await;
            times.push(began.elapsed());
            assert_eq!(answer.status, StatusCode::OK, "{path}");
        }
        times.sort_unstable();
        println!("{:.1?} median, {:.1?} worst: {path}", times[4], times[8]);
        assert!(times[4] < QUICK, "{path} took {:?}", times[4]);
    }
}
