//! Records in SQLite
