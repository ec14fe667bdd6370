//! Writes `corpus/TARGET/`: what the targets begin with, from the cases of `compose-specs/` and
//! the examples.

#[path = "../tests/mutation/checks.rs"]
#[expect(dead_code, reason = "only the words of a bundle are needed")]
mod checks;
#[path = "../tests/mutation/corpus.rs"]
mod corpus;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bundles = corpus::bundles(&here.join(".."));
    let texts: BTreeSet<&str> = bundles.iter().map(|(_, text)| text.as_str()).collect();
    let lines = texts.iter().flat_map(|text| text.lines().map(str::trim));
    // The values alone too: short forms begin behind the dash or the key.
    let values = lines.flat_map(|line| [line, line.rsplit([' ', '[']).next().unwrap_or(line)]);
    let values: BTreeSet<&str> = values.collect();
    for (target, seeds) in [
        ("loader", &texts),
        ("yaml", &texts),
        ("dotenv", &values),
        ("interpolation", &values),
        ("forms", &values),
    ] {
        let directory = here.join("corpus").join(target);
        fs::create_dir_all(&directory)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(directory.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
