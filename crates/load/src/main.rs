//! `magistrate-load`: how much a server answers, how fast, and for how much processor time. Never shipped.

mod arrivals;
mod call;
mod cli;
mod clock;
mod collector;
mod drive;
mod echo;
mod figures;
mod flat;
mod install;
mod output;
mod process;
mod profile;
mod report;
mod run;
mod scale;
mod scenario;
mod target;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Verb};

/// The product's: what is compared with it must not lack it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Run { server, pid, api_key_file, program, verify_history, load } => {
            run::run(server, pid, api_key_file.as_deref(), program.as_ref(), verify_history, &load)
        }
        Verb::Ab { a, b, rounds, load } => run::ab(&a, &b, rounds, &load),
        Verb::Scenario { out, scenario } => run::write(&out, &scenario),
        Verb::Baselines { dir } => {
            install::install(&dir);
            Ok(())
        }
        Verb::Profile(args) => profile::profile(&args),
        Verb::Flat(args) => flat::flat(&args),
        Verb::Scale(args) => scale::scale(&args),
        Verb::Report(args) => report::report(&args),
        Verb::Echo(echoing) => echo::serve(&echoing),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(&format!("error: {error:#}"));
            ExitCode::from(match () {
                () if error.is::<cli::Misused>() => 2,
                () if error.is::<run::HistoryDiffers>() => 7,
                () => 1,
            })
        }
    }
}
