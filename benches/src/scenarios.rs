//! What is measured, and how often.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::Result;
use crate::config;
use crate::floor::{self, Floor};
use crate::images;
use crate::report::{Goal, Report};
use crate::watch;
use crate::world::{self, World};

/// Services in the health chain.
const CHAIN: usize = 5;
/// Runs of each scenario with few containers; with many it is three.
const RUNS: usize = 5;

/// What is measured in one go.
type Scenario = fn(&World, &mut Report) -> Result<()>;

const SCENARIOS: [(&str, Scenario); 5] = [
    ("config", config::run),
    // Before this process leaves the host's network, where the registry is.
    ("images", images::run),
    ("services", all_services),
    ("chain", chain),
    ("watch", watch::run),
];

/// All scenarios, or the one of this name.
pub fn run(world: &World, only: Option<&str>) -> Result<Report> {
    let mut report = Report::default();
    let asked = |name: &str| only.is_none_or(|only| only == name);
    if !SCENARIOS.iter().any(|(name, _)| asked(name)) {
        let names = SCENARIOS.map(|(name, _)| name).join(", ");
        return Err(format!("no such scenario; there are {names}").into());
    }
    for (name, scenario) in SCENARIOS {
        if asked(name) {
            eprintln!("bench: {name}");
            scenario(world, &mut report)?;
        }
    }
    Ok(report)
}

fn all_services(world: &World, report: &mut Report) -> Result<()> {
    world.furnish()?;
    for count in [1, 10, 50] {
        services(world, count, report)?;
    }
    Ok(())
}

/// What is measured of a number of services, in milliseconds and MiB.
#[derive(Debug, Default)]
struct Measured {
    up: [Vec<f64>; 2],
    down: [Vec<f64>; 2],
    noop: [Vec<f64>; 2],
    ps: [Vec<f64>; 2],
    pss: [Vec<f64>; 2],
}

/// `up`, `up` again, `ps`, memory, `down` of that many sleeping services.
fn services(world: &World, count: usize, report: &mut Report) -> Result<()> {
    let project = world.project(&format!("sleepers{count}"), &sleepers(count))?;
    let floor = Floor::new(world)?;
    let runs = if count < 50 { RUNS } else { 3 };
    let mut measured = Measured::default();
    for _ in 0..runs {
        let [ketch, bare] = &mut measured.up;
        let (up, containers) = floor.up(count)?;
        bare.push(ms(up));
        measured.down[1].push(ms(floor.down(&containers)?));
        ketch.push(ms(world.ketch(&project, ["up", "-d"])?));

        measured.noop[1].push(ms(floor::read_all(world, &project)?));
        for _ in 0..RUNS {
            measured.noop[0].push(ms(world.ketch(&project, ["up", "-d"])?));
            measured.ps[0].push(ms(world.ketch(&project, ["ps"])?));
        }
        measured.ps[1].push(ms(floor::read_all(world, &project)?));

        let monitors = world.monitors()?;
        if monitors.len() != count {
            return Err(format!("{count} services have {} monitors", monitors.len()).into());
        }
        let each = |total: f64| total / as_f64(count);
        measured.pss[0].push(each(world::pss(&monitors)?));
        measured.pss[1].push(each(world::pss(&world::children(&monitors)?)?));

        measured.down[0].push(ms(world.ketch(&project, ["down", "-v"])?));
        world.settle()?;
    }
    let Measured {
        up,
        down,
        noop,
        ps,
        pss,
    } = &measured;
    let mut add = |name: &str, unit, [ketch, bare]: &[Vec<f64>; 2], goal| {
        report.add(&format!("{name}_{count}"), unit, ketch, bare, goal);
    };
    add(
        "up",
        "ms",
        up,
        (count == 10).then_some(Goal::BelowAndRatio(150.0, 3.0)),
    );
    add("down", "ms", down, None);
    add(
        "noop_up",
        "ms",
        noop,
        (count == 50).then_some(Goal::Below(40.0)),
    );
    add("ps", "ms", ps, None);
    add(
        "monitor_pss",
        "MiB",
        pss,
        (count == 50).then_some(Goal::Below(0.3)),
    );
    Ok(())
}

/// A chain in which each service waits for the one before to be healthy.
fn chain(world: &World, report: &mut Report) -> Result<()> {
    world.furnish()?;
    let project = world.project("chain", &healthy_chain())?;
    let shared = project.join("shared");
    let floor = Floor::new(world)?;
    let (mut ups, mut gates) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..RUNS {
        let (bare, one) = floor.chain(CHAIN)?;
        ups[1].push(ms(bare));
        gates[1].push(ms(one));
        fs::create_dir_all(&shared)?;
        ups[0].push(ms(world.ketch(&project, ["up", "-d"])?));
        for (ready, started) in (1..CHAIN).zip(2..=CHAIN) {
            let ready = written(&shared.join(format!("ready-{ready}")))?;
            let started = wait_until_written(&shared.join(format!("started-{started}")))?;
            // A file's time may lag by a tick of the kernel's clock.
            gates[0].push(ms(started.duration_since(ready).unwrap_or_default()));
        }
        world.ketch(&project, ["down", "-v"])?;
        world.settle()?;
        fs::remove_dir_all(&shared)?;
    }
    let name = format!("healthy_chain_{CHAIN}");
    report.add(&name, "ms", &ups[0], &ups[1], Some(Goal::Below(400.0)));
    report.add(
        "gate_latency",
        "ms",
        &gates[0],
        &gates[1],
        Some(Goal::Below(20.0)),
    );
    Ok(())
}

/// Services that sleep, on one network, each with a volume.
fn sleepers(count: usize) -> String {
    let mut text = String::from("services:\n");
    for number in 1..=count {
        // Writing to a string can't fail.
        let _written = write!(
            text,
            "  s{number}:\n    image: busybox\n    command: sleep 1d\n    volumes: [\"v{number}:/data\"]\n"
        );
    }
    text.push_str("volumes:\n");
    for number in 1..=count {
        let _written = writeln!(text, "  v{number}:");
    }
    text
}

/// Each service leaves a file when it starts, and one when its first probe succeeds.
fn healthy_chain() -> String {
    let mut text = String::from("services:\n");
    for number in 1..=CHAIN {
        let _written = write!(
            text,
            "  s{number}:
    image: busybox
    command: [sh, -c, 'touch /data/started-{number}; exec sleep 1d']
    volumes: ['./shared:/data']
    healthcheck:
      test: '[ -e /data/ready-{number} ] || touch /data/ready-{number}'
"
        );
        if number > 1 {
            let before = number - 1;
            let _written = writeln!(
                text,
                "    depends_on: {{s{before}: {{condition: service_healthy}}}}"
            );
        }
    }
    text
}

fn written(path: &Path) -> Result<SystemTime> {
    let metadata = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(metadata.modified()?)
}

/// The last service writes after `up` is done.
fn wait_until_written(path: &Path) -> Result<SystemTime> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !path.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    written(path)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
