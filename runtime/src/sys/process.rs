//! Processes: clone3, pidfds, waiting, prctl, limits, exec.
#![expect(unsafe_code, reason = "processes are made and replaced here")]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::error::{Error, Result, check};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// The number that shells and Docker show: 128 and the signal, when one ended it.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    fn from_wait_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// Which side of a fork we are on.
#[derive(Debug)]
pub enum Fork {
    Parent { pid: u32, pidfd: OwnedFd },
    Child,
}

/// How many threads this process has.
pub fn thread_count() -> Result<usize> {
    let tasks = fs::read_dir("/proc/self/task")
        .map_err(|e| Error::from_io("open(\"/proc/self/task\")", &e))?;
    Ok(tasks.count())
}

/// Forks, with a pidfd, into new namespaces and (when given, on cgroup v2) into a cgroup. The
/// child is a copy of the whole process, so it may allocate and so on: there was one thread.
///
/// # Errors
/// EBUSY when this process has further threads: their locks would stay shut in the child.
pub fn fork(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Fork> {
    let threads = thread_count()?;
    if threads != 1 {
        return Err(Error::new(
            format!("clone3(from a process with {threads} threads)"),
            libc::EBUSY,
        ));
    }
    clone_process(namespaces, cgroup)
}

/// Forks from a process that is itself a fork by this module, and so has one thread. Does not
/// look into /proc, which may be a container's by now.
pub fn fork_again() -> Result<Fork> {
    clone_process(0, None)
}

fn clone_process(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Fork> {
    const PIDFD: u64 = 0x1000;
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: libc::c_int = -1;
    // SAFETY: plain integers; zero means "not used" for every field.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | PIDFD;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(0);
    }
    // SAFETY: no CLONE_VM, so the child has its own copy of this single-threaded process (checked
    // above) and goes on from here on the same stack, as after fork(2). The kernel writes the
    // pidfd to `pidfd`, alive here.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const args,
            size_of::<libc::clone_args>(),
        )
    };
    let pid = check(pid, || {
        format!("clone3({})", super::namespace::names(namespaces))
    })?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    Ok(Fork::Parent {
        pid: u32::try_from(pid).unwrap_or(0),
        // SAFETY: CLONE_PIDFD gave us this new fd.
        pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
    })
}

/// Ends a forked child without running destructors or exit handlers of the parent's copy.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Replaces the program. Returns only when it failed.
pub fn exec(program: &CStr, args: &[CString], env: &[CString]) -> Result<Infallible> {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer and point to strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(Error::last(format!("execve({program:?})")))
}

/// A pidfd of any process.
pub fn pidfd_open(pid: u32) -> Result<OwnedFd> {
    // SAFETY: takes numbers, gives a new fd.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, 0), || {
            format!("pidfd_open({pid})")
        })?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)))
    }
}

/// Sends a signal to exactly the process that the pidfd means.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    check(
        // SAFETY: no siginfo is given; the rest are numbers.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        },
        || format!("pidfd_send_signal({})", crate::spec::signal::name(signal)),
    )?;
    Ok(())
}

/// Sends a signal to a process or (negative) group of our own pid namespace.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: numbers only.
    check(i64::from(unsafe { libc::kill(pid, signal) }), || {
        format!("kill({pid}, {})", crate::spec::signal::name(signal))
    })?;
    Ok(())
}

fn wait_on(kind: libc::idtype_t, id: libc::id_t, flags: i32) -> Result<Option<(u32, Exit)>> {
    // SAFETY: plain data; zero is what "nothing yet" looks like.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: the kernel fills `info`, alive during the call.
        let returned = unsafe { libc::waitid(kind, id, &raw mut info, libc::WEXITED | flags) };
        match check(i64::from(returned), || format!("waitid({id})")) {
            Ok(_) => break,
            Err(error) if error.is(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    // SAFETY: waitid fills the SIGCHLD part of the union, or leaves it zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let exit = if info.si_code == libc::CLD_EXITED {
        Exit::Code(status)
    } else {
        Exit::Signal(status)
    };
    Ok(Some((u32::try_from(pid).unwrap_or(0), exit)))
}

/// Reaps our child behind a pidfd when it has ended; never blocks. ECHILD: not our child, or
/// reaped already.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> Result<Option<Exit>> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).unwrap_or(0);
    Ok(wait_on(libc::P_PIDFD, id, libc::WNOHANG)?.map(|(_, exit)| exit))
}

/// Waits for our child behind a pidfd and reaps it.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Exit> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).unwrap_or(0);
    match wait_on(libc::P_PIDFD, id, 0)? {
        Some((_, exit)) => Ok(exit),
        None => Err(Error::new("waitid(pidfd)", libc::ECHILD)),
    }
}

/// Waits for a child and reaps it; with the most memory that it ever held, in KiB.
pub fn wait_with_peak(pid: u32) -> Result<(Exit, u64)> {
    let id = libc::pid_t::try_from(pid).unwrap_or(-1);
    let mut status = 0;
    // SAFETY: plain data; zero is a use of nothing.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: the kernel fills `status` and `usage`, alive during the call.
        let returned = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
        match check(i64::from(returned), || format!("wait4({id})")) {
            Ok(_) => break,
            Err(error) if error.is(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    let peak_kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    Ok((Exit::from_wait_status(status), peak_kib))
}

/// Reaps any child that has ended; never blocks. `None`: none has, or there are none.
pub fn reap_any() -> Result<Option<(u32, Exit)>> {
    match wait_on(libc::P_ALL, 0, libc::WNOHANG) {
        Err(error) if error.is(libc::ECHILD) => Ok(None),
        other => other,
    }
}

/// The exit status of a process that need not be our child and may have been reaped, if the
/// pidfd was opened before it ended (Linux 6.15). `None`: still there, not yet reaped, or an
/// older kernel.
pub fn exit_of_reaped(pidfd: BorrowedFd<'_>) -> Result<Option<Exit>> {
    const PIDFD_GET_INFO: libc::Ioctl = 0xC040_FF0B;
    const INFO_EXIT: u64 = 8;
    #[repr(C)]
    #[derive(Default)]
    struct PidfdInfo {
        mask: u64,
        cgroup_id: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const { assert!(size_of::<PidfdInfo>() == 64) };
    let mut info = PidfdInfo {
        mask: INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the ioctl's number encodes 64 bytes, which is the size of `info`.
    let returned = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    match check(i64::from(returned), || "ioctl(PIDFD_GET_INFO)".into()) {
        Ok(_) if info.mask & INFO_EXIT != 0 => Ok(Some(Exit::from_wait_status(info.exit_code))),
        Ok(_) => Ok(None),
        Err(error)
            if [libc::ENOTTY, libc::EINVAL, libc::ESRCH, libc::EREMOTE]
                .contains(&error.errno()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn prctl(option: i32, value: u64, name: &str) -> Result<i64> {
    // SAFETY: the options used in this file take integers.
    let returned = unsafe { libc::prctl(option, value as libc::c_ulong, 0, 0, 0) };
    check(i64::from(returned), || format!("prctl({name}, {value})"))
}

/// Orphaned descendants become our children.
pub fn become_subreaper() -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER").map(drop)
}

/// This signal when the parent dies. Check afterwards that it has not died already.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    let signal = u64::try_from(signal).unwrap_or(0);
    prctl(libc::PR_SET_PDEATHSIG, signal, "PR_SET_PDEATHSIG").map(drop)
}

/// Whether others of the same user may look into this process (ptrace, /proc/PID/fd).
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    prctl(
        libc::PR_SET_DUMPABLE,
        u64::from(dumpable),
        "PR_SET_DUMPABLE",
    )
    .map(drop)
}

/// No exec gives more rights from now on.
pub fn set_no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS").map(drop)
}

/// Whether the permitted capabilities outlive a change from uid 0.
pub fn set_keep_capabilities(keep: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), "PR_SET_KEEPCAPS").map(drop)
}

/// The name that `ps` and `top` show for this process (at most 15 bytes).
pub fn set_name(name: &CStr) -> Result<()> {
    check(
        // SAFETY: the kernel reads at most 16 bytes of a terminated string.
        i64::from(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }),
        || "prctl(PR_SET_NAME)".into(),
    )?;
    Ok(())
}

/// Overwrites the arguments that `/proc/PID/cmdline` shows for this process, as setproctitle(3)
/// does. Whoever reads arguments of this process later reads the new ones: for a process that
/// never does.
pub fn set_command_line(name: &CStr) -> Result<()> {
    let call = || format!("set_command_line({name:?})");
    let stat = std::fs::read_to_string("/proc/self/stat");
    let stat = stat.map_err(|error| Error::from_io(call(), &error))?;
    let malformed = || Error::new(call(), libc::EINVAL);
    let (_, fields) = stat.rsplit_once(") ").ok_or_else(malformed)?;
    // proc(5) counts from 1, and the state is field 3: arg_start is 48, arg_end 49.
    let mut bounds = fields.split_whitespace().skip(45).map(str::parse::<usize>);
    let (Some(Ok(start)), Some(Ok(end))) = (bounds.next(), bounds.next()) else {
        return Err(malformed());
    };
    let bytes = name.to_bytes_with_nul();
    // Where the kernel tells nothing the bounds are 0.
    if start == 0 || end.saturating_sub(start) <= bytes.len() {
        return Err(Error::new(call(), libc::ERANGE));
    }
    let place = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel put the arguments there, at the end of the stack that this process was
    // executed with, and tells only this process' own bounds; that memory is writable for as long
    // as the process lives. No Rust value lies in it: the standard library keeps a pointer to it
    // and copies when it is asked for arguments.
    unsafe {
        std::ptr::write_bytes(place, 0, end - start);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
        // A last byte that is not zero says that the text ends at its first zero.
        place.add(end - start - 1).write(b'.');
    }
    Ok(())
}

/// A new session, led by this process, without a terminal.
pub fn setsid() -> Result<()> {
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::setsid() }), || "setsid()".into())?;
    Ok(())
}

/// The mode bits that new files lack.
pub fn set_umask(mask: u32) {
    // SAFETY: numbers only; it can't fail.
    let _before = unsafe { libc::umask(mask) };
}

/// User, group and further groups, for good. The calls go to the kernel directly: there is one
/// thread, which the C library's own versions would only try to find company for.
pub fn set_ids(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    // SAFETY: the kernel reads `len` numbers from the slice.
    unsafe {
        check(
            libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
            || format!("setgroups({groups:?})"),
        )?;
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid), || {
            format!("setresgid({gid})")
        })?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid), || {
            format!("setresuid({uid})")
        })?;
    }
    Ok(())
}

/// The resource numbers by Docker's names.
pub fn limit_number(name: &str) -> Option<u32> {
    let number = match name {
        "cpu" => libc::RLIMIT_CPU,
        "fsize" => libc::RLIMIT_FSIZE,
        "data" => libc::RLIMIT_DATA,
        "stack" => libc::RLIMIT_STACK,
        "core" => libc::RLIMIT_CORE,
        "rss" => libc::RLIMIT_RSS,
        "nproc" => libc::RLIMIT_NPROC,
        "nofile" => libc::RLIMIT_NOFILE,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "as" => libc::RLIMIT_AS,
        "locks" => libc::RLIMIT_LOCKS,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        _ => return None,
    };
    Some(number)
}

/// A soft and a hard limit of another process (0: this one); `u64::MAX` is unlimited.
pub fn set_limit(pid: u32, name: &str, soft: u64, hard: u64) -> Result<()> {
    let call = || format!("prlimit({name}={soft}:{hard})");
    let Some(number) = limit_number(name) else {
        return Err(Error::new(call(), libc::EINVAL));
    };
    let new = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    check(
        // SAFETY: the kernel reads `new`; the old value is not asked for.
        unsafe {
            libc::syscall(
                libc::SYS_prlimit64,
                pid,
                number,
                &raw const new,
                std::ptr::null_mut::<libc::rlimit64>(),
            )
        },
        call,
    )?;
    Ok(())
}

/// The soft and hard limit of a process (0: this one).
pub fn get_limit(pid: u32, name: &str) -> Result<(u64, u64)> {
    let call = || format!("prlimit({name})");
    let Some(number) = limit_number(name) else {
        return Err(Error::new(call(), libc::EINVAL));
    };
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    check(
        // SAFETY: the kernel writes `old`; no new value is given.
        unsafe {
            libc::syscall(
                libc::SYS_prlimit64,
                pid,
                number,
                std::ptr::null::<libc::rlimit64>(),
                &raw mut old,
            )
        },
        call,
    )?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// Field 22 of a process' stat file: with the pid and the boot id it names one process for good.
pub fn start_time(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text =
        fs::read_to_string(&path).map_err(|e| Error::from_io(format!("open({path})"), &e))?;
    parse_start_time(&text).ok_or_else(|| Error::new(format!("read({path})"), libc::EINVAL))
}

fn parse_start_time(stat: &str) -> Option<u64> {
    // The second field is a name in brackets that may itself have blanks and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Names this run of the kernel.
pub fn boot_id() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(PATH).map_err(|e| Error::from_io(format!("open({PATH})"), &e))?;
    Ok(text.trim_end().to_owned())
}

/// The host name of this process' UTS namespace.
pub fn set_host_name(name: &str) -> Result<()> {
    check(
        // SAFETY: the kernel reads `len` bytes.
        i64::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }),
        || format!("sethostname({name:?})"),
    )?;
    Ok(())
}

/// The NIS domain name of this process' UTS namespace.
pub fn set_domain_name(name: &str) -> Result<()> {
    check(
        // SAFETY: the kernel reads `len` bytes.
        i64::from(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }),
        || format!("setdomainname({name:?})"),
    )?;
    Ok(())
}

/// Sets the loopback interface of this network namespace up.
pub fn set_loopback_up() -> Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|e| Error::from_errno("socket(inet, dgram)", e))?;
    // SAFETY: plain data; the name is terminated by the zeroes that follow it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    check(
        // SAFETY: SIOCSIFFLAGS reads one ifreq.
        i64::from(unsafe {
            libc::ioctl(
                socket.as_raw_fd(),
                libc::SIOCSIFFLAGS as libc::Ioctl,
                &raw const request,
            )
        }),
        || "ioctl(SIOCSIFFLAGS, lo up)".into(),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_strange_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(parse_start_time(stat), Some(777));
    }

    #[test]
    fn a_wait_status_is_taken_apart() {
        assert_eq!(Exit::from_wait_status(3 << 8), Exit::Code(3));
        assert_eq!(Exit::from_wait_status(9), Exit::Signal(9));
        assert_eq!(Exit::Signal(15).code(), 143);
    }

    #[test]
    fn the_start_time_of_this_process_stays() {
        let pid = std::process::id();
        assert_eq!(start_time(pid).unwrap(), start_time(pid).unwrap());
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
