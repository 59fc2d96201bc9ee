//! What is planned, announced and offered to the chess club: events, announcements, openings.

use super::case::{Case, mixed, open, read, write};

pub(super) const EVENTS: &[Case] = &[
    read("olga", "/events/new"),
    write("olga", "/events", EVENT, "bits.calendar.v1.EventService/CreateEvent").keeps("event"),
    write("olga", "/api/v1/events", EVENT_JSON, "bits.calendar.v1.EventService/CreateEvent").keeps("api_event"),
    write("olga", "/events/{event}", CHANGED_EVENT, "bits.calendar.v1.EventService/UpdateEvent"),
    write("olga", "/api/v1/events/{api_event}", CHANGED_EVENT_JSON, "bits.calendar.v1.EventService/UpdateEvent"),
    write("mira", "/events/{event}/rsvp", "answer=going", "bits.calendar.v1.EventService/SetRsvp"),
    write("mira", "/api/v1/events/{event}/rsvp", r#"{"answer": "none"}"#, "bits.calendar.v1.EventService/SetRsvp"),
    write("mira", "/api/v1/events/{event}/rsvp", r#"{"answer": "going"}"#, "bits.calendar.v1.EventService/SetRsvp"),
    mixed("mira", "/events"),
    mixed("mira", "/api/v1/events"),
    read("mira", "/events?scope=group:{group}"),
    read("mira", "/events/{event}"),
    read("mira", "/api/v1/events/{event}"),
    read("olga", "/events/{event}/edit"),
    read("mira", "/events/{event}/attendees"),
    read("mira", "/api/v1/events/{event}/attendees"),
    read("mira", "/events/{event}/event.ics"),
];

pub(super) const CANCELLED: &[Case] = &[
    write("olga", "/events/{event}/cancel", "", "bits.calendar.v1.EventService/CancelEvent"),
    write("olga", "/api/v1/events/{api_event}/cancel", "", "bits.calendar.v1.EventService/CancelEvent"),
];

const EVENT: &str = "scope=group%3A{group}&title=Flight+of+the+quetzalcoatlus&body=Wear+a+hat&place=Behind+the+pantry\
    &starts_at={soon}T18:00&ends_at={soon}T20:00&time_zone=Europe%2FLisbon&capacity=5";
const CHANGED_EVENT: &str = "title=Flight+of+the+quetzalcoatlus&body=Wear+two+hats&place=Behind+the+pantry\
    &starts_at={soon}T18:00&ends_at={soon}T20:00&time_zone=Europe%2FLisbon&capacity=5";
const EVENT_JSON: &str = r#"{"scope": "group:{group}", "title": "The quetzalcoatlus bathes", "body": "Wear boots",
    "place": "Behind the pantry", "starts_at": "{soon}T10:00:00Z", "ends_at": "{soon}T12:00:00Z", "time_zone": "UTC",
    "capacity": 5}"#;
const CHANGED_EVENT_JSON: &str = r#"{"title": "The quetzalcoatlus bathes", "body": "Wear nothing", "place": "Behind the pantry",
    "starts_at": "{soon}T10:00:00Z", "ends_at": "{soon}T12:00:00Z", "time_zone": "UTC", "capacity": 6}"#;

pub(super) const ANNOUNCEMENTS: &[Case] = &[
    read("stan", "/announcements/new"),
    write("stan", "/announcements", NEWS, "bits.announcements.v1.AnnouncementService/CreateAnnouncement").keeps("news"),
    write("stan", "/api/v1/announcements", NEWS_JSON, "bits.announcements.v1.AnnouncementService/CreateAnnouncement")
        .keeps("api_news"),
    read("stan", "/announcements/all"),
    read("stan", "/announcements/{news}"),
    read("stan", "/api/v1/announcements/{news}"),
    read("stan", "/announcements/{news}/edit"),
    write(
        "stan",
        "/announcements/{news}",
        CHANGED_NEWS,
        "bits.announcements.v1.AnnouncementService/UpdateAnnouncement",
    ),
    write(
        "stan",
        "/api/v1/announcements/{api_news}",
        CHANGED_NEWS_JSON,
        "bits.announcements.v1.AnnouncementService/UpdateAnnouncement",
    ),
    write(
        "stan",
        "/announcements/{news}/schedule",
        "publish_at={soon}T18:00&time_zone=UTC",
        "bits.announcements.v1.AnnouncementService/ScheduleAnnouncement",
    ),
    write(
        "stan",
        "/api/v1/announcements/{api_news}/schedule",
        r#"{"publish_at": "{soon}T18:00:00Z"}"#,
        "bits.announcements.v1.AnnouncementService/ScheduleAnnouncement",
    ),
    write("stan", "/announcements/{news}/publish", "", "bits.announcements.v1.AnnouncementService/PublishAnnouncement"),
    write(
        "stan",
        "/api/v1/announcements/{api_news}/publish",
        "",
        "bits.announcements.v1.AnnouncementService/PublishAnnouncement",
    ),
    read("mira", "/announcements/{news}"),
    read("mira", "/api/v1/announcements/{news}"),
    mixed("mira", "/announcements"),
    mixed("mira", "/api/v1/announcements"),
];

pub(super) const TAKEN_BACK: &[Case] = &[
    write(
        "stan",
        "/announcements/{news}/withdraw",
        "",
        "bits.announcements.v1.AnnouncementService/WithdrawAnnouncement",
    ),
    write(
        "stan",
        "/api/v1/announcements/{api_news}/withdraw",
        "",
        "bits.announcements.v1.AnnouncementService/WithdrawAnnouncement",
    ),
];

const NEWS: &str = "scope=group%3A{group}&title=On+the+quetzalcoatlus&body=It+left+the+pantry.";
const CHANGED_NEWS: &str = "scope=group%3A{group}&title=On+the+quetzalcoatlus&body=It+came+back+to+the+pantry.";
const NEWS_JSON: &str = r#"{"scope": "group:{group}", "title": "Again the quetzalcoatlus", "body": "It sleeps."}"#;
const CHANGED_NEWS_JSON: &str =
    r#"{"scope": "group:{group}", "title": "Again the quetzalcoatlus", "body": "It woke up."}"#;

pub(super) const OPENINGS: &[Case] = &[
    open("mira", "/openings/new"),
    write("mira", "/openings", OPENING, "bits.openings.v1.OpeningService/CreateOpening").keeps("opening"),
    write("mira", "/api/v1/openings", OPENING_JSON, "bits.openings.v1.OpeningService/CreateOpening")
        .keeps("api_opening"),
    read("nora", "/openings/{opening}"),
    read("nora", "/api/v1/openings/{opening}"),
    mixed("nora", "/openings"),
    mixed("nora", "/api/v1/openings"),
];

pub(super) const CLOSED: &[Case] = &[
    write("mira", "/openings/{opening}/close", "", "bits.openings.v1.OpeningService/CloseOpening"),
    write("mira", "/api/v1/openings/{api_opening}/close", "", "bits.openings.v1.OpeningService/CloseOpening"),
];

const OPENING: &str = "title=Keeper+of+the+quetzalcoatlus&employer=The+club&place=The+pantry&body=No+fear+of+heights\
    &url=https%3A%2F%2Fexample.org%2Fapply&group={group}&last_day={soon}";
const OPENING_JSON: &str = r#"{"title": "Dentist of the quetzalcoatlus", "employer": "The club", "place": "The pantry",
    "is_remote": false, "body": "No fear of teeth", "url": "https://example.org/apply", "group": "{group}", "last_day": "{soon}"}"#;
