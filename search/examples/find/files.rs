//! Documents from files.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;
use stoa_search::{Document, EntityId, Surface};

/// Reads a file of JSON lines with `id`, `title` and `body`, or every file of a folder and of the folders in it as one text.
pub(crate) fn read(path: &Path) -> Result<Vec<Document>, Box<dyn Error>> {
    let mut documents = Vec::new();
    if path.is_dir() {
        texts(path, path, &mut documents)?;
        return Ok(documents);
    }
    for (number, line) in fs::read_to_string(path)?.lines().enumerate() {
        let object: Value = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        let part = |name: &str| object[name].as_str().unwrap_or_default();
        let id = object["id"].as_str().map_or_else(|| object["id"].to_string(), str::to_owned);
        documents.push(document(&id)?.title(part("title")).body(part("body")));
    }
    Ok(documents)
}

fn texts(root: &Path, folder: &Path, documents: &mut Vec<Document>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            texts(root, &path, documents)?;
            continue;
        }
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        documents.push(document(&name)?.title(name).body(text));
    }
    Ok(())
}

fn document(id: &str) -> Result<Document, Box<dyn Error>> {
    let id = EntityId::new(id).map_err(|error| format!("{id}: {error}"))?;
    Ok(Document::new(Surface::FEED, id))
}
