//! What is announced on a generated campus: to everybody, to a class, to a chapter.

use std::ops::Range;

use stoa_audit::Actor;
use stoa_membership::UserId;

use super::load::{Plan, record_many};
use super::rng::Rng;
use crate::announcements::sql::AnnouncementSql as _;
use crate::announcements::{self, Announcement, DRAFT, PUBLIC};
use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Result;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

const CAMPUS: [(&str, &str); 14] = [
    (
        "Applications for the travel grants are open",
        "Twelve grants for conferences and field work, decided by the end of term. A page is enough: where, why, and what it costs. Alumni can write a second opinion for somebody they know.",
    ),
    (
        "The mentorship takes registrations again",
        "An hour a fortnight, for as long as both find it useful. Last year's pairs say: agree on what you do not want to talk about, too.",
    ),
    (
        "The east gate is closed for six weeks",
        "The bridge gets new bearings. Bicycles and pedestrians take the path along the water; deliveries come in by the north.",
    ),
    (
        "Results of the alumni survey",
        "Two in five answered, more than ever before. You want shorter newsletters, more events outside the capital, and to be asked for time rather than for money. We have begun with the first.",
    ),
    (
        "A new catalogue for the library",
        "The old one is switched off on the first of the month. Saved searches come along; saved lists have to be exported by hand.",
    ),
    (
        "Honorary degrees: propose somebody",
        "Any ten members can propose somebody who is not one. The letters are read by a committee that changes every year.",
    ),
    (
        "The annual report in eleven pages",
        "What came in, what it was spent on, and what we would not do again. Printed copies lie in the lodge.",
    ),
    (
        "Winter opening hours of the sports hall",
        "From Monday it opens at six in the morning. The climbing wall is inspected on Thursday and stays shut that day.",
    ),
    (
        "Your card opens more doors",
        "Alumni cards now work at the reading rooms of nine partner universities. Bring some other proof of who you are on the first visit.",
    ),
    (
        "Housing: rooms for visiting students",
        "Forty-one students come for one term each and look for a room. If you have one to let, or know somebody who has, tell the housing office.",
    ),
    (
        "An election for the alumni council",
        "Five of the eleven seats are up. Candidates introduce themselves in a page each; the vote is open for two weeks.",
    ),
    (
        "The archive is looking for photographs",
        "Anything from before everybody carried a camera. Originals are scanned while you wait and go home with you.",
    ),
    (
        "Changes to the privacy notice",
        "In short: profiles show less to strangers by default, and whoever leaves takes more with them. The long version is shorter than the old one.",
    ),
    (
        "Thank you: the reading room is paid for",
        "Three thousand and eleven people gave, most of them little. The names stand on one wall in the order of the alphabet, without the sums.",
    ),
];

const CLASS: [(&str, &str); 4] = [
    (
        "Class of {y}: the reunion has a date",
        "The last Saturday of June, in the old refectory. Sign up by spring, and say what you do not eat.",
    ),
    (
        "Class of {y}: we are looking for addresses",
        "Of one in nine we know nothing any more. Have a look at the list, and write to whoever you still know.",
    ),
    (
        "Class of {y}: the gift of the class",
        "A bench, a grant, or the roof of the boat house: please vote. The treasurer has put the sums beside each.",
    ),
    (
        "Class of {y}: a book of memories",
        "Two pages each, a photograph if you like, and no corrections of other people's memories.",
    ),
];

const CHAPTER: [(&str, &str); 4] = [
    (
        "{c}: a new place for the monthly dinner",
        "The usual restaurant has closed. Until there is another, the chapter meets at the alumni house.",
    ),
    ("{c}: newcomers' evening", "Eight people have moved to {c} since summer. Come and tell them where not to live."),
    (
        "{c}: the chapter elects its board",
        "Three offices, four candidates, one evening. Whoever cannot come can vote by post.",
    ),
    (
        "{c}: visiting students need an hour of your time",
        "Six students spend a week in {c}. They would like to see where you work.",
    ),
];

/// How many there are.
pub(super) fn count(plan: &Plan) -> u64 {
    12 + plan.people / 6_000
}

/// Makes an announcement up. One in three is for everybody, each another.
pub(super) fn announcement(plan: &Plan, number: u64) -> Result<Announcement> {
    let mut rng = Rng::of(plan.seed, "announcement", number);
    let groups = plan.groups();
    let index = usize::try_from(number / 3).unwrap_or_default();
    let (scope, title, body) = match number % 3 {
        0 => {
            let (title, body) = CAMPUS[index % CAMPUS.len()];
            (EVERYONE.to_owned(), title.to_owned(), body.to_owned())
        }
        1 => {
            // Those of the people whom a visitor can be, and a few before them.
            let year = 2008 + rng.below(13);
            let [title, body] = filled(CLASS[index % CLASS.len()], "{y}", &year.to_string());
            (format!("batch:{year}"), title, body)
        }
        _ => {
            let group = groups.topics + index % groups.chapters.max(1);
            let [title, body] = filled(CHAPTER[index % CHAPTER.len()], "{c}", groups.city(group).unwrap_or_default());
            (groups.scope(group)?.to_string(), title, body)
        }
    };
    // One every other day, the last of them yesterday.
    let age = (2 * (count(plan) - number) - 1).cast_signed() * DAY;
    let publish_at = plan.until - age + (7 * 60 + rng.below(9 * 60).cast_signed()) * MINUTE;
    Ok(Announcement {
        id: super::id(publish_at, &mut rng),
        scope,
        author_id: super::staff_id(),
        title,
        body,
        state: PUBLIC.into(),
        publish_at: Some(publish_at),
        created_at: publish_at,
        updated_at: publish_at,
    })
}

fn filled((title, body): (&str, &str), name: &str, value: &str) -> [String; 2] {
    [title, body].map(|text| text.replace(name, value))
}

/// Makes some announcements in one transaction. Nobody is told of them: they are old news.
pub(super) async fn write<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    plan: &Plan,
    range: Range<u64>,
) -> Result<()> {
    let staff = Caller::new(UserId::new(super::staff_id())?);
    let actor = Actor::user(staff.user.as_str())?;
    let (mut documents, mut records) = (Vec::new(), Vec::new());
    for number in range {
        let news = announcement(plan, number)?;
        tx.insert_announcement(&news).await?;
        documents.push(news.document()?);
        let draft = Announcement { state: DRAFT.into(), publish_at: None, ..news.clone() };
        records.push(staff.record(announcements::CREATED, draft.entity()?)?.after(&draft)?);
        records.push(news.published_by(&actor, &draft)?);
    }
    app.search.upsert_many(tx, &documents).await?;
    record_many(app, tx, &records).await
}
