//! Damaged files: every case of `compose-specs/` and every example, changed a little many
//! times, the same way each time. Nothing may panic or take long, and what loads all the same
//! must read back as it is printed. `MUTATIONS=100000` goes on for longer; `fuzz/` is for the
//! rest of the day.

mod checks;
mod corpus;
mod mutate;

use std::panic;
use std::path::Path;
use std::time::{Duration, Instant};

use mutate::Random;

/// Some ten seconds in the profile of tests.
const MUTATIONS: u64 = 6000;
/// Of one text, on a busy machine.
const LONGEST: Duration = Duration::from_secs(5);

#[test]
fn undamaged_files_read_back_as_they_are_printed() {
    let loaded = corpus::bundles(root())
        .iter()
        .filter(|(name, text)| checked(name, text, checks::loader))
        .count();
    assert!(loaded > 25, "only {loaded} load");
}

#[test]
fn damaged_files_are_told_about_or_read_back() {
    let bundles = corpus::bundles(root());
    let (mut loaded, count) = (0, mutations());
    for number in 0..count {
        let mut random = Random::new(number);
        let (name, text) = random.one_of(&bundles);
        let (_, other) = random.one_of(&bundles);
        let text = mutate::mutated(text, other, &mut random);
        loaded += u64::from(checked(&format!("{name} {number}"), &text, checks::loader));
    }
    assert!(loaded > count / 20, "only {loaded} of {count} load");
}

#[test]
fn damaged_parts_are_told_about() {
    let bundles = corpus::bundles(root());
    for number in 0..mutations() {
        let mut random = Random::new(number);
        let (name, text) = random.one_of(&bundles);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let (line, other) = (*random.one_of(&lines), *random.one_of(&lines));
        let line = mutate::mutated(line, other, &mut random);
        let name = format!("{name} {number}");
        checked(&name, &line, checks::interpolation);
        checked(&name, &line, checks::dotenv);
        checked(&name, &line, checks::yaml);
        checked(&name, &line, checks::forms);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn mutations() -> u64 {
    match std::env::var("MUTATIONS") {
        Ok(count) => count.parse().expect("MUTATIONS is a number"),
        Err(_) => MUTATIONS,
    }
}

/// Runs a check; says which text it was when it fails.
fn checked(name: &str, text: &str, check: fn(&str) -> bool) -> bool {
    let begun = Instant::now();
    let result = panic::catch_unwind(|| check(text));
    let took = begun.elapsed();
    assert!(took < LONGEST, "{name} took {took:?}:\n{text}");
    result.unwrap_or_else(|_| panic!("{name}:\n{text}"))
}
