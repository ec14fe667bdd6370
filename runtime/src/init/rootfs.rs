//! Carrying the plan of mounts out, in the child's own mount namespace.
//!
//! The host's mount table never sees any of it. Every target is found with openat2 inside
//! the new root and mounted on by fd; every source was opened and copied as a detached
//! mount before the first target was touched.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{FileType, Mode, OFlags};

use super::devices;
use super::mounts::{Plan, Step, What};
use crate::cgroup::View;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::spec::Propagation;
use crate::sys::mount::{self, ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, Attributes};
use crate::sys::path::{self, make_directory_in_root, make_file_in_root, open_in_root};

/// The tree, before it becomes `/`.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) root: OwnedFd,
    /// A procfs that is attached nowhere: nobody else can have put anything into it.
    pub(super) proc: OwnedFd,
    pub(super) devpts: Option<OwnedFd>,
}

/// What the mounts are made of, taken from the host before anything is changed: for each step a
/// detached mount, where it has one.
#[derive(Debug)]
pub(super) struct Sources {
    of_steps: Vec<Option<OwnedFd>>,
    null: OwnedFd,
    /// Names and directories of the v1 hierarchies.
    cgroups: Vec<(String, OwnedFd)>,
    thermal: Vec<String>,
}

/// Where the new root is put together.
fn mount_point(directory: &Path) -> PathBuf {
    directory.join("rootfs")
}

/// Makes what must exist in the container's directory: the writable layer, its work directory,
/// the mount point. The writable layer's root takes mode and owner of the image's.
pub(super) fn prepare_directory(directory: &Path, layers: &[PathBuf]) -> Result<()> {
    let make = |path: PathBuf| match fs::create_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::from(error).context(format!("create {}", path.display()))),
        Ok(()) => Ok(true),
    };
    let upper = directory.join("upper");
    if make(upper.clone())? {
        let (mode, uid, gid) = match layers.last() {
            Some(top) => {
                let metadata =
                    fs::metadata(top).context(|| format!("read layer {}", top.display()))?;
                (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
            }
            None => (0o755, 0, 0),
        };
        std::os::unix::fs::chown(&upper, Some(uid), Some(gid))
            .and_then(|()| fs::set_permissions(&upper, fs::Permissions::from_mode(mode)))
            .context(|| format!("prepare {}", upper.display()))?;
    }
    make(directory.join("work"))?;
    make(mount_point(directory))?;
    if layers.is_empty() {
        // Overlayfs wants something below.
        make(directory.join("empty"))?;
    }
    Ok(())
}

/// Takes the sources. Must come before the mount namespace is cut off from the host's, so that
/// shared propagation can be kept where it is asked for.
pub(super) fn take_sources(
    plan: &Plan,
    view: &View,
    donor_shm: Option<OwnedFd>,
) -> Result<Sources> {
    let mut donor_shm = donor_shm;
    let mut of_steps = Vec::new();
    for step in &plan.steps {
        of_steps.push(match &step.what {
            What::Bind {
                source,
                subpath,
                recursive,
                propagation,
            } => Some(
                take_bind(source, subpath.as_deref(), *recursive, *propagation)
                    .map_err(|error| error.context(format!("mount {}", step.target)))?,
            ),
            What::DonorShm => donor_shm.take(),
            _ => None,
        });
    }
    let mut cgroups = Vec::new();
    if let View::Split { shown, .. } = view {
        for (name, directory) in shown {
            let place = path::open_place(directory)?;
            cgroups.push((name.clone(), mount::clone_private(place.as_fd(), false)?));
        }
    }
    Ok(Sources {
        of_steps,
        null: devices::host_null()?,
        cgroups,
        thermal: thermal_paths(),
    })
}

fn thermal_paths() -> Vec<String> {
    let entries = fs::read_dir("/sys/devices/system/cpu")
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| entry.path().join("thermal_throttle"))
        .filter(|path| path.is_dir())
        .map(|path| path.display().to_string())
        .collect()
}

fn take_bind(
    source: &Path,
    subpath: Option<&str>,
    recursive: bool,
    propagation: Propagation,
) -> Result<OwnedFd> {
    let mut place = path::open_place(source)?;
    if let Some(subpath) = subpath.filter(|subpath| !subpath.is_empty()) {
        // Whoever may write to the volume must not lead us out of it.
        place = open_in_root(place.as_fd(), subpath, OFlags::PATH, 0)
            .context(|| format!("subpath {subpath:?} of volume"))?;
    }
    let tree = mount::clone_tree(place.as_fd(), recursive)?;
    let (kind, all_below) = match propagation {
        Propagation::Rprivate => (mount::PROPAGATION_PRIVATE, true),
        Propagation::Private => (mount::PROPAGATION_PRIVATE, false),
        Propagation::Rslave => (mount::PROPAGATION_SLAVE, true),
        Propagation::Slave => (mount::PROPAGATION_SLAVE, false),
        Propagation::Rshared => (mount::PROPAGATION_SHARED, true),
        Propagation::Shared => (mount::PROPAGATION_SHARED, false),
    };
    let change = Attributes {
        propagation: kind,
        ..Attributes::default()
    };
    mount::set_attributes(tree.as_fd(), change, all_below)?;
    Ok(tree)
}

/// Builds the tree.
pub(super) fn build(
    plan: &Plan,
    mut sources: Sources,
    view: &View,
    nodes: &[devices::Node],
    directory: &Path,
    layers: &[PathBuf],
) -> Result<Root> {
    let point = mount_point(directory);
    let overlay = overlay(directory, layers).context(|| "mount the root".into())?;
    let files = file_store(plan, &point)?;
    let place = path::open_place(&point)?;
    mount::attach(overlay.as_fd(), place.as_fd())?;
    let root = overlay;
    make_standard_files(root.as_fd())?;
    let mut built = Root {
        root,
        proc: mount::new_mount("proc", &[], ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC)?,
        devpts: None,
    };
    for (index, step) in plan.steps.iter().enumerate() {
        let source = sources.of_steps[index].take();
        make_step(
            &mut built, step, index, source, &files, &sources, view, nodes,
        )
        .map_err(|error| error.context(format!("mount {}", step.target)))?;
    }
    hide(&built, plan, &sources)?;
    Ok(built)
}

/// The tree of a container that does not run: its files, without what a kernel shows.
pub(super) fn build_still(plan: &Plan, directory: &Path, layers: &[PathBuf]) -> Result<OwnedFd> {
    let overlay = overlay(directory, layers).context(|| "mount the root".into())?;
    let place = path::open_place(&mount_point(directory))?;
    mount::attach(overlay.as_fd(), place.as_fd())?;
    for step in &plan.steps {
        let What::Bind {
            source,
            subpath,
            recursive,
            ..
        } = &step.what
        else {
            continue;
        };
        // What a first start will make: hosts, resolv.conf.
        if !source.exists() {
            continue;
        }
        let private = Propagation::Rprivate;
        take_bind(source, subpath.as_deref(), *recursive, private)
            .and_then(|source| attach_bind(overlay.as_fd(), step, &source, *recursive))
            .map_err(|error| error.context(format!("mount {}", step.target)))?;
    }
    Ok(overlay)
}

/// How layers are told to overlayfs: the newest kernels take fds, others short paths to them.
#[derive(Clone, Copy)]
enum Form {
    Fds,
    Paths,
    Joined,
}

fn overlay(directory: &Path, layers: &[PathBuf]) -> Result<OwnedFd> {
    let mut lowers = Vec::new();
    for layer in layers.iter().rev() {
        lowers.push(path::open_place(layer)?);
    }
    if lowers.is_empty() {
        lowers.push(path::open_place(&directory.join("empty"))?);
    }
    let upper = path::open_place(&directory.join("upper"))?;
    let work = path::open_place(&directory.join("work"))?;
    let mut first_error = None;
    for form in [Form::Fds, Form::Paths, Form::Joined] {
        match try_overlay(form, &lowers, &upper, &work) {
            Ok(mount) => return Ok(mount),
            Err(error) if error.is(libc::EINVAL) || error.is(libc::EBADF) => {
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(first_error.map_or_else(
        || Error::new(ErrorKind::Internal, "no way to mount an overlay"),
        Error::from,
    ))
}

fn try_overlay(
    form: Form,
    lowers: &[OwnedFd],
    upper: &OwnedFd,
    work: &OwnedFd,
) -> crate::sys::Result<OwnedFd> {
    // Through the magic link a path has neither length nor strange characters.
    let short = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let context = mount::FsContext::open("overlay")?;
    context.set_string("source", "overlay")?;
    match form {
        Form::Fds => {
            for lower in lowers {
                context.set_fd("lowerdir+", lower.as_fd())?;
            }
            context.set_fd("upperdir", upper.as_fd())?;
            context.set_fd("workdir", work.as_fd())?;
        }
        Form::Paths => {
            for lower in lowers {
                context.set_string("lowerdir+", &short(lower))?;
            }
        }
        Form::Joined => {
            let joined: Vec<String> = lowers.iter().map(short).collect();
            context.set_string("lowerdir", &joined.join(":"))?;
        }
    }
    if !matches!(form, Form::Fds) {
        context.set_string("upperdir", &short(upper))?;
        context.set_string("workdir", &short(work))?;
    }
    // The upper directory must stay a plain difference, and index=on would refuse it elsewhere.
    for option in ["index", "metacopy", "redirect_dir"] {
        context.set_string(option, "off")?;
    }
    context.mount(0)
}

/// A tmpfs at the mount point, hidden by the root later, that holds the files which live in
/// memory: one file for each step, named by its number.
fn file_store(plan: &Plan, point: &Path) -> Result<Option<OwnedFd>> {
    let is_file = |step: &Step| matches!(step.what, What::File { .. });
    if !plan.steps.iter().any(is_file) {
        return Ok(None);
    }
    let store = mount::new_mount(
        "tmpfs",
        &["mode=0700".into()],
        ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC,
    )?;
    // Attached, since older kernels copy only mounts that are.
    mount::attach(store.as_fd(), path::open_place(point)?.as_fd())?;
    for (index, step) in plan.steps.iter().enumerate() {
        let What::File {
            content,
            mode,
            uid,
            gid,
        } = &step.what
        else {
            continue;
        };
        let name = index.to_string();
        let file = rustix::fs::openat(
            &store,
            &name,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o600),
        )
        .context(|| format!("create file for {}", step.target))?;
        let mut file = fs::File::from(file);
        io::Write::write_all(&mut file, content)
            .context(|| format!("write file for {}", step.target))?;
        std::os::unix::fs::fchown(&file, Some(*uid), Some(*gid))
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(*mode)))
            .context(|| format!("set owner of file for {}", step.target))?;
    }
    Ok(Some(store))
}

/// What programs expect of a container, whatever the image has. Entries of another type stay.
fn make_standard_files(root: BorrowedFd<'_>) -> Result<()> {
    let missing = |path: &str| {
        open_in_root(root, path, OFlags::PATH | OFlags::NOFOLLOW, 0)
            .is_err_and(|error| error.is(libc::ENOENT))
    };
    for directory in ["/proc", "/sys", "/dev", "/etc"] {
        if missing(directory) {
            make_directory_in_root(root, Path::new(directory), 0o755)?;
        }
    }
    if missing("/.dockerenv") {
        make_file_in_root(root, Path::new("/.dockerenv"), 0o755)?;
    }
    if missing("/etc/mtab") {
        let etc = open_in_root(root, "/etc", OFlags::PATH | OFlags::DIRECTORY, 0)?;
        match rustix::fs::symlinkat("/proc/mounts", &etc, "mtab") {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(Error::from(errno).context("make link /etc/mtab")),
        }
    }
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "one step needs all that was prepared"
)]
fn make_step(
    built: &mut Root,
    step: &Step,
    index: usize,
    source: Option<OwnedFd>,
    files: &Option<OwnedFd>,
    sources: &Sources,
    view: &View,
    nodes: &[devices::Node],
) -> Result<()> {
    let root = built.root.as_fd();
    match &step.what {
        What::Proc => attach_fresh(root, step, "proc", &[]),
        What::Sysfs => attach_fresh(root, step, "sysfs", &[]),
        What::Mqueue => attach_fresh(root, step, "mqueue", &[]),
        What::Devpts => {
            let options = ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
            let devpts = fresh(step, "devpts", &options)?;
            attach_directory(root, step, devpts.as_fd())?;
            built.devpts = Some(devpts);
            Ok(())
        }
        What::Dev => {
            let dev = fresh(step, "tmpfs", &["mode=755", "size=65536k"])?;
            devices::fill(dev.as_fd())?;
            attach_directory(root, step, dev.as_fd())?;
            devices::make(root, nodes)
        }
        What::Cgroup => mount_cgroup(root, step, sources, view),
        What::Tmpfs { options } => mount_tmpfs(root, step, options),
        What::File { .. } => {
            let store = files
                .as_ref()
                .ok_or_else(|| Error::new(ErrorKind::Internal, "no store for files in memory"))?;
            let file = path::open_beneath_strict(store.as_fd(), index.to_string(), OFlags::PATH)?;
            let mount = mount::clone_private(file.as_fd(), false)?;
            attach_bind(root, step, &mount, false)
        }
        What::Bind { recursive, .. } => {
            let Some(source) = source else {
                return Err(Error::new(ErrorKind::Internal, "bind without source"));
            };
            attach_bind(root, step, &source, *recursive)
        }
        What::DonorShm => match source {
            Some(source) => attach_bind(root, step, &source, false),
            None => Err(Error::new(
                ErrorKind::Internal,
                "no /dev/shm of the container whose IPC namespace is shared",
            )),
        },
    }
}

fn fresh(step: &Step, kind: &str, options: &[&str]) -> Result<OwnedFd> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    Ok(mount::new_mount(kind, &options, step.attributes)?)
}

fn attach_fresh(root: BorrowedFd<'_>, step: &Step, kind: &str, options: &[&str]) -> Result<()> {
    let mount = fresh(step, kind, options)?;
    attach_directory(root, step, mount.as_fd())
}

/// The directory of a default mount: /proc, /sys and /dev must not be symlinks of the image.
fn attach_directory(root: BorrowedFd<'_>, step: &Step, mount: BorrowedFd<'_>) -> Result<()> {
    let target = Path::new(&step.target);
    let place = make_directory_in_root(root, target, 0o755)?;
    if target.parent() == Some(Path::new("/")) {
        let name = target.strip_prefix("/").unwrap_or(target);
        path::open_beneath_strict(root, name, OFlags::PATH | OFlags::DIRECTORY)
            .context(|| format!("{} of the image must be a real directory", step.target))?;
    }
    mount::attach(mount, place.as_fd())?;
    Ok(())
}

fn mount_tmpfs(root: BorrowedFd<'_>, step: &Step, options: &[String]) -> Result<()> {
    let target = Path::new(&step.target);
    let mut options = options.to_vec();
    if !options.iter().any(|option| option.starts_with("mode=")) {
        // A directory of the image keeps its permission bits.
        if let Ok(there) = open_in_root(root, target, OFlags::PATH | OFlags::DIRECTORY, 0) {
            let stat = rustix::fs::fstat(&there)?;
            options.push(format!("mode={:o}", stat.st_mode & 0o7777));
        }
    }
    let mount = mount::new_mount("tmpfs", &options, step.attributes)?;
    let place = make_directory_in_root(root, target, 0o755)?;
    refuse_proc(step, place.as_fd())?;
    mount::attach(mount.as_fd(), place.as_fd())?;
    Ok(())
}

/// The plan has looked at targets that are written as lying below /proc. One that a link of the
/// image leads there would hide files of the kernel's, or show others in their place.
fn refuse_proc(step: &Step, place: BorrowedFd<'_>) -> Result<()> {
    let is_written_so = step.target == "/proc" || step.target.starts_with("/proc/");
    if !is_written_so && is_proc(place)? {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "invalid mount target {:?}: a link leads it inside /proc",
                step.target
            ),
        ));
    }
    Ok(())
}

fn is_proc(place: BorrowedFd<'_>) -> Result<bool> {
    const PROC_MAGIC: i64 = 0x9fa0;
    Ok(rustix::fs::fstatfs(place)?.f_type as i64 == PROC_MAGIC)
}

/// Puts a copied tree on its target, which is made where it is missing.
fn attach_bind(root: BorrowedFd<'_>, step: &Step, source: &OwnedFd, recursive: bool) -> Result<()> {
    let target = Path::new(&step.target);
    let is_directory = path::file_type(source.as_fd())? == FileType::Directory;
    let place = match open_in_root(root, target, OFlags::PATH, 0) {
        Err(error) if error.is(libc::ENOENT) && is_directory => {
            make_directory_in_root(root, target, 0o755)?
        }
        Err(error) if error.is(libc::ENOENT) => make_file_in_root(root, target, 0o644)?,
        other => other?,
    };
    if (path::file_type(place.as_fd())? == FileType::Directory) != is_directory {
        return Err(Error::new(
            ErrorKind::CommandNotFound,
            "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type",
        ));
    }
    refuse_proc(step, place.as_fd())?;
    if step.target == "/proc" && !is_proc(source.as_fd())? {
        return Err(Error::new(
            ErrorKind::Invalid,
            "only a proc file system may be mounted on /proc",
        ));
    }
    if step.attributes != 0 {
        let change = Attributes {
            set: step.attributes,
            ..Attributes::default()
        };
        // Everything below too, or a mount inside a read-only one could be written to.
        mount::set_attributes(source.as_fd(), change, recursive)?;
    }
    mount::attach(source.as_fd(), place.as_fd())?;
    Ok(())
}

fn mount_cgroup(root: BorrowedFd<'_>, step: &Step, sources: &Sources, view: &View) -> Result<()> {
    let quiet = step.attributes & !ATTR_RDONLY;
    let links = match view {
        View::Unified(own) => {
            let mounted = match mount::new_mount("cgroup2", &[], step.attributes) {
                Ok(mounted) => mounted,
                // The host's cgroup namespace: only its own directory then.
                Err(error) if error.is(libc::EPERM) || error.is(libc::EBUSY) => {
                    let own = mount::clone_private(path::open_place(own)?.as_fd(), false)?;
                    let change = Attributes {
                        set: step.attributes,
                        ..Attributes::default()
                    };
                    mount::set_attributes(own.as_fd(), change, false)?;
                    own
                }
                Err(error) => return Err(error.into()),
            };
            return attach_directory(root, step, mounted.as_fd());
        }
        View::Split { links, .. } => links,
    };
    let tmpfs = mount::new_mount("tmpfs", &["mode=755".into()], quiet)?;
    attach_directory(root, step, tmpfs.as_fd())?;
    for (name, hierarchy) in &sources.cgroups {
        rustix::fs::mkdirat(&tmpfs, name.as_str(), Mode::from_raw_mode(0o755))?;
        let place = path::open_beneath_strict(tmpfs.as_fd(), name, OFlags::PATH)?;
        let change = Attributes {
            set: step.attributes,
            ..Attributes::default()
        };
        mount::set_attributes(hierarchy.as_fd(), change, false)?;
        mount::attach(hierarchy.as_fd(), place.as_fd())?;
    }
    for (name, target) in links {
        rustix::fs::symlinkat(target.as_str(), &tmpfs, name.as_str())?;
    }
    let change = Attributes {
        set: step.attributes,
        ..Attributes::default()
    };
    mount::set_attributes(tmpfs.as_fd(), change, false)?;
    Ok(())
}

/// Makes paths read-only and hides others. What is missing needs neither.
fn hide(built: &Root, plan: &Plan, sources: &Sources) -> Result<()> {
    let root = built.root.as_fd();
    let find = |path: &str| match open_in_root(root, path, OFlags::PATH, 0) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) => Ok(None),
        Err(error) => Err(error),
    };
    let read_only = Attributes {
        set: ATTR_RDONLY,
        ..Attributes::default()
    };
    for path in &plan.read_only_paths {
        let Some(found) = find(path)? else { continue };
        let copy = mount::clone_private(found.as_fd(), true)?;
        mount::set_attributes(copy.as_fd(), read_only, true)?;
        mount::attach(copy.as_fd(), found.as_fd()).context(|| format!("make {path} read-only"))?;
    }
    let thermal = sources.thermal.iter().map(String::as_str);
    let thermal = thermal.filter(|_| !plan.masked.is_empty());
    for path in plan.masked.iter().copied().chain(thermal) {
        let Some(found) = find(path)? else { continue };
        let cover = if path::file_type(found.as_fd())? == FileType::Directory {
            mount::new_mount(
                "tmpfs",
                &["nr_blocks=1".into(), "nr_inodes=2".into()],
                ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC,
            )?
        } else {
            mount::clone_private(sources.null.as_fd(), false)?
        };
        mount::attach(cover.as_fd(), found.as_fd()).context(|| format!("mask {path}"))?;
    }
    Ok(())
}

/// Makes the tree `/`, and the host's tree go away.
pub(super) fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root)?;
    mount::pivot_root_here()?;
    mount::unmount_here()?;
    rustix::process::chdir("/")?;
    Ok(())
}
