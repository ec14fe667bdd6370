//! A further process in a running container: health probes and `exec`.
//!
//! The child is born in the container's pid namespace and cgroup, joins the other
//! namespaces through process 1's pidfd, and goes the same last stretch as the first one.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use super::finish::{self, Finish, Rights};
use super::message::{self, Message};
use super::parent::{Limits, Unborn, fork_into};
use super::{Child, ExecRequest};
use crate::cgroup::Cgroup;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::process::Fork;
use crate::sys::{self, mount, namespace};

/// How long a further process may take from here to its exec. It is among the container's
/// processes already: one of those can stop it, and the monitor must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts it; returns once exec is done. The caller must be single-threaded and becomes the
/// parent of the process.
pub fn exec(request: ExecRequest<'_>) -> Result<Child> {
    let record = request.record;
    let rights = Rights::decide(record, request.privileged)?;
    let cgroup = Cgroup::of(&record.id, record.spec.cgroup_parent.as_deref())?;
    let limits = Limits::of(record, &request.process);
    let v2 = cgroup.open_v2();
    let init = sys::fd::duplicate(request.init)?;
    let (socket, theirs) = sys::fd::socket_pair()?;
    let forked = fork_into(Some(&init), 0, v2.as_ref()).map_err(|error| {
        // A pid namespace whose first process has ended takes nobody in.
        if sys::process::pidfd_send_signal(init.as_fd(), 0).is_err() {
            Error::new(
                ErrorKind::Conflict,
                format!("container {} is not running", record.id),
            )
        } else {
            error
        }
    })?;
    let Fork::Parent { pid, pidfd } = forked else {
        drop(socket);
        run(request, rights, theirs);
    };
    drop(theirs);
    // The child's copies of the streams are the only ones from here on.
    drop(request);
    let process = Unborn { pid, pidfd, socket };
    let mut warnings = Vec::new();
    let settled = cgroup
        .add(pid, v2.is_some())
        .and_then(|()| limits.apply(pid, &mut warnings));
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    match settled {
        Ok(()) => process.release(PATIENCE),
        Err(error) => {
            process.end();
            Err(error)
        }
    }
}

fn run(request: ExecRequest<'_>, rights: Rights, socket: OwnedFd) -> ! {
    let spare = sys::fd::duplicate(socket.as_fd());
    let Err(error) = steps(request, rights, socket);
    if let Ok(spare) = spare {
        message::send_failure(&spare, &error);
    }
    sys::process::exit_now(255)
}

fn steps(request: ExecRequest<'_>, rights: Rights, socket: OwnedFd) -> Result<Infallible> {
    // Ours is the monitor's, which may hold keys of whoever started it.
    finish::join_keyring(request.record)?;
    namespace::setns(
        request.init,
        namespace::NEWNS
            | namespace::NEWUTS
            | namespace::NEWIPC
            | namespace::NEWNET
            | namespace::NEWCGROUP,
    )?;
    let root = sys::path::open_place(Path::new("/"))?;
    let devpts = sys::path::open_in_root(
        root.as_fd(),
        "/dev/pts",
        OFlags::PATH | OFlags::DIRECTORY,
        0,
    )
    .ok();
    let terminal = finish::set_streams(request.stdio, devpts.as_ref().map(AsFd::as_fd))?;
    let master = terminal.map(|(master, _)| master);
    finish::replace_host_null(root.as_fd())?;
    let finish = Finish::prepare(request.record, &request.process, rights, root.as_fd())?;
    if finish.has_label() {
        // No label, no process: it would run unconfined.
        let proc = mount::new_mount("proc", &[], 0)?;
        finish.label(proc.as_fd())?;
    }
    while !matches!(next(&socket)?, Message::Go) {}
    finish.exec(socket, master)
}

fn next(socket: &OwnedFd) -> Result<Message> {
    match message::receive(socket)? {
        Some((message, _)) => Ok(message),
        None => Err(Error::new(ErrorKind::Cancelled, "the exec was given up")),
    }
}
