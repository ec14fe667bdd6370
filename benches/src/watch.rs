//! `ketch watch`: from the save of a file to its being there, a checkout of thousands, a restart.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::report::{Goal, Report};
use crate::world::World;

/// Saves that are measured, each by itself.
const SAVES: usize = 100;
/// Further apart than what counts as one storm.
const BETWEEN: Duration = Duration::from_millis(150);
const DIRECTORIES: usize = 100;
const FILES_EACH: usize = 50;
const TREES: usize = 5;
const RESTARTS: usize = 10;
/// How often is looked: much shorter than what is measured, and not so often that two processors
/// are too few for who is measured.
const LOOK: Duration = Duration::from_micros(100);
const TREE_LOOK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

const PROJECT: &str = "services:
  files:
    image: busybox
    command: sleep 100000
    develop:
      watch: [{path: src, action: sync, target: /app}]
  web:
    image: busybox
    command: sh -c 'cp /conf/version /tmp/version; exec httpd -f -p 80 -h /tmp'
    networks: {default: {ipv4_address: 10.213.7.10}}
    develop:
      watch: [{path: conf, action: sync+restart, target: /conf, initial_sync: true}]
    restart: always
networks:
  default: {ipam: {config: [{subnet: 10.213.7.0/24}]}}
";
const WEB: ([u8; 4], u16) = ([10, 213, 7, 10], 80);

pub fn run(world: &World, report: &mut Report) -> Result<()> {
    world.furnish()?;
    let project = world.project("watched", PROJECT)?;
    fs::create_dir_all(project.join("src"))?;
    fs::create_dir_all(project.join("conf"))?;
    fs::write(project.join("conf/version"), "0")?;
    let watch = Watch::start(world, &project)?;
    let measured = measure(world, &project, report);
    drop(watch);
    world.ketch(&project, ["down", "-v", "-t", "1"])?;
    measured
}

fn measure(world: &World, project: &Path, report: &mut Report) -> Result<()> {
    let root = world.container_root(project, "files")?.join("app");
    let mut saves = saves(project, &root)?;
    saves.sort_by(f64::total_cmp);
    let slow = saves[SAVES * 99 / 100];
    report.add("watch_sync_p50", "ms", &saves, &[], Some(Goal::Below(10.0)));
    report.add(
        "watch_sync_p99",
        "ms",
        &[slow],
        &[],
        Some(Goal::Below(50.0)),
    );
    let Trees {
        watched,
        unwatched,
        direct,
    } = trees(world, project, &root)?;
    report.add("watch_tree", "ms", &watched, &unwatched, None);
    let pairs = watched.iter().zip(&direct);
    let ratios: Vec<f64> = pairs.map(|(tree, copy)| tree / copy).collect();
    report.add(
        "watch_tree_ratio",
        "x",
        &ratios,
        &[],
        Some(Goal::Below(2.0)),
    );
    let restarts = restarts(project)?;
    report.add(
        "watch_restart",
        "ms",
        &restarts,
        &[],
        Some(Goal::Below(300.0)),
    );
    Ok(())
}

/// One file, saved again and again.
fn saves(project: &Path, root: &Path) -> Result<Vec<f64>> {
    let (from, to) = (project.join("src/saved"), root.join("saved"));
    let mut took = Vec::new();
    for number in 0..SAVES {
        std::thread::sleep(BETWEEN);
        let text = format!("version {number}");
        let begun = Instant::now();
        fs::write(&from, &text)?;
        until("a save is there", || {
            fs::read_to_string(&to).is_ok_and(|there| there == text)
        })?;
        took.push(ms(begun));
    }
    Ok(took)
}

/// Thousands of files appear at once, as `git checkout` writes them.
#[derive(Debug, Default)]
struct Trees {
    /// `cp -r` below a watched directory, until all is in the container.
    watched: Vec<f64>,
    /// The same `cp -r` where nobody watches.
    unwatched: Vec<f64>,
    /// The same `cp -r` straight into the container.
    direct: Vec<f64>,
}

fn trees(world: &World, project: &Path, root: &Path) -> Result<Trees> {
    let source = world.path("checkout");
    let mut directories = Vec::new();
    for directory in 0..DIRECTORIES {
        let name = PathBuf::from(format!("part{directory}"));
        fs::create_dir_all(source.join(&name))?;
        for file in 0..FILES_EACH {
            let file_name = name.join(format!("file{file}.js"));
            fs::write(source.join(file_name), format!("{file} ").repeat(600))?;
        }
        directories.push(name);
    }
    let mut trees = Trees::default();
    for number in 0..TREES {
        let name = format!("checkout{number}");
        let begun = Instant::now();
        copy(&source, &world.path(&name))?;
        trees.unwatched.push(ms(begun));
        let begun = Instant::now();
        copy(&source, &root.join(format!("direct{number}")))?;
        trees.direct.push(ms(begun));
        let begun = Instant::now();
        copy(&source, &project.join("src").join(&name))?;
        let mut missing: Vec<PathBuf> = directories.clone();
        until_within("a tree is there", TREE_LOOK, || {
            let is_whole = |directory: &mut PathBuf| whole(&root.join(&name).join(directory));
            while missing.pop_if(is_whole).is_some() {}
            missing.is_empty()
        })?;
        trees.watched.push(ms(begun));
    }
    Ok(trees)
}

/// Whether all of a directory's files are there, under their own names.
fn whole(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_file = |name: std::ffi::OsString| name.to_string_lossy().starts_with("file");
    entries.filter(|entry| is_file(entry.file_name())).count() == FILES_EACH
}

/// From the save to the answer of the server that was started with it.
fn restarts(project: &Path) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    until("the server answers", || answer().is_some())?;
    for number in 1..=RESTARTS {
        std::thread::sleep(BETWEEN);
        let text = format!("v{number}");
        let begun = Instant::now();
        fs::write(project.join("conf/version"), &text)?;
        until("the server was restarted", || {
            answer().is_some_and(|answer| answer.ends_with(&format!("\r\n\r\n{text}")))
        })?;
        took.push(ms(begun));
    }
    Ok(took)
}

fn answer() -> Option<String> {
    let address = SocketAddr::from(WEB);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(20)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .ok()?;
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status()?;
    match status.success() {
        true => Ok(()),
        false => Err("cp failed".into()),
    }
}

fn until(what: &str, is_so: impl FnMut() -> bool) -> Result<()> {
    until_within(what, LOOK, is_so)
}

fn until_within(what: &str, pause: Duration, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("not in time: {what}").into());
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

/// `ketch watch`, until this is dropped.
struct Watch(Child);

impl Watch {
    fn start(world: &World, project: &Path) -> Result<Self> {
        let mut command = world.ketch_in(project);
        command
            .arg("watch")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut watch = Self(command.spawn()?);
        let stdout = watch.0.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        for line in lines.by_ref() {
            if line?.contains("Watch enabled") {
                // It goes on writing, and must not meet a closed pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(watch);
            }
        }
        Err("`ketch watch` ended".into())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
