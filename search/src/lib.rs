//! Find it: ranked, audience-safe search that is fresh at commit, inside the caller's own database
