//! Five crates with one inner shape.

use crate::{CRATES, crates_with_tables, file, files, module, report, table};

const LAYOUT: &str = "Every crate has the same files, so that who knows one knows all (DESIGN, ARCHITECTURE). Add what is \
                      missing, or move what is there.";

#[test]
fn every_crate_has_the_same_files() {
    let mut missing = Vec::new();
    let mut need = |path: String| {
        if file(&path).is_none() {
            missing.push(path);
        }
    };
    for (name, facade) in CRATES {
        for path in ["Cargo.toml", "README.md", "src/lib.rs", "src/error.rs", "src/conformance.rs"] {
            need(format!("{name}/{path}"));
        }
        need(format!("{name}/src/{facade}.rs"));
        need(format!("{name}/examples/{}.rs", name.replace('-', "_")));
    }
    for name in crates_with_tables() {
        for path in ["store", "source", "memory", "postgres", "sqlite"] {
            need(format!("{name}/src/{path}.rs"));
        }
        for path in ["memory", "sqlite", "postgres", "model"] {
            need(format!("{name}/tests/{path}.rs"));
        }
        for database in ["postgres", "sqlite"] {
            need(format!("{name}/migrations/{database}/0001_initial.sql"));
        }
    }
    report(LAYOUT, &missing);
}

#[test]
fn capabilities_has_no_tables() {
    let unexpected = ["src/store", "src/memory", "src/postgres", "src/sqlite", "migrations/"];
    let is_unexpected = |path: &str| unexpected.iter().any(|start| path.starts_with(&format!("capabilities/{start}")));
    let found: Vec<String> = files().iter().map(|file| file.path.clone()).filter(|path| is_unexpected(path)).collect();
    report(
        "capabilities asks the host through `Facts` and keeps nothing. Put tables into the crate that owns them.",
        &found,
    );
}

#[test]
fn files_stay_short_enough_to_read() {
    let limit = |path: &str| match path {
        path if path.ends_with("src/lib.rs")
            && CRATES.iter().any(|(name, _)| path.starts_with(&format!("{name}/"))) =>
        {
            60
        }
        path if CRATES.iter().any(|(name, _)| path.starts_with(&format!("{name}/examples/"))) => 60,
        _ => 800,
    };
    let too_long = files().iter().filter(|file| !file.has_extension("md")).filter_map(|file| {
        let (lines, limit) = (file.text.lines().count(), limit(&file.path));
        (lines > limit).then(|| format!("{}: {lines} lines, at most {limit}", file.path))
    });
    report(
        "Split by subject: `postgres.rs` keeps the overview, `postgres/claim.rs` a subject. Never `utils`, `helpers` or `models`.",
        &too_long.collect::<Vec<_>>(),
    );
}

#[test]
fn both_databases_read_side_by_side() {
    let mut different = Vec::new();
    for name in crates_with_tables() {
        let [postgres, sqlite] = ["postgres", "sqlite"].map(|database| functions(&module(name, database)));
        if postgres.contract != sqlite.contract {
            different.push(format!("{name}: {:?}\n    and {:?}", postgres.contract, sqlite.contract));
        }
        // One of them may need a helper of its own: times are integers only on SQLite.
        let common = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|name| those.contains(name)).cloned().collect()
        };
        let left = common(&postgres.helpers, &sqlite.helpers);
        let right = common(&sqlite.helpers, &postgres.helpers);
        if left != right {
            different.push(format!("{name}: {left:?}\n    and {right:?}"));
        }
    }
    report(
        "`diff src/postgres.rs src/sqlite.rs` is how a backend is reviewed: the same functions, in the same order, in both.",
        &different,
    );
}

/// The functions of a backend, in order.
#[derive(Default)]
struct Functions {
    /// Those of `Store`.
    contract: Vec<String>,
    helpers: Vec<String>,
}

fn functions(source: &str) -> Functions {
    let mut functions = Functions::default();
    let mut is_contract = false;
    let mut is_source = false;
    for line in source.lines().take_while(|line| *line != "#[cfg(test)]") {
        if !line.is_empty() && !line.starts_with([' ', '}']) {
            is_contract = line.starts_with("impl Store for ");
            // It has methods that only one database can do better than their defaults.
            is_source = line.starts_with("impl Source for ");
        }
        let declaration = line.trim_start();
        let declaration = declaration.strip_prefix("pub ").unwrap_or(declaration);
        let declaration = declaration.strip_prefix("async ").unwrap_or(declaration);
        if let Some(name) = declaration.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
            if is_contract {
                functions.contract.push(name.to_owned());
            } else if !is_source {
                functions.helpers.push(name.to_owned());
            }
        }
    }
    functions
}

#[test]
fn every_law_is_listed() {
    let mut unlisted = Vec::new();
    for (name, _) in CRATES {
        let source = module(name, "conformance");
        let list = source.split_once("macro_rules! __laws").and_then(|(_, rest)| rest.split_once("\n}\n"));
        let list: Vec<&str> = list.map(|(list, _)| list.split_whitespace().collect()).unwrap_or_default();
        for law in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let law = law.split(['<', '(']).next().unwrap_or(law);
            if !list.contains(&law) {
                unlisted.push(format!("{name}: {law}"));
            }
        }
        if list.is_empty() {
            unlisted.push(format!("{name}: src/conformance.rs has no `__laws!`"));
        }
    }
    report("A law that `__laws!` does not list is never run. Add it to the list in src/conformance.rs.", &unlisted);
}

#[test]
fn manifests_are_alike() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with("Cargo.toml") && file.text.contains("[package]")) {
        let mut demand = |is_so: bool, what: &str| {
            if !is_so {
                wrong.push(format!("{}: {what}", file.path));
            }
        };
        let is_crate = CRATES.iter().any(|(name, _)| file.path == format!("{name}/Cargo.toml"));
        let package = table(&file.text, "package");
        let is_excluded = file.text.contains("[workspace]"); // a rival that needs a lock file of its own
        demand(is_excluded || table(&file.text, "lints") == ["workspace = true"], "[lints] workspace = true");
        demand(is_crate || package.contains(&"publish = false"), "only the five crates are published: publish = false");
        demand(
            !package.iter().any(|line| line.starts_with("include") || line.starts_with("exclude")),
            "no `include` or `exclude`: they have left out migrations before",
        );
        if !is_crate {
            continue;
        }
        let features = table(&file.text, "features");
        demand(features.contains(&"default = []"), "[features] default = []: the host chooses its database");
        demand(features.iter().any(|line| line.starts_with("conformance = ")), "feature `conformance`");
        if crates_with_tables().any(|name| file.path.starts_with(&format!("{name}/"))) {
            demand(features.iter().any(|line| line.starts_with("postgres = ")), "feature `postgres`");
            demand(features.iter().any(|line| line.starts_with("sqlite = ")), "feature `sqlite`");
        }
    }
    report("These manifests lack what all others have.", &wrong);
}
