//! `make bench`: how long ketch takes, and how much memory, against the kernel's floor.
//!
//! Everything happens in a private world (`world.rs`): roots in a temporary directory and a
//! network namespace that is this process' own. Each scenario (`scenarios.rs`) alternates
//! between ketch and the floor (`floor.rs`), so that a noisy neighbour disturbs both; medians
//! are kept. See docs/reference/bench.md.

#![expect(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that talks to whoever runs it"
)]

mod floor;
mod report;
mod scenarios;
mod world;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// What can go wrong is told, and that is all.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `ketch-bench KETCH JSON`: the binary to measure, and where the figures go.
fn run() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(ketch), Some(json)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ketch-bench KETCH RESULT.json".into());
    };
    let world = world::World::new(&ketch)?;
    let report = scenarios::run(&world)?;
    drop(world);
    print!("{}", report.table());
    std::fs::write(&json, report.json())?;
    println!("\n{}", json.display());
    Ok(())
}
