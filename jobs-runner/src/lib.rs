//! Work to do later: a durable, fenced queue inside the caller's own database and transaction
