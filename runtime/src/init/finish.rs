//! The last stretch before exec, alike for the first process of a container and for further
//! ones: streams, user, rights, filter, program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};

use super::message::{self, Message};
use super::user::{self, Identity};
use super::{Stdio, devices};
use crate::container::record::{Process, Record};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::security::seccomp::{self, Architecture, Filter, Machine};
use crate::security::{caps, lsm};
use crate::sys;

/// Everything decided about the process.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    pub(super) identity: Identity,
    capabilities: caps::Mask,
    last_capability: u32,
    no_new_privileges: bool,
    filter: Option<Filter>,
    apparmor: Option<String>,
    /// A custom filter may lack what a small init needs.
    pub(super) custom_filter: bool,
}

/// What is decided on the host's side, before the fork: it reads the host's /proc and /sys.
#[derive(Debug)]
pub(super) struct Rights {
    capabilities: caps::Mask,
    last_capability: u32,
    filter: Option<Filter>,
    apparmor: Option<String>,
}

impl Rights {
    pub(super) fn decide(record: &Record, privileged_exec: bool) -> Result<Self> {
        let security = &record.spec.security;
        let last_capability = sys::caps::last();
        // The caller may itself lack some: nobody can give what it has not.
        let ours = sys::caps::bounding_set(last_capability);
        let asked = caps::resolve(security, last_capability)?;
        if asked & !ours != 0 {
            tracing::debug!(
                lacking = format!("{:#x}", asked & !ours),
                "capabilities not to be had here"
            );
        }
        let release = rustix::system::uname();
        let machine = Machine {
            architecture: Architecture::native(),
            kernel: seccomp::parse_kernel_version(&release.release().to_string_lossy()),
            bounding: asked & ours,
        };
        Ok(Self {
            capabilities: if privileged_exec {
                caps::all(last_capability) & ours
            } else {
                asked & ours
            },
            last_capability,
            filter: seccomp::filter(security, &machine)?,
            apparmor: lsm::apparmor_profile(security),
        })
    }
}

/// The numbers of `user[:group]` by the container's own files.
pub(crate) fn user_in(asked: &str, root: BorrowedFd<'_>) -> Result<(u32, u32)> {
    let (passwd, group) = accounts(root)?;
    let identity = user::resolve(asked, &[], &passwd, &group)?;
    Ok((identity.uid, identity.gid))
}

fn accounts(root: BorrowedFd<'_>) -> Result<(String, String)> {
    const LIMIT: usize = 1 << 20;
    let read = |path: &str| -> Result<String> {
        let content = sys::path::read_in_root(root, Path::new(path), LIMIT)?;
        Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
    };
    Ok((read("/etc/passwd")?, read("/etc/group")?))
}

impl Finish {
    /// Looks the user up in the container's files, through the container's root.
    pub(super) fn prepare(
        record: &Record,
        process: &Process,
        rights: Rights,
        root: BorrowedFd<'_>,
    ) -> Result<Self> {
        let (passwd, group) = accounts(root)?;
        let identity = user::resolve(&process.user, &process.group_add, &passwd, &group)?;
        Ok(Self {
            args: process.args.clone(),
            env: with_home(&process.env, &identity.home),
            cwd: process.cwd.clone(),
            identity,
            capabilities: rights.capabilities,
            last_capability: rights.last_capability,
            no_new_privileges: record.spec.security.no_new_privileges,
            filter: rights.filter,
            apparmor: rights.apparmor,
            custom_filter: matches!(
                record.spec.security.seccomp,
                crate::spec::Seccomp::Profile(_)
            ),
        })
    }

    /// Whether the next exec is to be labelled.
    pub(super) fn has_label(&self) -> bool {
        self.apparmor.is_some()
    }

    /// Tells AppArmor what the next exec gets, through a procfs of our own.
    pub(super) fn label(&self, proc: BorrowedFd<'_>) -> Result<()> {
        let Some(profile) = &self.apparmor else {
            return Ok(());
        };
        // `self` is a symlink; the number is what procfs itself says about us.
        let own = rustix::fs::readlinkat(proc, "self", Vec::new())?;
        let own = own.to_string_lossy().into_owned();
        let file = sys::path::open_beneath_strict(
            proc,
            format!("{own}/attr/apparmor/exec"),
            OFlags::WRONLY,
        )
        .or_else(|_| {
            sys::path::open_beneath_strict(proc, format!("{own}/attr/exec"), OFlags::WRONLY)
        })?;
        rustix::io::write(&file, format!("exec {profile}").as_bytes())
            .context(|| format!("apply apparmor profile {profile}"))?;
        Ok(())
    }

    /// Gives up the rights and becomes the user.
    pub(super) fn drop_rights(&self, keep: caps::Mask) -> Result<()> {
        sys::caps::limit_bounding_set(keep, self.last_capability)?;
        sys::process::set_keep_capabilities(true)?;
        sys::process::set_ids(self.identity.uid, self.identity.gid, &self.identity.groups)?;
        sys::caps::set(sys::caps::Sets {
            effective: keep,
            permitted: keep,
            inheritable: 0,
        })?;
        sys::caps::clear_ambient()?;
        sys::process::set_keep_capabilities(false)?;
        // A change of ids sets it anew, as fs.suid_dumpable says. The exec makes the program's own.
        sys::process::set_dumpable(false)?;
        Ok(())
    }

    /// The capability that a small init keeps, if the container has it: to signal children that
    /// have become somebody else.
    pub(super) fn init_capabilities(&self) -> caps::Mask {
        self.capabilities & caps::number("KILL").map_or(0, |number| 1 << number)
    }

    pub(super) fn install_filter(&self) -> Result<()> {
        let Some(filter) = &self.filter else {
            return Ok(());
        };
        match sys::seccomp::install(&filter.program, filter.flags) {
            // A kernel that does not know the flags.
            Err(error) if error.is(libc::EINVAL) && filter.flags != 0 => {
                Ok(sys::seccomp::install(&filter.program, 0)?)
            }
            other => Ok(other?),
        }
    }

    /// Goes all the way to exec. Comes back only with the reason why it can't be.
    pub(super) fn exec(self, socket: OwnedFd, terminal: Option<OwnedFd>) -> Result<Infallible> {
        sys::process::set_umask(0o022);
        sys::signal::reset()?;
        // Whoever started the monitor may have been nice; without the right it stays so.
        let _as_it_was = rustix::process::setpriority_process(None, 0);
        let early = rustix::process::chdir(&self.cwd);
        own_streams(self.identity.uid)?;
        if self.no_new_privileges {
            sys::process::set_no_new_privileges()?;
        } else {
            // Needs CAP_SYS_ADMIN, which is about to go.
            self.install_filter()?;
        }
        self.drop_rights(self.capabilities)?;
        failpoint::reached(Point::ChildRightsDropped);
        // The user may see a directory that root may not (NFS), but not the other way round.
        match early {
            Ok(()) => {}
            Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
                rustix::process::chdir(&self.cwd).map_err(|errno| self.chdir_error(errno))?;
            }
            Err(errno) => return Err(self.chdir_error(errno)),
        }
        let here = rustix::process::getcwd(Vec::new())?;
        if !here.to_bytes().starts_with(b"/") {
            return Err(Error::new(
                ErrorKind::Denied,
                "current working directory is outside of container mount namespace root",
            ));
        }
        let program = find_program(&self.args, &self.env)?;
        let text = |text: &str| {
            CString::new(text).map_err(|_| {
                Error::new(
                    ErrorKind::Invalid,
                    format!("{text:?} has a zero byte in it"),
                )
            })
        };
        let args = self
            .args
            .iter()
            .map(|arg| text(arg))
            .collect::<Result<Vec<_>>>()?;
        let env = self
            .env
            .iter()
            .map(|var| text(var))
            .collect::<Result<Vec<_>>>()?;
        let path = CString::new(program.as_os_str().as_bytes())
            .map_err(|_| Error::new(ErrorKind::Invalid, "program with a zero byte"))?;
        if self.no_new_privileges {
            self.install_filter()?;
        }
        // Meeting point 3.
        let master = terminal.as_ref().map(AsFd::as_fd);
        message::send(&socket, &Message::Ready, master.as_slice())?;
        failpoint::reached(Point::ChildReady);
        // From here on fds that values own are closed: no way back, only exec or the end.
        std::mem::forget(terminal);
        let failure = match sys::fd::keep_only(socket) {
            Ok(socket) => match sys::process::exec(&path, &args, &env) {
                Err(error) => (socket, exec_error(&program, &error)),
            },
            Err(_) => sys::process::exit_now(255),
        };
        message::send_failure(&failure.0, &failure.1);
        sys::process::exit_now(255)
    }

    fn chdir_error(&self, errno: rustix::io::Errno) -> Error {
        let kind = match errno {
            rustix::io::Errno::ACCESS => ErrorKind::NotExecutable,
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => ErrorKind::CommandNotFound,
            _ => ErrorKind::Internal,
        };
        let reason = sys::error::reason(errno.raw_os_error());
        Error::new(
            kind,
            format!("chdir to cwd ({:?}) failed: {reason}", self.cwd),
        )
    }
}

fn exec_error(program: &Path, error: &sys::Error) -> Error {
    let kind = match error.errno() {
        // The file is there, as we have looked: what is missing is its interpreter.
        libc::ENOENT | libc::ENOTDIR => ErrorKind::CommandNotFound,
        libc::EACCES
        | libc::ENOEXEC
        | libc::EPERM
        | libc::EISDIR
        | libc::ETXTBSY
        | libc::ELIBBAD
        | libc::ELOOP => ErrorKind::NotExecutable,
        _ => ErrorKind::Internal,
    };
    Error::new(
        kind,
        format!("exec {}: {}", program.display(), error.reason()),
    )
}

/// Takes the container's session keyring in the place of the caller's.
pub(super) fn join_keyring(record: &Record) -> Result<()> {
    match sys::keyring::join_session(&format!("_ses.{}", record.id)) {
        // No keyrings here: none to leak either.
        Err(error) if error.is(libc::ENOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// Adds HOME where it is missing or empty.
fn with_home(env: &[String], home: &str) -> Vec<String> {
    let set = env.iter().any(|var| {
        var.strip_prefix("HOME=")
            .is_some_and(|value| !value.is_empty())
    });
    let mut env = env.to_vec();
    if !set {
        env.retain(|var| !var.starts_with("HOME="));
        env.push(format!("HOME={home}"));
    }
    env
}

/// The file to execute, in the words of Go's exec.LookPath when there is none.
fn find_program(args: &[String], env: &[String]) -> Result<PathBuf> {
    let Some(name) = args.first() else {
        return Err(Error::new(ErrorKind::Invalid, "no command specified"));
    };
    let failed = |errno: rustix::io::Errno, stat: bool| {
        let reason = sys::error::reason(errno.raw_os_error());
        let (kind, text) = match errno {
            rustix::io::Errno::ACCESS | rustix::io::Errno::ISDIR => {
                (ErrorKind::NotExecutable, reason)
            }
            _ if stat => (ErrorKind::CommandNotFound, format!("stat {name}: {reason}")),
            _ => (ErrorKind::CommandNotFound, reason),
        };
        let hint = if errno == rustix::io::Errno::ISDIR {
            ": permission denied"
        } else {
            ""
        };
        Error::new(kind, format!("exec: {name:?}: {text}{hint}"))
    };
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(errno) => Err(failed(errno, true)),
        };
    }
    // The last one counts, as for the kernel's readers of the environment.
    let path = env
        .iter()
        .rev()
        .find_map(|var| var.strip_prefix("PATH="))
        .unwrap_or("");
    for directory in path.split(':').filter(|directory| !directory.is_empty()) {
        let candidate = Path::new(directory).join(name);
        if executable(&candidate).is_ok() && !name.is_empty() {
            return Ok(candidate);
        }
    }
    Err(Error::new(
        ErrorKind::CommandNotFound,
        format!("exec: {name:?}: executable file not found in $PATH"),
    ))
}

fn executable(path: &Path) -> rustix::io::Result<()> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(rustix::io::Errno::ISDIR);
    }
    if stat.st_mode & 0o111 == 0 {
        return Err(rustix::io::Errno::ACCESS);
    }
    // Real and effective ids are alike here.
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
}

/// Puts the streams in place: the given ones, or a new terminal in the container's devpts, whose
/// master is returned. Begins a session.
pub(super) fn set_streams(
    stdio: Stdio,
    devpts: Option<BorrowedFd<'_>>,
) -> Result<Option<(OwnedFd, OwnedFd)>> {
    sys::process::setsid()?;
    match stdio {
        Stdio::Streams {
            stdin,
            stdout,
            stderr,
        } => {
            for (number, fd) in [(0, stdin), (1, stdout), (2, stderr)] {
                sys::fd::replace_stdio(fd.as_fd(), number)?;
            }
            Ok(None)
        }
        Stdio::Terminal { rows, columns } => {
            let devpts = devpts.ok_or_else(|| {
                Error::new(
                    ErrorKind::Invalid,
                    "no /dev/pts in the container for a terminal",
                )
            })?;
            let (master, slave) = sys::tty::open_pair(devpts)?;
            if (rows, columns) != (0, 0) {
                sys::tty::set_size(master.as_fd(), rows, columns)?;
            }
            sys::tty::make_controlling(slave.as_fd())?;
            for number in 0..=2 {
                sys::fd::replace_stdio(slave.as_fd(), number)?;
            }
            Ok(Some((master, slave)))
        }
    }
}

/// Where a stream is the host's /dev/null, the container's own takes its place. Called when the
/// container's root is `/`.
pub(super) fn replace_host_null(root: BorrowedFd<'_>) -> Result<()> {
    for (number, stream) in [
        (0, rustix::stdio::stdin()),
        (1, rustix::stdio::stdout()),
        (2, rustix::stdio::stderr()),
    ] {
        if !devices::is_null(stream) {
            continue;
        }
        // Looked at before it is opened: opening another device may wait for ever.
        let is_own = sys::path::open_in_root(root, "/dev/null", OFlags::PATH, 0)
            .is_ok_and(|place| devices::is_null(place.as_fd()));
        if !is_own {
            // An image may bring its own idea of /dev along: then the host's is the lesser evil.
            continue;
        }
        let own = sys::path::open_in_root(root, "/dev/null", OFlags::RDWR | OFlags::NOCTTY, 0);
        if let Some(own) = own.ok().filter(|own| devices::is_null(own.as_fd())) {
            sys::fd::replace_stdio(own.as_fd(), number)?;
        }
    }
    Ok(())
}

/// Lets the user open /dev/stdout and its like.
fn own_streams(uid: u32) -> Result<()> {
    use rustix::io::Errno;
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        if !is_only_a_stream(stream)? || rustix::fs::fstat(stream)?.st_uid == uid {
            continue;
        }
        match rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None) {
            Ok(()) | Err(Errno::PERM | Errno::ROFS | Errno::INVAL) => {}
            Err(errno) => return Err(Error::from(errno).context("set owner of a standard stream")),
        }
    }
    Ok(())
}

/// Pipes, sockets and terminals of the container. A file or a device of the host that a caller
/// passes on keeps its owner.
fn is_only_a_stream(stream: BorrowedFd<'_>) -> Result<bool> {
    Ok(match sys::path::file_type(stream)? {
        FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => sys::tty::is_on_devpts(stream)?,
        _ => false,
    })
}

/// Makes the working directory where it is missing.
pub(super) fn make_working_directory(root: BorrowedFd<'_>, cwd: &str) -> Result<()> {
    match sys::path::make_directory_in_root(root, Path::new(OsStr::new(cwd)), 0o755) {
        Ok(_) => Ok(()),
        Err(error) if error.is(libc::ENOTDIR) => Err(Error::new(
            ErrorKind::CommandNotFound,
            format!("Cannot mkdir: {cwd} is not a directory"),
        )),
        // A read-only mount without it: chdir tells.
        Err(error) if error.is(libc::EROFS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streams_change_their_owner() {
        let (read, _write) = sys::fd::pipe().unwrap();
        assert!(is_only_a_stream(read.as_fd()).unwrap());
        let file = tempfile::tempfile().unwrap();
        assert!(!is_only_a_stream(file.as_fd()).unwrap());
        for device in ["/dev/null", "/dev/zero", "/dev/tty"] {
            let place = sys::path::open_place(Path::new(device)).unwrap();
            assert!(!is_only_a_stream(place.as_fd()).unwrap(), "{device}");
        }
    }
}
