//! One run of the container: its files, streams, namespaces and networks, up to exec.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::dns::Resolver;
use super::machine::Event;
use super::proxy::Forwarder;
use super::stdio::{self, Input, Output};
use crate::cgroup::{Cgroup, OomWatch};
use crate::container::record::Record;
use crate::container::state::{Endpoint, PublishedPort, State};
use crate::container::{documents, files};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::init::{self, Child, JoinedNamespaces, StartRequest, Stdio};
use crate::network::{self, Attachment, host, records, resolv};
use crate::spec::{Namespace, NetworkMode};
use crate::store::Roots;
use crate::store::id::Id;
use crate::sys;

/// The size of a terminal that nobody has told its size.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A process that runs, and our ends of what belongs to it.
#[derive(Debug)]
pub struct Started {
    pub child: Child,
    pub outputs: Vec<Output>,
    pub stdin: Option<OwnedFd>,
    /// Absent when the networks of the last run were kept.
    pub joined: Option<Joined>,
}

/// What the state says about the networks.
#[derive(Debug)]
pub struct Joined {
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<PublishedPort>,
}

/// Why a run did not come to be, and what exit code Docker records for it.
#[derive(Debug)]
pub struct Failure {
    pub exit_code: i32,
    pub error: Error,
}

impl Failure {
    /// As the machine is told.
    pub fn event(self) -> Event {
        Event::StartFailed {
            exit_code: self.exit_code,
            error: self.error.to_string(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit_code = match error.kind() {
            ErrorKind::NotExecutable => 126,
            ErrorKind::CommandNotFound => 127,
            _ => 128,
        };
        Self { exit_code, error }
    }
}

/// The container's network namespace and what was joined to it; kept across restarts by
/// policy, so that only the process is new.
#[derive(Debug, Default)]
pub struct Net {
    namespace: Option<OwnedFd>,
    attached: bool,
    /// Answers at 127.0.0.11.
    pub resolver: Option<Resolver>,
    /// The user side of published ports.
    pub forwarder: Option<Forwarder>,
}

/// Starts the container's process.
///
/// # Errors
/// With the exit code that Docker records; nothing of the attempt is left.
pub fn start(
    roots: &Roots,
    record: &Record,
    run: &Path,
    net: &mut Net,
    size: Option<(u16, u16)>,
) -> Result<Started, Failure> {
    let directory = roots.container(&record.id);
    write_files(roots, record, &directory, &[])?;
    failpoint::reached(Point::EtcFilesWritten);
    let (ends, outputs, stdin) = if record.process.tty {
        let (rows, columns) = size.unwrap_or((ROWS, COLUMNS));
        let terminal = Stdio::Terminal { rows, columns };
        (terminal, Vec::new(), None)
    } else {
        let input = match (record.process.stdin_open, record.process.stdin_once) {
            (false, _) => Input::Null,
            (true, false) => Input::Open,
            (true, true) => Input::Once,
        };
        let streams = stdio::open_streams(run, input)?;
        (streams.ends, streams.outputs, streams.stdin)
    };
    failpoint::reached(Point::StreamsOpened);
    let pending = init::start(StartRequest {
        record,
        directory: directory.clone(),
        layers: layers(roots, record),
        stdio: ends,
        join: joined_namespaces(roots, record, net)?,
    })?;
    let joined = net.attach(roots, record, pending.network_namespace())?;
    if let Some(joined) = &joined {
        // Now the addresses are known; the mounts are made already.
        write_files(roots, record, &directory, &joined.endpoints)?;
    }
    failpoint::reached(Point::NetworksJoined);
    let mut child = match pending.release() {
        Ok(child) => child,
        Err(error) => {
            if let Some(joined) = &joined {
                net.detach(roots, record, &joined.endpoints);
            }
            return Err(error.into());
        }
    };
    failpoint::reached(Point::ProgramStarted);
    let mut outputs = outputs;
    if let Some(master) = child.terminal.take() {
        outputs.push(Output::terminal(master)?);
    }
    Ok(Started {
        child,
        outputs,
        stdin,
        joined,
    })
}

pub fn layers(roots: &Roots, record: &Record) -> Vec<PathBuf> {
    let directory = roots.layers();
    let layers = record.layers.iter();
    layers
        .map(|layer| directory.join(layer.hex()).join("diff"))
        .collect()
}

/// hosts, hostname and resolv.conf, in place: they are bind mounted. Before the networks are
/// joined there are no endpoints.
fn write_files(
    roots: &Roots,
    record: &Record,
    directory: &Path,
    endpoints: &[Endpoint],
) -> Result<()> {
    let spec = &record.spec;
    let has_ipv6 = Path::new("/proc/sys/net/ipv6").exists();
    let (hosts, resolv_conf) = match &spec.network {
        NetworkMode::Host => {
            let own = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
            let resolv_conf = host::resolv_conf_text();
            (
                files::host_network_hosts(&own, &spec.extra_hosts),
                resolv::for_host_network(&resolv_conf, &spec.dns),
            )
        }
        NetworkMode::Container(id) => {
            let other = roots.container(&Id::try_from(id.clone())?);
            let text = |name| read_some(&other.join(name));
            (text("hosts"), text("resolv.conf"))
        }
        NetworkMode::None | NetworkMode::Networks(_) => {
            let hosts = files::hosts(&files::Hosts {
                hostname: &record.hostname,
                domainname: spec.domainname.as_deref(),
                extra: &spec.extra_hosts,
                endpoints,
                ipv6: has_ipv6,
            });
            let resolv_conf = if has_user_network(&spec.network) {
                resolv::for_user_networks(&host::resolv_conf(), &spec.dns)
            } else {
                let conf = host::reachable_resolv_conf();
                resolv::for_default_network(&conf, &spec.dns, has_ipv6)
            };
            (hosts, resolv_conf)
        }
    };
    documents::write_in_place(&directory.join("hosts"), &hosts)?;
    documents::write_in_place(&directory.join("resolv.conf"), &resolv_conf)?;
    let hostname = files::hostname(&record.hostname);
    documents::write_in_place(&directory.join("hostname"), &hostname)
}

/// A file that the other container may write to: no more of it than such a file ever has.
fn read_some(path: &Path) -> String {
    use std::io::Read as _;
    const LIMIT_BYTES: u64 = 1 << 20;
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(LIMIT_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// Whether names are answered by our own resolver.
fn has_user_network(network: &NetworkMode) -> bool {
    match network {
        NetworkMode::Networks(specs) => specs.iter().any(|spec| spec.network != records::DEFAULT),
        NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => false,
    }
}

/// The namespaces of other containers, and our own network of the last run.
fn joined_namespaces(roots: &Roots, record: &Record, net: &Net) -> Result<JoinedNamespaces> {
    let mut join = JoinedNamespaces::default();
    if let Some(namespace) = &net.namespace {
        join.net = Some(sys::fd::duplicate(namespace.as_fd())?);
    } else if let NetworkMode::Container(id) = &record.spec.network {
        join.net = Some(open_namespace(roots, id, "net")?);
    }
    if let Namespace::Container(id) = &record.spec.security.pid {
        join.pid = Some(open_namespace(roots, id, "pid")?);
    }
    if let Namespace::Container(id) = &record.spec.security.ipc {
        join.ipc = Some(open_namespace(roots, id, "ipc")?);
        join.ipc_mounts = Some(open_namespace(roots, id, "mnt")?);
    }
    Ok(join)
}

fn open_namespace(roots: &Roots, id: &str, kind: &str) -> Result<OwnedFd> {
    let id = Id::try_from(id.to_owned())?;
    let state = documents::find_state(roots, &id)?.unwrap_or_default();
    let pid = state.pid.ok_or_else(|| {
        Error::new(
            ErrorKind::Conflict,
            format!("cannot join {kind} namespace of a non running container: {id}"),
        )
    })?;
    open_namespace_of(pid, kind)
}

fn open_namespace_of(pid: u32, kind: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let path = format!("/proc/{pid}/ns/{kind}");
    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open {path}"))
}

impl Net {
    /// Joins the new namespace to the container's networks, unless those of the last run are
    /// still there.
    fn attach(
        &mut self,
        roots: &Roots,
        record: &Record,
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<Joined>> {
        let has_its_own = matches!(
            record.spec.network,
            NetworkMode::None | NetworkMode::Networks(_)
        );
        if self.attached || !has_its_own {
            return Ok(None);
        }
        let attachment = network::attach(roots, record, namespace)?;
        self.namespace = Some(sys::fd::duplicate(namespace)?);
        self.attached = true;
        self.serve(roots, record, attachment).map(Some)
    }

    /// Takes over the sockets of an attachment.
    fn serve(&mut self, roots: &Roots, record: &Record, attachment: Attachment) -> Result<Joined> {
        let joined = Joined {
            endpoints: attachment.endpoints,
            ports: attachment.ports,
        };
        if let Some(sockets) = attachment.dns {
            let resolver = Resolver::new(roots, record, sockets, &joined.endpoints)?;
            self.resolver = Some(resolver);
        }
        if !attachment.reserved.is_empty() {
            self.forwarder = Some(Forwarder::new(attachment.reserved)?);
        }
        Ok(joined)
    }

    fn detach(&mut self, roots: &Roots, record: &Record, endpoints: &[Endpoint]) {
        self.close();
        // The first failure is the one that is told.
        let _told_already = network::detach(roots, record, endpoints);
    }

    /// Lets go of every socket and of the namespace.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// The networks of a container that runs already: its names and ports are served anew.
    ///
    /// # Errors
    /// When a port was taken in the meantime, or the namespace is gone.
    pub fn adopt(&mut self, roots: &Roots, record: &Record, pid: u32, state: &State) -> Result<()> {
        let namespace = open_namespace_of(pid, "net")?;
        self.attached = true;
        let attachment = network::adopt(
            roots,
            record,
            namespace.as_fd(),
            &state.endpoints,
            &state.ports,
        );
        self.namespace = Some(namespace);
        self.serve(roots, record, attachment?).map(drop)
    }

    /// When `tick` has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let resolver = self.resolver.as_ref().and_then(Resolver::deadline);
        let forwarder = self.forwarder.as_ref().and_then(Forwarder::deadline);
        resolver.into_iter().chain(forwarder).min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        if let Some(resolver) = &mut self.resolver {
            resolver.tick(now);
        }
        if let Some(forwarder) = &mut self.forwarder {
            forwarder.tick(now);
        }
    }
}

/// Whether killing process 1 does not end the others.
pub fn shares_pid_namespace(record: &Record) -> bool {
    matches!(
        record.spec.security.pid,
        Namespace::Host | Namespace::Container(_)
    )
}

fn cgroup(record: &Record) -> Result<Cgroup> {
    Cgroup::of(&record.id, record.spec.cgroup_parent.as_deref())
}

/// Stops all processes of the container where they are.
///
/// # Errors
/// When the kernel has no freezer.
pub fn freeze(record: &Record) -> Result<()> {
    cgroup(record)?.freeze()
}

/// Lets them go on.
///
/// # Errors
/// As `freeze`.
pub fn thaw(record: &Record) -> Result<()> {
    cgroup(record)?.thaw()
}

/// SIGKILL to every process of the container.
///
/// # Errors
/// When the kernel refuses.
pub fn kill_cgroup(record: &Record) -> Result<()> {
    cgroup(record)?.kill()
}

/// Removes the cgroup of a container that has ended.
///
/// # Errors
/// When something in it does not end.
pub fn remove_cgroup(record: &Record) -> Result<()> {
    cgroup(record)?.remove()
}

/// The most memory that it had, while its cgroup is there.
pub fn memory_peak(record: &Record) -> Option<u64> {
    cgroup(record).ok()?.memory_peak()
}

/// Subscribes to the OOM killer.
pub fn watch_oom(record: &Record) -> Option<OomWatch> {
    cgroup(record).ok()?.watch_oom()
}
