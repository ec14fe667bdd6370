//! The `ketch` program: are we a monitor? else parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    ketch_runtime::reexec::check();
    ketch::cli::run()
}
