//! A user's own lines as posts: what they were filed under becomes groups.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use stoa_membership::{Scope, UserId};
use stoa_search::Surface;

use super::{Document, Line, Lines, checked, invalid, parse, record, write_documents};
use crate::app::App;
use crate::backend::Backend;
use crate::bulk::Bulk;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::directory::{self, Person};
use crate::error::Result;
use crate::groups::posts::{Post, PostRow};
use crate::groups::sql::GroupSql as _;
use crate::groups::{self, Group, GroupKind};

/// So many lines are committed at a time.
const BATCH: usize = 5_000;

/// Who owns the groups and writes the posts.
const IMPORTER: &str = "importer";

/// As old is a post whose line does not say when: always the same, so that its id is.
const UNDATED: i64 = 946_684_800_000_000;

/// What a line says beside what a document needs.
#[derive(Deserialize)]
struct Filed {
    #[serde(default)]
    categories: Vec<String>,
    created: Option<String>,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportedPosts {
    /// Lines that are posts now.
    pub posts: u64,
    /// Posts that were not there, or were different.
    pub changed: u64,
    /// Groups that were not there.
    pub groups: u64,
    /// Lines without a category, which are documents that everybody finds.
    pub documents: u64,
    /// Bytes of the file that were read, before decompression.
    pub bytes: u64,
}

impl ImportedPosts {
    /// How many lines were imported.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.posts + self.documents
    }
}

/// Loads up to `limit` lines of the file, and tells `progress` after every batch. A line with `categories` becomes a post in the
/// group that is called like the first of them, and is made if there is none. Any other becomes a document of the surface, as
/// [`import`](super::import()) makes them.
///
/// A post has the same id whenever it is imported, as long as its line has the same `id` and the same date in `created`. Each batch is one
/// transaction, with one record if it changed anything.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) names the line that is not a document;
/// [`Error::Internal`](crate::error::Error::Internal) if the database failed.
pub async fn import<B: Backend>(
    app: &App<B>,
    surface: &Surface,
    path: &Path,
    limit: u64,
    mut progress: impl FnMut(ImportedPosts) + Send,
) -> Result<ImportedPosts> {
    let mut lines = Lines::open(path)?;
    let mut imported = ImportedPosts::default();
    let mut batch = Batch::default();
    loop {
        let is_full = imported.lines() + batch.len() as u64 >= limit;
        let line = if is_full { None } else { lines.next()? };
        let is_over = line.is_none();
        if let Some((number, text)) = line {
            batch.add(surface, text, number)?;
        }
        if batch.len() > 0 && (is_over || batch.len() == BATCH) {
            batch.write(app, &mut imported).await?;
            imported.bytes = lines.bytes()?;
            progress(imported);
            batch = Batch::default();
        }
        if is_over {
            return Ok(imported);
        }
    }
}

#[derive(Default)]
struct Batch {
    /// What came last under an id counts: the statement that writes them meets each id once.
    posts: BTreeMap<String, Post>,
    /// How many lines they are of.
    post_lines: usize,
    /// The groups of the posts, by id, with their names.
    groups: BTreeMap<String, String>,
    documents: Vec<Document>,
    last: String,
}

impl Batch {
    fn len(&self) -> usize {
        self.post_lines + self.documents.len()
    }

    fn add(&mut self, surface: &Surface, text: &[u8], number: u64) -> Result<()> {
        let document = checked(surface, parse::<Line>(text, number)?, number)?;
        self.last.clone_from(&document.id);
        let filed: Filed = parse(text, number)?;
        let Some(category) = filed.categories.iter().map(|category| category.trim()).find(|name| !name.is_empty())
        else {
            self.documents.push(document);
            return Ok(());
        };
        let group_id = group_id(category);
        let created_at = match &filed.created {
            None => UNDATED,
            Some(text) => moment(text).ok_or_else(|| invalid(number, &"`created` is no date of our time"))?,
        };
        let post = Post {
            id: post_id(&document, created_at),
            group_id: group_id.clone(),
            group_kind: GroupKind::Interest,
            author_id: IMPORTER.to_owned(),
            title: title(&document),
            body: clean(&document.body, 20_000),
            created_at,
            edited_at: None,
        };
        self.groups.entry(group_id).or_insert_with(|| one_line(category, 100));
        self.posts.insert(post.id.clone(), post);
        self.post_lines += 1;
        Ok(())
    }

    async fn write<B: Backend>(&self, app: &App<B>, imported: &mut ImportedPosts) -> Result<()> {
        let mut tx = app.begin().await?;
        imported.groups += self.make_groups(app, &mut tx).await?;
        let posts: Vec<&Post> = self.posts.values().collect();
        let rows: Vec<PostRow<'_>> = self.posts.values().map(PostRow::from).collect();
        let changed: HashSet<String> = POSTS.read(&mut *tx, &rows).await?.into_iter().collect();
        let documents = posts
            .iter()
            .filter(|post| changed.contains(&post.id))
            .map(|post| post.document())
            .collect::<Result<Vec<_>>>()?;
        app.search.upsert_many(&mut tx, &documents).await?;
        write_documents(app, &mut tx, &self.documents).await?;
        if !changed.is_empty() || !self.documents.is_empty() {
            app.audit.record(&mut tx, &record(&self.last)?).await?;
        }
        app.commit(tx).await?;
        imported.posts += self.post_lines as u64;
        imported.changed += changed.len() as u64;
        imported.documents += self.documents.len() as u64;
        Ok(())
    }

    /// Makes the groups that are not there, and says how many.
    async fn make_groups<B: Backend>(&self, app: &App<B>, tx: &mut B::Connection) -> Result<u64> {
        let mut made = 0;
        for (id, name) in &self.groups {
            if tx.group(id).await?.is_some() {
                continue;
            }
            let importer = importer(app, tx).await?;
            let description = format!("What was imported under {name}.");
            let kind = GroupKind::Interest;
            let group = Group { id: id.clone(), kind, name: name.clone(), description, place: String::new() };
            groups::create(app, tx, &group, &importer).await?;
            made += 1;
        }
        Ok(made)
    }
}

/// Whoever owns what was imported; made when first needed.
async fn importer<B: Backend>(app: &App<B>, tx: &mut B::Connection) -> Result<Caller> {
    let user = UserId::new(IMPORTER)?;
    if tx.person(IMPORTER).await?.is_none() {
        let headline = "Brings in what was written elsewhere".to_owned();
        let person = Person { id: IMPORTER.to_owned(), name: "Importer".to_owned(), headline };
        tx.insert_person(&person).await?;
        directory::index(app, tx, IMPORTER).await?;
    }
    Ok(Caller::new(user))
}

/// A category as the id of a group: it is also part of an address.
fn group_id(category: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let id: String = category.chars().map(|letter| if allowed(letter) { letter } else { '-' }).take(100).collect();
    // Two dots would be the way up.
    let id = id.trim_matches('.');
    if id.is_empty() || Scope::group(id).is_err() { "imported".to_owned() } else { id.to_owned() }
}

/// An id that grows with time, and is the same whenever the same line is imported.
fn post_id(document: &Document, created_at: i64) -> String {
    let digest = Sha256::new().chain_update(&document.surface).chain_update([0]).chain_update(&document.id).finalize();
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&digest[..10]);
    uuid::Builder::from_unix_timestamp_millis((created_at / 1000).cast_unsigned(), &bytes).into_uuid().to_string()
}

/// Parses a date, or a moment, from 1970 to 9999.
fn moment(text: &str) -> Option<i64> {
    let moment = match text.parse::<NaiveDate>() {
        Ok(date) => date.and_time(NaiveTime::MIN).and_utc(),
        Err(_) => DateTime::parse_from_rfc3339(text).ok()?.to_utc(),
    };
    let micros = moment.timestamp_micros();
    (0..253_402_300_800_000_000).contains(&micros).then_some(micros)
}

fn title(document: &Document) -> String {
    let title = one_line(&document.title, 200);
    if title.is_empty() { one_line(&document.id, 200) } else { title }
}

fn one_line(text: &str, max: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    clean(&words.join(" "), max)
}

/// A text within the bounds of a post, as far as it fits.
fn clean(text: &str, max: usize) -> String {
    let allowed = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
    text.trim().chars().filter(allowed).take(max).collect()
}

/// Answers with the ids of the posts that were not there, or were different.
const POSTS: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_post AS post (id, group_id, author_id, title, body, created_at)
        SELECT id, group_id, author_id, title, body, created_at
        FROM json_to_recordset($1::json)
            AS row (id text, group_id text, author_id text, title text, body text, created_at bigint)
        ON CONFLICT (id) DO UPDATE
        SET group_id = excluded.group_id, title = excluded.title, body = excluded.body
        WHERE (post.group_id, post.title, post.body) <> (excluded.group_id, excluded.title, excluded.body)
        RETURNING id
    "#,
    sqlite: r#"
        INSERT INTO campus_post AS post (id, group_id, author_id, title, body, created_at)
        SELECT value ->> 'id', value ->> 'group_id', value ->> 'author_id', value ->> 'title', value ->> 'body',
            value ->> 'created_at'
        FROM json_each($1)
        WHERE true
        ON CONFLICT (id) DO UPDATE
        SET group_id = excluded.group_id, title = excluded.title, body = excluded.body
        WHERE (post.group_id, post.title, post.body) <> (excluded.group_id, excluded.title, excluded.body)
        RETURNING id
    "#,
};
