//! Every statement in a file is run, and every migration is known.

use std::path::{Component, Path};

use crate::{File, crates_with_tables, files, report};

fn statements() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.has_extension("sql"))
}

fn is_migration(file: &File) -> bool {
    file.path.contains("/migrations/")
}

/// The paths in every `include_str!`, relative to the root.
fn inclusions() -> Vec<String> {
    let mut included = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        let directory = Path::new(&file.path).parent().expect("a file is in a directory");
        for rest in file.text.split("include_str!(").skip(1) {
            let Some(path) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            included.push(normal(&directory.join(path)));
        }
    }
    included
}

/// Without `..`, which the repository's paths need not the file system for.
fn normal(path: &Path) -> String {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            part => parts.push(part.as_os_str().to_string_lossy()),
        }
    }
    parts.join("/")
}

#[test]
fn every_statement_file_is_included_once() {
    let included = inclusions();
    let wrong = statements().filter_map(|file| {
        let times = included.iter().filter(|path| **path == file.path).count();
        (times != 1).then(|| format!("{}: included {times} times", file.path))
    });
    report(
        "A migration belongs into its `MIGRATOR`, another statement into the one function that runs it. Delete what nobody needs.",
        &wrong.collect::<Vec<_>>(),
    );
}

#[test]
fn every_migration_says_why() {
    let silent = statements().filter(|file| is_migration(file) && !file.text.starts_with("-- "));
    report(
        "Begin with a comment: what and why, which locks it takes, whether it is safe beside the previous release.",
        &silent.map(|file| file.path.clone()).collect::<Vec<_>>(),
    );
}

#[test]
fn both_databases_have_the_same_migrations() {
    let mut different = Vec::new();
    for name in crates_with_tables().chain(["examples/campus"]) {
        let [postgres, sqlite] = ["postgres", "sqlite"].map(|database| {
            let prefix = format!("{name}/migrations/{database}/");
            statements().filter_map(|file| file.path.strip_prefix(prefix.as_str())).collect::<Vec<_>>()
        });
        if postgres != sqlite {
            different.push(format!("{name}: {postgres:?} and {sqlite:?}"));
        }
    }
    report("A step in one database's history is a step in the other's, if only as a comment.", &different);
}
