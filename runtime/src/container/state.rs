//! Pure: what a container is doing now; `state.json`.
//!
//! Written by the container's monitor while it lives, else by the holder of the
//! container's lock.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spec::Protocol;

/// The whole state of one container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub status: Status,
    /// Process 1, seen from the host; absent unless running or paused.
    pub pid: Option<u32>,
    /// Field 22 of its stat file: with the pid and the boot id it names one process.
    pub pid_start_time: u64,
    /// /proc/sys/kernel/random/boot_id when it was started; another one means it is dead.
    pub boot_id: String,
    pub exit_code: i32,
    /// Why the last start failed; empty otherwise.
    pub error: String,
    pub oom_killed: bool,
    /// What was asked for and could not be had at the last start: limits without their
    /// controller, and their like.
    pub warnings: Vec<String>,
    /// The signal that ended the last run, when one did.
    pub signal: Option<i32>,
    /// Present from the moment when it was asked to end until it has.
    pub stopping: Option<StopRequest>,
    /// The last monitor did not answer any more: it was killed, and another one took over.
    pub monitor_replaced: bool,
    /// What we did to end the last run; absent when it ended without us.
    pub ended_by: Option<EndedBy>,
    /// The most memory that it had, when it ran out of it and the kernel tells.
    pub memory_peak_bytes: Option<u64>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Restarts by policy since the last start by hand.
    pub restart_count: u32,
    /// Stopped or killed by hand since the last start.
    pub manually_stopped: bool,
    /// Absent without a health check.
    pub health: Option<Health>,
    /// One for each joined network, while running.
    pub endpoints: Vec<Endpoint>,
    /// What is published, with the ports that were taken.
    pub ports: Vec<PublishedPort>,
    /// Grows with every write.
    pub generation: u64,
}

impl State {
    /// Whether it runs, and nobody has asked it to end.
    pub fn stays(&self) -> bool {
        self.status.is_active() && self.stopping.is_none()
    }
}

/// The phases of a container's life (the word that `ps` shows).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    Created,
    Running,
    Paused,
    /// Between two runs, by policy: counts as running, without a process.
    Restarting,
    Removing,
    Exited,
    /// Half removed; only removal may follow.
    Dead,
}

impl Status {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether a monitor keeps the container: running, paused or between two runs.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stop on its way: whoever takes over from a killed monitor carries it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    pub signal: i32,
    pub since: Timestamp,
    /// After it, the kill; absent: never.
    pub grace: Option<Duration>,
}

/// How we ended a run, or came too late to see its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Asked to stop, it did within its grace.
    Stop,
    /// The grace ran out: it was killed.
    GraceRanOut,
    /// Nothing in it handles the stop signal: it was killed without a grace.
    StopInVain,
    /// A signal was sent by hand.
    Signal(i32),
    /// Neither it nor its monitor was there any more.
    Unseen,
}

/// What the health check says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    pub failing_streak: u32,
    /// The last five, oldest first.
    pub log: Vec<ProbeResult>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One run of a health check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeResult {
    pub start: Timestamp,
    pub end: Timestamp,
    /// -1: timed out or could not be started.
    pub exit_code: i32,
    /// The first 4096 bytes of both streams.
    pub output: String,
}

/// A container's place in one network, as it came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub network: String,
    pub network_id: String,
    /// Inside the container: `eth0`.
    pub interface: String,
    /// On the host: `veth1a2b3c4`.
    pub host_interface: String,
    pub mac_address: String,
    pub ipv4: Option<(Ipv4Addr, u8)>,
    pub ipv4_gateway: Option<Ipv4Addr>,
    pub ipv6: Option<(Ipv6Addr, u8)>,
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// Names that resolve to it, the container's own first.
    pub names: Vec<String>,
}

/// One taken host port; a binding without an address gives two, one for each family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    pub host_ip: IpAddr,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}
