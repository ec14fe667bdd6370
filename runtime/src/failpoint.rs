//! Places at which a test can have this process killed: one behind each step that leaves something
//! on disk or in the kernel.
//!
//! Compiled in with the feature `failpoints`, which the tests alone switch on; without it
//! [`reached`] is nothing. Then the environment says what is to happen (the runtime reads it
//! nowhere else):
//!
//! * `KETCH_FAILPOINT=command:name-reserved:2`: a command dies of SIGKILL when it comes to that
//!   point for the second time. `monitor:…` means a monitor, and what it has forked.
//! * `KETCH_FAILPOINT=command:file-watch:ENOSPC`: what that point guards is refused, each time.
//! * `KETCH_FAILPOINT_LOG=file`: nothing happens before this file exists. With a point to die at,
//!   the first process to come there writes it down and dies; it alone. Without one, every point
//!   that is met is written down.

use rustix::io::Errno;

/// Who comes to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What a user runs.
    Command,
    /// The keeper of a container, and its forks until they exec.
    Monitor,
}

macro_rules! points {
    ($($(#[$doc:meta])+ $point:ident $name:literal)+) => {
        /// A step that was just done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])+ $point,)+
        }

        impl Point {
            /// The table.
            pub const ALL: &[Self] = &[$(Self::$point),+];

            /// As settings and logs name it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

points! {
    /// A document lies beside its place.
    DocumentAside "document-aside"
    /// It is in its place, not yet flushed.
    DocumentPlaced "document-placed"
    /// A staging directory is there and locked.
    StagingMade "staging-made"
    /// What is thrown away has left its place.
    Discarded "discarded"
    /// An event is in the file of events.
    EventAppended "event-appended"

    /// A blob is written, under a name of its own.
    BlobWritten "blob-written"
    /// It lies under its digest.
    BlobPlaced "blob-placed"
    /// A layer is whole, in staging.
    LayerStaged "layer-staged"
    /// It lies under its chain id.
    LayerPlaced "layer-placed"
    /// An image has its layers, and no name yet.
    ImageStored "image-stored"
    /// An image has its name.
    ImageNamed "image-named"

    /// A volume is whole, in staging.
    VolumeStaged "volume-staged"
    /// It has its name.
    VolumePlaced "volume-placed"
    /// An image's files are beside an empty volume.
    VolumeFilled "volume-filled"
    /// Some of them are in it.
    VolumeMoved "volume-moved"

    /// A network's record is written.
    NetworkRecorded "network-recorded"
    /// Its bridge exists, without alias and address.
    BridgeMade "bridge-made"
    /// The bridge is up.
    BridgeUp "bridge-up"
    /// The bridge of a network that goes is gone.
    BridgeRemoved "bridge-removed"
    /// So are its leases.
    LeasesRemoved "leases-removed"
    /// So is the record.
    NetworkRemoved "network-removed"

    /// A container's directory is there, empty.
    ContainerDirectoryMade "container-directory-made"
    /// What belongs to the container is written down.
    BelongingsWritten "belongings-written"
    /// Its name is reserved.
    NameReserved "name-reserved"
    /// Its writable layer is there.
    WritableLayerMade "writable-layer-made"
    /// Its volumes are there and filled.
    VolumesReady "volumes-ready"
    /// Its first state is written.
    FirstStateWritten "first-state-written"
    /// Its record is written: it exists.
    RecordWritten "record-written"
    /// Renamed: the record has the new name, the old one is reserved still.
    RecordRenamed "record-renamed"
    /// The old name is free.
    OldNameReleased "old-name-released"
    /// Its removal is written down.
    RemovalMarked "removal-marked"
    /// The writable layer is gone.
    WritableLayerRemoved "writable-layer-removed"
    /// The record is gone.
    RecordRemoved "record-removed"
    /// The volumes that belonged to it are gone.
    BelongingsRemoved "belongings-removed"
    /// Its names are free.
    NamesReleased "names-released"
    /// Its directory of the run root is gone.
    RunDirectoryRemoved "run-directory-removed"
    /// Its directory is gone.
    ContainerDirectoryRemoved "container-directory-removed"

    /// A monitor is on its way.
    MonitorSpawned "monitor-spawned"
    /// A monitor has said its line.
    MonitorHeard "monitor-heard"
    /// A monitor belongs to nobody.
    MonitorDetached "monitor-detached"
    /// It holds its lock.
    MonitorLocked "monitor-locked"
    /// Its socket takes questions.
    MonitorListening "monitor-listening"
    /// The log is open.
    LogOpened "log-opened"
    /// hosts, hostname and resolv.conf are written.
    EtcFilesWritten "etc-files-written"
    /// The pipes of the output are there.
    StreamsOpened "streams-opened"
    /// The cgroup is made.
    CgroupMade "cgroup-made"
    /// Its limits are written.
    CgroupLimited "cgroup-limited"
    /// The first process has its namespaces.
    NamespacesMade "namespaces-made"
    /// It is in the cgroup.
    CgroupJoined "cgroup-joined"
    /// An address is leased.
    LeaseTaken "lease-taken"
    /// Host ports are bound.
    PortsReserved "ports-reserved"
    /// A cable leads into the container.
    CableLaid "cable-laid"
    /// Addresses and routes are set inside.
    InterfacesReady "interfaces-ready"
    /// Others see the container in its networks.
    PresenceWritten "presence-written"
    /// The packet filter knows it.
    RulesLoaded "rules-loaded"
    /// Its resolver has its sockets.
    ResolverOpened "resolver-opened"
    /// The networks are joined.
    NetworksJoined "networks-joined"
    /// The program runs, and no state says so.
    ProgramStarted "program-started"
    /// A state is written, and nobody told.
    StateSaved "state-saved"
    /// The caller knows that the container runs.
    WordSaid "word-said"

    /// In the first process: it is born.
    ChildBorn "child-born"
    /// The mounts' sources are taken, the namespace is cut off.
    ChildSourcesTaken "child-sources-taken"
    /// The root file system is mounted.
    ChildRootBuilt "child-root-built"
    /// The root is switched.
    ChildRootSwitched "child-root-switched"
    /// Streams, terminal, names and parameters are set.
    ChildPrepared "child-prepared"
    /// The parent has let it go on.
    ChildReleased "child-released"
    /// Its rights are dropped.
    ChildRightsDropped "child-rights-dropped"
    /// It has said that it is ready, and execs next.
    ChildReady "child-ready"

    /// A monitor was asked to stop its container.
    StopSent "stop-sent"
    /// It has answered.
    StopAnswered "stop-answered"
    /// In the monitor: the question is there.
    StopReceived "stop-received"
    /// The signal is sent.
    StopSignalled "stop-signalled"
    /// The first process has ended.
    ExitSeen "exit-seen"
    /// The output is written to its end.
    OutputEnded "output-ended"
    /// The cgroup is removed.
    CgroupRemoved "cgroup-removed"
    /// Nobody sees the container in its networks any more.
    PresenceRemoved "presence-removed"
    /// The packet filter has forgotten it.
    RulesUnloaded "rules-unloaded"
    /// Its cables are gone.
    CablesRemoved "cables-removed"
    /// Everything is given back.
    Released "released"
    /// The sockets are gone.
    SocketsRemoved "sockets-removed"
    /// Whoever waited for the end knows.
    EndAnswered "end-answered"

    /// In a monitor that takes over: it has the process and its streams.
    AdoptedStreams "adopted-streams"
    /// It has the networks.
    AdoptedNetworks "adopted-networks"
    /// The end of a container that nobody watched is written.
    Buried "buried"

    /// A build's step has its container.
    BuildStepCreated "build-step-created"
    /// Its program has ended well.
    BuildStepRun "build-step-run"
    /// What it wrote lies in staging.
    BuildLayerTaken "build-layer-taken"
    /// The step is in the cache.
    BuildStepCached "build-step-cached"

    /// A step of a plan begins.
    StepBegun "step-begun"
    /// A step of a plan is done.
    StepEnded "step-ended"

    /// Guards: a watch for changed files.
    FileWatch "file-watch"
    /// Guards: a watch for a directory's entries.
    DirectoryWatch "directory-watch"
}

#[cfg(not(feature = "failpoints"))]
mod off {
    use std::ffi::OsString;

    use super::{Errno, Point, Role};

    /// Nothing.
    #[inline]
    pub fn arm(_role: Role) {}

    /// Nothing.
    #[inline]
    pub fn reached(_point: Point) {}

    /// Nothing is refused.
    ///
    /// # Errors
    /// Never.
    #[inline]
    pub fn guard(_point: Point) -> Result<(), Errno> {
        Ok(())
    }

    /// Nothing is handed on.
    #[inline]
    pub fn environment() -> [(&'static str, OsString); 0] {
        []
    }
}

#[cfg(feature = "failpoints")]
mod on {
    use std::ffi::OsString;
    use std::fs::{File, OpenOptions};
    use std::io::{Seek as _, Write as _};
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{Errno, Point, Role};
    use crate::sys;

    const SETTING: &str = "KETCH_FAILPOINT";
    const LOG: &str = "KETCH_FAILPOINT_LOG";

    #[derive(Debug)]
    struct Armed {
        role: &'static str,
        setting: Option<String>,
        log: Option<PathBuf>,
        /// Kept open: what is forked into a container finds it by no path.
        open: OnceLock<File>,
        met: [AtomicU32; Point::ALL.len()],
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    /// Reads what is to happen, once.
    pub fn arm(role: Role) {
        let setting = std::env::var(SETTING).ok();
        let log = std::env::var_os(LOG).map(PathBuf::from);
        if setting.is_none() && log.is_none() {
            return;
        }
        ARMED.get_or_init(|| Armed {
            role: match role {
                Role::Command => "command",
                Role::Monitor => "monitor",
            },
            setting,
            log,
            open: OnceLock::new(),
            met: [const { AtomicU32::new(0) }; Point::ALL.len()],
        });
    }

    /// The process has done this; perhaps it is the last thing that it does.
    pub fn reached(point: Point) {
        let Some(armed) = ARMED.get().filter(|armed| armed.is_ready()) else {
            return;
        };
        let count = armed.met[point as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let here = format!("{}:{}:{count}", armed.role, point.name());
        if armed.setting.is_none() || armed.setting.as_ref() == Some(&here) {
            let is_first = armed.write_down(&here);
            if armed.setting.is_some() && is_first {
                die();
            }
        }
    }

    /// Refuses what is about to be done, if it is to be refused.
    ///
    /// # Errors
    /// The error that the setting names.
    pub fn guard(point: Point) -> Result<(), Errno> {
        reached(point);
        let Some(armed) = ARMED.get() else {
            return Ok(());
        };
        let asked = format!("{}:{}:", armed.role, point.name());
        let error = armed
            .setting
            .as_ref()
            .and_then(|setting| setting.strip_prefix(&asked));
        match error {
            Some("EMFILE") => Err(Errno::MFILE),
            Some("ENOSPC") => Err(Errno::NOSPC),
            _ => Ok(()),
        }
    }

    /// What a monitor, whose environment is empty otherwise, is given.
    pub fn environment() -> Vec<(&'static str, OsString)> {
        [SETTING, LOG]
            .into_iter()
            .filter_map(|name| std::env::var_os(name).map(|value| (name, value)))
            .collect()
    }

    impl Armed {
        /// Whether it has begun.
        fn is_ready(&self) -> bool {
            let Some(path) = &self.log else { return true };
            if self.open.get().is_none()
                && let Ok(file) = OpenOptions::new().append(true).open(path)
            {
                self.open.get_or_init(|| file);
            }
            self.open.get().is_some()
        }

        /// Whether it is the first line of the log; true without a log.
        fn write_down(&self, line: &str) -> bool {
            let Some(mut log) = self.open.get() else {
                return true;
            };
            let line = format!("{line}\n");
            // One write behind all others, and the place where it ended.
            log.write_all(line.as_bytes()).is_ok()
                && log.stream_position().ok() == u64::try_from(line.len()).ok()
        }
    }

    fn die() -> ! {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let _ignored_by_process_1 = sys::process::kill(own, libc::SIGKILL);
        // The first process of a pid namespace can't kill itself, but leave without a word.
        sys::process::exit_now(137)
    }
}

#[cfg(not(feature = "failpoints"))]
pub use off::{arm, environment, guard, reached};
#[cfg(feature = "failpoints")]
pub use on::{arm, environment, guard, reached};
