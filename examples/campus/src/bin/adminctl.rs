//! Tools for whoever runs campus: `cargo run --release -p campus --bin adminctl -- members list group:chess`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    campus::adminctl::main().await
}
