//! What a host gets when it depends on one crate.

use std::process::Command;

use crate::{CRATES, crates_with_tables, file, report, root, table};

/// The names of the packages a host would build.
fn packages(directory: &str, features: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-default-features"])
        .args(["--package", &format!("stoa-{directory}"), "--features", features])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The first package, if any, whose name begins with one of these.
fn unwanted(directory: &str, features: &str, names: &[&str]) -> Option<String> {
    let packages = packages(directory, features);
    let found = packages.into_iter().find(|package| names.iter().any(|start| package.starts_with(start)))?;
    Some(format!("stoa-{directory} with features {features:?} depends on {found}"))
}

#[test]
fn without_a_feature_a_crate_pulls_no_database_driver() {
    let drivers = ["sqlx", "libsqlite3-sys", "tokio-postgres", "rusqlite"];
    let found: Vec<String> = CRATES.iter().filter_map(|(name, _)| unwanted(name, "", &drivers)).collect();
    report("Make the dependency optional, and let the backend's feature turn it on (`dep:sqlx`).", &found);
}

#[test]
fn a_backend_pulls_its_own_driver_and_leaves_the_choice_of_tls() {
    let mut found = Vec::new();
    for name in crates_with_tables() {
        found.extend(unwanted(name, "postgres", &["sqlx-sqlite", "libsqlite3-sys", "rustls", "native-tls", "openssl"]));
        found.extend(unwanted(name, "sqlite", &["sqlx-postgres", "tokio-postgres", "rustls", "native-tls", "openssl"]));
        for (feature, driver) in [("postgres", "sqlx-postgres"), ("sqlite", "sqlx-sqlite")] {
            assert!(
                packages(name, feature).iter().any(|package| package == driver),
                "{name}: {feature} lacks {driver}"
            );
        }
    }
    report("A host on one database must not build the other's driver: look at the features in Cargo.toml.", &found);
}

#[test]
fn the_crates_do_not_depend_on_each_other() {
    let mut found = Vec::new();
    for (name, _) in CRATES {
        let manifest = &file(&format!("{name}/Cargo.toml")).expect("every crate has a manifest").text;
        let depends = table(manifest, "dependencies").into_iter().filter(|line| line.starts_with("stoa-"));
        found.extend(depends.map(|line| format!("{name}: {line}")));
    }
    report("A host wires the crates; between them sqlx's connection is all they share.", &found);
}

/// A path without a version is stripped when a crate is published; with one, publishing would go round in circles.
#[test]
fn dependencies_inside_the_workspace_have_no_version() {
    let mut found = Vec::new();
    let ours = |line: &&str| line.starts_with("stoa-") || line.starts_with("testkit") || line.starts_with("campus");
    for (path, name) in CRATES
        .iter()
        .map(|(name, _)| (format!("{name}/Cargo.toml"), "dev-dependencies"))
        .chain([("Cargo.toml".to_owned(), "workspace.dependencies")])
    {
        let manifest = &file(&path).expect("every crate has a manifest").text;
        let versioned = table(manifest, name).into_iter().filter(ours).filter(|line| line.contains("version"));
        found.extend(versioned.map(|line| format!("{path}: {line}")));
    }
    report("Name the path alone.", &found);
}

/// Older releases can lose a commit of one connection when another checkpoints: fixed in SQLite 3.51.3.
#[test]
fn sqlite_has_no_known_data_loss() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let versions: Vec<&str> = lock
        .split("[[package]]")
        .filter(|package| package.contains("name = \"libsqlite3-sys\""))
        .filter_map(|package| package.split("version = \"").nth(1)?.split('"').next())
        .collect();
    assert!(!versions.is_empty(), "Cargo.lock names no libsqlite3-sys: what else ships SQLite now?");
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    let old = versions.iter().filter(|version| version.starts_with("0.") && minor(version) < Some(37));
    report(
        "Update to libsqlite3-sys 0.37 or later (SQLite 3.51.3).",
        &old.map(ToString::to_string).collect::<Vec<_>>(),
    );
}
