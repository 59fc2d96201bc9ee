//! Documents short enough to be read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{CRATES, file, files, is_command, report, root};

#[test]
fn documents_exist_and_keep_to_their_budget() {
    let root_documents = [("README", 150), ("ARCHITECTURE", 300), ("DESIGN", 250), ("CONTRIBUTING", 150)];
    let root_documents = root_documents.map(|(name, budget)| (format!("{name}.md"), budget));
    let crate_documents =
        CRATES.iter().flat_map(|(name, _)| [(format!("{name}/README.md"), 150), (format!("{name}/DESIGN.md"), 150)]);
    let wrong = root_documents.into_iter().chain(crate_documents).filter_map(|(path, budget)| {
        match file(&path).map(|file| file.text.lines().count()) {
            None => Some(format!("{path}: missing")),
            Some(lines) if lines > budget => Some(format!("{path}: {lines} lines, at most {budget}")),
            Some(_) => None,
        }
    });
    report("Write what is missing; where one is too long, cut what the code says itself.", &wrong.collect::<Vec<_>>());
}

#[test]
fn the_repository_has_its_licences_and_a_changelog() {
    let needed = ["LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md", "Cargo.lock", "deny.toml", "rustfmt.toml"];
    let missing: Vec<String> =
        needed.iter().filter(|path| !root().join(path).exists()).map(ToString::to_string).collect();
    report("Files that belong at the root are missing.", &missing);
}

/// An example nobody compiles is soon wrong.
#[test]
fn every_example_in_a_document_is_compiled() {
    let mut ignored = Vec::new();
    for file in files().iter().filter(|file| file.has_extension("md") || file.is_rust()) {
        for (number, line) in file.lines() {
            let text = line.trim().trim_start_matches("///").trim_start_matches("//!").trim_start();
            let attributes = text.strip_prefix("```").unwrap_or_default();
            if attributes.split([',', ' ']).any(|attribute| attribute == "ignore") {
                ignored.push(format!("{}:{number}: {line}", file.path));
            }
        }
    }
    report("Make it compile (`no_run` is allowed, hidden lines may begin with `#`), or mark it as `text`.", &ignored);
}

#[test]
fn commands_can_be_run() {
    let mode = |path: &str| fs::metadata(root().join(path)).unwrap().permissions().mode();
    let commands = files().iter().map(|file| &file.path).filter(|path| is_command(path));
    let dead: Vec<String> = commands.filter(|path| mode(path) & 0o111 == 0).cloned().collect();
    report("chmod +x, and commit that.", &dead);
}

/// A path that a document names is there.
#[test]
fn documents_name_files_that_exist() {
    let mut dead = Vec::new();
    for file in files().iter().filter(|file| file.has_extension("md")) {
        let folder = root().join(&file.path).parent().unwrap().to_path_buf();
        for (number, line) in file.lines() {
            let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            let local = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
            let gone = local.filter(|link| !folder.join(link.split('#').next().unwrap_or(link)).exists());
            // Only what begins like a path from the root is taken for one.
            let quoted = line.split('`').skip(1).step_by(2).filter(|text| Path::new(text).extension().is_some());
            let from_root = quoted.filter(|text| ["examples/", "benches/"].iter().any(|start| text.starts_with(start)));
            let missing = from_root.filter(|text| !root().join(text).exists());
            dead.extend(gone.chain(missing).map(|path| format!("{}:{number}: {path}", file.path)));
        }
    }
    report("Name the file that is meant.", &dead);
}
