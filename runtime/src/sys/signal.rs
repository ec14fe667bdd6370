//! Signals: masks, signalfd, dispositions.
#![expect(unsafe_code, reason = "signal sets and signalfd are not in rustix")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::error::{Result, check};
use crate::spec::signal::{RTMAX, name};

/// A set of signals.
#[derive(Clone, Copy)]
pub struct Set(libc::sigset_t);

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries((1..=RTMAX).filter(|n| self.contains(*n)).map(name))
            .finish()
    }
}

impl Set {
    /// No signal.
    pub fn empty() -> Self {
        // SAFETY: sigemptyset makes any storage a valid set; zeroed integers are valid storage.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            Self(set)
        }
    }

    /// Every signal.
    pub fn full() -> Self {
        // SAFETY: as in `empty`.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigfillset(&raw mut set);
            Self(set)
        }
    }

    /// These signals.
    pub fn of(signals: &[i32]) -> Self {
        let mut set = Self::empty();
        for signal in signals {
            // SAFETY: the set is initialised; a number out of range is refused by the library.
            unsafe { libc::sigaddset(&raw mut set.0, *signal) };
        }
        set
    }

    /// This set but for these signals.
    #[must_use]
    pub fn without(mut self, signals: &[i32]) -> Self {
        for signal in signals {
            // SAFETY: as in `of`.
            unsafe { libc::sigdelset(&raw mut self.0, *signal) };
        }
        self
    }

    /// Whether the signal is in the set.
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: as in `of`.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }
}

/// Makes this set the thread's mask; returns the one before.
pub fn set_mask(set: Set) -> Result<Set> {
    let mut before = Set::empty();
    check(
        // SAFETY: both sets are valid for the time of the call.
        i64::from(unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const set.0, &raw mut before.0)
        }),
        || "sigprocmask()".into(),
    )?;
    Ok(before)
}

/// Adds these signals to the thread's mask; returns the mask before.
pub fn block(signals: &[i32]) -> Result<Set> {
    let set = Set::of(signals);
    let mut before = Set::empty();
    check(
        // SAFETY: both sets are valid for the time of the call.
        i64::from(unsafe {
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set.0, &raw mut before.0)
        }),
        || "sigprocmask(block)".into(),
    )?;
    Ok(before)
}

/// Blocks these signals and gives an fd (close-on-exec, not blocking) to read them from.
pub fn signalfd(signals: &[i32]) -> Result<OwnedFd> {
    block(signals)?;
    let set = Set::of(signals);
    // SAFETY: -1 asks for a new fd; the set is valid. The new fd is ours alone.
    unsafe {
        let fd = check(
            i64::from(libc::signalfd(
                -1,
                &raw const set.0,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            )),
            || "signalfd()".into(),
        )?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)))
    }
}

/// What a signalfd tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    pub signal: i32,
    /// Who sent it, or which child it is about.
    pub pid: u32,
}

/// The next pending signal; `None` when there is none now.
pub fn read_signalfd(fd: BorrowedFd<'_>) -> Result<Option<Received>> {
    // SAFETY: the structure is plain integers.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    // SAFETY: the buffer is one whole structure, which is what the kernel writes.
    let read = unsafe {
        libc::read(
            fd.as_raw_fd(),
            (&raw mut info).cast(),
            size_of::<libc::signalfd_siginfo>(),
        )
    };
    match check(read as i64, || "read(signalfd)".into()) {
        Ok(_) => Ok(Some(Received {
            signal: i32::try_from(info.ssi_signo).unwrap_or(0),
            pid: info.ssi_pid,
        })),
        Err(error) if error.is(libc::EAGAIN) || error.is(libc::EINTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits for one of these (blocked) signals.
pub fn wait_for(set: Set) -> Result<i32> {
    loop {
        // SAFETY: the set is valid; no siginfo is asked for.
        let signal = unsafe { libc::sigwaitinfo(&raw const set.0, std::ptr::null_mut()) };
        match check(i64::from(signal), || "sigwaitinfo()".into()) {
            Ok(signal) => return Ok(i32::try_from(signal).unwrap_or(0)),
            Err(error) if error.is(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether we were started with this signal ignored, as `nohup` starts a program.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: zeroes are a valid sigaction; the kernel only writes the present one into it.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut present) == 0
            && present.sa_sigaction == libc::SIG_IGN
    }
}

/// Gives every signal its default action back (Rust ignores SIGPIPE, and that would be inherited)
/// and empties the mask: what a program expects at its start.
pub fn reset() -> Result<()> {
    // Handler (SIG_DFL is null), flags, restorer, mask, as the kernel has them. Asked of the kernel,
    // since glibc keeps 32 and 33 to itself, which may have been inherited as ignored.
    let default_action = [0_u64; 4];
    for signal in 1..=RTMAX {
        // KILL and STOP are nobody's: the refusal means nothing.
        // SAFETY: the kernel reads one sigaction, which is what the array is on x86_64 and aarch64;
        // the old one is not asked for; 8 is the size of the kernel's signal set.
        let _refused = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default_action.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8,
            )
        };
    }
    set_mask(Set::empty())?;
    Ok(())
}

/// Ignores a signal.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is no function of ours.
    let _before = unsafe { libc::signal(signal, libc::SIG_IGN) };
}
