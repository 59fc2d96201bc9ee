//! The demo with a few people more, and names for what there is.

use std::collections::BTreeMap;

use campus::access::PLATFORM;
use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::directory::Person;
use campus::directory::sql::DirectorySql as _;
use campus::import::Document;
use campus::import::sql::ImportSql as _;
use campus::marketplace::{self, PARTNER};
use campus::mentorship::{self, ProgrammeDraft};
use chrono::{Datelike as _, Days, NaiveDate, Utc, Weekday};
use stoa_audit::{Filter, PageRequest};
use stoa_membership::{By, Grant, MENTORSHIP_PROGRAMME, Role, Scope, ScopeId, UserId};

/// A word that stands only in what is hidden from outsiders.
pub(super) const SECRET: &str = "quetzalcoatlus";

/// Who owns the chess club, who are its members, who works for the campus and as what, who acts for a partner, and a guest.
const INSIDERS: [&str; 10] = ["olga", "mira", "nora", "stan", "hana", "pia", "max", "ann", "abe", "gus"];

/// Who may not: somebody who never was in anything, somebody who was banned from everything, and somebody who left everything.
pub(super) const OUTSIDERS: [&str; 3] = ["sam", "bea", "leo"];

/// What the names in brackets stand for.
pub(super) struct World(BTreeMap<&'static str, String>);

impl World {
    pub(super) async fn make<B: Backend>(app: &App<B>) -> Self {
        let mut tx = app.begin().await.unwrap();
        for id in INSIDERS.into_iter().chain(OUTSIDERS) {
            let name = format!("{}{} Example", id[..1].to_uppercase(), &id[1..]);
            tx.insert_person(&Person { id: id.into(), name, headline: "Was here".into() }).await.unwrap();
        }
        let document = Document {
            surface: "papers".into(),
            id: "on-herons".into(),
            title: "On herons".into(),
            body: "Grey.".into(),
        };
        tx.upsert_document(&document).await.unwrap();
        app.commit(tx).await.unwrap();

        let (chess, platform) = (Scope::group("chess").unwrap(), scope(PLATFORM, "campus"));
        for (person, scope, role) in [
            ("olga", &chess, "owner"),
            ("mira", &chess, "member"),
            ("nora", &chess, "member"),
            ("stan", &platform, "staff"),
            ("hana", &platform, "hr"),
            ("pia", &platform, "payroll"),
            ("max", &platform, "manager"),
        ] {
            add(app, person, scope, role).await;
        }
        let stan = Caller::new(user("stan"));
        let draft = ProgrammeDraft::new(&format!("The {SECRET} hour"), "Behind the pantry.", "group:chess").unwrap();
        let programme = mentorship::create(app, &stan, draft).await.unwrap().id;
        let name = format!("{SECRET} and daughters");
        let partner = marketplace::create(app, &stan, &name, "Behind the pantry.", &user("abe")).await.unwrap().id;
        let (in_programme, at_partner) = (scope(MENTORSHIP_PROGRAMME, &programme), scope(PARTNER, &partner));
        for (scope, role) in
            [(&chess, "owner"), (&platform, "staff"), (&in_programme, "mentor"), (&at_partner, "agent")]
        {
            for outsider in ["bea", "leo"] {
                add(app, outsider, scope, role).await;
            }
            let mut tx = app.begin().await.unwrap();
            app.membership.ban(&mut tx, &user("bea"), scope, &By::user(&user("olga"))).await.unwrap();
            app.membership.leave(&mut tx, &user("leo"), scope, &By::user(&user("leo"))).await.unwrap();
            app.commit(tx).await.unwrap();
        }

        let mut tx = app.read().await.unwrap();
        let record = app.audit.list(&mut tx, &Filter::new(), &PageRequest::first(1)).await.unwrap().items[0].id;
        let today = Utc::now().date_naive();
        // Of next year, where no holiday is.
        let march = NaiveDate::from_ymd_opt(today.year() + 1, 3, 15).unwrap();
        let day = |weekday: Weekday| {
            (march.week(Weekday::Mon).first_day() + Days::new(weekday.num_days_from_monday().into())).to_string()
        };
        Self(BTreeMap::from([
            ("group", "chess".into()),
            ("elsewhere", "rowing".into()),
            ("person", "mira".into()),
            ("document", document.id),
            ("record", record.to_string()),
            ("programme", programme),
            ("partner", partner),
            ("today", today.to_string()),
            ("soon", (today + Days::new(14)).to_string()),
            ("monday", day(Weekday::Mon)),
            ("tuesday", day(Weekday::Tue)),
            ("wednesday", day(Weekday::Wed)),
            ("thursday", day(Weekday::Thu)),
            ("friday", day(Weekday::Fri)),
        ]))
    }

    pub(super) fn keep(&mut self, name: &'static str, value: String) {
        assert!(self.0.insert(name, value).is_none(), "{name} was called so before");
    }

    /// The text with its names replaced by what they stand for.
    #[track_caller]
    pub(super) fn put(&self, text: &str) -> String {
        let text =
            self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
        let is_name = |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase());
        assert!(!text.split('{').skip(1).any(is_name), "a name stands for nothing in {text}");
        text
    }

    /// The text with the names of what there is replaced by something else; days stay.
    pub(super) fn put_instead(&self, text: &str, other: &str) -> String {
        let is_day = |value: &str| value.parse::<NaiveDate>().is_ok();
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), if is_day(value) { value } else { other })
        })
    }
}

pub(super) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn scope(kind: stoa_membership::ScopeType, id: &str) -> Scope {
    Scope::new(kind, ScopeId::new(id).unwrap())
}

async fn add<B: Backend>(app: &App<B>, person: &str, scope: &Scope, role: &str) {
    let mut tx = app.begin().await.unwrap();
    let grant = Grant::new(Role::new(role).unwrap());
    app.membership.add(&mut tx, &user(person), scope, &grant, &By::user(&user(person))).await.unwrap();
    app.commit(tx).await.unwrap();
}
