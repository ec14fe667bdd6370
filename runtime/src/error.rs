//! The one error of this crate: opaque, with a kind from a closed list.
//!
//! Kinds are for machines (retry, exit code, HTTP status); messages are for
//! people. Context is added where the name of the thing is known, outermost
//! first: `create network app_default: subnet overlaps with eth0`.

use std::fmt;

/// What went wrong, with the names of the things it went wrong with.
pub struct Error {
    kind: ErrorKind,
    /// Outermost context first.
    context: Vec<String>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of nearly everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The classes of failure that a caller may treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The named thing does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The thing is in a state that forbids the request.
    Conflict,
    /// Something else still uses the thing.
    InUse,
    /// The request itself is wrong.
    Invalid,
    /// The kernel or the rights of the caller refuse.
    Denied,
    /// Somebody outside refuses: a registry that does not know us.
    Unauthorized,
    /// Known, but not carried out by this ketch or this kernel.
    Unsupported,
    /// A resource ran out, or something outside did not answer.
    Unavailable,
    /// A bounded wait came to its end.
    TimedOut,
    /// The caller gave up.
    Cancelled,
    /// A program could not be executed: the container's exit code would be 126.
    NotExecutable,
    /// A program was not found: the container's exit code would be 127.
    CommandNotFound,
    /// What should not happen: a failed system call, a damaged file.
    Internal,
}

impl Error {
    /// A new error; `message` is a lower-case fragment that names the thing.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            context: Vec::new(),
            message: message.into(),
            source: None,
        }
    }

    /// An error whose cause is another one; the cause's text is appended when printed.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            context: Vec::new(),
            message: message.into(),
            source: Some(Box::new(source)),
        }
    }

    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Puts the name of what was attempted in front.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context.insert(0, context.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for context in &self.context {
            write!(f, "{context}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind)
    }
}

// The source is part of our own text; naming it again here would print it twice.
impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    /// One of ours that went through a reader is itself again.
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(error) => Self::new(kind_of_io(&error), text_of_io(&error)),
        }
    }
}

/// The kernel's words as Docker prints them, `permission denied`; other texts as they are.
fn text_of_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::from(std::io::Error::from(errno))
    }
}

fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::AlreadyExists => ErrorKind::AlreadyExists,
        Io::PermissionDenied => ErrorKind::Denied,
        Io::StorageFull | Io::QuotaExceeded | Io::OutOfMemory => ErrorKind::Unavailable,
        Io::TimedOut => ErrorKind::TimedOut,
        Io::Unsupported => ErrorKind::Unsupported,
        // Not the kernel's EINVAL: a decoder's word for damaged input.
        Io::InvalidData | Io::InvalidInput if error.raw_os_error().is_none() => ErrorKind::Invalid,
        Io::ResourceBusy | Io::DirectoryNotEmpty => ErrorKind::InUse,
        _ => ErrorKind::Internal,
    }
}

/// Adds context to any result whose error can become ours.
pub trait Context<T> {
    /// `context` names what was attempted; it is built only on failure.
    fn context(self, context: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().context(context()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_reads_from_the_outside_in() {
        let error = Error::new(ErrorKind::Conflict, "subnet overlaps with eth0")
            .context("create network app_default");
        assert_eq!(
            error.to_string(),
            "create network app_default: subnet overlaps with eth0"
        );
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }

    #[test]
    fn an_io_error_keeps_its_class() {
        let error: Error = std::io::Error::from(std::io::ErrorKind::NotFound).into();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
