//! The parent's side of a start. Meeting points, alike in `child.rs`:
//!
//! 1. The child has its namespaces (clone3 gave them): the network may be set up while it
//!    makes its mounts.
//! 2. Cgroup, limits and network are in place: the child goes on.
//! 3. The child is ready; its terminal's master comes over.
//! 4. The socket ends: exec is done. Or a failure comes instead.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::child::{self, Task};
use super::finish::Rights;
use super::message::{self, Message};
use super::{Child, StartRequest, devices, mounts, rootfs, sysctls};
use crate::cgroup::Cgroup;
use crate::container::record::{Process, Record};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::spec::{ContainerSpec, Namespace, NetworkMode};
use crate::sys::process::Fork;
use crate::sys::{self, namespace};

/// A process that has its namespaces and cgroup and waits before meeting point 2: the network
/// can be set up now. Dropping it kills the process and removes the cgroup.
#[derive(Debug)]
pub struct Pending {
    /// Absent once the process is somebody else's.
    process: Option<Unborn>,
    network: OwnedFd,
    cgroup: Cgroup,
    warnings: Vec<String>,
    limits: Limits,
}

/// A process of ours that has not come to its exec.
#[derive(Debug)]
pub(super) struct Unborn {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    pub(super) socket: OwnedFd,
}

/// What the parent sets from outside.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    rlimits: Vec<crate::spec::Rlimit>,
    oom_score_adj: Option<i32>,
}

/// How long a first process may take for its mounts and the way to its exec.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// How many files a process of a container may open, when nobody says: soft and hard.
const NOFILE: (u64, u64) = (1024, 524_288);

impl Limits {
    pub(super) fn of(record: &Record, process: &Process) -> Self {
        Self {
            rlimits: process.rlimits.clone(),
            oom_score_adj: record.spec.resources.oom_score_adj,
        }
    }

    /// Sets them; what needs a right that we lack is a warning.
    pub(super) fn apply(&self, pid: u32, warnings: &mut Vec<String>) -> Result<()> {
        // Written even when nothing was asked: the monitor's own value is not for containers.
        let path = format!("/proc/{pid}/oom_score_adj");
        match fs::write(&path, self.oom_score_adj.unwrap_or(0).to_string()) {
            Err(error) if self.oom_score_adj.is_some() => {
                warnings.push(format!("oom_score_adj was not lowered: {error}"));
            }
            _ => {}
        }
        if !self.rlimits.iter().any(|limit| limit.name == "nofile") {
            // Not what the monitor needs for itself: as systemd gives it to Docker's containers.
            let (_, most) = sys::process::get_limit(pid, "nofile")?;
            let (soft, hard) = (NOFILE.0.min(most), NOFILE.1.min(most));
            sys::process::set_limit(pid, "nofile", soft, hard)
                .context(|| "set ulimit nofile".into())?;
        }
        for limit in &self.rlimits {
            match sys::process::set_limit(pid, &limit.name, limit.soft, limit.hard) {
                Err(error) if error.is(libc::EPERM) => {
                    // Raising the hard limit needs CAP_SYS_RESOURCE: as much as there is.
                    let (_, most) = sys::process::get_limit(pid, &limit.name)?;
                    let soft = limit.soft.min(most);
                    sys::process::set_limit(pid, &limit.name, soft, limit.hard.min(most))?;
                    warnings.push(format!("{error}: limited to {most}"));
                }
                other => other.context(|| format!("set ulimit {}", limit.name))?,
            }
        }
        Ok(())
    }
}

impl Pending {
    /// The container's network namespace.
    pub fn network_namespace(&self) -> BorrowedFd<'_> {
        self.network.as_fd()
    }

    /// Process 1, seen from here.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.pid)
    }

    /// The container's cgroup; it stays when the process is released.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// What was asked for and could not be had: limits without controller and their like.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Lets the process go on to its exec; returns once exec is done, or why it failed
    /// (`CommandNotFound` 127, `NotExecutable` 126, else 128).
    pub fn release(mut self) -> Result<Child> {
        let Some(process) = self.process.take() else {
            return Err(Error::new(ErrorKind::Internal, "released twice"));
        };
        let limits = self.limits.clone();
        let limited = limits.apply(process.pid, &mut self.warnings);
        let mut released = limited.and_then(|()| process.release(PATIENCE));
        if let Ok(child) = &mut released {
            child.warnings = std::mem::take(&mut self.warnings);
        }
        if released.is_err() {
            self.remove_cgroup();
        }
        released
    }

    fn remove_cgroup(&self) {
        if let Err(error) = self.cgroup.remove() {
            tracing::warn!(%error, "cgroup of a failed start");
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end();
            self.remove_cgroup();
        }
    }
}

impl Unborn {
    /// Sends it on from meeting point 2 and waits for 3 and 4. Reaps it when it fails.
    pub(super) fn release(self, patience: Duration) -> Result<Child> {
        // A child that has failed already has closed its end: its message is waiting all the same.
        let _told = message::send(&self.socket, &Message::Go, &[]);
        match self.outcome(Instant::now() + patience) {
            Ok(terminal) => Ok(Child {
                pid: self.pid,
                pidfd: self.pidfd,
                terminal,
                warnings: Vec::new(),
            }),
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }

    /// The terminal once exec is done, or why there is none.
    fn outcome(&self, deadline: Instant) -> Result<Option<OwnedFd>> {
        let mut ready = None;
        loop {
            if !is_readable(self.socket.as_fd(), deadline)? {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the process did not come to its exec in time: it was stopped, or waits for a file system",
                ));
            }
            match message::receive(&self.socket)? {
                Some((Message::Ready, fds)) => ready = Some(fds.into_iter().next()),
                Some((Message::Failed { kind, text }, _)) => {
                    return Err(Error::new(message::classify(kind, &text), text));
                }
                Some(_) => {}
                None => break,
            }
        }
        ready.ok_or_else(|| {
            let exit = sys::process::try_wait(self.pidfd.as_fd());
            Error::new(
                ErrorKind::Internal,
                match exit {
                    Ok(Some(exit)) => format!("process ended before its exec: {exit:?}"),
                    _ => "process ended before its exec".into(),
                },
            )
        })
    }

    /// Kills and reaps it.
    pub(super) fn end(self) {
        self.kill();
    }

    fn kill(&self) {
        // Both fail when it is gone, which is what is wanted.
        let _gone = sys::process::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        // One that hangs in the kernel is left to whoever reaps later.
        if is_readable(self.pidfd.as_fd(), Instant::now() + GONE).unwrap_or(false) {
            let _reaped = sys::process::wait(self.pidfd.as_fd());
        }
    }

    /// What a dead child had told about its failure, if it came to that.
    fn failure(&self) -> Option<Error> {
        while let Ok(Some((message, _))) = message::receive(&self.socket) {
            if let Message::Failed { kind, text } = message {
                return Some(Error::new(message::classify(kind, &text), text));
            }
        }
        None
    }
}

/// Waits until `fd` can be read, or the time is over.
fn is_readable(fd: BorrowedFd<'_>, deadline: Instant) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Starts the first process up to meeting point 1. The caller must be single-threaded.
pub fn start(request: StartRequest<'_>) -> Result<Pending> {
    let record = request.record;
    let cgroup = Cgroup::create(&record.id, record.spec.cgroup_parent.as_deref())?;
    failpoint::reached(Point::CgroupMade);
    let started = start_in(request, &cgroup);
    if started.is_err()
        && let Err(error) = cgroup.remove()
    {
        tracing::warn!(%error, "cgroup of a failed start");
    }
    let (process, network, warnings) = started?;
    Ok(Pending {
        process: Some(process),
        network,
        cgroup,
        warnings,
        limits: Limits::of(record, &record.process),
    })
}

fn start_in(request: StartRequest<'_>, cgroup: &Cgroup) -> Result<(Unborn, OwnedFd, Vec<String>)> {
    let record = request.record;
    let spec = &record.spec;
    let privileged = spec.security.privileged;
    // Decide everything that can be, before there is a process.
    let nodes = devices::of_host(&spec.resources, privileged)?;
    let rules = devices::rules(&spec.resources, &nodes, privileged)?;
    let mut warnings = cgroup.apply(&spec.resources)?;
    warnings.extend(cgroup.restrict_devices(&rules)?);
    failpoint::reached(Point::CgroupLimited);
    rootfs::prepare_directory(&request.directory, &request.layers)?;
    let own_cgroup_namespace = match &spec.security.cgroup {
        None => cgroup.is_unified(),
        Some(Namespace::Host) => false,
        Some(_) => true,
    };
    let mut network = request
        .join
        .net
        .as_ref()
        .map(|net| sys::fd::duplicate(net.as_fd()))
        .transpose()?;
    let pid_namespace = request.join.pid.as_ref();
    let pid_namespace = pid_namespace
        .map(|pid| sys::fd::duplicate(pid.as_fd()))
        .transpose()?;
    let v2 = cgroup.open_v2();
    let task = Task {
        plan: mounts::plan(record, &request.directory)?,
        sysctls: sysctls::plan(record)?,
        rights: Rights::decide(record, false)?,
        view: cgroup.view(),
        own_cgroup_namespace,
        in_cgroup: cgroup.is_unified() && v2.is_some(),
        nodes,
        record,
        directory: request.directory,
        layers: request.layers,
        stdio: request.stdio,
        join: request.join,
    };
    let (socket, theirs) = sys::fd::socket_pair()?;
    let flags = new_namespaces(spec);
    let forked = fork_into(pid_namespace.as_ref(), flags, v2.as_ref())?;
    let Fork::Parent { pid, pidfd } = forked else {
        drop(socket);
        child::run(task, theirs);
    };
    drop(theirs);
    drop(task);
    failpoint::reached(Point::NamespacesMade);
    let process = Unborn { pid, pidfd, socket };
    let settled = settle(&process, cgroup, v2.is_some(), record, &mut network);
    match (settled, network) {
        (Ok(()), Some(network)) => Ok((process, network, warnings)),
        (settled, _) => {
            process.kill();
            // When it has ended by itself, its own words say more.
            Err(process
                .failure()
                .or(settled.err())
                .unwrap_or_else(|| Error::new(ErrorKind::Internal, "no network namespace")))
        }
    }
}

/// Cgroup and network namespace of a newborn child.
fn settle(
    process: &Unborn,
    cgroup: &Cgroup,
    born_in_v2: bool,
    record: &Record,
    network: &mut Option<OwnedFd>,
) -> Result<()> {
    // While the child makes its mounts: the first write may take milliseconds.
    cgroup.add(process.pid, born_in_v2)?;
    failpoint::reached(Point::CgroupJoined);
    // A child that has ended tells why later.
    let _told = message::send(&process.socket, &Message::Joined, &[]);
    if network.is_none() {
        *network = Some(if record.spec.network == NetworkMode::Host {
            namespace::open_own("net")?
        } else {
            // Our own unreaped child: the pid can't mean anybody else.
            namespace::open(process.pid, "net")?
        });
    }
    Ok(())
}

/// Forks with the child in the pid namespace behind `pid_namespace`, when given.
pub(super) fn fork_into(
    pid_namespace: Option<&OwnedFd>,
    flags: u64,
    cgroup: Option<&OwnedFd>,
) -> Result<Fork> {
    // The child inherits it: there is no moment in which a process of the container that shares
    // its namespace could look into it, or trace it.
    sys::process::set_dumpable(false)?;
    let forked = fork_there(pid_namespace, flags, cgroup);
    if !matches!(forked, Ok(Fork::Child)) {
        sys::process::set_dumpable(true)?;
    }
    forked
}

fn fork_there(
    pid_namespace: Option<&OwnedFd>,
    flags: u64,
    cgroup: Option<&OwnedFd>,
) -> Result<Fork> {
    let Some(pid_namespace) = pid_namespace else {
        return Ok(sys::process::fork(flags, cgroup.map(AsFd::as_fd))?);
    };
    let own = namespace::open_own("pid")?;
    namespace::setns(pid_namespace.as_fd(), namespace::NEWPID)?;
    let forked = sys::process::fork(flags, cgroup.map(AsFd::as_fd));
    if !matches!(forked, Ok(Fork::Child)) {
        // Only children were to be there: ours from now on are here again.
        namespace::setns(own.as_fd(), namespace::NEWPID)?;
    }
    Ok(forked?)
}

/// Pure: the namespaces that a container's first process is born into.
pub(crate) fn new_namespaces(spec: &ContainerSpec) -> u64 {
    let private = |ns: &Namespace| matches!(ns, Namespace::Private | Namespace::Shareable);
    let mut flags = namespace::NEWNS;
    if private(&spec.security.pid) {
        flags |= namespace::NEWPID;
    }
    if private(&spec.security.ipc) {
        flags |= namespace::NEWIPC;
    }
    if spec.security.uts != Namespace::Host {
        flags |= namespace::NEWUTS;
    }
    if matches!(spec.network, NetworkMode::None | NetworkMode::Networks(_)) {
        flags |= namespace::NEWNET;
    }
    flags
}
