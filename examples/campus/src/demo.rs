//! The demo campus: a part that is written by hand, and, around it, one of any [`Size`] that is generated. Both are the same every
//! time.

mod board;
mod calendar;
mod cast;
mod events;
mod groups;
mod load;
mod market;
mod mentoring;
mod news;
mod people;
mod places;
mod rng;
mod signals;
mod staff;
mod topics;
mod words;

pub use load::{Phase, Plan, Progress, Size, interrupted, load};

use chrono::{TimeDelta, Utc};
use stoa_capabilities::{Scoped, scoped};
use stoa_membership::{By, Grant, Reason, Role, Scope, UserId};

use crate::access;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::profile::Profile;
use crate::directory::sql::DirectorySql as _;
use crate::directory::{self, Person};
use crate::error::Result;
use crate::groups::posts::{self, Draft};
use crate::groups::{Group, GroupKind};
use crate::sql::{MetaSql as _, Sql};

/// So many people are written by hand.
const PEOPLE: usize = 36;

const GIVEN: [&str; 16] = [
    "Amara", "Bilal", "Chiara", "Dmitri", "Elena", "Farah", "Gabriel", "Hana", "Ines", "Jonas", "Kavya", "Liam", "Mei",
    "Nadia", "Omar", "Priya",
];
const FAMILY: [&str; 12] =
    ["Okafor", "Khan", "Rossi", "Petrov", "Garcia", "Haddad", "Novak", "Sato", "Lindqvist", "Weber", "Iyer", "Murphy"];
const WORK: [&str; 8] = [
    "builds bridges",
    "teaches chemistry",
    "writes compilers",
    "runs a bakery",
    "designs prosthetics",
    "maps coastlines",
    "trades grain",
    "composes for film",
];
const CITIES: [&str; 6] = ["Lisbon", "Nairobi", "Osaka", "Toronto", "Bengaluru", "Oslo"];

/// A group, and the titles and bodies of what people wrote there.
struct DemoGroup {
    id: &'static str,
    name: &'static str,
    description: &'static str,
    posts: [(&'static str, &'static str); 4],
}

const GROUPS: [DemoGroup; 6] = [
    DemoGroup {
        id: "chess",
        name: "Chess Club",
        description: "Blitz on Thursdays, slow games by post, and one very patient beginners' table.",
        posts: [
            (
                "Blitz night moves to the library",
                "The common room is being painted. We meet in the reading room of the library this Thursday at seven; bring a clock if you have one.",
            ),
            (
                "An endgame worth knowing",
                "Rook and pawn against rook: the Lucena position wins by building a bridge. I have put two examples on the board by the window.",
            ),
            (
                "Looking for a correspondence partner",
                "One move a day, no engines, and a coffee for whoever loses. Sicilian players especially welcome.",
            ),
            (
                "Results of the autumn open",
                "Forty-one players, six rounds, and a three-way tie that went to the second tie-break. Thank you to everybody who set up tables.",
            ),
        ],
    },
    DemoGroup {
        id: "rowing",
        name: "Rowing",
        description: "Early water, late breakfasts. Novices row beside people who never stopped.",
        posts: [
            (
                "Sunday outing at nine",
                "High tide is at ten, so we launch at nine sharp from the boat house. Two seats free in the quad.",
            ),
            (
                "New oars have arrived",
                "The sculls ordered in spring are here at last. Please do not adjust the collars before they have been measured.",
            ),
            (
                "Regatta: who is in?",
                "The alumni eight needs a bow and a cox. No training plan, one practice, and a great deal of shouting.",
            ),
            ("Lost on the pontoon", "A blue rain jacket with a thermos in the pocket. The tea was still warm."),
        ],
    },
    DemoGroup {
        id: "startups",
        name: "Founders' Table",
        description: "People who started something, are about to, or have just stopped.",
        posts: [
            (
                "Office hours with two founders",
                "Bring one question, leave with one introduction. Wednesday evening, eight places, write below to take one.",
            ),
            (
                "What we learned from closing down",
                "We ran out of runway with a product that people liked and nobody paid for. The post-mortem is honest and short.",
            ),
            (
                "Looking for a first engineer",
                "Embedded systems, a small team, and a sensor that survives the sea. Part-time to begin with.",
            ),
            (
                "A template for the first term sheet",
                "A lawyer in the group has annotated a plain template line by line. It is not advice, but it is a start.",
            ),
        ],
    },
    DemoGroup {
        id: "cooking",
        name: "The Long Table",
        description: "One dish a month, cooked in many kitchens on the same evening.",
        posts: [
            ("This month: dumplings", "Any fold, any filling. Photographs of the failures are worth double."),
            (
                "A sourdough that forgives",
                "Sixty per cent hydration, a long cold night, and no timetable. It has never let me down.",
            ),
            ("Where to buy good saffron", "The shop behind the market sells by the gram and lets you smell it first."),
            (
                "Supper for forty, in numbers",
                "Nine kilos of potatoes, three cooks, one oven that works. What we would do differently next time.",
            ),
        ],
    },
    DemoGroup {
        id: "hiking",
        name: "Hill Walkers",
        description: "A day out every month, chosen by whoever complains least about the weather.",
        posts: [
            (
                "The ridge, if the wind allows",
                "Twelve kilometres with a scramble in the middle. We turn back if it gusts above fifty.",
            ),
            (
                "Maps and batteries",
                "A telephone is not a map in the rain. I will bring three paper ones and show how to fold them.",
            ),
            (
                "Night walk under the meteors",
                "We leave at ten, walk without lamps, and lie down on the summit. Warm clothes, please.",
            ),
            ("Boots to give away", "Size forty-three, resoled once, with many good days left in them."),
        ],
    },
    DemoGroup {
        id: "mentors",
        name: "Mentors' Circle",
        description: "For those who guide, and for those about to ask for it.",
        posts: [
            (
                "How to ask a good first question",
                "Say what you have tried, what you hope for, and how much time you are asking for. The rest follows.",
            ),
            (
                "Pairs for the spring",
                "Twenty-two mentors have offered an hour a fortnight. Students from all departments may apply.",
            ),
            (
                "Talking about salary",
                "Nobody teaches it, everybody needs it. An open conversation with people from hiring and from unions.",
            ),
            (
                "When a mentorship should end",
                "It may simply be finished. A kind way to say so, and what to do with the hour you get back.",
            ),
        ],
    },
];

/// Makes the part that is written by hand in one transaction, unless there is anything of the host's or a membership in the database
/// already.
///
/// # Errors
/// If the database fails; then nothing was made.
pub async fn make<B: Backend>(app: &App<B>) -> Result<()> {
    make_with(app, None).await.map(drop)
}

/// Does what [`make`] does, with one more fact about the database; says whether it made anything.
async fn make_with<B: Backend>(app: &App<B>, fact: Option<(&str, &str)>) -> Result<bool> {
    scoped!(tx = app.begin().await?);
    // Of two processes that start at once, the second waits here, and finds that it was not the first.
    if !tx.is_empty().await? || !tx.insert_meta("made_by", "demo").await? {
        return Ok(false);
    }
    if let Some((name, value)) = fact {
        tx.insert_meta(name, value).await?;
    }
    let people = people();
    for (index, person) in people.iter().enumerate() {
        add_person(app, &mut tx, person, index).await?;
    }
    for (index, group) in GROUPS.iter().enumerate() {
        add_group(app, &mut tx, group, index, &people).await?;
    }
    calendar::make(app, &mut tx, &UserId::new(&*people[0].id)?).await?;
    staff::make(app, &mut tx, &people).await?;
    app.commit(tx.into_inner()).await?;
    Ok(true)
}

/// So many documents are written by hand, beside groups and profiles: posts, events, and what is announced.
const DOCUMENTS: u64 = 24 + 7 + 2;

/// Whether somebody is a member of the group with that number.
fn is_member(person: &Person, group: usize) -> bool {
    (person.id.len() + group).is_multiple_of(3)
}

/// The members of a group that is written by hand, its owner first.
fn members_by_hand(group: usize) -> Vec<Person> {
    people().into_iter().skip(1).filter(|person| is_member(person, group)).collect()
}

/// The id of whoever is staff.
fn staff_id() -> String {
    people().swap_remove(0).id
}

/// An id that grows with time, as those of other things do: of a moment, in microseconds, and of a thing's own numbers.
fn id(micros: i64, rng: &mut rng::Rng) -> String {
    uuid::Builder::from_unix_timestamp_millis((micros / 1000).cast_unsigned(), &rng.bytes()).into_uuid().to_string()
}

/// Reads the people that are written by hand, whoever is staff first: those whom a visitor can be.
pub(crate) async fn known<C: Sql>(conn: &mut C) -> Result<Vec<Person>> {
    let mut known = Vec::with_capacity(PEOPLE);
    for person in people() {
        known.extend(conn.person(&person.id).await?);
    }
    Ok(known)
}

fn people() -> Vec<Person> {
    let person = |index: usize| {
        // Steps without a common factor walk through different pairs.
        let (given, family) = (GIVEN[index % GIVEN.len()], FAMILY[index * 5 % FAMILY.len()]);
        let (work, city) = (WORK[index * 3 % WORK.len()], CITIES[index * 7 % CITIES.len()]);
        let id = format!("{}-{}", given.to_lowercase(), family.to_lowercase());
        Person {
            id,
            name: format!("{given} {family}"),
            headline: format!("Class of {}, {work} in {city}", batch(index)),
        }
    };
    (0..PEOPLE).map(person).collect()
}

fn batch(index: usize) -> usize {
    2012 + index % 9
}

async fn add_person<B: Backend>(app: &App<B>, tx: &mut B::Connection, person: &Person, index: usize) -> Result<()> {
    let user = UserId::new(&*person.id)?;
    let by = By::user(&user);
    tx.insert_person(person).await?;
    let batch: Scope = format!("batch:{}", batch(index)).parse()?;
    app.membership.join(tx, &user, &batch, &by).await?;
    if index == 0 {
        app.membership.add(tx, &user, &access::platform()?, &Grant::new(Role::new("staff")?), &by).await?;
    }
    // What the person would say of themselves, and the batch, which they would not.
    if let Some(before) = tx.profile(&person.id).await? {
        let city = CITIES[index * 7 % CITIES.len()].to_owned();
        let email = format!("{}@alumni.example", person.id);
        let year = batch.id().as_str().parse().ok();
        tx.update_profile(&Profile { city, email, batch_year: year, ..before }).await?;
    }
    directory::index(app, tx, &person.id).await?;
    Ok(())
}

/// Every group has an owner, an admin, a third of the campus as members, a guest, somebody who is banned, and posts by the
/// members. The staff person is in none of them, so that there is somebody who can join.
async fn add_group<B: Backend>(
    app: &App<B>,
    tx: &mut Scoped<'_, B::Transaction>,
    demo: &DemoGroup,
    index: usize,
    people: &[Person],
) -> Result<()> {
    let members: Vec<&Person> = people.iter().skip(1).filter(|person| is_member(person, index)).collect();
    let group = Group {
        id: demo.id.into(),
        kind: GroupKind::Interest,
        name: demo.name.into(),
        description: demo.description.into(),
        place: String::new(),
    };
    crate::groups::create(app, tx, &group, &Caller::new(UserId::new(&*members[0].id)?)).await?;
    let scope = Scope::group(demo.id)?;
    for member in &members[1..] {
        let user = UserId::new(&*member.id)?;
        app.membership.join(tx, &user, &scope, &By::user(&user)).await?;
    }
    let (owner, admin) = (UserId::new(&*members[0].id)?, UserId::new(&*members[1].id)?);
    app.membership.set_role(tx, &admin, &scope, &Role::new("admin")?, &By::user(&owner)).await?;
    let mut others = people.iter().skip(1).filter(|person| !is_member(person, index));
    if let (Some(guest), Some(banned)) = (others.next(), others.next()) {
        let month = Grant::new(Role::new("member")?).until(Utc::now() + TimeDelta::days(30))?;
        app.membership.add(tx, &UserId::new(&*guest.id)?, &scope, &month, &By::user(&owner)).await?;
        let why = Reason::new("Sold raffle tickets in every thread")?;
        app.membership.ban(tx, &UserId::new(&*banned.id)?, &scope, &By::user(&admin).because(why)).await?;
    }
    for (number, (title, body)) in demo.posts.iter().enumerate() {
        let author = Caller::new(UserId::new(&*members[number * 2 % members.len()].id)?);
        let draft = Draft::new(title, body)?;
        posts::publish(app, tx, &author, &scope, draft).await?;
    }
    Ok(())
}
