//! A published port.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::diag::Span;

/// One entry of `ports`, in its long form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub span: Span,
    pub target: u16,
    /// Absent: any free port. A range: the first free one of it.
    pub published: Option<RangeInclusive<u16>>,
    pub host_ip: Option<IpAddr>,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// `ingress` or `host`; no effect on one machine.
    pub mode: String,
    pub name: Option<String>,
    pub app_protocol: Option<String>,
}
