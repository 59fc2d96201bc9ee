//! What everybody sees: who there is, what groups there are, what is found.

use super::case::{Case, anyone, mixed, open, read};

/// What everybody may do, and everybody sees.
pub(super) const SEEN: &[Case] = &[
    open("", "/people").public(),
    open("", "/people").public().posts("person={person}"),
    open("", "/sign-out").public().posts(""),
    anyone("mira", "/me", PROFILE, "bits.directory.v1.ProfileService/UpdateProfile"),
    anyone("mira", "/api/v1/me", PROFILE_JSON, "bits.directory.v1.ProfileService/UpdateProfile"),
    anyone("mira", "/groups", OTTERS, "bits.groups.v1.GroupService/CreateGroup"),
    anyone("mira", "/api/v1/groups", HERONS, "bits.groups.v1.GroupService/CreateGroup"),
    anyone("gus", "/groups/{elsewhere}/join", "", "bits.groups.v1.GroupService/JoinGroup"),
    anyone("gus", "/groups/{elsewhere}/leave", "", "bits.groups.v1.GroupService/LeaveGroup"),
    anyone("gus", "/api/v1/groups/{elsewhere}/join", "", "bits.groups.v1.GroupService/JoinGroup"),
    anyone("gus", "/api/v1/groups/{elsewhere}/leave", "", "bits.groups.v1.GroupService/LeaveGroup"),
    open("mira", "/groups"),
    open("mira", "/api/v1/groups"),
    open("mira", "/groups/new"),
    open("mira", "/api/v1/groups/{group}"),
    open("mira", "/me"),
    open("mira", "/api/v1/me"),
    open("mira", "/directory"),
    open("mira", "/api/v1/directory"),
    open("mira", "/directory/{person}"),
    open("mira", "/api/v1/directory/{person}"),
    open("mira", "/documents?surface=papers&id={document}"),
];

const PROFILE: &str = "name=Mira+Example&headline=Plays+the+Sicilian&city=Oslo&employer=Nobody&bio=Long&email=mira%40alumni.example\
    &phone=%2B47+1234567&city_audience=everyone&employer_audience=batch&batch_audience=everyone&bio_audience=connections\
    &email_audience=nobody&phone_audience=nobody";
const PROFILE_JSON: &str = r#"{"name": "Mira Example", "headline": "Plays the French", "city": "Oslo", "employer": "Nobody",
    "bio": "Long", "email": "mira@alumni.example", "phone": "+47 1234567", "city_audience": "everyone",
    "employer_audience": "batch", "batch_audience": "everyone", "bio_audience": "connections", "email_audience": "nobody",
    "phone_audience": "nobody"}"#;
const OTTERS: &str = "kind=interest&name=Otters&description=They+hold+hands&place=The+river&id=otters";
const HERONS: &str =
    r#"{"kind": "chapter", "name": "Herons", "description": "They wait", "place": "Oslo", "id": "herons"}"#;

/// What gathers from everywhere, and shows to each what is theirs. The word is misspelt, or only begun: no page repeats it by itself.
pub(super) const GATHERED: &[Case] = &[
    mixed("mira", "/"),
    mixed("mira", "/feed"),
    mixed("mira", "/api/v1/feed"),
    mixed("mira", "/search?q=quetzlacoatlus"),
    mixed("mira", "/search?q=pantry"),
    mixed("mira", "/search?q=the+club"),
    mixed("mira", "/api/v1/search?q=quetzlacoatlus"),
    mixed("mira", "/api/v1/search?q=pantry"),
    mixed("mira", "/api/v1/search/suggest?q=quetz"),
    mixed("mira", "/assistant?q=What+is+behind+the+pantry%3F"),
    mixed("mira", "/api/v1/assistant").posts(r#"{"question": "What is behind the pantry?"}"#),
    mixed("nora", "/notifications").after_work(),
    mixed("nora", "/api/v1/notifications"),
];

/// How somebody is told of what: their own choice, and of nobody else's concern.
pub(super) const SETTINGS: &[Case] = &[
    anyone("gus", "/settings/notifications", TOLD, "bits.notifications.v1.PreferenceService/UpdatePreferences"),
    anyone(
        "gus",
        "/api/v1/settings/notifications",
        TOLD_JSON,
        "bits.notifications.v1.PreferenceService/UpdatePreferences",
    ),
    open("gus", "/settings/notifications"),
    open("gus", "/api/v1/settings/notifications"),
    anyone("gus", "/settings/whatsapp/code", "", "bits.whatsapp.v1.OptInService/CreateCode"),
    anyone("gus", "/settings/whatsapp/opt-out", "", "bits.whatsapp.v1.OptInService/OptOut"),
    anyone("gus", "/api/v1/whatsapp/code", "", "bits.whatsapp.v1.OptInService/CreateCode"),
    anyone("gus", "/api/v1/whatsapp/opt-out", "", "bits.whatsapp.v1.OptInService/OptOut"),
    open("gus", "/settings/whatsapp"),
    open("gus", "/api/v1/whatsapp"),
];

const TOLD: &str =
    "want=event+in_app&want=staff+digest&digest=daily&quiet_from=22:00&quiet_until=07:00&time_zone=Europe%2FLisbon";
const TOLD_JSON: &str = r#"{"channels": {"event": ["in_app"]}, "quiet_from": "21:00", "quiet_until": "06:00",
    "time_zone": "Europe/Oslo", "digest": "weekly"}"#;

/// What whoever administrates the campus reads, the dashboard of the jobs among it.
pub(super) const ADMINISTRATION: &[Case] = &[
    read("stan", "/admin"),
    read("stan", "/admin/search"),
    read("stan", "/admin/audit"),
    read("stan", "/admin/audit/verify"),
    read("stan", "/admin/audit/records/{record}"),
    read("stan", "/admin/jobs"),
    read("stan", "/admin/jobs/list"),
];
