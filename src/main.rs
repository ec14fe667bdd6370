//! The `ketch` program: are we a monitor? else parse, run, exit.

fn main() {}
