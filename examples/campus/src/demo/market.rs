//! The partners of a generated campus, what they offer, and who has taken it up.

use std::ops::Range;

use stoa_membership::{By, Grant, Import, ImportRow, Role, UserId};

use super::cast::Cast;
use super::load::{Plan, record_many};
use super::places::CITIES;
use super::rng::Rng;
use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::bulk::Bulk;
use crate::caller::Caller;
use crate::code;
use crate::error::Result;
use crate::marketplace::deals::{self, Deal, DealState};
use crate::marketplace::redemption::{REDEEMED, Redemption, VERIFIED};
use crate::marketplace::sql::MarketplaceSql as _;
use crate::marketplace::{self, Partner, partner_scope};

const HOUR: i64 = 60 * 60 * 1_000_000;
const DAY: i64 = 24 * HOUR;

/// Every partner offers so many things.
const EACH: usize = 3;

/// A partner and what it does; then what it offers.
type Offer = (&'static str, &'static str);
type Shop = (Offer, [Offer; EACH]);

const SHOPS: [Shop; 12] = [
    (
        ("The Paper Lantern", "A bookshop with a ladder, two cats and a very opinionated shelf of recommendations."),
        [
            (
                "One book in ten is free",
                "Ten stamps, one paperback. Your code opens the stamp card; used books count half.",
            ),
            (
                "A signed first edition, at the price of any",
                "There are a few left of the reading in autumn. First come, first served; one each.",
            ),
            (
                "Textbooks: fifteen per cent off until the shelves are empty",
                "Only what stands on the long table. Show the code at the till before they scan.",
            ),
        ],
    ),
    (
        ("Second Rise", "A bakery that opens at five and has usually sold out of rye by nine."),
        [
            ("A coffee with every loaf", "Until noon, on weekdays. Say the code; nobody has to see it."),
            (
                "The Saturday bread class",
                "Four hours, two loaves, one starter to take home. The places are few, because the table is.",
            ),
            (
                "Half a cake, for half",
                "Whatever is left after four o'clock. This week only, because the new oven comes.",
            ),
        ],
    ),
    (
        ("Northern Line Rail", "Trains along the coast, and the night train over the mountains."),
        [
            (
                "A quarter off tickets to the reunion",
                "In both directions, second class, bound to the weekend of the reunion.",
            ),
            (
                "Night train: a berth at the price of a seat",
                "Twelve berths on the Friday train. Bring earplugs; the view is at six.",
            ),
            ("The day pass for two", "Two travel on one day pass until the timetable changes."),
        ],
    ),
    (
        (
            "Overhang",
            "A climbing hall in the old grain store: eleven metres, and a corner for those who would rather not.",
        ),
        [
            ("First visit free, shoes included", "An hour with somebody who shows you the knots. Children from six."),
            ("Belay course with four others", "Two evenings, at the end of which you may hold somebody else's rope."),
            ("Ten visits, two of them for nothing", "Until the wall in the west hall is set anew."),
        ],
    ),
    (
        ("The Corner Stage", "A theatre of ninety-nine seats in which nobody sits far away."),
        [
            ("Two tickets for one on Tuesdays", "Any seat, any play, as long as it is Tuesday. Collect them by seven."),
            ("The dress rehearsal, with the director", "Come an hour earlier, see what still goes wrong, and ask."),
            (
                "The last nights of the season",
                "The rest of the seats for the last three evenings, at the price of a programme.",
            ),
        ],
    ),
    (
        ("Clearview Opticians", "Eyes are measured slowly here, and frames bent back for nothing."),
        [
            ("An eye test for nothing", "Half an hour, with the results on paper to take anywhere you like."),
            (
                "A second pair at half price",
                "For the first few who order in this term; the cheaper one counts as the second.",
            ),
            ("Sports glasses, last year's frames", "What is in the drawer, at what it cost us."),
        ],
    ),
    (
        (
            "Lingua House",
            "Evening classes in nineteen languages, and a table at which only the wrong one is forbidden.",
        ),
        [
            (
                "The first month of any course",
                "Four evenings in a group of at most nine. If it is not for you, you owe nothing.",
            ),
            ("Conversation with a native speaker", "Six hours, by yourself, with somebody patient."),
            ("The intensive week", "Five mornings before the term begins. What was not booked goes by this code."),
        ],
    ),
    (
        ("The Long Desk", "Desks by the day above the old post office, with a quiet room that is quiet."),
        [
            ("Three days for nothing", "Any three within a month, coffee included. The printer is yours as well."),
            ("A room for your first customers", "The meeting room, for a day. It has a window and a door that closes."),
            ("The corner desk until summer", "Its tenant has moved on; the rent until summer is paid in part."),
        ],
    ),
    (
        (
            "Spoke and Chain",
            "Bicycles are repaired while you wait, and the difference is explained if you want to know it.",
        ),
        [
            ("A winter check for ten", "Brakes, chain, lights, air. Whatever else is found is told and not done."),
            ("Build your own wheel", "An evening class with spokes, a key and a lot of patience. You ride home on it."),
            ("Rental bicycles from last season", "They have been serviced, and look like it."),
        ],
    ),
    (
        ("Hotel Meridian", "Forty rooms by the station, one lift with a gate, breakfast until eleven."),
        [
            ("A night before an early train", "From Sunday to Thursday, at the price that its own staff pays."),
            ("The room with the balcony", "For the weekend of the reunion, of which there are not many."),
            ("Two nights for one in the quiet weeks", "The three weeks in which the fair is elsewhere."),
        ],
    ),
    (
        ("The Museum of Navigation", "Charts, clocks and a ship in a hall that was built around it."),
        [
            ("Free entry with your card", "For you, and one who comes along, on every weekday."),
            ("An evening in the store", "Twelve visitors, white gloves, and what is never on show."),
            ("The map exhibition before it closes", "The last days, without the queue: the side door, at nine."),
        ],
    ),
    (
        ("Foldaway Software", "Small programs for small companies, kept alive for longer than is usual."),
        [
            ("Invoices for a year", "The whole program for a year, for whoever has just begun on their own."),
            ("An hour with somebody who has seen worse", "Bring the spreadsheet. Nobody laughs."),
            ("The old price until the end of the month", "The new one comes on the first."),
        ],
    ),
];

/// How many partners there are.
pub(super) fn count(plan: &Plan) -> u64 {
    8 + plan.people / 6_000
}

/// A partner, and the ids of those who act for it: who manages its deals, and who takes codes.
fn partner(plan: &Plan, number: u64) -> (Partner, [String; 2]) {
    let mut rng = Rng::of(plan.seed, "partner", number);
    let index = usize::try_from(number).unwrap_or_default();
    let ((name, description), _) = SHOPS[index % SHOPS.len()];
    let created_at = plan.until - (400 - number.min(300).cast_signed()) * DAY;
    let partner = Partner {
        id: super::id(created_at, &mut rng),
        name: city(plan, index).map_or_else(|| name.to_owned(), |city| format!("{name}, {city}")),
        description: description.to_owned(),
        created_at,
    };
    // Some of the first are people whom a visitor can be.
    let mut acting = |first: usize| match super::people().get(first + index) {
        Some(person) if index < 6 => person.id.clone(),
        _ => plan.somebody(rng.below(plan.generated().max(1))).id,
    };
    let agent = acting(10);
    let mut clerk = acting(18);
    if clerk == agent {
        clerk = super::staff_id();
    }
    (partner, [agent, clerk])
}

/// Where a partner is, if it has a namesake: that of the first ones is everywhere.
fn city(plan: &Plan, index: usize) -> Option<&'static str> {
    let chapters = plan.groups().chapters.max(1);
    index.checked_sub(SHOPS.len()).map(|index| CITIES[index % chapters])
}

/// What a partner offers, and the codes that were given out: one without an end in sight, one of which little is left, one that is over soon.
pub(super) fn deals(plan: &Plan, cast: &Cast, number: u64) -> Result<Vec<(Deal, Vec<Redemption>)>> {
    let index = usize::try_from(number).unwrap_or_default();
    let (partner, _) = partner(plan, number);
    let (groups, known) = (plan.groups(), super::people());
    let mut deals = Vec::with_capacity(EACH);
    for (place, (title, body)) in SHOPS[index % SHOPS.len()].1.into_iter().enumerate() {
        let mut rng = Rng::of(plan.seed, "deal", number * EACH as u64 + place as u64);
        // A namesake in a city is for the chapter there; and something of the others is for the members of a group.
        let group = match city(plan, index) {
            Some(city) => (0..groups.len()).find(|group| *group >= groups.topics && groups.city(*group) == Some(city)),
            None => (place == 1 && index % 4 == 1).then(|| index % groups.topics),
        };
        let audience = group
            .map_or_else(|| Ok(EVERYONE.to_owned()), |group| groups.scope(group).map(|scope| scope.to_string()))?;
        let created_at = plan.until - (20 + rng.below(40).cast_signed()) * DAY;
        let (ends_in, limit) = match place {
            0 => ((60 + rng.below(120).cast_signed()) * DAY, 200 + 100 * rng.below(10).cast_signed()),
            1 => ((14 + rng.below(40).cast_signed()) * DAY, 5 + rng.below(11).cast_signed()),
            _ => (30 * HOUR + rng.below(90).cast_signed() * HOUR, 20 + 10 * rng.below(5).cast_signed()),
        };
        // The last deal of every fourth partner is still being written.
        let state = if place + 1 == EACH && index % 4 == 3 { DealState::Draft } else { DealState::Published };
        let most = if place == 1 { limit - 2 } else { limit / 4 };
        let mut deal = Deal {
            id: super::id(created_at, &mut rng),
            partner_id: partner.id.clone(),
            title: title.to_owned(),
            body: body.to_owned(),
            audience,
            state: state.as_str().to_owned(),
            starts_at: created_at + DAY,
            ends_at: plan.until + ends_in,
            redemption_limit: limit,
            redeemed: 0,
            created_at,
        };
        let people = if state == DealState::Draft {
            Vec::new()
        } else {
            let group = group.unwrap_or_else(|| rng.index(cast.members.len()));
            cast.some(&mut rng, group, most.cast_unsigned())
        };
        // Whoever a visitor can be has all of it before them.
        let people = people.into_iter().filter(|person| !known.iter().any(|known| known.id == *person));
        let codes: Vec<Redemption> = people.map(|person| redemption(&mut rng, &deal, person)).collect();
        deal.redeemed = i64::try_from(codes.len()).unwrap_or_default();
        deals.push((deal, codes));
    }
    Ok(deals)
}

fn redemption(rng: &mut Rng, deal: &Deal, person: &str) -> Redemption {
    let redeemed_at = deal.starts_at + rng.below(15 * 24).cast_signed() * HOUR;
    Redemption {
        code: code::of(u128::from(rng.next())),
        deal_id: deal.id.clone(),
        person_id: person.to_owned(),
        redeemed_at,
        verified_at: rng.chance(60).then_some(redeemed_at + HOUR),
    }
}

/// Makes some partners in one transaction, with all they offer.
pub(super) async fn write<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    plan: &Plan,
    cast: &Cast,
    range: Range<u64>,
) -> Result<()> {
    let staff = Caller::new(UserId::new(super::staff_id())?);
    let (mut memberships, mut codes) = (Vec::new(), Vec::new());
    let (mut documents, mut records) = (Vec::new(), Vec::new());
    for number in range {
        let (partner, acting) = partner(plan, number);
        tx.insert_partner(&partner).await?;
        records.push(staff.record(marketplace::PARTNER_CREATED, partner.entity()?)?.after(&partner)?);
        let agent = Caller::new(UserId::new(&*acting[0])?);
        let clerk = Caller::new(UserId::new(&*acting[1])?);
        for (person, role) in acting.into_iter().zip(["agent", "clerk"]) {
            let (user, scope) = (UserId::new(person)?, partner_scope(&partner.id)?);
            memberships.push(ImportRow::active(user, scope, Grant::new(Role::new(role)?)));
        }
        for (deal, redemptions) in deals(plan, cast, number)? {
            tx.insert_deal(&deal).await?;
            let draft = Deal { state: DealState::Draft.as_str().into(), redeemed: 0, ..deal.clone() };
            let drafted = agent.record(deals::DRAFTED, draft.entity()?)?.scope(partner.entity()?);
            records.push(drafted.after(&draft)?);
            if deal.state == DealState::Published.as_str() {
                tx.list_deal(&deal.audience, &deal.id).await?;
                documents.push(deal.document()?);
                records.push(agent.record(deals::PUBLISHED, deal.entity()?)?.diff(&draft, &deal)?);
            }
            for redemption in &redemptions {
                let person = Caller::new(UserId::new(&*redemption.person_id)?);
                records.push(redemption.record(&person, REDEEMED)?.after(redemption)?);
                if redemption.verified_at.is_some() {
                    records.push(redemption.record(&clerk, VERIFIED)?);
                }
            }
            codes.extend(redemptions);
        }
    }
    app.membership.import(tx, &Import::new(memberships)?, &By::user(&staff.user)).await?;
    REDEMPTIONS.write(tx, &codes.iter().map(RedemptionRow::from).collect::<Vec<_>>()).await?;
    app.search.upsert_many(tx, &documents).await?;
    record_many(app, tx, &records).await
}

/// How many of the deals are published.
pub(super) fn count_published(plan: &Plan) -> u64 {
    (0..count(plan)).map(|number| EACH as u64 - u64::from(number % 4 == 3)).sum()
}

/// A redemption as a statement for many takes it.
#[derive(serde::Serialize)]
struct RedemptionRow<'a> {
    code: &'a str,
    deal_id: &'a str,
    person_id: &'a str,
    redeemed_at: i64,
    verified_at: Option<i64>,
}

impl<'a> From<&'a Redemption> for RedemptionRow<'a> {
    fn from(redemption: &'a Redemption) -> Self {
        let Redemption { code, deal_id, person_id, redeemed_at, verified_at } = redemption;
        Self { code, deal_id, person_id, redeemed_at: *redeemed_at, verified_at: *verified_at }
    }
}

const REDEMPTIONS: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_redemption (code, deal_id, person_id, redeemed_at, verified_at)
        SELECT code, deal_id, person_id, redeemed_at, verified_at
        FROM json_to_recordset($1::json)
            AS row (code text, deal_id text, person_id text, redeemed_at bigint, verified_at bigint)
    "#,
    sqlite: r#"
        INSERT INTO campus_redemption (code, deal_id, person_id, redeemed_at, verified_at)
        SELECT value ->> 'code', value ->> 'deal_id', value ->> 'person_id', value ->> 'redeemed_at', value ->> 'verified_at'
        FROM json_each($1)
    "#,
};
