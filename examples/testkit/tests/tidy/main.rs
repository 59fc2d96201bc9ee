//! The repository's own lints: what CONTRIBUTING asks for and a machine can hold.
//!
//! Each test collects every violation, so that one run names all there is to mend, and says how.

mod crates;
mod dependencies;
mod documents;
mod source;
mod sql;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The five crates by directory, each with its facade.
const CRATES: [(&str, &str); 5] = [
    ("membership", "membership"),
    ("capabilities", "capabilities"),
    ("audit", "audit"),
    ("jobs-runner", "jobs"),
    ("search", "search"),
];

/// Those of the five that keep tables. `capabilities` reads facts through the host instead.
fn crates_with_tables() -> impl Iterator<Item = &'static str> {
    CRATES.iter().map(|(name, _)| *name).filter(|name| *name != "capabilities")
}

/// One text file of the repository.
struct File {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// Whether it belongs to what users of the five crates run.
    fn is_crate_source(&self) -> bool {
        self.is_rust() && CRATES.iter().any(|(name, _)| self.path.starts_with(&format!("{name}/src/")))
    }

    /// Its lines, with numbers as editors count them.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text file, but these lints, which have to quote what they forbid.
fn files() -> &'static [File] {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
        let mut files = Vec::new();
        walk(&root(), "", &mut files);
        files.retain(|file| !file.path.starts_with("examples/testkit/tests/tidy/"));
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files
    });
    &FILES
}

fn walk(directory: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().expect("file names are UTF-8");
        let relative = format!("{prefix}{name}");
        if path.is_dir() {
            if name != "target" && name != ".git" {
                walk(&path, &format!("{relative}/"), files);
            }
        } else if is_text(&relative) {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{relative}: {error}"));
            files.push(File { path: relative, text });
        }
    }
}

fn is_text(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "md" | "sql" | "toml" | "sh" | "css" | "js")) || is_command(path)
}

fn is_command(path: &str) -> bool {
    path.starts_with("scripts/") || path == ".ci/run"
}

fn file(path: &str) -> Option<&'static File> {
    files().iter().find(|file| file.path == path)
}

/// `src/<module>.rs` and, where it has outgrown one file, everything in `src/<module>/`.
fn module(directory: &str, module: &str) -> String {
    let (alone, folder) = (format!("{directory}/src/{module}.rs"), format!("{directory}/src/{module}/"));
    let parts = files().iter().filter(|file| file.path == alone || file.is_rust() && file.path.starts_with(&folder));
    parts.map(|file| file.text.as_str()).collect()
}

/// The lines of one table of a `Cargo.toml`, without comments and blank lines.
fn table<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let heading = format!("[{name}]");
    let body = manifest.lines().skip_while(|line| line.trim() != heading).skip(1);
    body.take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .collect()
}

#[track_caller]
fn report(advice: &str, violations: &[String]) {
    assert!(violations.is_empty(), "\n{advice}\n\n  {}\n", violations.join("\n  "));
}
