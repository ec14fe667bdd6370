//! The flags of `run` and `create`.

use indexmap::IndexMap;
use ketch_runtime::error::ErrorKind;

use super::passed_on;
use crate::cli::shapes::Staying;
use crate::ops::containers::attach::Attach;
use crate::ops::containers::run;
use crate::ops::{Context, Error, Result, images};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Run {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    staying: Staying,
    #[command(flatten)]
    flags: Box<Flags>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    flags: Box<Flags>,
}

#[derive(Debug, clap::Args)]
struct Flags {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long = "add-host", value_name = "list")]
    add_hosts: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list")]
    attach: Vec<String>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "string")]
    cgroup_parent: Option<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    cidfile: Option<std::path::PathBuf>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long, value_name = "int")]
    cpu_shares: Option<String>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal")]
    cpus: Option<String>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// Add a host device to the container
    #[arg(long = "device", value_name = "list")]
    devices: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list")]
    dns: Vec<String>,
    /// Set DNS options
    #[arg(long = "dns-option", value_name = "list")]
    dns_options: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list")]
    dns_search: Vec<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long = "env", value_name = "list")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long = "env-file", value_name = "list")]
    env_files: Vec<String>,
    /// Add additional groups to join
    #[arg(long = "group-add", value_name = "list")]
    groups: Vec<String>,
    /// Print help: `-h` is the host name
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string")]
    hostname: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// IPC mode to use
    #[arg(long, value_name = "string")]
    ipc: Option<String>,
    /// Set meta data on a container
    #[arg(short, long = "label", value_name = "list")]
    labels: Vec<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes")]
    memory: Option<String>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes")]
    memory_reservation: Option<String>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Connect a container to a network
    #[arg(long, alias = "net", value_name = "network")]
    network: Option<String>,
    /// Add network-scoped alias for the container
    #[arg(long = "network-alias", alias = "net-alias", value_name = "list")]
    aliases: Vec<String>,
    /// PID namespace to use
    #[arg(long, value_name = "string")]
    pid: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    pids_limit: Option<String>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    publish: Vec<String>,
    /// Pull image before running ("always", "missing", "never")
    #[arg(
        long,
        value_name = "string",
        default_value = "missing",
        hide_default_value = true
    )]
    pull: String,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    read_only: bool,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    /// Automatically remove the container when it exits
    #[arg(long = "rm")]
    remove: bool,
    /// Security Options
    #[arg(long = "security-opt", value_name = "list")]
    security: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes")]
    shm_size: Option<String>,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int")]
    stop_timeout: Option<u64>,
    /// Sysctl options
    #[arg(long = "sysctl", value_name = "map")]
    sysctls: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "list")]
    tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Ulimit options
    #[arg(long = "ulimit", value_name = "ulimit")]
    ulimits: Vec<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// UTS namespace to use
    #[arg(long, value_name = "string")]
    uts: Option<String>,
    /// Bind mount a volume
    #[arg(short, long = "volume", value_name = "list")]
    volumes: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    #[arg(value_name = "IMAGE")]
    image: String,
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

impl Run {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<()> {
        let attach = self.flags.attached(self.staying.parse(context)?)?;
        if !self.detach {
            attach.check(self.flags.tty, attach.stdin)?;
        }
        let ran = self.begun(context, &attach);
        // What went wrong before the container began has a code of its own.
        match ran {
            Err(Error::Failed(message)) => {
                say(context, &message);
                Err(Error::ExitedWith(125))
            }
            Err(Error::Engine(error)) if error.kind() != ErrorKind::Cancelled => {
                say(context, &error);
                Err(Error::ExitedWith(125))
            }
            other => other,
        }
    }

    fn begun(self, context: &Context, attach: &Attach) -> Result<()> {
        if self.detach {
            if !self.flags.attach.is_empty() {
                let message = "conflicting options: cannot specify both --attach and --detach";
                return Err(Error::Failed(message.into()));
            }
            let run = self.flags.into_run(context)?;
            return run::detached(context, &run);
        }
        let run = run::Run {
            stdin_once: attach.stdin,
            ..self.flags.into_run(context)?
        };
        run::attached(context, &run, attach)
    }
}

fn say(context: &Context, what: &dyn std::fmt::Display) {
    match context.called_docker {
        true => context.ui.error(format_args!("docker: {what}")),
        false => context.ui.error(what),
    }
}

impl Create {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<()> {
        let run = run::Run {
            stdin_once: self.flags.interactive,
            ..self.flags.into_run(context)?
        };
        let id = run::create(context, &run)?;
        Ok(context.ui.line(id)?)
    }
}

impl Flags {
    /// The streams that are asked for: by name, or else the outputs and, when it is kept open,
    /// the input.
    fn attached(&self, all: Attach) -> Result<Attach> {
        let mut attach = Attach {
            stdin: self.interactive,
            stdout: self.attach.is_empty(),
            stderr: self.attach.is_empty(),
            ..all
        };
        for stream in &self.attach {
            match stream.to_ascii_lowercase().as_str() {
                // Without -i there is none.
                "stdin" => {}
                "stdout" => attach.stdout = true,
                "stderr" => attach.stderr = true,
                _ => {
                    return Err(Error::Failed(format!(
                        "invalid argument \"{stream}\" for \"-a, --attach\" flag: \
                         valid streams are STDIN, STDOUT and STDERR"
                    )));
                }
            }
        }
        Ok(attach)
    }

    fn into_run(self, context: &Context) -> Result<run::Run> {
        let texts = [
            ("cgroup_parent", self.cgroup_parent),
            ("cpu_shares", self.cpu_shares),
            ("cpus", self.cpus),
            ("cpuset", self.cpuset_cpus),
            ("hostname", self.hostname),
            ("ipc", self.ipc),
            ("mem_limit", self.memory),
            ("mem_reservation", self.memory_reservation),
            ("memswap_limit", self.memory_swap),
            ("pid", self.pid),
            ("pids_limit", self.pids_limit),
            ("platform", self.platform),
            ("restart", self.restart),
            ("shm_size", self.shm_size),
            ("stop_signal", self.stop_signal),
            (
                "stop_grace_period",
                self.stop_timeout.map(|seconds| format!("{seconds}s")),
            ),
            ("user", self.user),
            ("uts", self.uts),
            ("working_dir", self.workdir),
        ];
        let texts: IndexMap<_, _> = texts
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let lists = IndexMap::from([
            ("cap_add", self.cap_add),
            ("cap_drop", self.cap_drop),
            ("devices", self.devices),
            ("dns", self.dns),
            ("dns_opt", self.dns_options),
            ("dns_search", self.dns_search),
            ("group_add", self.groups),
            ("security_opt", self.security),
            ("sysctls", self.sysctls),
        ]);
        let switches = [
            ("init", self.init),
            ("privileged", self.privileged),
            ("read_only", self.read_only),
            ("stdin_open", self.interactive),
            ("tty", self.tty),
        ];
        Ok(run::Run {
            image: self.image,
            command: self.command,
            name: self.name,
            pull: images::Pull::parse(&self.pull)?,
            remove: self.remove,
            stdin_once: false,
            cidfile: self.cidfile,
            entrypoint: self.entrypoint,
            env: passed_on(context, self.env),
            env_files: self.env_files,
            labels: self.labels,
            publish: self.publish,
            volumes: self.volumes,
            tmpfs: self.tmpfs,
            network: self.network,
            aliases: self.aliases,
            add_hosts: self.add_hosts,
            ulimits: self.ulimits,
            texts,
            lists,
            switches: switches
                .into_iter()
                .filter_map(|(key, on)| on.then_some(key))
                .collect(),
        })
    }
}
