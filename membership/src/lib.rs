//! Who belongs to what: one table, one hot check, inside the caller's own transaction
