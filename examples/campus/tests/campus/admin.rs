//! The staff's pages, on both databases: nothing there for others, and whatever staff change is on record.

use std::path::Path;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use campus::admin::seal;
use campus::app::App;
use campus::backend::Backend as _;
use campus::http::{Options, router};

use crate::atomicity::until;
use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::pages::{Answer, Browser, fixture_stranger};

const PAGES: [&str; 9] = [
    "/admin",
    "/admin/jobs",
    "/admin/jobs/list?state=pending",
    "/admin/jobs/health",
    "/admin/jobs/job/1",
    "/admin/audit",
    "/admin/audit?actor=ada",
    "/admin/audit/verify",
    "/admin/search",
];

/// The dashboard's own token, as its cookie and its forms bring it.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn press(browser: &mut Browser, path: &str, form: &str) -> Answer {
    let request = Request::post(path)
        .header(header::ORIGIN, "http://localhost:8080")
        .header(header::COOKIE, format!("stoa_jobs_token={TOKEN}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    browser.send(request, Body::from(format!("token={TOKEN}&{form}"))).await
}

async fn for_others_than_staff_there_is_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let staff = fixture_stranger(&app).await;
    let router = router(app, Options::demo());
    let mut members = Browser::signed_in(router.clone(), member.as_str()).await;
    let missing = members.get("/nowhere").await;
    for path in PAGES.iter().chain(&["/admin/audit/records/none"]) {
        let answer = members.get(path).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::NOT_FOUND, &missing.body), "{path}");
    }
    let before = fixture.counts().await;
    for path in ["/admin/jobs/job/1/retry", "/admin/jobs/list/delete", "/admin/jobs/queue/notifications/pause"] {
        let answer = press(&mut members, path, "state=pending").await;
        assert_eq!((answer.status, &answer.body), (StatusCode::NOT_FOUND, &missing.body), "{path}");
    }
    assert_eq!(fixture.counts().await, before);
    let mut staffs = Browser::signed_in(router, &staff).await;
    for path in PAGES {
        // The first id is one job's at most; it is there or it is not.
        let answer = staffs.get(path).await;
        assert!(answer.status == StatusCode::OK || path.ends_with("/job/1"), "{path}: {}", answer.status);
    }
}

async fn what_staff_change_in_the_queue_is_on_record_once<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let staff = fixture_stranger(&app).await;
    let mut browser = Browser::signed_in(router(app, Options::demo()), &staff).await;
    let records = || fixture.count("SELECT count(*) FROM audit_record");
    let job = fixture.texts("SELECT CAST(min(id) AS text) FROM jobs_queue_job").await.remove(0);
    let before = records().await;
    for (done, (path, action)) in [
        ("/admin/jobs/queue/notifications/pause".to_owned(), "bits.jobs.v1.QueueService/PauseQueue"),
        ("/admin/jobs/queue/notifications/resume".to_owned(), "bits.jobs.v1.QueueService/ResumeQueue"),
        (format!("/admin/jobs/job/{job}/cancel"), "bits.jobs.v1.JobService/CancelJobs"),
        (format!("/admin/jobs/job/{job}/retry"), "bits.jobs.v1.JobService/RetryJobs"),
        (format!("/admin/jobs/job/{job}/discard"), "bits.jobs.v1.JobService/DiscardJob"),
        (format!("/admin/jobs/job/{job}/delete"), "bits.jobs.v1.JobService/DeleteJobs"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = press(&mut browser, &path, "because=test").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.body);
        assert_eq!(records().await, before + 1 + i64::try_from(done).unwrap(), "{path}");
        let page = browser.get(&format!("/admin/audit?actor={staff}&action={action}")).await.body;
        assert!(page.contains(action) && page.contains(&format!("user:{staff}")), "{page}");
    }
    // What changes nothing leaves nothing: the job is gone.
    let answer = press(&mut browser, &format!("/admin/jobs/job/{job}/retry"), "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let nothing = press(&mut browser, "/admin/jobs/list/retry", "state=dead&queue=none").await;
    assert_eq!(nothing.status, StatusCode::SEE_OTHER, "{}", nothing.body);
    assert_eq!(records().await, before + 6);
    // Nor does a form from elsewhere, or one without the token.
    let request = Request::post("/admin/jobs/queue/notifications/pause").header(header::ORIGIN, "http://evil.example");
    assert_eq!(browser.send(request, Body::empty()).await.status, StatusCode::FORBIDDEN);
    let forged = browser.post("/admin/jobs/queue/notifications/pause", "token=x").await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert_eq!(records().await, before + 6);
    let many = press(&mut browser, "/admin/jobs/list/cancel", "state=pending").await;
    assert_eq!(many.status, StatusCode::SEE_OTHER, "{}", many.body);
    assert_eq!(records().await, before + 7, "one for all of them");
}

async fn the_audit_log_is_searched_by_pages_and_a_record_shows_what_changed<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let staff = fixture_stranger(&app).await;
    let router = router(app, Options::demo());
    let mut members = Browser::signed_in(router.clone(), member.as_str()).await;
    for number in 0..60 {
        let posted = members.post("/groups/chess/posts", &format!("title=Game+{number}&body=Moves")).await;
        assert_eq!(posted.status, StatusCode::SEE_OTHER);
    }
    let mut browser = Browser::signed_in(router, &staff).await;
    let first = browser.get(&format!("/admin/audit?actor={member}&action=bits.groups.v1.PostService/")).await.body;
    assert_eq!(first.matches("PostService/CreatePost</code>").count(), 50, "{first}");
    let older = first.split("href=\"").find(|part| part.contains("after=")).unwrap();
    let older = older.split('"').next().unwrap().replace("&amp;", "&");
    let second = browser.get(&older).await.body;
    let rest = second.matches("PostService/CreatePost</code>").count();
    assert!((10..50).contains(&rest) && !second.contains("after="), "{rest}");
    let record = first.split("href=\"").find(|part| part.starts_with("/admin/audit/records/")).unwrap();
    let page = browser.get(record.split('"').next().unwrap()).await.body;
    assert!(page.contains("Game 59") && page.contains("group_id") && page.contains("not"), "{page}");
    assert!(browser.get("/admin/audit?entity=group:chess").await.body.contains("GroupService/CreateGroup"));
    assert!(browser.get("/admin/audit?until=2001-01-01").await.body.contains("No record is like that"));
    for query in
        ["actor=%00", "action=%25", "entity=chess", "entity=%20:", "since=yesterday", "until=262142-12-31", "after=zz"]
    {
        let status = browser.get(&format!("/admin/audit?{query}")).await.status;
        assert!(status.is_client_error(), "{query}: {status}");
    }
    for id in ["none", "%00", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(browser.get(&format!("/admin/audit/records/{id}")).await.status, StatusCode::NOT_FOUND, "{id}");
    }
}

const TAMPER_POSTGRES: &str = r"
    ALTER TABLE audit_record DISABLE TRIGGER ALL;
    ALTER TABLE audit_record_default DISABLE TRIGGER ALL;
    UPDATE audit_record SET entity_id = 'nobody' WHERE id = (SELECT id FROM audit_record ORDER BY id LIMIT 1);
";
const TAMPER_SQLITE: &str = r"
    DROP TRIGGER audit_record_no_update;
    UPDATE audit_record SET entity_id = 'nobody' WHERE seq = 1;
";

/// Seals what there is. A transaction elsewhere in the cluster may be older, and hold it back for a moment.
async fn seal_all<F: Fixture>(fixture: &F, app: &App<F::Backend>, key: &Path) {
    until(async || {
        seal::run(app.clone(), seal::signer(key).unwrap(), key, std::future::ready(())).await.unwrap();
        fixture.count("SELECT (SELECT count(*) FROM audit_record) - (SELECT count(*) FROM audit_leaf)").await == 0
    })
    .await;
}

async fn the_log_is_verified_and_tampering_is_seen<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let staff = fixture_stranger(&app).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &staff).await;
    assert!(browser.get("/admin/audit/verify").await.body.contains("started without a key"));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let app = app.with_verifier(seal::signer(&key).unwrap().verifier().clone());
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &staff).await;
    assert!(browser.get("/admin/audit/verify").await.body.contains("Nothing was sealed yet"));
    seal_all(&fixture, &app, &key).await;
    let page = browser.get("/admin/audit/verify").await.body;
    assert!(page.contains("intact") && page.contains("<dd>none</dd>"), "{page}");
    browser.post("/groups/chess/join", "").await;
    let page = browser.get("/admin/audit/verify").await.body;
    assert!(page.contains("<dd>1 records</dd>"), "{page}");
    seal_all(&fixture, &app, &key).await;
    let list = browser.get("/admin/audit").await.body;
    let record = list.split("href=\"").find(|part| part.starts_with("/admin/audit/records/")).unwrap();
    assert!(
        browser.get(record.split('"').next().unwrap()).await.body.contains("proven to be in the newest checkpoint")
    );
    // Another key did not sign this.
    let other = seal::signer(&folder.path().join("other")).unwrap();
    let foreign = app.clone().with_verifier(other.verifier().clone());
    let mut elsewhere = Browser::signed_in(router(foreign, Options::demo()), &staff).await;
    assert!(elsewhere.get("/admin/audit/verify").await.body.contains("tampered"));
    // The owner of the tables lifts their guard, and changes who did it.
    fixture.execute(if F::CONCURRENT_WRITERS { TAMPER_POSTGRES } else { TAMPER_SQLITE }).await;
    let page = browser.get("/admin/audit/verify").await.body;
    assert!(page.contains("tampered") && page.contains("altered: record"), "{page}");
}

async fn the_key_is_made_once_and_read_strictly<F: Fixture>() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let made = seal::signer(&key).unwrap().verifier().clone();
    assert_eq!(seal::signer(&key).unwrap().verifier(), &made);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    for text in ["", "00", &"g".repeat(64), &"0".repeat(66), &format!("+{}", "0".repeat(63))] {
        std::fs::write(&key, text).unwrap();
        assert!(seal::signer(&key).is_err(), "{text:?}");
    }
}

async fn search_is_measured_without_counting_without_end<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let staff = fixture_stranger(&app).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &staff).await;
    let page = browser.get("/admin/search").await.body;
    for part in ["People", "<dd>36</dd>", "Groups", "<dd>6</dd>", "Posts", "<dd>24</dd>"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    app.search.compact(app.backend.pool(), std::time::Duration::from_secs(5)).await.unwrap();
    assert!(browser.get("/admin/search").await.body.contains("0, 0 bytes"));
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnSqlite>().await } )*
        }
        mod on_postgres {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnPostgres>().await } )*
        }
    };
}

on_both! {
    for_others_than_staff_there_is_nothing
    what_staff_change_in_the_queue_is_on_record_once
    the_audit_log_is_searched_by_pages_and_a_record_shows_what_changed
    the_log_is_verified_and_tampering_is_seen
    the_key_is_made_once_and_read_strictly
    search_is_measured_without_counting_without_end
}
