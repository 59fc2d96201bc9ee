//! Who did what: append-only records inside the caller's own transaction
