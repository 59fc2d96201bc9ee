//! The pages, on both databases: what a member can do, what others cannot see, and what nonsense gets.

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::{Router, response::Response};
use campus::app::App;
use campus::http::auth::{Expected, Keys};
use campus::http::{Options, router};
use stoa_membership::{By, UserId};
use tower::ServiceExt as _;

/// A browser that remembers who it was told to be.
pub(crate) struct Browser {
    pub(crate) router: Router,
    pub(crate) cookie: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) body: String,
}

impl Browser {
    pub(crate) fn new(router: Router) -> Self {
        Self { router, cookie: None }
    }

    pub(crate) async fn signed_in(router: Router, person: &str) -> Self {
        let mut browser = Self::new(router);
        let answer = browser.post("/people", &format!("person={person}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        browser
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Answer {
        let request = Request::post(path)
            .header(header::ORIGIN, "http://localhost:8080")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(form.to_owned())).await
    }

    pub(crate) async fn send(&mut self, mut request: axum::http::request::Builder, body: Body) -> Answer {
        if request.headers_ref().is_none_or(|headers| !headers.contains_key(header::HOST)) {
            request = request.header(header::HOST, "localhost:8080");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response: Response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let header = |name| {
            let value: Option<&axum::http::HeaderValue> = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        assert!(!header(header::CONTENT_SECURITY_POLICY).is_empty());
        let (status, location) = (response.status(), header(header::LOCATION));
        // The jobs dashboard has a cookie of its own, for its forms.
        if let Some((cookie, _)) =
            header(header::SET_COOKIE).split_once(';').filter(|(cookie, _)| !cookie.starts_with("stoa"))
        {
            self.cookie = Some(cookie.to_owned());
        }
        let body = axum::body::to_bytes(response.into_body(), 1 << 22).await.unwrap();
        Answer { status, location, body: String::from_utf8(body.to_vec()).unwrap() }
    }
}

/// A router over the demo, a member of the chess club, and somebody who is none.
async fn campus<F: Fixture>() -> (F, App<F::Backend>, Router, String, String) {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let stranger = fixture_stranger(&app).await;
    (fixture, app.clone(), router(app, Options::demo()), member.to_string(), stranger)
}

/// The staff person of the demo is in no group.
pub(crate) async fn fixture_stranger<B: campus::backend::Backend>(app: &App<B>) -> String {
    let mut tx = app.read().await.unwrap();
    let people = campus::directory::sql::DirectorySql::people(&mut *tx, 100).await.unwrap();
    for person in people {
        let user = UserId::new(&*person.id).unwrap();
        let set = app.membership.of(&mut tx, &user).await.unwrap();
        if !set.scopes().any(|scope| scope.kind() == &stoa_membership::GROUP) {
            return person.id;
        }
    }
    panic!("everybody is in a group");
}

async fn a_stranger_joins_posts_and_finds_the_post<F: Fixture>() {
    let (_fixture, _app, router, _, stranger) = campus::<F>().await;
    let mut browser = Browser::signed_in(router, &stranger).await;
    assert!(!browser.get("/groups/chess").await.body.contains("Post to the group"));
    assert_eq!(browser.post("/groups/chess/join", "").await.location, "/groups/chess");
    assert!(browser.get("/groups/chess").await.body.contains("Post to the group"));
    let posted = browser.post("/groups/chess/posts", "title=A+quokka+gambit&body=%3Cb%3Enever%3C%2Fb%3E+seen").await;
    assert_eq!(posted.status, StatusCode::SEE_OTHER, "{}", posted.body);
    assert!(posted.location.starts_with("/groups/chess#post-"));
    let found = browser.get("/search?q=quokka").await.body;
    assert!(found.contains("1 found") && found.contains("<mark>quokka</mark>"), "{found}");
    let page = browser.get("/groups/chess").await.body;
    assert!(page.contains("A quokka gambit") && page.contains("&lt;b&gt;never"), "text is escaped");
    assert_eq!(browser.post("/groups/chess/leave", "").await.status, StatusCode::SEE_OTHER);
    assert!(!browser.get("/search?q=quokka").await.body.contains("quokka</mark>"));
}

async fn what_one_may_not_see_does_not_exist<F: Fixture>() {
    let (_fixture, app, router, member, stranger) = campus::<F>().await;
    let mut inside = Browser::signed_in(router.clone(), &member).await;
    let posted = inside.post("/groups/chess/posts", "title=Secret+axolotl&body=Only+for+us").await;
    let post = format!("/posts/{}", posted.location.split("#post-").nth(1).unwrap());
    assert_eq!(inside.get(&post).await.status, StatusCode::OK);

    let mut outside = Browser::signed_in(router.clone(), &stranger).await;
    let (hidden, missing) = (outside.get(&post).await, outside.get("/posts/none").await);
    assert_eq!((hidden.status, &hidden.body), (StatusCode::NOT_FOUND, &missing.body));
    let (refused, nowhere) = (
        outside.post("/groups/chess/posts", "title=a&body=b").await,
        outside.post("/groups/none/posts", "title=a&body=b").await,
    );
    assert_eq!((refused.status, &refused.body), (StatusCode::NOT_FOUND, &nowhere.body));
    assert!(outside.get("/search?q=axolotl").await.body.contains("0 found"));

    // Banned: the same answers from one commit to the next.
    let (chess, user) = (stoa_membership::Scope::group("chess").unwrap(), UserId::new(&*stranger).unwrap());
    outside.post("/groups/chess/join", "").await;
    assert!(outside.get("/search?q=axolotl").await.body.contains("1 found"));
    let mut tx = app.begin().await.unwrap();
    app.membership.ban(&mut tx, &user, &chess, &By::user(&UserId::new(&*member).unwrap())).await.unwrap();
    app.commit(tx).await.unwrap();
    assert!(outside.get("/search?q=axolotl").await.body.contains("0 found"));
    assert_eq!(outside.get(&post).await.body, missing.body);
    assert_eq!(outside.post("/groups/chess/posts", "title=a&body=b").await.body, missing.body);
    assert_eq!(outside.post("/groups/chess/join", "").await.status, StatusCode::CONFLICT);
}

async fn only_staff_sees_jobs_and_records<F: Fixture>() {
    let (_fixture, _app, router, member, staff) = campus::<F>().await;
    let mut browser = Browser::signed_in(router.clone(), &member).await;
    for path in ["/admin", "/admin/jobs", "/admin/jobs/list", "/admin/audit", "/admin/search"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let mut browser = Browser::signed_in(router, &staff).await;
    assert!(browser.get("/admin/jobs/list?state=pending").await.body.contains("groups.notify"));
    assert!(
        browser
            .get("/admin/audit?action=bits.groups.v1.PostService")
            .await
            .body
            .contains("bits.groups.v1.PostService/CreatePost")
    );
}

/// Every link of the navigation leads somewhere.
async fn everybody_is_offered_the_pages_that_are_theirs<F: Fixture>() {
    let (fixture, _app, router, _, staff) = campus::<F>().await;
    let employees = fixture
        .texts(
            r"
            SELECT employee.person_id || ' ' || coalesce(platform.role, 'none')
            FROM campus_staff_employee AS employee
            LEFT JOIN memberships_membership AS platform
                ON platform.scope_type = 'platform' AND platform.user_id = employee.person_id
            ",
        )
        .await;
    let nobody = "SELECT id FROM campus_person WHERE id NOT IN (SELECT person_id FROM campus_staff_employee) AND id NOT IN (SELECT user_id FROM memberships_membership WHERE scope_type = 'platform')";
    let nobody = fixture.texts(nobody).await.remove(0);
    let of = |role: &str| employees.iter().find_map(|line| line.strip_suffix(role)).unwrap().trim_end().to_owned();
    for (person, works_here, administrates) in [
        (staff, true, true),
        (of(" hr"), true, false),
        (of(" payroll"), true, false),
        (of(" none"), true, false),
        (nobody, false, false),
    ] {
        let mut browser = Browser::signed_in(router.clone(), &person).await;
        let home = browser.get("/").await.body;
        let navigation = home.split("<nav").nth(1).unwrap().split("</nav>").next().unwrap();
        let offered: Vec<_> = navigation.split("href=\"").skip(1).map(|link| link.split('"').next().unwrap()).collect();
        assert_eq!(offered.contains(&"/staff"), works_here, "{person}");
        assert_eq!(offered.contains(&"/admin"), administrates, "{person}");
        for path in offered {
            assert_eq!(browser.get(path).await.status, StatusCode::OK, "{person} at {path}");
        }
    }
}

async fn nonsense_gets_a_4xx_and_writes_nothing<F: Fixture>() {
    let (fixture, _app, router, member, _) = campus::<F>().await;
    let before = fixture.counts().await;
    let mut browser = Browser::signed_in(router.clone(), &member).await;
    let long = "x".repeat(20_001);
    for (path, form) in [
        ("/groups/chess/posts", String::new()),
        ("/groups/chess/posts", "title=a".into()),
        ("/groups/chess/posts", "title=+&body=b".into()),
        ("/groups/chess/posts", "title=a%00b&body=b".into()),
        ("/groups/chess/posts", "title=a%0Ab&body=b%1B[31m".into()),
        ("/groups/chess/posts", format!("title=a&body={long}")),
        ("/groups/chess/posts", format!("title=a&body={}", "x".repeat(300_000))),
        ("/groups/%00/posts", "title=a&body=b".into()),
        ("/groups/%FF/posts", "title=a&body=b".into()),
        ("/groups/%00/join", String::new()),
        ("/groups/none/join", String::new()),
        ("/groups/none/leave", String::new()),
        ("/people", "person=none".into()),
        ("/people", "person=%00".into()),
        ("/people", "nobody=1".into()),
        ("/nowhere", String::new()),
    ] {
        let answer = browser.post(path, &form).await;
        assert!(answer.status.is_client_error(), "{path} {:.60}: {}", form, answer.status);
    }
    for path in [
        "/groups/%00",
        "/posts/%00",
        "/groups/none",
        "/documents?surface=feed&id=none",
        "/documents?surface=feed",
        "/documents?surface=%00&id=%00",
        "/nowhere",
        "/search?q=a&after=zz",
        "/search?q=a&surface=A%00",
    ] {
        let answer = browser.get(path).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
    for path in [
        "/search",
        "/search?q=%00%22%27%3B--",
        "/search?q=%28%29%2A%3A",
        "/groups/chess?before=%00",
        "/groups/chess?before=%F0%9F%98%80",
    ] {
        assert_eq!(browser.get(path).await.status, StatusCode::OK, "{path}");
    }
    let request = Request::get("/").header(header::HOST, "evil.example");
    assert_eq!(browser.send(request, Body::empty()).await.status, StatusCode::MISDIRECTED_REQUEST);
    for origin in ["http://evil.example", "null", "http://localhost:8081"] {
        let request = Request::post("/groups/chess/leave").header(header::ORIGIN, origin);
        assert_eq!(browser.send(request, Body::empty()).await.status, StatusCode::FORBIDDEN, "{origin}");
    }
    let request = Request::post("/groups/chess/leave");
    assert_eq!(browser.send(request, Body::empty()).await.status, StatusCode::FORBIDDEN, "no origin");
    for cookie in ["campus_session=", "campus_session=zz", "campus_session=a.b.c"] {
        let mut forged = Browser { router: router.clone(), cookie: Some(cookie.into()) };
        assert_eq!(forged.get("/").await.status, StatusCode::UNAUTHORIZED, "{cookie}");
    }
    assert_eq!(fixture.counts().await, before);
}

async fn without_the_demo_there_is_no_picker<F: Fixture>() {
    let fixture = F::empty().await;
    let app = App::open(fixture.backend()).await.unwrap();
    assert!(!app.is_demo().await.unwrap());
    let mut browser = Browser::new(router(app, Options::production(Keys::new(Expected::default()))));
    for path in ["/", "/groups/chess", "/search?q=a"] {
        assert_eq!(browser.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(browser.get("/people").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.post("/people", "person=ada").await.status, StatusCode::NOT_FOUND);
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
    a_stranger_joins_posts_and_finds_the_post
    what_one_may_not_see_does_not_exist
    only_staff_sees_jobs_and_records
    everybody_is_offered_the_pages_that_are_theirs
    nonsense_gets_a_4xx_and_writes_nothing
    without_the_demo_there_is_no_picker
}
