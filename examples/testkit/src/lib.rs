//! Ephemeral PostgreSQL and fresh databases.
