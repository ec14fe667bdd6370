//! The floor: the same containers by nothing but the system calls that can't be left out.
//!
//! A bridge; then for each container cgroups, a clone into new namespaces, a cable, addresses;
//! in the child an overlay, the volume, pivot_root, exec. No records, no rules, no names, no
//! logs, nobody who watches. Children make their mounts while the parent goes on.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ketch_runtime::network::{bridge, sandbox};
use ketch_runtime::sys::mount::{self, FsContext};
use ketch_runtime::sys::netlink::{Message, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, Socket};
use ketch_runtime::sys::path::open_place;
use ketch_runtime::sys::process::{self, Fork};
use ketch_runtime::sys::{self, namespace};

use crate::Result;
use crate::world::World;

const BRIDGE: &str = "floor0";
const BRIDGE_INDEX: u32 = 9000;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
/// The index of a cable's inner end, given by us so that nobody has to ask for it.
const INSIDE_INDEX: u32 = 2;
/// The loopback's index in any namespace.
const LOOPBACK: u32 = 1;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_GATEWAY: u16 = 5;
const NEW: u16 = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

const NAMESPACES: u64 = namespace::NEWNS
    | namespace::NEWPID
    | namespace::NEWIPC
    | namespace::NEWUTS
    | namespace::NEWNET;

/// What all containers share.
#[derive(Debug)]
pub struct Floor {
    image: PathBuf,
    directory: PathBuf,
    /// Our directory in each v1 hierarchy.
    v1: Vec<PathBuf>,
    v2: Option<PathBuf>,
}

/// A container that runs.
#[derive(Debug)]
pub struct Container {
    number: usize,
    pidfd: OwnedFd,
    /// Ends when exec is done; holds words when it failed.
    done: OwnedFd,
}

impl Floor {
    /// Looks for the cgroup hierarchies; changes nothing yet.
    pub fn new(world: &World) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = format!("ketch-bench-{}", std::process::id());
        let places = |kind: &str| -> Vec<PathBuf> {
            let fits = |line: &&str| line.contains(&format!(" - {kind} "));
            let lines = mounts.lines().filter(fits);
            lines
                .filter_map(|line| line.split(' ').nth(4))
                .map(|place| Path::new(place).join(&own))
                .collect()
        };
        Ok(Self {
            image: world.image_root(),
            directory: world.path("floor"),
            v1: places("cgroup"),
            v2: places("cgroup2").pop(),
        })
    }

    /// Brings that many containers up; how long it took until all are executed.
    pub fn up(&self, count: usize) -> Result<(Duration, Vec<Container>)> {
        let begun = Instant::now();
        let mut socket = self.begin()?;
        let mut containers = Vec::new();
        for number in 1..=count {
            containers.push(self.start(&mut socket, number)?);
        }
        for container in &containers {
            container.wait_for_exec()?;
        }
        Ok((begun.elapsed(), containers))
    }

    /// Takes them down; how long it took until all is gone that is ours to remove.
    pub fn down(&self, containers: &[Container]) -> Result<Duration> {
        let begun = Instant::now();
        for container in containers {
            process::pidfd_send_signal(container.pidfd.as_fd(), 9)?;
        }
        for container in containers {
            process::wait(container.pidfd.as_fd())?;
            for hierarchy in self.hierarchies() {
                remove_cgroup(&hierarchy.join(container.number.to_string()))?;
            }
        }
        for hierarchy in self.hierarchies() {
            remove_cgroup(hierarchy)?;
        }
        bridge::delete_link(&mut Socket::route()?, BRIDGE)?;
        fs::remove_dir_all(&self.directory)?;
        let took = begun.elapsed();
        wait_for_links()?;
        Ok(took)
    }

    /// One after the other, each probed by one program: the time of all, and of one start.
    pub fn chain(&self, count: usize) -> Result<(Duration, Duration)> {
        let begun = Instant::now();
        let mut socket = self.begin()?;
        let mut containers = Vec::new();
        let mut start = Duration::MAX;
        for number in 1..=count {
            let begun = Instant::now();
            let container = self.start(&mut socket, number)?;
            container.wait_for_exec()?;
            start = start.min(begun.elapsed());
            container.probe()?;
            containers.push(container);
        }
        let took = begun.elapsed();
        self.down(&containers)?;
        Ok((took, start))
    }

    fn hierarchies(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().chain(&self.v2)
    }

    /// The bridge, and the directories above all containers.
    fn begin(&self) -> Result<Socket> {
        fs::create_dir_all(&self.directory)?;
        for hierarchy in self.hierarchies() {
            make_cgroup(hierarchy)?;
        }
        let mut socket = Socket::route()?;
        let mut link = Message::new(RTM_NEWLINK, NEW, &link_header(BRIDGE_INDEX, true));
        link.attr_str(IFLA_IFNAME, BRIDGE)
            .nest(IFLA_LINKINFO, |info| {
                info.attr_str(IFLA_INFO_KIND, "bridge");
            });
        socket.send(vec![link, address(BRIDGE_INDEX, GATEWAY)])?;
        Ok(socket)
    }

    /// Up to the child's way to exec, which is not waited for.
    fn start(&self, socket: &mut Socket, number: usize) -> Result<Container> {
        let directory = self.directory.join(number.to_string());
        fs::create_dir(&directory)?;
        for name in ["upper", "work", "rootfs", "volume"] {
            fs::create_dir(directory.join(name))?;
        }
        let name = number.to_string();
        for hierarchy in self.hierarchies() {
            make_cgroup(&hierarchy.join(&name))?;
        }
        let v2 = self.v2.as_ref().map(|place| open_place(&place.join(&name)));
        let v2 = v2.transpose()?;
        let (done, said) = sys::fd::pipe()?;
        let (wait, go) = sys::fd::pipe()?;
        let forked = process::fork(NAMESPACES, v2.as_ref().map(|place| place.as_fd()))?;
        let Fork::Parent { pid, pidfd } = forked else {
            drop(go);
            let Err(error) = self.child(&directory, File::from(wait));
            // The parent waits for this, or is gone.
            let _told = File::from(said).write_all(error.to_string().as_bytes());
            process::exit_now(1)
        };
        drop(said);
        for hierarchy in &self.v1 {
            fs::write(hierarchy.join(&name).join("cgroup.procs"), pid.to_string())?;
        }
        let netns = namespace::open(pid, "net")?;
        connect(socket, &netns, number)?;
        File::from(go).write_all(b"g")?;
        Ok(Container {
            number,
            pidfd,
            done,
        })
    }

    fn child(&self, directory: &Path, mut wait: File) -> Result<Infallible> {
        mount::make_all_slaves()?;
        let overlay = FsContext::open("overlay")?;
        overlay.set_fd("lowerdir+", open_place(&self.image)?.as_fd())?;
        overlay.set_fd("upperdir", open_place(&directory.join("upper"))?.as_fd())?;
        overlay.set_fd("workdir", open_place(&directory.join("work"))?.as_fd())?;
        let overlay = overlay.mount(0)?;
        let root = directory.join("rootfs");
        mount::attach(overlay.as_fd(), open_place(&root)?.as_fd())?;
        let volume = mount::clone_tree(open_place(&directory.join("volume"))?.as_fd(), false)?;
        mount::attach(volume.as_fd(), open_place(&root.join("data"))?.as_fd())?;
        std::env::set_current_dir(&root)?;
        mount::pivot_root_here()?;
        mount::unmount_here()?;
        std::env::set_current_dir("/")?;
        wait.read_exact(&mut [0])?;
        exec(&["/bin/sleep", "1d"])
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Only after a failure there is something to remove.
        for hierarchy in self.hierarchies() {
            for container in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
                let _not_a_directory = fs::remove_dir(container.path());
            }
            let _removed_already = fs::remove_dir(hierarchy);
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Both fail when it has been taken down, as it should be.
        let _gone = process::pidfd_send_signal(self.pidfd.as_fd(), 9);
        let _reaped = process::wait(self.pidfd.as_fd());
    }
}

impl Container {
    fn wait_for_exec(&self) -> Result<()> {
        let mut said = String::new();
        File::from(sys::fd::duplicate(self.done.as_fd())?).read_to_string(&mut said)?;
        if said.is_empty() {
            Ok(())
        } else {
            Err(format!("floor: {said}").into())
        }
    }

    /// Runs `true` in the container's namespaces.
    fn probe(&self) -> Result<()> {
        let Fork::Parent { pidfd, .. } = process::fork(0, None)? else {
            let Err(error) = self.enter_and_run();
            eprintln!("bench: floor: {error}");
            process::exit_now(1)
        };
        match process::wait(pidfd.as_fd())?.code() {
            0 => Ok(()),
            code => Err(format!("floor: probe exited with {code}").into()),
        }
    }

    fn enter_and_run(&self) -> Result<Infallible> {
        namespace::setns(self.pidfd.as_fd(), NAMESPACES)?;
        // Only children are in the pid namespace.
        match process::fork_again()? {
            Fork::Child => exec(&["/bin/true"]),
            Fork::Parent { pidfd, .. } => process::exit_now(process::wait(pidfd.as_fd())?.code()),
        }
    }
}

/// A program that is started and reads what no command can do without: the files of the project
/// and of its containers. The floor of commands that change nothing.
pub fn read_all(world: &World, project: &Path) -> Result<Duration> {
    let containers = world.path("data").join("containers");
    let begun = Instant::now();
    let mut program = Command::new(world.image_root().join("bin/true"));
    program.stdin(Stdio::null()).stdout(Stdio::null());
    if !program.status()?.success() {
        return Err("true is false".into());
    }
    fs::read(project.join("compose.yaml"))?;
    for container in fs::read_dir(containers)? {
        for file in ["config.json", "state.json"] {
            fs::read(
                container
                    .as_ref()
                    .map_err(ToString::to_string)?
                    .path()
                    .join(file),
            )?;
        }
    }
    Ok(begun.elapsed())
}

/// Waits until the kernel has taken every interface but the loopback away: it does so behind our
/// backs, at the cost of whoever is measured next.
pub fn wait_for_links() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut left = bridge::links(&mut Socket::route()?)?;
        left.retain(|link| link.index != LOOPBACK);
        let Some(link) = left.first() else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(format!("interface {} is left", link.name).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A cable from the bridge into the namespace, with an address and a way out at its inner end.
fn connect(socket: &mut Socket, netns: &OwnedFd, number: usize) -> Result<()> {
    let mut cable = Message::new(RTM_NEWLINK, NEW, &link_header(0, true));
    cable
        .attr_str(IFLA_IFNAME, &format!("floor-{number}"))
        .attr_u32(IFLA_MASTER, BRIDGE_INDEX)
        .nest(IFLA_LINKINFO, |info| {
            info.attr_str(IFLA_INFO_KIND, "veth")
                .nest(IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |peer| {
                        // Refused when up: the other end is not there yet.
                        peer.raw(&link_header(INSIDE_INDEX, false))
                            .attr_str(IFLA_IFNAME, "eth0")
                            .attr_u32(IFLA_NET_NS_FD, netns.as_raw_fd().unsigned_abs());
                    });
                });
        });
    socket.send(vec![cable])?;
    let own = GATEWAY.to_bits() + u32::try_from(number)?;
    let messages = vec![
        Message::new(RTM_NEWLINK, NLM_F_ACK, &link_header(LOOPBACK, true)),
        Message::new(RTM_NEWLINK, NLM_F_ACK, &link_header(INSIDE_INDEX, true)),
        address(INSIDE_INDEX, Ipv4Addr::from_bits(own)),
        default_route(),
    ];
    sandbox::inside(netns.as_fd(), || Socket::route()?.send(messages))?;
    Ok(())
}

/// struct ifinfomsg: family, pad, type, index, flags, changed flags.
fn link_header(index: u32, up: bool) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8] = u8::from(up);
    header[12] = u8::from(up);
    header
}

fn address(index: u32, ip: Ipv4Addr) -> Message {
    // struct ifaddrmsg: family, prefix length, flags, scope, index
    let mut header = [2, 16, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut message = Message::new(RTM_NEWADDR, NEW, &header);
    message
        .attr(IFA_LOCAL, &ip.octets())
        .attr(IFA_ADDRESS, &ip.octets());
    message
}

fn default_route() -> Message {
    // struct rtmsg: AF_INET, lengths, tos, main table, static, universe, unicast, flags
    let mut message = Message::new(RTM_NEWROUTE, NEW, &[2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
    message.attr(RTA_GATEWAY, &GATEWAY.octets());
    message
}

/// A cpuset takes no process before it has CPUs and memory nodes.
fn make_cgroup(directory: &Path) -> Result<()> {
    fs::create_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if directory.join(file).exists() && directory.join("cpuset.cpu_exclusive").exists() {
            let parent = directory.parent().unwrap_or(directory);
            fs::write(directory.join(file), fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// A process that has just died still counts for a moment.
fn remove_cgroup(directory: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    while let Err(error) = fs::remove_dir(directory) {
        if error.kind() != std::io::ErrorKind::ResourceBusy || Instant::now() > deadline {
            return Err(format!("{}: {error}", directory.display()).into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn exec(arguments: &[&str]) -> Result<Infallible> {
    let arguments: Vec<CString> = arguments
        .iter()
        .map(|argument| CString::new(*argument))
        .collect::<std::result::Result<_, _>>()?;
    Ok(process::exec(&arguments[0], &arguments, &[])?)
}
