//! The child's side of a start: after the clone, before the exec. A list of steps in the order
//! of spec runtime.md 3.2; the meeting points have the numbers of `parent.rs`.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::finish::{self, Finish, Rights};
use super::message::{self, Message};
use super::mounts::Plan;
use super::sysctls::Sysctl;
use super::{JoinedNamespaces, Stdio, devices, reaper, rootfs};
use crate::cgroup::View;
use crate::container::record::Record;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::spec::{Namespace, NetworkMode};
use crate::sys::process::Fork;
use crate::sys::{self, mount, namespace};

/// What was decided before the clone.
#[derive(Debug)]
pub(super) struct Task<'a> {
    pub(super) record: &'a Record,
    pub(super) directory: PathBuf,
    pub(super) layers: Vec<PathBuf>,
    pub(super) stdio: Stdio,
    pub(super) join: JoinedNamespaces,
    pub(super) plan: Plan,
    pub(super) sysctls: Vec<Sysctl>,
    pub(super) nodes: Vec<devices::Node>,
    pub(super) rights: Rights,
    pub(super) view: View,
    /// A cgroup namespace of its own, made here, since clone3 would root it at the parent's.
    pub(super) own_cgroup_namespace: bool,
    /// Born into its place in the v2 tree, and there is no other.
    pub(super) in_cgroup: bool,
}

/// Runs the child to its exec; ends the process otherwise.
pub(super) fn run(task: Task<'_>, socket: OwnedFd) -> ! {
    // Kept apart: the socket itself goes on to exec.
    let spare = sys::fd::duplicate(socket.as_fd());
    let Err(error) = steps(task, socket);
    if let Ok(spare) = spare {
        message::send_failure(&spare, &error);
    }
    sys::process::exit_now(255)
}

fn steps(task: Task<'_>, socket: OwnedFd) -> Result<Infallible> {
    let Task {
        record, mut join, ..
    } = task;
    let spec = &record.spec;
    // Modes are meant as written while the tree is made; the program gets its own mask.
    sys::process::set_umask(0);
    finish::join_keyring(record)?;
    failpoint::reached(Point::ChildBorn);
    let donor_shm = join_namespaces(&mut join)?;
    if matches!(spec.network, NetworkMode::None | NetworkMode::Networks(_)) {
        sys::process::set_loopback_up()?;
    }
    // Mounts: the sources while we still share events with the host, then the new tree.
    let sources = rootfs::take_sources(&task.plan, &task.view, donor_shm)?;
    mount::make_all_slaves()?;
    failpoint::reached(Point::ChildSourcesTaken);
    let mut joined = task.in_cgroup;
    if task.own_cgroup_namespace {
        while !joined {
            joined = matches!(next(&socket)?, Message::Joined);
        }
        namespace::unshare(namespace::NEWCGROUP)?;
    }
    let root = rootfs::build(
        &task.plan,
        sources,
        &task.view,
        &task.nodes,
        &task.directory,
        &task.layers,
    )?;
    failpoint::reached(Point::ChildRootBuilt);
    rootfs::pivot(root.root.as_fd())?;
    failpoint::reached(Point::ChildRootSwitched);
    finish::make_working_directory(root.root.as_fd(), &record.process.cwd)?;
    let devpts = root.devpts.as_ref().map(AsFd::as_fd);
    let terminal = finish::set_streams(task.stdio, devpts)?;
    let master = match terminal {
        Some((master, slave)) => {
            attach_console(&root, &slave)?;
            Some(master)
        }
        None => None,
    };
    finish::replace_host_null(root.root.as_fd())?;
    if task.plan.read_only_root {
        let change = mount::Attributes {
            set: mount::ATTR_RDONLY,
            ..mount::Attributes::default()
        };
        mount::set_attributes(root.root.as_fd(), change, false)?;
    }
    if spec.security.uts != Namespace::Host {
        sys::process::set_host_name(&record.hostname)?;
        if let Some(domain) = &spec.domainname {
            sys::process::set_domain_name(domain)?;
        }
    }
    set_sysctls(&root.proc, &task.sysctls)?;
    let finish = Finish::prepare(record, &record.process, task.rights, root.root.as_fd())?;
    finish.label(root.proc.as_fd())?;
    failpoint::reached(Point::ChildPrepared);
    // Meeting point 2: cgroup, limits and network are in place. What comes after allocates
    // little, for the limits hold already.
    while !matches!(next(&socket)?, Message::Go) {}
    failpoint::reached(Point::ChildReleased);
    if spec.init && spec.security.pid != Namespace::Host {
        return with_init(finish, &root, socket, master, record.process.tty);
    }
    finish.exec(socket, master)
}

fn next(socket: &OwnedFd) -> Result<Message> {
    match message::receive(socket)? {
        Some((message, _)) => Ok(message),
        // Nobody waits for us any more.
        None => Err(Error::new(ErrorKind::Cancelled, "the start was given up")),
    }
}

/// Enters the namespaces of other containers; gives the donor's /dev/shm.
fn join_namespaces(join: &mut JoinedNamespaces) -> Result<Option<OwnedFd>> {
    if let Some(net) = join.net.take() {
        namespace::setns(net.as_fd(), namespace::NEWNET)?;
    }
    if let Some(ipc) = join.ipc.take() {
        namespace::setns(ipc.as_fd(), namespace::NEWIPC)?;
    }
    let Some(mounts) = join.ipc_mounts.take() else {
        return Ok(None);
    };
    // A mount can be copied from inside its own namespace only.
    let own = namespace::open_own("mnt")?;
    let root = sys::path::open_place(Path::new("/"))?;
    namespace::setns(mounts.as_fd(), namespace::NEWNS)?;
    let copied = sys::path::open_place(Path::new("/dev/shm"))
        .and_then(|shm| mount::clone_private(shm.as_fd(), false));
    namespace::setns(own.as_fd(), namespace::NEWNS)?;
    rustix::process::fchdir(&root)?;
    Ok(Some(copied?))
}

/// Shows the terminal as /dev/console.
fn attach_console(root: &rootfs::Root, slave: &OwnedFd) -> Result<()> {
    let place = sys::path::make_file_in_root(root.root.as_fd(), Path::new("/dev/console"), 0o600)?;
    let copy = mount::clone_private(slave.as_fd(), false)?;
    mount::attach(copy.as_fd(), place.as_fd()).context(|| "attach /dev/console".into())?;
    Ok(())
}

fn set_sysctls(proc: &OwnedFd, sysctls: &[Sysctl]) -> Result<()> {
    for sysctl in sysctls {
        let written = sys::path::open_beneath_strict(proc.as_fd(), &sysctl.path, OFlags::WRONLY)
            .and_then(|file| {
                rustix::io::write(&file, sysctl.value.as_bytes()).map_err(|errno| {
                    sys::Error::from_errno(format!("write({:?})", sysctl.value), errno)
                })
            });
        match written {
            Err(_) if sysctl.implied => {}
            other => {
                other.context(|| format!("set /proc/{}", sysctl.path))?;
            }
        }
    }
    Ok(())
}

/// Process 1 stays ours; the program becomes its child.
fn with_init(
    finish: Finish,
    root: &rootfs::Root,
    socket: OwnedFd,
    master: Option<OwnedFd>,
    tty: bool,
) -> Result<Infallible> {
    // The program waits until process 1 has closed everything, this pipe included: it must not
    // find anything of ours there.
    let (closed, open) = sys::fd::pipe()?;
    match sys::process::fork_again()? {
        Fork::Parent { pid, .. } => {
            drop(master);
            // Meeting point 4 is the end of the socket: the program's copy alone may keep it.
            match reaper::run(&finish, root.root.as_fd(), pid) {
                Err(error) => {
                    tracing::error!(%error, "small init");
                    Err(error)
                }
            }
        }
        Fork::Child => {
            drop(open);
            let _end = rustix::io::read(&closed, &mut [0; 1])?;
            // As tini: a group of its own, in the foreground of the terminal.
            rustix::process::setpgid(None, None)?;
            if tty {
                sys::signal::ignore(libc::SIGTTOU);
                let own = rustix::process::getpgid(None)?;
                rustix::termios::tcsetpgrp(rustix::stdio::stdin(), own)?;
            }
            finish.exec(socket, master)
        }
    }
}
