//! Where PostgreSQL's programs are, and which user may run them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a developer without PostgreSQL is told.
const HOW_TO_INSTALL: &str = "\
these tests need the PostgreSQL server programs (initdb, postgres), and none were found.

  Debian, Ubuntu   sudo apt-get install postgresql
  Fedora, RHEL     sudo dnf install postgresql-server
  macOS            brew install postgresql@17

`scripts/test` does this for you. To use a running server instead, name a superuser's database on it:

  STOA_TEST_DATABASE_URL=postgres://postgres@localhost/postgres cargo test";

/// Finds the directory that holds `initdb` and `postgres`.
///
/// Looks through `PATH`, `pg_config --bindir`, then where distributions hide the server: newest version first.
///
/// # Panics
/// With instructions, if there is none.
pub(crate) fn directory() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(pg_config())
        .chain(versions("/usr/lib/postgresql", "", "bin")) // Debian
        .chain(versions("/usr", "pgsql-", "bin")) // PGDG's packages for Fedora
        .chain(versions("/opt/homebrew/opt", "postgresql@", "bin"))
        .chain(versions("/usr/local/opt", "postgresql@", "bin"))
        .chain(versions("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"))
        .find(|directory| ["initdb", "postgres"].iter().all(|program| directory.join(program).is_file()))
        .unwrap_or_else(|| panic!("{HOW_TO_INSTALL}"))
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// The directories `parent/prefix<version>/child`, highest version first.
fn versions(parent: &str, prefix: &str, child: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(child)))
        })
        .collect();
    found.sort_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, directory)| directory).collect()
}

/// Someone who may run PostgreSQL, which refuses to run as root.
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// The user `postgres`, or else `nobody`.
    pub(crate) fn unprivileged() -> Self {
        let passwd = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::named(name, &passwd))
            .expect("PostgreSQL does not run as root, and /etc/passwd names neither `postgres` nor `nobody`")
    }

    fn named(name: &str, passwd: &str) -> Option<Self> {
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let parent = tempfile::tempdir().unwrap();
        for version in ["pgsql-9", "pgsql-17", "pgsql-16", "pgsql-old", "18"] {
            fs::create_dir(parent.path().join(version)).unwrap();
        }
        let found = versions(parent.path().to_str().unwrap(), "pgsql-", "bin");
        assert_eq!(found, ["pgsql-17/bin", "pgsql-16/bin", "pgsql-9/bin"].map(|path| parent.path().join(path)));
        assert!(versions("/nowhere", "", "bin").is_empty());
    }

    #[test]
    fn users_are_read_from_passwd() {
        let passwd = "root:x:0:0:root:/:/bin/sh\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/sh\n";
        let user = User::named("postgres", passwd).unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(User::named("nobody", passwd).is_none());
    }
}
