//! What the code does not contain.

use crate::{File, files, report};

/// Every line of these files that holds one of these words.
fn lines_with(words: &[&str], is_searched: impl Fn(&File) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| is_searched(file)) {
        let lines = file.lines().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        found.extend(lines.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())));
    }
    found
}

#[test]
fn nothing_is_left_for_later() {
    let found = lines_with(&["todo!(", "unimplemented!(", "FIXME", "XXX"], |file| !file.has_extension("md"));
    report("Finish it, or say in the README what does not exist yet.", &found);
}

#[test]
fn nothing_is_named_get() {
    let found = lines_with(&["fn get_"], File::is_rust);
    report("A getter is named by what it returns: `fn role`, not `fn get_role`.", &found);
}

#[test]
fn crates_read_no_environment() {
    let found = lines_with(&["std::env", "env::var"], File::is_crate_source);
    report("A crate is configured by its host, in code. Take it as an argument.", &found);
}

#[test]
fn no_path_of_somebodys_machine() {
    let found = lines_with(&["/root/", "/home/", "/Users/"], |_| true);
    let found: Vec<String> = found.into_iter().filter(|line| !line.contains("/home/linuxbrew/")).collect();
    report("Name a path relative to the repository, or ask for it.", &found);
}

/// The test kit creates and drops databases, whose names no placeholder can stand for.
#[test]
fn all_sql_is_static() {
    let is_searched = |file: &File| file.is_rust() && !file.path.starts_with("examples/testkit/src/");
    let mut found = lines_with(&["AssertSqlSafe"], is_searched);
    for file in files().iter().filter(|file| is_searched(file)) {
        for (start, call) in file.text.match_indices("query") {
            let argument = file.text[start + call.len()..].split_once('(').filter(|(name, _)| is_call(name));
            let argument = argument.map_or("", |(_, argument)| argument.trim_start().trim_start_matches('&'));
            if argument.starts_with("format!") || argument.starts_with("concat!") {
                let number = file.text[..start].lines().count();
                found.push(format!("{}:{number}: a statement is put together", file.path));
            }
        }
    }
    report("A statement is a literal beside its binds: a list goes through `ANY($1)` or `json_each($1)`.", &found);
}

/// Whether this stands between `query` and its parenthesis: `_as`, `_scalar::<_, i64>`.
fn is_call(name: &str) -> bool {
    let (suffix, types) = name.split_once("::<").map_or((name, ">"), |(suffix, types)| (suffix, types));
    types.ends_with('>') && suffix.chars().all(|letter| letter == '_' || letter.is_ascii_lowercase())
}

#[test]
fn every_panic_is_proven_impossible() {
    let mut found = Vec::new();
    let is_library = |file: &&File| file.is_crate_source() && !file.path.contains("/conformance");
    for file in files().iter().filter(is_library) {
        let mut before = "";
        for (number, line) in file.lines().take_while(|(_, line)| line.trim() != "#[cfg(test)]") {
            let panics = line.contains(".unwrap()") || line.contains(".expect(");
            if panics && !line.contains("//") && !before.trim_start().starts_with("//") {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
            before = line;
        }
    }
    report("Return an error, or write a comment beside or above that says why it cannot happen.", &found);
}

#[test]
fn every_file_says_what_it_is() {
    let is_introduced = |file: &&File| file.text.starts_with("//! ") || file.text.starts_with("#![doc = include_str!(");
    let silent = files().iter().filter(|file| file.is_rust()).filter(|file| !is_introduced(file));
    report("Begin with `//!` and one sentence.", &silent.map(|file| file.path.clone()).collect::<Vec<_>>());
}

/// Time is injected or a parameter: a test that sleeps is slow on every machine and wrong on the slowest.
#[test]
fn no_test_sleeps() {
    let is_test = |file: &File| file.is_rust() && (file.path.contains("/tests/") || file.path.contains("/conformance"));
    // Here other processes are waited for, which nothing announces.
    let waits_for_processes =
        ["examples/testkit/tests/processes.rs", "jobs-runner/tests/clock.rs", "jobs-runner/tests/faults/"];
    let is_searched =
        |file: &File| is_test(file) && !waits_for_processes.iter().any(|start| file.path.starts_with(start));
    let found = lines_with(&["sleep("], is_searched);
    report("Use a barrier, or pass the time in.", &found);
}
