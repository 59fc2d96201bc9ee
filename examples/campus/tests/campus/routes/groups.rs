//! The chess club: what its members write and read, and who its members are.

use super::case::{Case, mixed, read, write};

pub(super) const CASES: &[Case] = &[
    write("mira", "/groups/{group}/posts", POST, "bits.groups.v1.PostService/CreatePost").keeps("post"),
    write("mira", "/api/v1/groups/{group}/posts", POST_JSON, "bits.groups.v1.PostService/CreatePost").keeps("api_post"),
    write("mira", "/api/v1/groups/{group}/posts", POST_JSON, "bits.groups.v1.PostService/CreatePost").keeps("spam"),
    read("mira", "/posts/{post}"),
    read("mira", "/api/v1/posts/{post}"),
    read("mira", "/api/v1/groups/{group}/posts"),
    mixed("mira", "/groups/{group}"),
    write("mira", "/posts/{post}/edit", EDITED, "bits.groups.v1.PostService/UpdatePost"),
    write("mira", "/api/v1/posts/{api_post}", EDITED_JSON, "bits.groups.v1.PostService/UpdatePost"),
    write("olga", "/posts/{spam}/delete", "", "bits.groups.v1.PostService/DeletePost"),
    write("mira", "/api/v1/posts/{api_post}/delete", "", "bits.groups.v1.PostService/DeletePost"),
    read("olga", "/groups/{group}/edit"),
    read("mira", "/groups/{group}/members"),
    read("mira", "/api/v1/groups/{group}/members"),
    write("olga", "/groups/{group}/members", INVITE, "bits.groups.v1.MembershipService/InviteGuest"),
    write("olga", "/groups/{group}/members", ROLE, "bits.groups.v1.MembershipService/SetRole"),
    write("olga", "/groups/{group}/members", REMOVE, "bits.groups.v1.MembershipService/RemoveMember"),
    write("olga", "/api/v1/groups/{group}/members/gus", INVITE_JSON, "bits.groups.v1.MembershipService/InviteGuest"),
    write("olga", "/api/v1/groups/{group}/members/gus", BAN_JSON, "bits.groups.v1.MembershipService/BanMember"),
    write("olga", "/api/v1/groups/{group}/members/gus", UNBAN_JSON, "bits.groups.v1.MembershipService/UnbanMember"),
    read("olga", "/groups/{group}/members/history?person=gus"),
    read("olga", "/api/v1/groups/{group}/members/gus/history"),
];

/// What the club says of itself, which everybody sees.
pub(super) const SEEN: &[Case] = &[
    write("olga", "/groups/{group}/edit", DESCRIPTION, "bits.groups.v1.GroupService/UpdateGroup"),
    write("olga", "/api/v1/groups/{group}", DESCRIPTION_JSON, "bits.groups.v1.GroupService/UpdateGroup"),
];

const POST: &str = "title=The+quetzalcoatlus+has+landed&body=It+is+behind+the+pantry.";
const POST_JSON: &str = r#"{"title": "Feeding the quetzalcoatlus", "body": "Nothing from the pantry."}"#;
const EDITED: &str = "title=The+quetzalcoatlus+has+landed&body=It+is+behind+the+pantry+of+the+club.";
const EDITED_JSON: &str = r#"{"title": "Feeding the quetzalcoatlus", "body": "Nothing at all."}"#;
const INVITE: &str = "decision=invite&person=gus&version=0&until={soon}";
const ROLE: &str = "decision=role&person=gus&version=1&role=admin";
const REMOVE: &str = "decision=remove&person=gus&version=2";
const INVITE_JSON: &str = r#"{"decision": "invite", "version": 3, "until": "{soon}"}"#;
const BAN_JSON: &str = r#"{"decision": "ban", "version": 4, "reason": "Tells everybody"}"#;
const UNBAN_JSON: &str = r#"{"decision": "unban", "version": 5}"#;
const DESCRIPTION: &str = "name=Chess+Club&description=Blitz+on+Fridays&place=The+library";
const DESCRIPTION_JSON: &str = r#"{"name": "Chess Club", "description": "Blitz on Sundays", "place": "The library"}"#;
