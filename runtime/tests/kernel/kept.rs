//! Containers as an engine keeps them: with a monitor, in a world of their own.

use std::fs;
use std::time::{Duration, Instant};

use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::Container;
use ketch_runtime::container::state::{State, Status};
use ketch_runtime::content::digest::Digest;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::{
    ContainerFilter, Exec, ExecSpec, ExecStdio, LogQuery, RemoveOptions, StopOptions,
};
use ketch_runtime::image::Image;
use ketch_runtime::image::config::ImageConfig;
use ketch_runtime::spec::{ContainerSpec, NetworkMode, ProcessSpec};
use ketch_runtime::store::id::Id;

use crate::world::{self, World};

/// A world with an engine in it; its containers are removed at its end.
pub(crate) struct Kept {
    pub(crate) engine: Engine,
    image: Image,
    _world: World,
}

impl Kept {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let layer = Digest::of(b"the base image");
        let root = world.roots.layers().join(layer.hex()).join("diff");
        fs::create_dir_all(&root).unwrap();
        world::make_root(&root);
        let image = Image {
            repo_digests: Vec::new(),
            manifests: Vec::new(),
            last_tagged: None,
            id: Digest::of(b"its configuration"),
            references: vec!["base:latest".into()],
            config: ImageConfig::default(),
            layers: vec![layer],
            size_bytes: 0,
            created: None,
        };
        Self {
            engine: Engine::open(world.roots.clone()).unwrap(),
            image,
            _world: world,
        }
    }

    /// A container named `box` that runs `script`, changed by `change`; not started.
    pub(crate) fn create(&self, script: &str, change: impl FnOnce(&mut ContainerSpec)) -> Id {
        let mut spec = ContainerSpec {
            name: "box".into(),
            image: "base".into(),
            process: ProcessSpec {
                command: Some(vec!["/bin/sh".into(), "-c".into(), script.into()]),
                ..ProcessSpec::default()
            },
            network: NetworkMode::None,
            ..ContainerSpec::default()
        };
        change(&mut spec);
        self.engine
            .create_container_from(&self.image, &spec)
            .unwrap()
    }

    /// As `create`, and started.
    pub(crate) fn start(&self, script: &str, change: impl FnOnce(&mut ContainerSpec)) {
        self.create(script, change);
        self.engine.start_container("box").unwrap();
    }

    pub(crate) fn container(&self) -> Container {
        self.engine.container("box").unwrap()
    }

    pub(crate) fn state(&self) -> State {
        self.container().state
    }

    /// Waits, told by the monitor, for a state that fits.
    #[track_caller]
    pub(crate) fn wait(&self, fits: impl Fn(&State) -> bool) -> State {
        let cancel = alarm(Duration::from_secs(20));
        let mut watch = self.engine.watch_container("box").unwrap();
        let mut seen = Vec::new();
        while let Some(state) = watch.next(&cancel).unwrap() {
            if fits(&state) {
                return state;
            }
            seen.push(state.status);
        }
        panic!("ended without it: {seen:?}");
    }

    /// The state at the end.
    #[track_caller]
    pub(crate) fn end(&self) -> State {
        self.wait(|state| state.status == Status::Exited)
    }

    /// Waits until the log has this line.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, line: &str) {
        let cancel = alarm(Duration::from_secs(20));
        let query = LogQuery {
            follow: true,
            ..LogQuery::default()
        };
        let mut log = self.engine.container_logs("box", &query).unwrap();
        while let Some(record) = log.next(&cancel).unwrap() {
            if record.text == format!("{line}\n").as_bytes() {
                return;
            }
        }
        panic!("the log ended without {line:?}");
    }

    /// All of the log, both streams as they came.
    pub(crate) fn log(&self) -> String {
        let cancel = Cancel::new().unwrap();
        let mut log = self
            .engine
            .container_logs("box", &LogQuery::default())
            .unwrap();
        let mut text = Vec::new();
        while let Some(record) = log.next(&cancel).unwrap() {
            text.extend(record.text);
        }
        String::from_utf8(text).unwrap()
    }

    /// Stops it; says how long that took.
    pub(crate) fn stop(&self) -> Duration {
        let before = Instant::now();
        self.engine
            .stop_container("box", &StopOptions::default())
            .unwrap();
        before.elapsed()
    }

    /// Runs a further process; its exit code and standard output.
    pub(crate) fn exec(&self, script: &str) -> (i32, String) {
        let (read, write) = ketch_runtime::sys::fd::pipe().unwrap();
        let null = || fs::File::options().read(true).write(true).open("/dev/null");
        let mut exec = self.start_exec(
            &["/bin/sh", "-c", script],
            ExecStdio::Pipes {
                stdin: null().unwrap().into(),
                stdout: write,
                stderr: null().unwrap().into(),
            },
        );
        let mut output = String::new();
        std::io::Read::read_to_string(&mut fs::File::from(read), &mut output).unwrap();
        let code = exec.wait(&alarm(Duration::from_secs(20))).unwrap();
        (code, output)
    }

    pub(crate) fn start_exec(&self, args: &[&str], stdio: ExecStdio) -> Exec {
        self.engine.exec("box", exec_spec(args, stdio)).unwrap()
    }

    /// The monitor's process.
    pub(crate) fn monitor_pid(&self) -> u32 {
        let id = self.container().record.id;
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .find(|pid: &u32| {
                let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.starts_with("ketch-monitor") && line.contains(id.as_str())
            })
            .unwrap()
    }

    /// Sends the monitor a signal.
    pub(crate) fn signal_monitor(&self, signal: i32) {
        let pid = i32::try_from(self.monitor_pid()).unwrap();
        ketch_runtime::sys::process::kill(pid, signal).unwrap();
    }

    /// Kills the monitor, which nothing can prepare for.
    pub(crate) fn kill_monitor(&self) {
        let pidfd = ketch_runtime::sys::process::pidfd_open(self.monitor_pid()).unwrap();
        self.signal_monitor(9);
        let mut fds = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let all = RemoveOptions {
            force: true,
            volumes: true,
        };
        for container in self
            .engine
            .containers(&ContainerFilter::default())
            .unwrap_or_default()
        {
            let id = container.record.id;
            if let Err(error) = self.engine.remove_container(id.as_str(), &all)
                && !std::thread::panicking()
            {
                panic!("{error}");
            }
        }
    }
}

pub(crate) fn exec_spec(args: &[&str], stdio: ExecStdio) -> ExecSpec {
    ExecSpec {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: Vec::new(),
        user: None,
        working_dir: None,
        privileged: false,
        stdio,
    }
}

/// Cancelled after a while, so that a test that waits in vain fails.
pub(crate) fn alarm(after: Duration) -> Cancel {
    let cancel = Cancel::new().unwrap();
    let rings = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(after);
        rings.cancel();
    });
    cancel
}
