//! `cargo run --release -p stoa-benches -- compare <area> [--json] [--quick]`: ours beside a baseline, in the same run.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use stoa_benches::{Case, Setup, audit, campus, capabilities, jobs, membership, search};

/// Measures Stoa's crates.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures an area beside its baselines and prints a line for each case.
    Compare {
        /// What to measure.
        area: Area,
        /// Prints each line as JSON.
        #[arg(long)]
        json: bool,
        /// Runs small, to see that it runs: the figures mean little.
        #[arg(long)]
        quick: bool,
        /// Takes the ten minutes of `jobs.pinned_snapshot_rate`.
        #[arg(long)]
        long: bool,
        /// Takes one subject only: of `campus` start or load; of `jobs` drain, pickup, enqueue, pinned, sqlite or idle; of `search` large, which is 700,000
        /// documents and left out otherwise.
        #[arg(long)]
        only: Option<String>,
        /// A file of documents, one JSON object `{"id", "title", "body", "categories"}` a line, perhaps gzipped; unless given, the
        /// one that the variable `STOA_CORPUS` of the environment names.
        #[arg(long)]
        corpus: Option<PathBuf>,
    },
    /// Exports the audit records of a database: the process whose memory `audit.export_peak_mib` is about.
    #[command(hide = true)]
    ExportPeak {
        /// The database.
        url: String,
    },
    /// Runs a runner with nothing to do: the process whose memory `jobs.idle_mib` is about.
    #[command(hide = true)]
    IdleRunner {
        /// The database.
        url: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Area {
    All,
    Audit,
    Campus,
    Capabilities,
    Jobs,
    Membership,
    Search,
}

#[tokio::main]
async fn main() {
    let (area, json, quick, long, only, corpus) = match Arguments::parse().command {
        Command::Compare { area, json, quick, long, only, corpus } => (area, json, quick, long, only, corpus),
        Command::ExportPeak { url } => return audit::peak(&url).await,
        Command::IdleRunner { url } => return jobs::idle(&url).await,
    };
    let corpus = corpus.or_else(|| std::env::var_os("STOA_CORPUS").map(PathBuf::from));
    if let Some(missing) = corpus.as_ref().filter(|path| !path.is_file()) {
        let message = format!("there is no corpus at {}", missing.display());
        Arguments::command().error(ErrorKind::ValueValidation, message).exit();
    }
    let setup = Setup::new(quick, corpus).long(long).only(only);
    let wants = |one| area == one || area == Area::All;
    let print = |cases: Vec<Case>| {
        for case in cases {
            println!("{}", if json { case.to_json() } else { case.to_string() });
        }
    };
    if wants(Area::Membership) {
        print(membership::compare(&setup).await);
    }
    if wants(Area::Capabilities) {
        print(capabilities::compare(&setup).await);
    }
    if wants(Area::Audit) {
        print(audit::compare(&setup).await);
    }
    if wants(Area::Jobs) {
        print(jobs::compare(&setup).await);
    }
    if wants(Area::Search) {
        print(search::compare(&setup).await);
    }
    if wants(Area::Campus) {
        print(campus::compare(&setup).await);
    }
}
