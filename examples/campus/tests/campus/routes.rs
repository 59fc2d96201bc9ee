//! Every route, on both databases: who is told what, what is recorded, and what comes of nonsense.
//!
//! The cases are walked in their order, each in the world that those before it left. Each is tried by nobody, with tokens that prove
//! nothing, from pages elsewhere, by outsiders, and in every way wrong by somebody who may; none of that changes a table. Then it is done, and
//! exactly one record says what was changed, and by whom. A route without a case is a failure, and so is a case without a route.

mod case;
mod everywhere;
mod exchange;
mod groups;
mod nonsense;
mod plans;
mod staff;
mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use campus::app::App;
use campus::http::{Options, router, routes};
use campus::outgoing::Secret;
use campus::whatsapp::{Sender, Settings};
use campus::{recommender, worker};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) use self::case::Case;
use self::case::Gate;
use self::nonsense::{NOTHING, Nonsense};
use self::world::{OUTSIDERS, SECRET, World};
use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::pages::{Answer, Browser};

/// What everybody sees comes first, so that what outsiders are shown after it never changes.
const SEEN: [&[Case]; 2] = [everywhere::SEEN, groups::SEEN];

/// What is hidden from outsiders.
const HIDDEN: [&[Case]; 14] = [
    groups::CASES,
    plans::EVENTS,
    plans::ANNOUNCEMENTS,
    plans::OPENINGS,
    exchange::MARKETPLACE,
    exchange::MENTORSHIP,
    staff::CASES,
    everywhere::GATHERED,
    everywhere::SETTINGS,
    everywhere::ADMINISTRATION,
    plans::CANCELLED,
    plans::TAKEN_BACK,
    plans::CLOSED,
    exchange::WITHDRAWN,
];

/// All cases, in their order.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    SEEN.into_iter().chain(HIDDEN).flatten()
}

/// What a signature opens, and no session: its own tests are those of `whatsapp`.
const SIGNED: &str = "/webhooks/";

/// Pages that are mounted as a whole and not listed one by one.
const MOUNTED: &str = "/admin/jobs";

const RECORDS: &str = "SELECT action || ' by ' || actor_kind || ' ' || actor_id FROM audit_record ORDER BY id";

/// What signs the tokens here.
const KEY: &str = "a secret that is known to this test only";

fn token(person: &str, key: &str, expires_at: u64) -> String {
    let claims = json!({"sub": person, "exp": expires_at});
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

/// Where the pages are that forms are sent from.
const HERE: Option<&str> = Some("http://localhost:8080");

/// A connection with a provider whom nothing is sent to here.
fn whatsapp() -> Sender {
    let secret = || Secret::new("of-this-test").unwrap();
    let settings = Settings {
        url: "http://127.0.0.1:9".into(),
        site: "https://campus.example".parse().unwrap(),
        phone_number_id: "1".into(),
        token: secret(),
        app_secret: secret(),
        verify_token: secret(),
    };
    Sender::new(settings).unwrap()
}

/// A walk through the cases, and what it has come to.
struct Walk<F: Fixture> {
    fixture: F,
    app: App<F::Backend>,
    router: Router,
    world: World,
    /// A statement that reads a line for every table, another one whenever its content is another one.
    contents: &'static str,
    /// What it read last.
    tables: Vec<String>,
    /// How many audit records there are.
    records: usize,
    /// What outsiders were shown at an address when nothing was hidden yet.
    shown: BTreeMap<(&'static str, String), String>,
    /// What was not as it should be.
    complaints: RefCell<Vec<String>>,
}

impl<F: Fixture> Walk<F> {
    async fn begin() -> Self {
        let (fixture, app) = F::demo().await;
        let world = World::make(&app).await;
        recommender::run(&app, None, None, |_| {}).await.unwrap();
        let app = app.with_whatsapp(whatsapp());
        let router = router(app.clone(), Options::demo_with(KEY).rates(None));
        let contents = fixture.contents().await;
        let mut walk = Self {
            fixture,
            app,
            router,
            world,
            contents,
            tables: Vec::new(),
            records: 0,
            shown: BTreeMap::new(),
            complaints: RefCell::default(),
        };
        walk.look().await;
        walk
    }

    /// Notes what is in the tables.
    async fn look(&mut self) {
        self.tables = self.fixture.texts(self.contents).await;
        self.records = self.fixture.texts(RECORDS).await.len();
    }

    fn browser(&self, person: &str) -> Browser {
        let cookie = (!person.is_empty()).then(|| format!("campus_session={}", token(person, KEY, 4_102_444_800)));
        Browser { router: self.router.clone(), cookie }
    }

    /// Makes the request of the case.
    async fn send(&self, case: &Case, browser: &mut Browser) -> Answer {
        let (path, body) = (self.world.put(case.path), self.world.put(case.body));
        send(browser, case.method, &path, case.kind(), body, HERE).await
    }

    /// Makes the request of the case about what does not exist.
    async fn send_about_nothing(&self, case: &Case, browser: &mut Browser) -> Answer {
        let put = |text| self.world.put_instead(text, NOTHING);
        send(browser, case.method, &put(case.path), case.kind(), put(case.body), HERE).await
    }

    async fn take(&mut self, case: &Case) {
        if case.is_after_work {
            let tally = worker::serving(self.app.clone()).drain().await.unwrap();
            assert_eq!((tally.failed, tally.dead), (0, 0));
            self.look().await;
        }
        self.refuse_whoever_is_not_signed_in(case).await;
        self.refuse_what_comes_from_elsewhere(case).await;
        self.tell_outsiders_nothing(case).await;
        self.refuse_nonsense(case).await;
        let tables = self.fixture.texts(self.contents).await;
        let changed = tables.iter().zip(&self.tables).filter(|(now, before)| now != before);
        let changed: Vec<_> = changed.filter_map(|(now, _)| now.split(' ').next()).collect();
        self.expect(changed.is_empty(), || format!("{}: a refusal changed {changed:?}", case.name()));
        self.let_in(case).await;
    }

    /// Notes what is wrong: all of it is told at the end.
    fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.complaints.borrow_mut().push(what());
        }
    }

    async fn refuse_whoever_is_not_signed_in(&self, case: &Case) {
        if case.gate == Gate::Public {
            return;
        }
        let answer = self.send(case, &mut self.browser("")).await;
        let is_refused = if case.is_api() {
            answer.status == StatusCode::UNAUTHORIZED
        } else {
            answer.status == StatusCode::SEE_OTHER && answer.location == "/people"
        };
        self.expect(is_refused, || format!("{} by nobody: {}", case.name(), answer.status));
        let expired = token(case.by, KEY, 1_000_000_000);
        let forged = token(case.by, "another secret, which nobody here knows of", 4_102_444_800);
        for wrong in [expired, forged] {
            let cookie = Some(format!("campus_session={wrong}"));
            let status = self.send(case, &mut Browser { router: self.router.clone(), cookie }).await.status;
            self.expect(status == StatusCode::UNAUTHORIZED, || format!("{} with {wrong}: {status}", case.name()));
        }
    }

    async fn refuse_what_comes_from_elsewhere(&self, case: &Case) {
        if !case.is_write() {
            return;
        }
        let (path, body) = (self.world.put(case.path), self.world.put(case.body));
        for origin in [None, Some("http://evil.example")] {
            let mut browser = self.browser(case.by);
            let status = send(&mut browser, case.method, &path, case.kind(), body.clone(), origin).await.status;
            self.expect(status == StatusCode::FORBIDDEN, || format!("{} from {origin:?}: {status}", case.name()));
        }
    }

    /// What outsiders are told of what is hidden is what they are told of what does not exist; and of what is not hidden, what they were told
    /// when nothing was.
    async fn tell_outsiders_nothing(&self, case: &Case) {
        let nowhere = if case.is_api() { "/api/v1/nowhere" } else { "/nowhere" };
        let nothing = self.browser(case.by).get(nowhere).await;
        for (number, outsider) in OUTSIDERS.into_iter().enumerate() {
            let mut browser = self.browser(outsider);
            let name = || format!("{}, tried by {outsider}", case.name());
            if case.gate == Gate::Hidden {
                let told = self.send(case, &mut browser).await;
                let is_nothing = told.status == StatusCode::NOT_FOUND && told == nothing;
                self.expect(is_nothing, || format!("{}: {told:?}", name()));
                // What they are told of nothing is the same for all of them.
                if number == 0 {
                    let about_nothing = self.send_about_nothing(case, &mut browser).await;
                    self.expect(about_nothing == nothing, || format!("{}, of nothing: {about_nothing:?}", name()));
                }
            } else if case.is_shown() {
                let told = self.send(case, &mut browser).await;
                let is_shown = told.status == StatusCode::OK && !told.body.contains(SECRET);
                self.expect(is_shown, || format!("{}: {told:?}", name()));
                let before = self.shown.get(&(outsider, self.world.put(case.path)));
                let is_as_before = before.is_none_or(|before| timeless(&told.body) == *before);
                self.expect(is_as_before, || {
                    format!("{} notices something: {} instead of {before:?}", name(), told.body)
                });
            }
        }
    }

    /// Notes what outsiders are shown.
    async fn show_outsiders(&mut self, case: &Case) {
        for outsider in OUTSIDERS {
            let shown = self.send(case, &mut self.browser(outsider)).await;
            self.shown.insert((outsider, self.world.put(case.path)), timeless(&shown.body));
        }
    }

    async fn refuse_nonsense(&self, case: &Case) {
        let mut browser = self.browser(case.by);
        for Nonsense { path, body, kind, status, may_pass } in nonsense::of(case, &self.world) {
            let what = format!("{} {path:.200} with {body:.300}", case.method);
            let answer = send(&mut browser, case.method, &path, kind, body, HERE).await;
            if may_pass && answer.status == StatusCode::OK {
                continue;
            }
            let is_refused = status.map_or(answer.status.is_client_error(), |status| answer.status == status);
            let says_so = if case.is_api() {
                let problem: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                problem["status"] == answer.status.as_u16()
            } else {
                answer.body.contains("<h1>")
            };
            self.expect(is_refused && says_so, || format!("{what}: {answer:?}"));
        }
    }

    /// Does what the case is about.
    async fn let_in(&mut self, case: &Case) {
        let name = case.name();
        let answer = self.send(case, &mut self.browser(case.by)).await;
        let is_done = answer.status == StatusCode::OK || answer.status == StatusCode::SEE_OTHER;
        // The cases that follow go on from here.
        assert!(is_done, "{name}: {answer:?}; before that: {:#?}", self.complaints.borrow());
        let is_shown = case.gate != Gate::Mixed || answer.body.contains(SECRET);
        self.expect(is_shown, || format!("{name} shows too little: {}", answer.body));
        let new = self.fixture.texts(RECORDS).await.split_off(self.records);
        let expected: Vec<String> = case.records.iter().map(|action| format!("{action} by user {}", case.by)).collect();
        self.expect(new == expected, || format!("{name} records {new:?}"));
        if case.records.is_some() {
            let tables = std::mem::take(&mut self.tables);
            self.look().await;
            self.expect(self.tables != tables, || format!("{name} changes nothing"));
        }
        if let Some((field, called)) = case.keeps {
            let found = if answer.status == StatusCode::SEE_OTHER {
                answer.location.rsplit(['/', '#']).next().map(|end| end.trim_start_matches("post-").to_owned())
            } else {
                let object: Value = serde_json::from_str(&answer.body).unwrap();
                object[field].as_str().map(str::to_owned)
            };
            self.world.keep(called, found.unwrap_or_else(|| panic!("{name} answers no {field}: {answer:?}")));
        }
    }
}

async fn send(
    browser: &mut Browser,
    method: &str,
    path: &str,
    kind: &str,
    body: String,
    origin: Option<&str>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if method == "POST" {
        request = request.header(header::CONTENT_TYPE, kind);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
    }
    browser.send(request, Body::from(body)).await
}

/// A page without what the time of day makes of it.
fn timeless(body: &str) -> String {
    let (before, after) = body.split_once(" found in ").unwrap_or((body, ""));
    let after = after.split_once(" ms").map_or(after, |(_, after)| after);
    ["morning", "afternoon", "evening"].iter().fold(format!("{before}{after}"), |body, time| body.replace(time, "day"))
}

async fn every_route_keeps_what_it_promises<F: Fixture>() {
    let mut walk = Walk::<F>::begin().await;
    for case in SEEN.into_iter().flatten() {
        walk.take(case).await;
    }
    for case in cases().filter(|case| case.is_shown() && case.gate != Gate::Hidden) {
        walk.show_outsiders(case).await;
    }
    for case in HIDDEN.into_iter().flatten() {
        walk.take(case).await;
    }
    // Nor is anything recommended to outsiders of what the members have seen meanwhile.
    recommender::run(&walk.app, None, None, |_| {}).await.unwrap();
    for outsider in OUTSIDERS {
        let home = walk.browser(outsider).get("/").await.body;
        walk.expect(!home.contains(SECRET), || format!("{outsider} is recommended {home}"));
    }
    let complaints = walk.complaints.into_inner();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_keeps_what_it_promises_on_sqlite() {
    every_route_keeps_what_it_promises::<OnSqlite>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_keeps_what_it_promises_on_postgres() {
    every_route_keeps_what_it_promises::<OnPostgres>().await;
}

#[test]
fn every_route_has_a_case_and_every_case_a_route() {
    let served = routes::<campus::backend::Sqlite>();
    let name = |(method, path): &(Method, &str)| format!("{method} {path}");
    let all: BTreeSet<_> = served.iter().filter(|(_, route)| !route.starts_with(SIGNED)).map(name).collect();
    let mut tried = BTreeSet::new();
    for case in cases().filter(|case| !case.path.starts_with(MOUNTED)) {
        let route = case.route(&served).unwrap_or_else(|| panic!("{} has no route", case.name()));
        tried.insert(name(&route));
    }
    assert_eq!(all.difference(&tried).collect::<Vec<_>>(), Vec::<&String>::new(), "routes without a case");
}
