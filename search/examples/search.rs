//! Indexes a few documents and searches them: `cargo run -p stoa-search --example search --features sqlite -- boat race`.

use stoa_search::{Audience, Document, EntityId, Query, Search, Sqlite, Surface, Tag};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    stoa_search::sqlite::MIGRATOR.run(&pool).await?;
    let search = Search::new(Sqlite);
    let (everyone, rowing) = (Tag::new("everyone")?, Tag::new("group:rowing")?);

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    for (surface, id, title, body, tag) in [
        (Surface::FEED, "1", "Boat race on Sunday", "Eight crews have entered. Who brings the oars?", &rowing),
        (Surface::FEED, "2", "Lost: one umbrella", "Left in the boat house after the last race.", &rowing),
        (Surface::EVENTS, "3", "Summer ball", "On the river, in boats, from nine.", &everyone),
        (Surface::JOBS, "4", "C++ engineer", "Builds controllers for racing yachts.", &everyone),
    ] {
        let document = Document::new(surface, EntityId::new(id)?).title(title).body(body).audience([tag.clone()]);
        search.upsert(&mut tx, &document).await?;
    }
    tx.commit().await?;

    let words: Vec<String> = std::env::args().skip(1).collect();
    let text = if words.is_empty() { "boat races".to_owned() } else { words.join(" ") };
    let mut conn = pool.acquire().await?;
    for (who, audience) in
        [("a visitor", Audience::tags([everyone.clone()])), ("a rower", Audience::tags([everyone, rowing]))]
    {
        let results = search.search(&mut conn, &Query::text(&*text), &audience).await?;
        println!("{who} finds {} for “{text}”", results.total);
        for hit in results.hits {
            println!("  {:5.2}  {:8}  {} | {}", hit.score, hit.surface, hit.title.html(), hit.snippet.html());
        }
    }
    Ok(())
}
