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

mod config;
mod floor;
mod images;
mod report;
mod scenarios;
mod watch;
mod world;

use std::error::Error;
use std::path::{Path, PathBuf};
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

/// `ketch-bench KETCH JSON [ONLY]`: the binary to measure, where the figures go, and the one
/// scenario to run; the figures of the others stay as they are.
fn run() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(ketch), Some(json)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ketch-bench KETCH RESULT.json [SCENARIO]".into());
    };
    let only = arguments.next();
    let kept = json.parent().unwrap_or(Path::new("."));
    let world = world::World::new(&ketch, kept)?;
    let report = scenarios::run(&world, only.as_deref().and_then(Path::to_str))?;
    drop(world);
    print!("{}", report.table());
    let earlier = match only {
        Some(_) => std::fs::read_to_string(&json).unwrap_or_default(),
        None => String::new(),
    };
    std::fs::write(&json, report.json(&earlier))?;
    println!("\n{}", json.display());
    Ok(())
}
