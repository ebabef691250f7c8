//! The `magistrate` binary: configuration, wiring, tasks, lifecycle and subcommands.

mod admin;
mod cli;
mod config;
mod dev;
mod example;
mod exit;
mod journal;
mod keys;
mod lifecycle;
mod notify;
mod ops;
mod os;
mod output;
mod reload;
mod sequencing;
mod serve;
mod signing;
mod store;
mod telemetry;
mod telling;
mod upkeep;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::output::Out;

/// Chosen by measurement: `docs/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Evaluation recurses along policies; within the engine's limits this is far more than it needs.
const WORKER_STACK_BYTES: usize = 8 * 1024 * 1024;

/// Threads for everything but calls, which have their own: shipping, the database, exporters, what operators ask.
const BACKGROUND_THREADS: usize = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out::new(cli.global.output);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(BACKGROUND_THREADS)
        .thread_stack_size(WORKER_STACK_BYTES)
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(verbs::run(cli, &out)),
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the runtime")),
    };
    match outcome {
        Ok(exit) => exit.code(),
        Err(error) => exit::report(&error),
    }
}
