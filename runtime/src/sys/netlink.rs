//! Netlink: messages written attribute by attribute, many in one send, their answers read together.
//!
//! Synchronous on purpose: the kernel has queued every answer by the time the send returns,
//! so nothing here ever waits. Messages are built by [`Message`], which checks every length
//! (an attribute holds at most 64 KiB; a silent wrap-around is CVE-2021-43784).

#![expect(
    unsafe_code,
    reason = "rustix has no socket options of the netlink level"
)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
};

use crate::error::{Context, Error, ErrorKind, Result};

/// Request: set on every message we send.
const NLM_F_REQUEST: u16 = 0x1;
/// The kernel answers, even when all went well.
pub const NLM_F_ACK: u16 = 0x4;
/// Every object of a kind.
pub const NLM_F_DUMP: u16 = 0x300;
/// Fail when the object exists.
pub const NLM_F_EXCL: u16 = 0x200;
/// What is there already is changed.
pub const NLM_F_REPLACE: u16 = 0x100;
/// Make the object.
pub const NLM_F_CREATE: u16 = 0x400;
/// Put it behind those that are there.
pub const NLM_F_APPEND: u16 = 0x800;
const NLM_F_NESTED: u16 = 0x8000;
/// In an answer: attributes with the kernel's own words follow.
const NLM_F_ACK_TLVS: u16 = 0x200;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSGERR_ATTR_MSG: u16 = 1;
const HEADER_BYTES: usize = 16;

/// One netlink message in the making.
#[derive(Debug, Clone)]
pub struct Message {
    /// The netlink header (length and sequence filled in when sent), then the payload.
    bytes: Vec<u8>,
    overflow: bool,
}

impl Message {
    /// A message of `kind` with its family's fixed header.
    pub fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(header);
        let mut message = Self {
            bytes,
            overflow: false,
        };
        message.pad();
        message
    }

    /// Adds an attribute.
    pub fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value);
        self.end(start);
        self
    }

    /// Adds a number in the host's byte order (routing).
    pub fn attr_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Adds a number in the network's byte order (netfilter).
    pub fn attr_be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Adds text with its terminating zero.
    pub fn attr_str(&mut self, kind: u16, value: &str) -> &mut Self {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.end(start);
        self
    }

    /// Adds an attribute that consists of attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.begin(kind | NLM_F_NESTED);
        fill(self);
        self.end(start);
        self
    }

    /// Adds bytes as they are: the fixed header inside some nested attributes.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    fn begin(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn end(&mut self, start: usize) {
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overflow = true,
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Asks for an answer even when all goes well.
    pub fn request_acknowledgement(&mut self) {
        let flags = self.flags() | NLM_F_ACK;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]])
    }

    fn finish(&mut self, sequence: u32) -> Result<()> {
        let length = u32::try_from(self.bytes.len())
            .ok()
            .filter(|_| !self.overflow);
        let Some(length) = length else {
            return Err(Error::new(
                ErrorKind::Invalid,
                "netlink: an attribute is longer than 64 KiB",
            ));
        };
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        Ok(())
    }
}

/// A refusal: which message, the errno, and the kernel's words when it has some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Position of the message in what was sent.
    pub index: usize,
    pub errno: rustix::io::Errno,
    pub text: Option<String>,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = Error::from(refusal.errno);
        match refusal.text {
            Some(text) => Error::new(error.kind(), format!("{text} ({error})")),
            None => error,
        }
    }
}

/// A netlink socket. It belongs to the network namespace in which it was opened, wherever its
/// user goes afterwards.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Links, addresses, routes of the current network namespace.
    pub fn route() -> Result<Self> {
        // NETLINK_ROUTE is 0, which rustix spells as no protocol.
        Self::open(None).context(|| "open a routing socket".into())
    }

    /// Packet filters of the current network namespace.
    pub fn netfilter() -> Result<Self> {
        Self::open(Some(netlink::NETFILTER)).context(|| "open a netfilter socket".into())
    }

    fn open(protocol: Option<Protocol>) -> Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(|errno| match errno {
            rustix::io::Errno::PROTONOSUPPORT => {
                Error::new(ErrorKind::Unsupported, Error::from(errno).to_string())
            }
            _ => Error::from(errno),
        })?;
        let socket = Self { fd, sequence: 1 };
        // Without the first, answers to large messages carry the whole message again; without
        // the second they carry no text. Both only make answers better: old kernels lack them.
        socket.set_option(libc::NETLINK_CAP_ACK);
        socket.set_option(libc::NETLINK_EXT_ACK);
        Ok(socket)
    }

    fn set_option(&self, option: libc::c_int) {
        let on: libc::c_int = 1;
        // SAFETY: the pointer is to a live c_int, and an int has 4 bytes.
        let _refused = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const on).cast(),
                4,
            )
        };
    }

    /// Sends messages in one go; each that asks for it is answered. The first refusal is the
    /// error; the kernel has tried the messages after it all the same (but for an nftables
    /// batch, of which nothing happened).
    pub fn send(&mut self, messages: Vec<Message>) -> Result<()> {
        Ok(self.try_send(messages)??)
    }

    /// Like [`Socket::send`], for callers that look at the refusal.
    pub fn try_send(&mut self, messages: Vec<Message>) -> Result<Result<(), Refusal>> {
        let first = self.sequence;
        let mut expected = 0;
        let mut bytes = Vec::new();
        for mut message in messages {
            message.finish(self.sequence)?;
            if message.flags() & NLM_F_ACK != 0 {
                expected = self.sequence;
            }
            self.sequence = self.sequence.wrapping_add(1);
            bytes.append(&mut message.bytes);
        }
        if bytes.len() > 64 << 10 {
            // A send must fit into the buffer as a whole. Refused without rights; then the send says so.
            let _refused =
                rustix::net::sockopt::set_socket_send_buffer_size_force(&self.fd, bytes.len() * 2);
        }
        rustix::net::send(&self.fd, &bytes, SendFlags::empty())
            .context(|| "send a netlink message".into())?;
        self.read_answers(first, expected)
    }

    fn read_answers(&self, first: u32, expected: u32) -> Result<Result<(), Refusal>> {
        let mut refusal: Option<Refusal> = None;
        let mut answered = expected == 0;
        let mut buffer = vec![0u8; 16 << 10];
        // All answers are queued already; an empty queue is the end.
        loop {
            let length = match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length)) => length.min(buffer.len()),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno).context(|| "read a netlink answer".into()),
            };
            for frame in frames(&buffer[..length]) {
                if frame.kind != NLMSG_ERROR || frame.payload.len() < 4 {
                    continue;
                }
                answered |= frame.sequence == expected;
                let code = i32::from_ne_bytes(array(frame.payload));
                if code != 0 && refusal.is_none() {
                    refusal = Some(Refusal {
                        index: frame.sequence.wrapping_sub(first) as usize,
                        errno: rustix::io::Errno::from_raw_os_error(-code),
                        text: extended_text(&frame),
                    });
                }
            }
        }
        match refusal {
            Some(refusal) => Ok(Err(refusal)),
            None if answered => Ok(Ok(())),
            None => Err(Error::new(
                ErrorKind::Internal,
                "netlink: the kernel did not answer",
            )),
        }
    }

    /// Asks for all objects of a kind; `each` sees kind and payload of every answer.
    pub fn dump(&mut self, mut message: Message, mut each: impl FnMut(u16, &[u8])) -> Result<()> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        message.finish(sequence)?;
        rustix::net::send(&self.fd, &message.bytes, SendFlags::empty())
            .context(|| "send a netlink message".into())?;
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            let length = match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => length.min(buffer.len()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno).context(|| "read a netlink answer".into()),
            };
            for frame in frames(&buffer[..length]).filter(|frame| frame.sequence == sequence) {
                match frame.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR if frame.payload.len() >= 4 => {
                        let code = i32::from_ne_bytes(array(frame.payload));
                        if code == 0 {
                            return Ok(());
                        }
                        return Err(rustix::io::Errno::from_raw_os_error(-code).into());
                    }
                    kind => each(kind, frame.payload),
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

struct Frame<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        if bytes.len() < HEADER_BYTES {
            return None;
        }
        let length = u32::from_ne_bytes(array(bytes)) as usize;
        if length < HEADER_BYTES || length > bytes.len() {
            return None;
        }
        let frame = Frame {
            kind: u16::from_ne_bytes(array(&bytes[4..])),
            flags: u16::from_ne_bytes(array(&bytes[6..])),
            sequence: u32::from_ne_bytes(array(&bytes[8..])),
            payload: &bytes[HEADER_BYTES..length],
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(frame)
    })
}

/// The attributes of a payload after its fixed header, as (kind, value).
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        if bytes.len() < 4 {
            return None;
        }
        let length = usize::from(u16::from_ne_bytes(array(bytes)));
        if length < 4 || length > bytes.len() {
            return None;
        }
        // The two highest bits are flags (nested, byte order).
        let kind = u16::from_ne_bytes(array(&bytes[2..])) & 0x3fff;
        let value = &bytes[4..length];
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first `N` bytes; the caller has checked that they are there.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

fn extended_text(frame: &Frame<'_>) -> Option<String> {
    if frame.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    // With NETLINK_CAP_ACK: the error number, the header of our message, then attributes.
    let tail = frame.payload.get(4 + HEADER_BYTES..)?;
    attributes(tail)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, text)| {
            String::from_utf8_lossy(text)
                .trim_end_matches('\0')
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let mut message = Message::new(16, NLM_F_ACK, &[7; 4]);
        message.nest(1, |inner| {
            inner.attr_str(2, "eth0").attr(3, &[9]);
        });
        message.finish(5).unwrap();
        let payload = &message.bytes[HEADER_BYTES + 4..];
        let outer: Vec<_> = attributes(payload).collect();
        assert_eq!(outer.len(), 1);
        let inner: Vec<_> = attributes(outer[0].1).collect();
        assert_eq!(inner, [(2, &b"eth0\0"[..]), (3, &[9][..])]);
        assert_eq!(message.bytes.len() % 4, 0);
    }

    #[test]
    fn an_attribute_that_does_not_fit_is_refused() {
        let mut message = Message::new(16, 0, &[]);
        message.attr(1, &vec![0; 70_000]);
        assert!(message.finish(1).is_err());
    }

    #[test]
    fn a_truncated_answer_ends_the_walk() {
        assert_eq!(attributes(&[8, 0, 1, 0, 1]).count(), 0);
        assert_eq!(frames(&[255, 0, 0, 0]).count(), 0);
    }
}
