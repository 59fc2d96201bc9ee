//! Runs a command beside one PostgreSQL cluster, which every test process under it then shares.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command};

use testkit::{Cluster, DATABASE_URL_VARIABLE, Durability};

fn main() {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with-postgres COMMAND [ARGUMENT]...");
        process::exit(2);
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    let cluster = env::var_os(DATABASE_URL_VARIABLE).is_none().then(|| Cluster::start(Durability::Fast));
    if let Some(cluster) = &cluster {
        command.env(DATABASE_URL_VARIABLE, cluster.url("postgres"));
    }
    let code = match command.status() {
        Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        Err(error) => {
            eprintln!("{}: {error}", program.display());
            127
        }
    };
    drop(cluster); // `exit` would leave it to the supervisor, and return before the server has gone
    process::exit(code);
}
