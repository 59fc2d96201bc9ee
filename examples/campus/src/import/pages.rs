//! The pages of imported documents.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_search::{EntityId, Surface};

use super::sql::ImportSql as _;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the page of a document.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/documents", document::<B>)
}

#[derive(Deserialize)]
struct Key {
    surface: String,
    id: String,
}

/// One imported document.
async fn document<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    key: std::result::Result<Query<Key>, QueryRejection>,
) -> Result<Markup> {
    let Query(key) = key?;
    // What is no surface or no id names no document.
    let surface = Surface::try_from(key.surface.as_str()).map_err(|_| Error::NotFound)?;
    let id = EntityId::try_from(key.id.as_str()).map_err(|_| Error::NotFound)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let document = tx.document(surface.as_str(), id.as_str()).await?.ok_or(Error::NotFound)?;
    Ok(page(
        &document.title,
        Some(&viewer),
        "",
        &html! {
            p.soft { (document.surface) }
            h1 { (document.title) }
            p.body { (document.body) }
        },
    ))
}
