//! Pure: the plan as a value, and how it prints.

use std::fmt;
use std::time::Duration;

use ketch_runtime::spec::{ContainerSpec, NetworkSpec, VolumeSpec};

/// The difference between what is wanted and what is, as steps. Holds no choices.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Each comes after all steps that it names in `after`.
    pub steps: Vec<Step>,
    /// What only the user can say; the plan as it stands assumes "no".
    pub questions: Vec<Question>,
    /// Containers that stay as they are and run: `Container x Running`.
    pub kept: Vec<Kept>,
    /// What should be said although the work goes on.
    pub warnings: Vec<String>,
}

/// A step's number as it is printed, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub usize);

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: StepId,
    pub op: Op,
    /// Smaller ids only; sorted.
    pub after: Vec<StepId>,
    pub cause: Cause,
    /// A failure is told, but what comes after goes on.
    pub best_effort: bool,
    /// Whose container it is.
    pub service: Option<String>,
    pub announce: Announce,
}

/// How a step shows in the progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announce {
    /// `Container app-db-1`; several for a gate; none for a step inside a recreation.
    pub subjects: Vec<Subject>,
    /// `Creating`; empty: nothing is said.
    pub before: &'static str,
    /// `Created`; empty: nothing is said.
    pub after: &'static str,
}

/// A resource as the progress names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// `Network`, `Volume`, `Container`, `Image`.
    pub kind: &'static str,
    pub name: String,
}

/// A container that needs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub service: String,
    pub container: String,
}

/// What must be asked before something is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The volume's real name; a yes goes into `Options::recreate_volumes` of the next planning.
    pub volume: String,
    pub text: String,
}

/// How long a stop waits before the kill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grace {
    /// What the container was created with.
    #[default]
    Configured,
    For(Duration),
    Forever,
}

/// The only things that an executor can do.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    CreateNetwork(Box<NetworkSpec>),
    RemoveNetwork {
        name: String,
    },
    CreateVolume(Box<VolumeSpec>),
    RemoveVolume {
        name: String,
    },
    RemoveImage {
        name: String,
    },
    CreateContainer(Box<ContainerSpec>),
    StartContainer {
        name: String,
    },
    StopContainer {
        name: String,
        grace: Grace,
    },
    RestartContainer {
        name: String,
        grace: Grace,
    },
    KillContainer {
        name: String,
        /// Absent: SIGKILL.
        signal: Option<String>,
    },
    RemoveContainer {
        name: String,
        /// Kill it when it runs.
        force: bool,
        /// Remove its anonymous volumes too.
        volumes: bool,
    },
    RenameContainer {
        name: String,
        new_name: String,
    },
    Gate(Gate),
}

/// A wait for the containers of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    pub service: String,
    /// By name; all replicas.
    pub containers: Vec<String>,
    pub until: Until,
    /// False: a failure is only a warning.
    pub required: bool,
}

/// What a gate waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All healthy (`service_healthy`).
    Healthy,
    /// One ended with 0 (`service_completed_successfully`).
    Completed,
    /// All healthy, or running when there is no health check (`--wait`).
    Ready,
}

/// Why a step is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It follows from the steps before it.
    Follows,
    Missing,
    /// Exists, but does not run.
    NotRunning,
    /// Runs, but somebody has asked it to end.
    Stopping,
    /// What changed, in the words of the file; empty when only the hash says so.
    ConfigurationChanged(String),
    ImageChanged,
    /// It is not joined to a network that it should have.
    NetworkMissing(String),
    /// It lacks a volume that it should have.
    VolumeMissing(String),
    /// A network that it is joined to is made anew.
    NetworkRecreated(String),
    /// A volume that it uses is made anew.
    VolumeRecreated(String),
    /// A container whose namespace it shares is recreated.
    SharesRecreated(String),
    /// `--force-recreate`, `-V`.
    Forced,
    /// This service is recreated or restarted, and `restart: true` says to follow.
    DependencyChanged(String),
    /// More containers than wanted.
    ScaledDown,
    /// Its service is not in the project.
    Orphan,
    /// A recreation was interrupted.
    LeftOver,
    /// These services depend on it.
    NeededBy(Vec<String>),
    /// `--wait`.
    Waited,
    /// The command itself.
    Asked,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follows | Self::Asked => Ok(()),
            Self::Missing => f.write_str("missing"),
            Self::NotRunning => f.write_str("not running"),
            Self::Stopping => f.write_str("being stopped"),
            Self::ConfigurationChanged(what) if what.is_empty() => {
                f.write_str("configuration changed")
            }
            Self::ConfigurationChanged(what) => write!(f, "configuration changed: {what}"),
            Self::ImageChanged => f.write_str("image changed"),
            Self::NetworkMissing(name) => write!(f, "not joined to network {name}"),
            Self::VolumeMissing(name) => write!(f, "volume {name} not mounted"),
            Self::NetworkRecreated(name) => write!(f, "network {name} is recreated"),
            Self::VolumeRecreated(name) => write!(f, "volume {name} is recreated"),
            Self::SharesRecreated(name) => write!(f, "shares with {name}, which is recreated"),
            Self::Forced => f.write_str("forced"),
            Self::DependencyChanged(service) => write!(f, "{service} is restarted"),
            Self::ScaledDown => f.write_str("scaled down"),
            Self::Orphan => f.write_str("orphan"),
            Self::LeftOver => f.write_str("left by an interrupted recreation"),
            Self::NeededBy(services) => match services.as_slice() {
                [one] => write!(f, "{one} depends on it"),
                many => write!(f, "{} depend on it", many.join(", ")),
            },
            Self::Waited => f.write_str("waited for"),
        }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Op {
    /// `network`, `volume`, `image`, `container`, `gate`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateNetwork(_) | Self::RemoveNetwork { .. } => "network",
            Self::CreateVolume(_) | Self::RemoveVolume { .. } => "volume",
            Self::RemoveImage { .. } => "image",
            Self::CreateContainer(_)
            | Self::StartContainer { .. }
            | Self::StopContainer { .. }
            | Self::RestartContainer { .. }
            | Self::KillContainer { .. }
            | Self::RemoveContainer { .. }
            | Self::RenameContainer { .. } => "container",
            Self::Gate(_) => "gate",
        }
    }

    /// The resource that it is about; for a gate the service.
    pub fn name(&self) -> &str {
        match self {
            Self::CreateNetwork(spec) => &spec.name,
            Self::CreateVolume(spec) => &spec.name,
            Self::CreateContainer(spec) => &spec.name,
            Self::RemoveNetwork { name }
            | Self::RemoveVolume { name }
            | Self::RemoveImage { name }
            | Self::StartContainer { name }
            | Self::StopContainer { name, .. }
            | Self::RestartContainer { name, .. }
            | Self::KillContainer { name, .. }
            | Self::RemoveContainer { name, .. }
            | Self::RenameContainer { name, .. } => name,
            Self::Gate(gate) => &gate.service,
        }
    }

    /// What is done to it, as the plan prints it.
    pub fn verb(&self) -> String {
        match self {
            Self::CreateNetwork(_) | Self::CreateVolume(_) | Self::CreateContainer(_) => {
                "create".into()
            }
            Self::RemoveNetwork { .. }
            | Self::RemoveVolume { .. }
            | Self::RemoveImage { .. }
            | Self::RemoveContainer { .. } => "remove".into(),
            Self::StartContainer { .. } => "start".into(),
            Self::StopContainer { .. } => "stop".into(),
            Self::RestartContainer { .. } => "restart".into(),
            Self::KillContainer { signal: None, .. } => "kill".into(),
            Self::KillContainer {
                signal: Some(signal),
                ..
            } => format!("kill {signal}"),
            Self::RenameContainer { new_name, .. } => format!("rename to {new_name}"),
            Self::Gate(gate) => match gate.until {
                Until::Healthy => "healthy".into(),
                Until::Completed => "completed".into(),
                Until::Ready => "ready".into(),
            },
        }
    }

    /// How Compose tells of it.
    pub fn announce(&self) -> Announce {
        let (kind, before, after) = match self {
            Self::CreateNetwork(_) => ("Network", "Creating", "Created"),
            Self::RemoveNetwork { .. } => ("Network", "Removing", "Removed"),
            Self::CreateVolume(_) => ("Volume", "Creating", "Created"),
            Self::RemoveVolume { .. } => ("Volume", "Removing", "Removed"),
            Self::RemoveImage { .. } => ("Image", "Removing", "Removed"),
            Self::CreateContainer(_) => ("Container", "Creating", "Created"),
            Self::StartContainer { .. } => ("Container", "Starting", "Started"),
            Self::StopContainer { .. } => ("Container", "Stopping", "Stopped"),
            // Compose's `restart` ends with the word of a start.
            Self::RestartContainer { .. } => ("Container", "Restarting", "Started"),
            Self::KillContainer { .. } => ("Container", "Killing", "Killed"),
            Self::RemoveContainer { .. } => ("Container", "Removing", "Removed"),
            Self::RenameContainer { .. } => ("Container", "", ""),
            Self::Gate(gate) => {
                let after = match gate.until {
                    Until::Healthy | Until::Ready => "Healthy",
                    Until::Completed => "Exited",
                };
                let subjects = gate.containers.iter().map(|name| Subject {
                    kind: "Container",
                    name: name.clone(),
                });
                return Announce {
                    subjects: subjects.collect(),
                    before: "Waiting",
                    after,
                };
            }
        };
        Announce {
            subjects: vec![Subject {
                kind,
                name: self.name().to_owned(),
            }],
            before,
            after,
        }
    }
}

impl Step {
    /// `container app-db-1 create`, for errors and logs.
    pub fn title(&self) -> String {
        format!("{} {} {}", self.op.kind(), self.op.name(), self.op.verb())
    }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The step of this number.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.0 - 1]
    }

    /// Adds a step and gives its number. Numbers of steps that do not exist are a mistake of ours.
    pub(super) fn push(&mut self, op: Op, after: impl Into<Vec<StepId>>, cause: Cause) -> StepId {
        let id = StepId(self.steps.len() + 1);
        let mut after = after.into();
        after.sort_unstable();
        after.dedup();
        debug_assert!(after.iter().all(|earlier| *earlier < id));
        self.steps.push(Step {
            id,
            announce: op.announce(),
            op,
            after,
            cause,
            best_effort: false,
            service: None,
        });
        id
    }

    /// The step of this number, to be completed.
    pub(super) fn step_mut(&mut self, id: StepId) -> &mut Step {
        &mut self.steps[id.0 - 1]
    }
}

/// The golden form: number, what it comes after, resource, what happens, why.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 6]> = self.steps.iter().map(row).collect();
        let width = |column: usize, gap: usize| {
            let longest = rows.iter().map(|row| row[column].chars().count()).max();
            longest.unwrap_or(0) + gap
        };
        let (id, after, name, verb) = (
            width(0, 2),
            width(1, if width(1, 0) == 0 { 0 } else { 3 }),
            width(3, 3),
            width(4, 3).max(23),
        );
        for [number, earlier, kind, subject, what, why] in &rows {
            let line = format!(
                "{number:<id$}{earlier:<after$}{kind:<10}{subject:<name$}{what:<verb$}{why}"
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn row(step: &Step) -> [String; 6] {
    let after: Vec<String> = step.after.iter().map(StepId::to_string).collect();
    [
        step.id.to_string(),
        if after.is_empty() {
            String::new()
        } else {
            format!("[{}]", after.join(" "))
        },
        step.op.kind().to_owned(),
        step.op.name().to_owned(),
        step.op.verb(),
        step.cause.to_string(),
    ]
}
