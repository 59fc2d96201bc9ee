//! How people are told, on both databases: what they choose, what leaves campus for whom and when, and that it leaves once.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::flags::{Environment, Flags};
use campus::groups::notify::NotifyGroup;
use campus::groups::posts::{self, Draft};
use campus::http::{Options, router};
use campus::notifications::Channel;
use campus::notifications::delivery::{Deliver, Outcome, deliver, forget};
use campus::notifications::digest::send_due;
use campus::notifications::mail::Mailer;
use campus::notifications::preferences::{self, Preferences, Written};
use campus::{recommender, worker};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use stoa_jobs_runner::{Job as _, Tally};
use stoa_membership::{By, Scope, UserId};
use tempfile::TempDir;

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::groups::{RECORDS, newest_record, parsed, post_json, with_role};
use crate::pages::Browser;

const TITLE: &str = "A narwhal in the fountain";
const SETTINGS: &str = "/settings/notifications";
const API: &str = "/api/v1/settings/notifications";

const DELIVERIES: &str = "SELECT count(*) FROM campus_delivery";
const STATES: &str =
    "SELECT person_id || ' ' || channel || ' ' || state FROM campus_delivery ORDER BY person_id, channel";
const REASONS: &str = "SELECT reason FROM campus_delivery ORDER BY person_id, channel";
const CHOICES: &str =
    "SELECT person_id || ' ' || kind || ' ' || channel FROM campus_notification_choice ORDER BY kind, channel";
const JOBS: &str = "SELECT count(*) FROM jobs_queue_job WHERE kind = 'notifications.deliver'";
const DUE: &str = "SELECT count(*) FROM campus_notification_setting WHERE digest_due_at < 0";

/// A campus that sends e-mail into a folder, three members of its chess club, and no work left to do.
struct World<F: Fixture> {
    fixture: F,
    app: App<F::Backend>,
    folder: TempDir,
    author: UserId,
    ada: UserId,
    bob: UserId,
}

impl<F: Fixture> World<F> {
    async fn new() -> Self {
        let (fixture, app) = F::demo().await;
        let folder = tempfile::tempdir().unwrap();
        let mailer = Mailer::folder("Campus <campus@campus.example>", &site(), folder.path().into()).unwrap();
        let app = app.with_mailer(mailer);
        let members = with_role(&app, "member").await;
        let [author, ada, bob] = [0, 1, 2].map(|index: usize| members[index].clone());
        drain(&app).await;
        assert_eq!(fixture.count(DELIVERIES).await, 0, "nobody asked for anything");
        Self { fixture, app, folder, author, ada, bob }
    }

    /// Every e-mail there is.
    fn letters(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    /// Writes into the chess club, and tells its members.
    async fn post(&self, title: &str) -> String {
        let draft = Draft::new(title, "It seemed content.").unwrap();
        let post = posts::create(&self.app, &(&self.author).into(), &chess(), draft).await.unwrap();
        post.id
    }

    /// Tells the members, and sends nothing yet.
    async fn fan_out(&self) {
        let tally = worker::runner(self.app.clone()).queue(NotifyGroup::QUEUE, 4).drain().await.unwrap();
        assert_eq!((tally.failed, tally.dead), (0, 0));
    }

    async fn browser(&self, user: &UserId) -> Browser {
        Browser::signed_in(router(self.app.clone(), Options::demo()), user.as_str()).await
    }
}

/// The delivery of a post by e-mail.
fn delivery(to: &UserId, post_id: &str) -> Deliver {
    let (kind, entity) = (NotifyGroup::KIND.into(), post_id.into());
    Deliver { person_id: to.to_string(), kind, entity, channel: Channel::Email }
}

fn site() -> url::Url {
    "https://campus.example/".parse().unwrap()
}

fn chess() -> Scope {
    Scope::group("chess").unwrap()
}

/// Runs every job of both queues that is due.
async fn drain<B: Backend>(app: &App<B>) -> Tally {
    let runner = worker::runner(app.clone()).queue(NotifyGroup::QUEUE, 4).queue(Deliver::QUEUE, 4);
    runner.drain().await.unwrap()
}

fn written(channels: Value) -> Written {
    Written {
        channels: serde_json::from_value(channels).unwrap(),
        time_zone: "UTC".into(),
        digest: "weekly".into(),
        ..Written::default()
    }
}

async fn choose<B: Backend>(app: &App<B>, who: &UserId, written: &Written) {
    let after = Preferences::try_from(written).unwrap();
    preferences::update(app, &Caller::from(who), after, Utc::now()).await.unwrap();
}

fn at(moment: &str) -> DateTime<Utc> {
    moment.parse().unwrap()
}

async fn who_asks_for_email_gets_each_thing_once<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, .. } = &world;
    world.post("Before anybody asked").await;
    assert_eq!(drain(app).await.succeeded, 1, "telling those who ask for nothing makes no job");
    assert_eq!(fixture.count(DELIVERIES).await, 0);

    choose(app, ada, &written(json!({"group_post": ["in_app", "email"]}))).await;
    choose(app, &world.author, &written(json!({"group_post": ["email"]}))).await;
    let post = world.post(TITLE).await;
    assert_eq!(drain(app).await.succeeded, 2, "one of the post, one for whoever asked and did not write it");
    assert_eq!(fixture.texts(STATES).await, [format!("{ada} email sent")]);
    let letters = world.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    for part in [
        "From: Campus <campus@campus.example>",
        &format!("To: {ada}@alumni.example"),
        &format!("Subject: {TITLE}"),
        &format!("https://campus.example/posts/{post}"),
        "https://campus.example/settings/notifications",
        "Auto-Submitted: auto-generated",
        "Message-ID: <",
    ] {
        assert!(letter.contains(part), "{part}: {letter}");
    }
    assert!(!letter.contains("It seemed content"), "it is read on campus, by whoever may");

    // Told again, and delivered again.
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &NotifyGroup { post_id: post.clone() }).await.unwrap();
    app.jobs.enqueue(&mut tx, &delivery(ada, &post)).await.unwrap();
    app.commit(tx).await.unwrap();
    std::fs::remove_file(std::fs::read_dir(world.folder.path()).unwrap().next().unwrap().unwrap().path()).unwrap();
    assert_eq!(drain(app).await.succeeded, 2);
    assert_eq!((world.letters().len(), fixture.count(DELIVERIES).await), (0, 1));
}

async fn what_was_settled_long_ago_is_forgotten<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, bob, .. } = &world;
    for person in [ada, bob] {
        choose(app, person, &written(json!({"group_post": ["email"]}))).await;
    }
    world.post(TITLE).await;
    drain(app).await;
    world.post("Another").await;
    world.fan_out().await;
    fixture.execute("UPDATE campus_delivery SET created_at = created_at - 7862400000000").await; // 91 days
    forget(app).await.unwrap();
    assert_eq!(fixture.count(DELIVERIES).await, 4, "it counts when they were settled");
    fixture.execute("UPDATE campus_delivery SET settled_at = settled_at - 7862400000000").await;
    forget(app).await.unwrap();
    assert_eq!(fixture.texts(STATES).await, [format!("{ada} email waiting"), format!("{bob} email waiting")]);
}

async fn in_quiet_hours_nothing_leaves<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { app, ada, .. } = &world;
    let night = |zone: &str| Written {
        quiet_from: "22:00".into(),
        quiet_until: "07:00".into(),
        time_zone: zone.into(),
        ..written(json!({"group_post": ["email"]}))
    };
    choose(app, ada, &night("Europe/Berlin")).await;
    let post = world.post(TITLE).await;
    world.fan_out().await;
    let letter = delivery(ada, &post);
    // The night in which the clocks of Berlin go forward.
    for now in ["2026-03-28T21:00:00Z", "2026-03-29T00:59:00Z", "2026-03-29T04:59:59Z"] {
        let outcome = deliver(app, &letter, at(now)).await.unwrap();
        assert_eq!(outcome, Outcome::Quiet(at("2026-03-29T05:00:00Z")), "{now}");
    }
    assert!(world.letters().is_empty());
    // What they choose meanwhile holds.
    choose(app, ada, &night("America/Sao_Paulo")).await;
    let outcome = deliver(app, &letter, at("2026-03-29T05:00:00Z")).await.unwrap();
    assert_eq!(outcome, Outcome::Quiet(at("2026-03-29T10:00:00Z")));
    assert_eq!(deliver(app, &letter, at("2026-03-29T10:00:00Z")).await.unwrap(), Outcome::Settled);
    assert_eq!(world.letters().len(), 1);
}

async fn waiting_for_the_morning_is_no_failed_attempt<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, .. } = &world;
    let clock = |hours| (Utc::now() + TimeDelta::hours(hours)).format("%H:%M").to_string();
    let quiet = Written { quiet_from: clock(-2), quiet_until: clock(2), ..written(json!({"group_post": ["email"]})) };
    choose(app, ada, &quiet).await;
    world.post(TITLE).await;
    let tally = drain(app).await;
    assert_eq!((tally.succeeded, tally.released, tally.failed), (1, 1, 0));
    assert_eq!((world.letters().len(), fixture.count(JOBS).await), (0, 1));
    assert_eq!(drain(app).await.released, 0, "it is not due before they end");
}

async fn what_is_no_longer_theirs_is_not_sent<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, bob, .. } = &world;
    for person in [ada, bob, &world.author] {
        choose(app, person, &written(json!({"group_post": ["email"]}))).await;
    }
    let kept = world.post(TITLE).await;
    world.fan_out().await;
    let mut tx = app.begin().await.unwrap();
    app.membership.leave(&mut tx, ada, &chess(), &By::user(ada)).await.unwrap();
    app.commit(tx).await.unwrap();
    choose(app, bob, &written(json!({}))).await;
    drain(app).await;
    let mut expected = [format!("{ada} email skipped"), format!("{bob} email skipped")];
    expected.sort_unstable();
    assert_eq!(fixture.texts(STATES).await, expected);

    // Nor what is gone, nor to somebody who is gone or has no address.
    choose(app, bob, &written(json!({"group_post": ["email"]}))).await;
    let gone = world.post("Taken back").await;
    world.fan_out().await;
    posts::delete(app, &(&world.author).into(), &gone).await.unwrap();
    assert_eq!(deliver(app, &delivery(bob, &gone), Utc::now()).await.unwrap(), Outcome::Settled);
    fixture.execute("UPDATE campus_person SET email = ''").await;
    world.post("To nowhere").await;
    drain(app).await;
    assert!(world.letters().is_empty());
    assert!(fixture.texts(REASONS).await.iter().any(|reason| reason == "there is no e-mail address"));
    let nobody = Deliver { person_id: "nobody".into(), ..delivery(bob, &kept) };
    assert_eq!(deliver(app, &nobody, Utc::now()).await.unwrap(), Outcome::Settled);
}

async fn what_stands_in_a_header_stays_in_it<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, .. } = &world;
    choose(app, ada, &written(json!({"group_post": ["email"]}))).await;
    let post = world.post(TITLE).await;
    world.fan_out().await;
    // No part of campus writes such a thing.
    fixture.execute("UPDATE campus_post SET title = 'Kites\r\nBcc: everybody@campus.example'").await;
    fixture.execute("UPDATE campus_person SET name = 'Ada\r\nBcc: others@campus.example'").await;
    assert_eq!(deliver(app, &delivery(ada, &post), Utc::now()).await.unwrap(), Outcome::Settled);
    let letters = world.letters();
    let headers = letters[0].split("\r\n\r\n").next().unwrap();
    assert!(!headers.lines().any(|line| line.starts_with("Bcc")), "{headers}");
    // An address that is none is nobody's.
    let post = world.post("Another").await;
    world.fan_out().await;
    fixture.execute("UPDATE campus_person SET email = 'ada@campus.example\r\nBcc: all@campus.example'").await;
    deliver(app, &delivery(ada, &post), Utc::now()).await.unwrap();
    assert_eq!(world.letters().len(), 1);
}

/// A mail server that answers each recipient as it is told to.
struct MailServer {
    url: url::Url,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
    letters: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = Self { url, answers: Arc::default(), letters: Arc::default() };
        let (answers, letters) = (server.answers.clone(), server.letters.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever hangs up has heard enough.
                let _ = serve(&stream.unwrap(), &answers, &letters);
            }
        });
        server
    }

    fn answer(&self, answers: &[&'static str]) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn letters(&self) -> Vec<String> {
        self.letters.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: &TcpStream,
    answers: &Mutex<VecDeque<&'static str>>,
    letters: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.write_all(b"220 here\r\n")?;
    let mut letter: Option<String> = None;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if let Some(text) = letter.take_if(|_| line == ".") {
            letters.lock().unwrap().push(text);
        } else if let Some(text) = &mut letter {
            *text += &line;
            *text += "\n";
            continue;
        }
        let answer = match line.get(..4).unwrap_or_default() {
            "RCPT" => answers.lock().unwrap().pop_front().unwrap_or("250 fine"),
            "DATA" => {
                letter = Some(String::new());
                "354 go on"
            }
            "QUIT" => "221 goodbye",
            _ => "250 fine",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

async fn a_mail_server_may_take_it_later_or_never<F: Fixture>() {
    let world = World::<F>::new().await;
    let server = MailServer::start();
    let mailer = Mailer::server("campus@campus.example", &site(), &server.url, None).unwrap();
    let (fixture, app, ada) = (&world.fixture, world.app.clone().with_mailer(mailer), &world.ada);
    choose(&app, ada, &written(json!({"group_post": ["email"]}))).await;
    let post = world.post(TITLE).await;
    world.fan_out().await;
    server.answer(&["451 not now"]);
    let tally = drain(&app).await;
    assert_eq!((tally.failed, tally.dead), (1, 0), "its job comes back");
    assert_eq!(fixture.texts(STATES).await, [format!("{ada} email waiting")]);
    let letter = delivery(ada, &post);
    assert_eq!(deliver(&app, &letter, Utc::now()).await.unwrap(), Outcome::Settled);
    assert_eq!(fixture.texts(STATES).await, [format!("{ada} email sent")]);
    assert!(server.letters()[0].contains(&format!("Subject: {TITLE}")));

    // A crash between the server's answer and our note of it: a second copy, which says that it is one.
    fixture.execute("UPDATE campus_delivery SET state = 'waiting', settled_at = NULL").await;
    deliver(&app, &letter, Utc::now()).await.unwrap();
    let ids: Vec<String> = server
        .letters()
        .iter()
        .map(|letter| letter.lines().find(|line| line.starts_with("Message-ID: <")).unwrap().to_owned())
        .collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");

    // Refused for good, and what the operator has to mend.
    server.answer(&["550 no such mailbox"]);
    let refused = world.post("To a mailbox that is none").await;
    world.fan_out().await;
    assert_eq!(drain(&app).await.failed, 0);
    assert_eq!(deliver(&app, &delivery(ada, &refused), Utc::now()).await.unwrap(), Outcome::Settled);
    assert!(fixture.texts(STATES).await.contains(&format!("{ada} email failed")));
    assert!(fixture.texts(REASONS).await.iter().any(|reason| reason.contains("550")), "the reason is kept");
    server.answer(&["530 sign in first"]);
    let later = world.post("To a server that wants a password").await;
    world.fan_out().await;
    deliver(&app, &delivery(ada, &later), Utc::now()).await.unwrap_err();
    assert_eq!(server.letters().len(), 2);
    // Where nothing is set up it stays for whoever is.
    let app = App { mailer: None, ..app };
    deliver(&app, &delivery(ada, &later), Utc::now()).await.unwrap_err();
}

async fn a_digest_tells_what_came_since_the_last_one<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, bob, .. } = &world;
    world.post("Before anybody asked").await;
    world.fan_out().await;
    let weekly = written(json!({"group_post": ["digest"]}));
    let asked = Utc::now();
    choose(app, ada, &weekly).await;
    choose(app, bob, &Written { digest: "daily".into(), ..weekly.clone() }).await;
    choose(app, &world.author, &weekly).await;
    for title in [TITLE, "Another <narwhal>"] {
        world.post(title).await;
        world.fan_out().await;
    }
    assert_eq!(fixture.count(DELIVERIES).await, 0, "nothing leaves at once");
    assert_eq!(send_due(app, asked).await.unwrap(), 0, "none is due");

    // Two runs at once, and another: nobody gets two.
    let later = Utc::now() + TimeDelta::days(8);
    let (first, second) = tokio::join!(send_due(app, later), send_due(app, later));
    assert_eq!(first.unwrap() + second.unwrap(), 3);
    assert_eq!(send_due(app, later).await.unwrap(), 0);
    // Who leaves before it is sent reads nothing of it.
    let mut tx = app.begin().await.unwrap();
    app.membership.leave(&mut tx, ada, &chess(), &By::user(ada)).await.unwrap();
    app.commit(tx).await.unwrap();
    drain(app).await;
    let states = [(ada, "skipped"), (bob, "sent"), (&world.author, "skipped")];
    let mut expected = states.map(|(who, state)| format!("{who} digest {state}"));
    expected.sort_unstable();
    assert_eq!(fixture.texts(STATES).await, expected, "who was told nothing is sent nothing");
    let letters = world.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert!(letter.contains("Subject: Another <narwhal> and 1 more"), "{letter}");
    assert!(letter.contains(TITLE) && !letter.contains("Before anybody asked"), "{letter}");

    // The next one begins where this one ended.
    assert_eq!(send_due(app, later + TimeDelta::days(8)).await.unwrap(), 3);
    drain(app).await;
    assert_eq!(world.letters().len(), 1, "there was nothing new");
}

async fn a_crash_in_the_middle_of_the_digests_loses_none_and_doubles_none<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, bob, .. } = &world;
    for person in [ada, bob] {
        choose(app, person, &written(json!({"group_post": ["digest"]}))).await;
    }
    world.post(TITLE).await;
    world.fan_out().await;
    fixture.execute("UPDATE campus_notification_setting SET digest_due_at = -1").await;
    fixture.break_step(3).await;
    let later = Utc::now() + TimeDelta::days(1);
    send_due(app, later).await.unwrap_err();
    assert_eq!((fixture.count(DELIVERIES).await, fixture.count(DUE).await), (0, 2), "all of it or nothing");
    let mend = if F::CONCURRENT_WRITERS { "DROP TRIGGER broken ON jobs_queue_job" } else { "DROP TRIGGER broken" };
    fixture.execute(mend).await;
    assert_eq!(send_due(app, later).await.unwrap(), 2);
    drain(app).await;
    assert_eq!((world.letters().len(), fixture.count(DUE).await), (2, 0));
}

async fn a_digest_recommends_to_whom_the_flag_is_on<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { app, ada, .. } = &world;
    recommender::run(app, None, None, |_| {}).await.unwrap();
    choose(app, ada, &Written { digest: "daily".into(), ..written(json!({"group_post": ["digest"]})) }).await;
    for (day, share, is_recommended) in [(2, "off", false), (4, "on", true)] {
        world.post(TITLE).await;
        world.fan_out().await;
        let flags = vec![format!("digest_recommendations={share}").parse().unwrap()];
        let app = app.clone().with_flags(Flags::new(Environment::Production, flags));
        world.fixture.execute("UPDATE campus_notification_setting SET digest_since = 0").await;
        assert_eq!(send_due(&app, Utc::now() + TimeDelta::days(day)).await.unwrap(), 1);
        drain(&app).await;
        let recommending = world.letters().iter().filter(|letter| letter.contains("You may also like")).count();
        assert_eq!(recommending, usize::from(is_recommended), "{share}");
    }
}

async fn preferences_are_changed_by_form_and_by_json_and_recorded_once<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { fixture, app, ada, .. } = &world;
    let mut browser = world.browser(ada).await;
    let before = fixture.count(RECORDS).await;
    let page = browser.get(SETTINGS).await.body;
    assert!(page.contains(&format!("{ada}@alumni.example")) && page.contains("not set up here"), "{page}");
    assert_eq!(parsed(&browser.get(API).await)["unavailable"], json!(["whatsapp"]));

    let form = "want=group_post+in_app&want=group_post+email&want=event+in_app&want=announcement+in_app&want=mentorship+in_app\
        &want=marketplace+in_app&want=staff+in_app&digest=weekly&quiet_from=&quiet_until=&time_zone=UTC";
    assert_eq!(browser.post(SETTINGS, form).await.status, StatusCode::SEE_OTHER);
    assert_eq!(fixture.count(RECORDS).await, before + 1);
    let action = "bits.notifications.v1.PreferenceService/UpdatePreferences".to_owned();
    assert_eq!(newest_record(app).await, (action, ada.to_string(), ada.to_string()));
    assert_eq!(fixture.texts(CHOICES).await, [format!("{ada} group_post email")], "only what differs is kept");
    assert_eq!(browser.post(SETTINGS, form).await.status, StatusCode::SEE_OTHER);
    assert_eq!(fixture.count(RECORDS).await, before + 1, "nothing changed");

    let chosen = json!({
        "channels": {"mentorship": ["email", "digest"], "staff": []}, "quiet_from": "22:00", "quiet_until": "07:30",
        "time_zone": "Asia/Kolkata", "digest": "daily",
    });
    let answer = post_json(&mut browser, API, &chosen).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let read = parsed(&browser.get(API).await);
    assert_eq!(parsed(&answer), read);
    assert_eq!(read["channels"]["mentorship"], json!(["email", "digest"]));
    assert_eq!((&read["channels"]["staff"], &read["channels"]["group_post"]), (&json!([]), &json!(["in_app"])));
    assert_eq!((&read["quiet_until"], &read["time_zone"]), (&json!("07:30"), &json!("Asia/Kolkata")));
    assert_eq!(fixture.count(RECORDS).await, before + 2);
    let page = browser.get(SETTINGS).await.body;
    assert!(page.contains(r#"value="mentorship digest" checked"#) && page.contains(r#"value="22:00""#), "{page}");
    // Where somebody is, and when they sleep, is not in the record that everybody with the right sees for ever.
    let bodies = fixture
        .texts("SELECT coalesce(CAST(before AS text), '') || coalesce(CAST(after AS text), '') FROM audit_record")
        .await;
    assert!(!bodies.iter().any(|body| body.contains("Kolkata") || body.contains("22:00")));
}

async fn what_is_no_preference_is_refused_and_writes_nothing<F: Fixture>() {
    let world = World::<F>::new().await;
    let fixture = &world.fixture;
    let mut browser = world.browser(&world.ada).await;
    let rows =
        "SELECT (SELECT count(*) FROM campus_notification_choice) + (SELECT count(*) FROM campus_notification_setting)";
    let before = (fixture.counts().await, fixture.count(rows).await);
    let rest = "&digest=weekly&quiet_from=&quiet_until=&time_zone=UTC";
    for form in [
        String::new(),
        "time_zone=UTC".into(),
        "digest=weekly".into(),
        format!("want=group_post{rest}"),
        format!("want=group_post+pigeon{rest}"),
        format!("want=rumour+email{rest}"),
        format!("want=group_post+email%00{rest}"),
        "digest=hourly&time_zone=UTC".into(),
        "digest=weekly&time_zone=Europe%2FAtlantis".into(),
        "digest=weekly&time_zone=UTC%00".into(),
        "digest=weekly&time_zone=UTC%0D%0ABcc%3A+a%40b.example".into(),
        "digest=weekly&time_zone=UTC&quiet_from=22:00".into(),
        "digest=weekly&time_zone=UTC&quiet_from=22:00&quiet_until=22:00".into(),
        "digest=weekly&time_zone=UTC&quiet_from=25:00&quiet_until=07:00".into(),
        "digest=weekly&time_zone=UTC&quiet_from=22:00%00&quiet_until=07:00".into(),
        format!("digest=weekly&time_zone={}", "x".repeat(300_000)),
    ] {
        let answer = browser.post(SETTINGS, &form).await;
        assert!(answer.status.is_client_error(), "{form:.60}: {}", answer.status);
    }
    for body in [
        json!({}),
        json!([]),
        json!({"time_zone": "UTC"}),
        json!({"time_zone": 1, "digest": "weekly"}),
        json!({"time_zone": "UTC", "digest": "weekly", "channels": {"rumour": ["email"]}}),
        json!({"time_zone": "UTC", "digest": "weekly", "channels": {"group_post": ["pigeon"]}}),
        json!({"time_zone": "UTC", "digest": "weekly", "channels": {"group_post": "email"}}),
        json!({"time_zone": "UTC\u{0}", "digest": "weekly"}),
    ] {
        let answer = post_json(&mut browser, API, &body).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.status);
        assert!(parsed(&answer)["status"].is_number(), "a problem: {}", answer.body);
    }
    let request = axum::http::Request::post(SETTINGS).header(axum::http::header::ORIGIN, "http://evil.example");
    assert_eq!(browser.send(request, axum::body::Body::empty()).await.status, StatusCode::FORBIDDEN);
    // An address that would be another header is none of a profile.
    for email in ["a@b.example%0D%0ABcc%3A+c@d.example", "a@b.example%00", "a b@c.example"] {
        let form = format!(
            "name=Ada&headline=&city=&employer=&bio=&email={email}&phone=&city_audience=nobody&employer_audience=nobody\
             &batch_audience=nobody&bio_audience=nobody&email_audience=nobody&phone_audience=nobody"
        );
        assert!(browser.post("/me", &form).await.status.is_client_error(), "{email}");
    }
    assert_eq!((fixture.counts().await, fixture.count(rows).await), before);
}

async fn what_is_not_wanted_on_campus_is_not_shown_there<F: Fixture>() {
    let world = World::<F>::new().await;
    let World { app, ada, .. } = &world;
    world.post(TITLE).await;
    world.fan_out().await;
    let mut browser = world.browser(ada).await;
    let list = "/api/v1/notifications";
    assert!(browser.get("/notifications").await.body.contains(TITLE));
    assert_eq!(parsed(&browser.get(list).await)["items"][0]["title"], TITLE);
    choose(app, ada, &written(json!({"group_post": ["digest"]}))).await;
    assert!(!browser.get("/notifications").await.body.contains(TITLE));
    choose(app, ada, &written(json!({}))).await;
    assert!(browser.get("/notifications").await.body.contains(TITLE), "it was hidden, not forgotten");
    browser.post("/groups/chess/leave", "").await;
    assert!(!browser.get("/notifications").await.body.contains(TITLE), "nor what one may no longer read");
    assert!(!browser.get(list).await.body.contains(TITLE));
}

#[test]
fn a_mail_server_is_told_no_password_in_the_clear() {
    let server =
        |url: &str, password| Mailer::server("campus@campus.example", &site(), &url.parse().unwrap(), password);
    for url in ["smtps://campus@mail.example", "smtp://campus@mail.example?tls=required"] {
        assert!(server(url, Some("sesame: 1 %/?")).is_ok(), "{url}");
    }
    assert!(server("smtp://127.0.0.1:2525", None).is_ok());
    for (url, password) in [
        ("smtp://campus@mail.example", Some("sesame")),
        ("smtp://campus@mail.example?tls=opportunistic", Some("sesame")),
        ("smtps://mail.example", Some("sesame")),
        ("smtps://campus@mail.example", None),
        ("smtps://campus:sesame@mail.example", None),
        ("https://mail.example", None),
        ("mailto:campus@mail.example", None),
    ] {
        let refusal = server(url, password).unwrap_err();
        assert!(!refusal.to_string().contains("sesame"), "{url}: {refusal}");
    }
    let folder = |from: &str, site: &str| Mailer::folder(from, &site.parse().unwrap(), "letters".into());
    assert!(folder("Campus <campus@campus.example>", "https://campus.example").is_ok());
    for (from, site) in [
        ("", "https://campus.example"),
        ("campus", "https://campus.example"),
        ("Cam\u{7}pus <campus@campus.example>", "https://campus.example"),
        ("campus@campus.example\r\nBcc: a@b.example", "https://campus.example"),
        ("campus@campus.example", "ftp://campus.example"),
    ] {
        assert!(folder(from, site).is_err(), "{from} {site}");
    }
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
    who_asks_for_email_gets_each_thing_once
    what_was_settled_long_ago_is_forgotten
    in_quiet_hours_nothing_leaves
    waiting_for_the_morning_is_no_failed_attempt
    what_is_no_longer_theirs_is_not_sent
    what_stands_in_a_header_stays_in_it
    a_mail_server_may_take_it_later_or_never
    a_digest_tells_what_came_since_the_last_one
    a_crash_in_the_middle_of_the_digests_loses_none_and_doubles_none
    a_digest_recommends_to_whom_the_flag_is_on
    preferences_are_changed_by_form_and_by_json_and_recorded_once
    what_is_no_preference_is_refused_and_writes_nothing
    what_is_not_wanted_on_campus_is_not_shown_there
}
