//! `config -q`: how long files take to load, and how much memory, by their size.
//!
//! Every service of the generated files is begun by another (`extends`), takes mappings by
//! alias (`<<: *name`) and has variables in its values. The floor is reading the file.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::report::{Goal, Report};
use crate::world::World;

/// Runs of each; the smaller ones are over quickly.
const RUNS: usize = 11;
/// Bytes of the large file.
const LARGE: usize = 10_000_000;

/// Files of 10, 100 and 1000 services, and one of 10 MB.
pub fn run(world: &World, report: &mut Report) -> Result<()> {
    let goal = |milliseconds| Some(Goal::Below(milliseconds));
    for (name, services, bytes, goal) in [
        ("config_10", 10, 0, None),
        ("config_100", 100, 0, None),
        ("config_1000", 1000, 0, goal(60.0)),
        ("config_10mb", 1000, LARGE, goal(400.0)),
    ] {
        let directory = world.path(name);
        fs::create_dir_all(&directory)?;
        let file = directory.join("compose.yaml");
        write(&file, services, bytes)?;
        measure(world, name, &directory, goal, report)?;
    }
    Ok(())
}

fn measure(
    world: &World,
    name: &str,
    directory: &Path,
    goal: Option<Goal>,
    report: &mut Report,
) -> Result<()> {
    let (mut times, mut floors, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let begun = Instant::now();
        let text = fs::read(directory.join("compose.yaml"))?;
        floors.push(begun.elapsed().as_secs_f64() * 1000.0);
        // Or its pages would be counted as the child's, which begins as a copy of this process.
        drop(text);
        let (took, peak) = world.ketch_measured(directory, &["config", "-q"])?;
        times.push(took.as_secs_f64() * 1000.0);
        peaks.push(peak);
    }
    report.add(name, "ms", &times, &floors, goal);
    report.add(&format!("{name}_rss"), "MiB", &peaks, &[], None);
    Ok(())
}

/// Services, and data that nobody reads until there are `bytes`.
fn write(path: &Path, services: usize, bytes: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(HEAD.as_bytes())?;
    let mut written = HEAD.len();
    let mut text = String::new();
    for number in 1..services {
        service(&mut text, number);
    }
    text.push_str("networks: {front: , back: }\nvolumes:\n");
    for number in 1..services {
        // Writing to a string can't fail.
        let _written = writeln!(text, "  v{number}:");
    }
    text.push_str("x-data:\n");
    for number in 0.. {
        file.write_all(text.as_bytes())?;
        written += text.len();
        if written >= bytes {
            break;
        }
        text.clear();
        data(&mut text, number);
    }
    Ok(file.flush()?)
}

const HEAD: &str = "\
x-logging: &logging
  driver: json-file
  options: {max-size: 10m, max-file: '3'}
x-environment: &environment
  TZ: ${TZ:-UTC}
  LOG_LEVEL: ${LOG_LEVEL:-info}
  TRACE_URL: http://trace.${DOMAIN:-example.com}:4318
x-healthcheck: &healthcheck
  interval: 10s
  timeout: 3s
  retries: 5
services:
  s0:
    image: busybox
    restart: unless-stopped
    init: true
    logging: *logging
    stop_grace_period: 20s
    networks: [front, back]
    labels: {com.example.team: platform}
";

fn service(text: &mut String, number: usize) {
    let before = number - 1;
    let port = 10_000 + number;
    // Writing to a string can't fail.
    let _written = write!(
        text,
        "  s{number}:
    extends: s0
    image: ${{REGISTRY:-registry.example.com}}/team/s{number}:${{TAG:-1.0}}
    environment:
      <<: *environment
      NAME: s{number}
      PEER: http://s{before}:${{PORT:-8080}}/
    healthcheck:
      <<: *healthcheck
      test: [CMD, wget, -q, 'http://localhost:${{PORT:-8080}}/health']
    ports: ['{port}:80']
    volumes: ['v{number}:/data', './conf/s{number}:/etc/app:ro']
    depends_on: [s{before}]
    labels:
      com.example.name: s{number}
"
    );
}

fn data(text: &mut String, number: usize) {
    // Writing to a string can't fail.
    let _written = write!(
        text,
        "  item{number}:
    title: The thing number {number}
    numbers: [{number}, 2, 3]
    flags: {{fast: true, level: 3, name: 'n{number}'}}
    text: some words that stand for a value of ordinary length
"
    );
}
