//! COPY and ADD, the second half: where the selected files come to lie.
//!
//! They are written straight into a new layer's directory; directories that the layers below
//! already have keep their owner and mode.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::ignore::components;
use super::select::{Order, Selected};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layer::archive;
use crate::layer::attributes::Attributes;
use crate::layer::compression;
use crate::layer::merged::{Merged, Node};
use crate::layer::unpack;

/// Copies the selection into `upper`, a directory that does not exist yet, as the layers below
/// (`lower`) require it.
///
/// # Errors
/// An unknown owner, a bad mode, a file where a directory has to be.
pub fn apply(selected: &Selected, order: &Order, lower: &Merged, upper: &Path) -> Result<()> {
    let owner = order
        .chown
        .as_deref()
        .map(|text| owner(lower, text))
        .transpose()?;
    let mode = order.chmod.as_deref().map(parse_mode).transpose()?;
    let mut writer = Writer::new(lower, upper, owner, mode, order.keeps_owner)?;
    let destination = real_path(lower, &clean(&order.working_dir, &order.destination))?;
    let names_directory = matches!(order.destination.as_str(), "" | ".")
        || order.destination.ends_with('/')
        || order.destination.ends_with("/.")
        || selected.items.len() + order.files.len() > 1
        || order.parents;
    let is_directory = names_directory
        || lower
            .metadata(&destination.to_string_lossy())?
            .is_some_and(|found| found.is_dir());
    for item in &selected.items {
        let into = destination.join(&item.below);
        if item.node.metadata.is_dir() {
            writer.directory(&into)?;
            for (path, node) in &item.content {
                writer.copy(node, &into.join(path))?;
            }
        } else if order.unpack && writer.unpack(&item.node, &into)? {
        } else if is_directory {
            let name = item.node.path.file_name().unwrap_or_default();
            writer.copy(&item.node, &into.join(name))?;
        } else {
            writer.copy(&item.node, &into)?;
        }
    }
    for (name, body) in &order.files {
        let path = if is_directory {
            destination.join(name)
        } else {
            destination.clone()
        };
        writer.write(body.as_bytes(), &path)?;
    }
    writer.finish()
}

/// A layer with one directory more (WORKDIR), owned by the current user.
///
/// # Errors
/// A file in the way, an unknown user.
pub fn make_directory(lower: &Merged, upper: &Path, path: &str, user: &str) -> Result<()> {
    let owner = if user.is_empty() {
        None
    } else {
        Some(owner(lower, user)?)
    };
    let mut writer = Writer::new(lower, upper, owner, None, false)?;
    let path = real_path(lower, path)?;
    writer.directory(&path)?;
    writer.finish()
}

/// `path` made absolute against the working directory, and cleaned lexically.
pub fn clean(working_dir: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{working_dir}/{path}")
    };
    format!("/{}", components(&whole).join("/"))
}

/// Where a path leads when the links of the image are followed; what is missing stays as written.
fn real_path(lower: &Merged, path: &str) -> Result<PathBuf> {
    let components = components(path);
    for known in (0..=components.len()).rev() {
        if let Some(node) = lower.resolve(&components[..known].join("/"))? {
            return Ok(components[known..]
                .iter()
                .fold(node.path, |path, name| path.join(name)));
        }
    }
    Ok(PathBuf::from(path))
}

/// `user[:group]` by the image's own files; a lone number is the group too.
fn owner(lower: &Merged, text: &str) -> Result<(u32, u32)> {
    const LIMIT_BYTES: u64 = 1 << 20;
    if let Ok(number) = text.parse::<u32>() {
        return Ok((number, number));
    }
    let read = |path: &str| -> Result<String> {
        let bytes = lower.read(path, LIMIT_BYTES)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (user, group) = text
        .split_once(':')
        .map_or((text, None), |(user, group)| (user, Some(group)));
    let passwd = read("/etc/passwd")?;
    let (uid, own_group) = match user.parse::<u32>() {
        Ok(uid) => (uid, uid),
        Err(_) => {
            let ids = fields(&passwd, user, 3)
                .and_then(|fields| Some((fields[2].parse().ok()?, fields[3].parse().ok()?)));
            ids.ok_or_else(|| unknown("user", user, "passwd"))?
        }
    };
    let gid = match group.map(|group| (group, group.parse::<u32>())) {
        None => own_group,
        Some((_, Ok(gid))) => gid,
        Some((group, Err(_))) => {
            let groups = read("/etc/group")?;
            let id = fields(&groups, group, 2).and_then(|fields| fields[2].parse().ok());
            id.ok_or_else(|| unknown("group", group, "group"))?
        }
    };
    Ok((uid, gid))
}

/// The colon-separated line of `name`, when it has more than `least` fields.
fn fields<'a>(text: &'a str, name: &str, least: usize) -> Option<Vec<&'a str>> {
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields[0] == name && fields.len() > least)
}

fn unknown(kind: &str, name: &str, file: &str) -> Error {
    let message = format!("unable to find {kind} {name}: no matching entries in {file} file");
    Error::new(ErrorKind::Invalid, message)
}

fn parse_mode(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| {
        let message = format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777");
        Error::new(ErrorKind::Invalid, message)
    })
}

/// The new layer's directory. Every step is one name below an fd, links never followed: what was
/// copied a moment ago must not lead the next file elsewhere.
struct Writer<'a> {
    lower: &'a Merged,
    root: OwnedFd,
    owner: Option<(u32, u32)>,
    mode: Option<u32>,
    keeps_owner: bool,
    /// Attributes of directories, set last: writing into one changes its times.
    directories: BTreeMap<PathBuf, Attributes>,
    /// Where a file with several names came to lie first.
    first_names: BTreeMap<(u64, u64), PathBuf>,
}

impl<'a> Writer<'a> {
    fn new(
        lower: &'a Merged,
        upper: &Path,
        owner: Option<(u32, u32)>,
        mode: Option<u32>,
        keeps_owner: bool,
    ) -> Result<Self> {
        std::fs::create_dir_all(upper).context(|| format!("make {}", upper.display()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(upper, flags, Mode::empty())?;
        let mut directories = BTreeMap::new();
        let root_attributes = match lower.root()? {
            Some(node) => node.attributes()?,
            None => plain(0o755),
        };
        directories.insert(PathBuf::new(), root_attributes);
        Ok(Self {
            lower,
            root,
            owner,
            mode,
            keeps_owner,
            directories,
            first_names: BTreeMap::new(),
        })
    }

    /// The directory at `path` (absolute), made with all above it; those that the layers below
    /// have keep their attributes, new ones get the given owner.
    fn directory(&mut self, path: &Path) -> Result<OwnedFd> {
        let mut here = rustix::fs::openat(
            &self.root,
            c".",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut walked = PathBuf::new();
        for name in path.strip_prefix("/").unwrap_or(path) {
            walked.push(name);
            match rustix::fs::mkdirat(&here, name, Mode::from_raw_mode(0o700)) {
                Ok(()) => {
                    let attributes = self.existing(&walked)?;
                    self.directories.insert(walked.clone(), attributes);
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).context(|| format!("make /{}", walked.display())),
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            here = rustix::fs::openat(&here, name, flags, Mode::empty()).map_err(|_| {
                let message = format!("cannot copy to non-directory: /{}", walked.display());
                Error::new(ErrorKind::Invalid, message)
            })?;
        }
        Ok(here)
    }

    fn existing(&self, path: &Path) -> Result<Attributes> {
        match self.lower.resolve_entry(&path.to_string_lossy())? {
            Some(node) if node.metadata.is_dir() => node.attributes(),
            Some(node) => {
                let message = format!("cannot copy to non-directory: {}", node.path.display());
                Err(Error::new(ErrorKind::Invalid, message))
            }
            None => {
                let mut attributes = plain(0o755);
                (attributes.uid, attributes.gid) = self.owner.unwrap_or((0, 0));
                Ok(attributes)
            }
        }
    }

    fn attributes(&self, node: &Node) -> Result<Attributes> {
        let mut attributes = node.attributes()?;
        if !self.keeps_owner {
            (attributes.uid, attributes.gid) = (0, 0);
        }
        if let Some(owner) = self.owner {
            (attributes.uid, attributes.gid) = owner;
        }
        if let Some(mode) = self.mode {
            attributes.mode = mode;
        }
        Ok(attributes)
    }

    /// The parent's fd and the last name of a path; an older file of that name is gone.
    fn place(&mut self, path: &Path) -> Result<OwnedFd> {
        let parent = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().unwrap_or_default();
        match rustix::fs::unlinkat(&parent, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(_) => return Err(no_file_over_directory(path)),
        }
        if self
            .lower
            .resolve_entry(&path.to_string_lossy())?
            .is_some_and(|node| node.metadata.is_dir())
        {
            return Err(no_file_over_directory(path));
        }
        Ok(parent)
    }

    fn copy(&mut self, node: &Node, path: &Path) -> Result<()> {
        let kind = node.metadata.kind;
        let attributes = self.attributes(node)?;
        if kind == FileType::Directory {
            self.directory(path)?;
            let relative = path.strip_prefix("/").unwrap_or(path).to_owned();
            self.directories.insert(relative, attributes);
            return Ok(());
        }
        let parent = self.place(path)?;
        let name = path.file_name().unwrap_or_default();
        if node.has_links() {
            if let Some(first) = self.first_names.get(&node.identity()).cloned() {
                let from = self.directory(first.parent().unwrap_or(Path::new("/")))?;
                let flags = rustix::fs::AtFlags::empty();
                rustix::fs::linkat(
                    &from,
                    first.file_name().unwrap_or_default(),
                    &parent,
                    name,
                    flags,
                )?;
                return Ok(());
            }
            self.first_names.insert(node.identity(), path.to_owned());
        }
        match kind {
            FileType::RegularFile => {
                let mut file = create(&parent, path)?;
                std::io::copy(&mut node.open()?, &mut file)
                    .context(|| format!("copy to {}", path.display()))?;
            }
            FileType::Symlink => rustix::fs::symlinkat(node.read_link()?, &parent, name)?,
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                rustix::fs::mknodat(&parent, name, kind, Mode::RUSR, node.metadata.device)?;
            }
            // A socket without its listener is nothing; Docker leaves an empty file.
            _ => drop(create(&parent, path)?),
        }
        attributes.apply(parent.as_fd(), name.as_bytes(), kind)
    }

    /// A file of ours: a here-document.
    fn write(&mut self, content: &[u8], path: &Path) -> Result<()> {
        let parent = self.place(path)?;
        let mut file = create(&parent, path)?;
        file.write_all(content)
            .context(|| format!("write {}", path.display()))?;
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(self.mode.unwrap_or(0o644)))?;
        Ok(())
    }

    /// Takes an archive apart; false when it is none.
    fn unpack(&mut self, node: &Node, into: &Path) -> Result<bool> {
        if node.metadata.kind != FileType::RegularFile || !is_archive(node)? {
            return Ok(false);
        }
        let directory = self.directory(into)?;
        let target = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&directory)
        );
        let mut reader = archive::Reader::new(compression::decompress(node.open()?)?);
        unpack::unpack(
            &mut reader,
            Path::new(&target),
            || Ok(Merged::empty()),
            unpack::Limits::default(),
        )
        .context(|| format!("unpack {}", node.path.display()))?;
        Ok(true)
    }

    fn finish(self) -> Result<()> {
        // Deepest first: setting a child's attributes touches its parent.
        for (path, attributes) in self.directories.iter().rev() {
            if path.as_os_str().is_empty() {
                attributes.apply(self.root.as_fd(), b".", FileType::Directory)?;
                continue;
            }
            let parent = open_directory(&self.root, path.parent().unwrap_or(Path::new("")))?;
            let name = path.file_name().unwrap_or_default();
            attributes.apply(parent.as_fd(), name.as_bytes(), FileType::Directory)?;
        }
        Ok(())
    }
}

fn open_directory(root: &OwnedFd, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here = rustix::fs::openat(root, c".", flags, Mode::empty())?;
    for name in path {
        here = rustix::fs::openat(&here, name, flags, Mode::empty())?;
    }
    Ok(here)
}

fn create(parent: &OwnedFd, path: &Path) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    let file = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        .context(|| format!("create {}", path.display()))?;
    Ok(File::from(file))
}

fn no_file_over_directory(path: &Path) -> Error {
    let message = format!("cannot replace to directory {} with file", path.display());
    Error::new(ErrorKind::Invalid, message)
}

fn plain(mode: u32) -> Attributes {
    Attributes {
        uid: 0,
        gid: 0,
        mode,
        mtime: (0, 0),
        xattrs: Vec::new(),
    }
}

/// By content, not by name.
fn is_archive(node: &Node) -> Result<bool> {
    let mut head = [0u8; 6];
    let count = node.open()?.read(&mut head)?;
    if head[..count].starts_with(b"BZh")
        || head[..count].starts_with(&[0xfd, b'7', b'z', b'X', b'Z'])
    {
        let message = format!(
            "{}: bzip2 and xz archives are not supported by ketch yet",
            node.path.display()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let mut block = Vec::new();
    // What can't be decompressed is no archive, and is copied as it is.
    let read =
        compression::decompress(node.open()?).map(|plain| plain.take(512).read_to_end(&mut block));
    Ok(matches!(read, Ok(Ok(512))) && &block[257..262] == b"ustar")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::ignore::Ignore;
    use super::super::select::select;
    use super::*;

    fn order(sources: &[&str], destination: &str) -> Order {
        Order {
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            files: Vec::new(),
            destination: destination.into(),
            working_dir: "/".into(),
            chown: None,
            chmod: None,
            excludes: Ignore::default(),
            parents: false,
            unpack: false,
            keeps_owner: true,
        }
    }

    #[test]
    fn an_added_archive_gives_no_file_of_the_host_another_mode() {
        let world = World::new(&["context/sub/"]);
        let base = world.directory.path().to_owned();
        let canary = base.join("canary");
        fs::write(&canary, "").unwrap();
        fs::set_permissions(&canary, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir_all(base.join("context/sub/dir")).unwrap();
        fs::set_permissions(
            base.join("context/sub/dir"),
            fs::Permissions::from_mode(0o777),
        )
        .unwrap();
        let mut writer = archive::Writer::new(Vec::new());
        let mut link = archive::Entry::new("dir", archive::Kind::Symlink);
        link.link = canary.to_str().unwrap().into();
        link.uid = rustix::process::getuid().as_raw();
        link.gid = rustix::process::getgid().as_raw();
        writer.append(&link, std::io::empty()).unwrap();
        fs::write(base.join("context/evil.tar"), writer.finish().unwrap()).unwrap();
        let mut order = order(&["sub", "evil.tar"], "/a/");
        order.unpack = true;
        let tree = Merged::new(&[base.join("context")]).unwrap();
        let lower = Merged::new(&[base.join("lower")]).unwrap();
        let selected = select(&tree, &Ignore::default(), &order).unwrap();
        let result = apply(&selected, &order, &lower, &base.join("upper"));
        let mode = canary.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{result:?}");
    }

    struct World {
        directory: tempfile::TempDir,
    }

    impl World {
        /// `context/…` is the source, `lower/…` the image.
        fn new(paths: &[&str]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            for path in ["context", "lower"].iter().chain(paths) {
                let path = directory.path().join(path.trim_end_matches('/'));
                if paths
                    .iter()
                    .any(|given| !given.ends_with('/') && path.ends_with(given))
                {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(&path, path.file_name().unwrap().as_bytes()).unwrap();
                } else {
                    fs::create_dir_all(path).unwrap();
                }
            }
            Self { directory }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.directory.path().join(path)
        }

        /// Paths in the new layer.
        fn copied(&self, ignore: &str, order: &Order) -> Result<Vec<String>> {
            let tree = Merged::new(&[self.path("context")])?;
            let lower = Merged::new(&[self.path("lower")])?;
            let upper = self.path("upper");
            let selected = select(&tree, &Ignore::parse(ignore).unwrap(), order)?;
            apply(&selected, order, &lower, &upper)?;
            let mut paths = Vec::new();
            let mut pending = vec![upper.clone()];
            while let Some(directory) = pending.pop() {
                for entry in fs::read_dir(directory).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() && !path.is_symlink() {
                        pending.push(path.clone());
                    } else {
                        paths.push(path.strip_prefix(&upper).unwrap().display().to_string());
                    }
                }
            }
            paths.sort();
            Ok(paths)
        }
    }

    #[test]
    fn a_directory_gives_its_content_and_a_file_its_name() {
        let world = World::new(&["context/d/a", "context/d/e/b", "context/f"]);
        assert_eq!(
            world.copied("", &order(&["d", "f"], "/x/")).unwrap(),
            ["x/a", "x/e/b", "x/f"]
        );
    }

    #[test]
    fn a_file_takes_the_destination_s_name_unless_that_is_a_directory() {
        let world = World::new(&["context/f", "lower/etc/"]);
        assert_eq!(
            world.copied("", &order(&["f"], "/srv/g")).unwrap(),
            ["srv/g"]
        );
        fs::remove_dir_all(world.path("upper")).unwrap();
        assert_eq!(world.copied("", &order(&["f"], "/etc")).unwrap(), ["etc/f"]);
    }

    #[test]
    fn ignored_files_are_not_there() {
        let world = World::new(&["context/a.log", "context/b", "context/keep/c.log"]);
        let ignore = "*.log\nkeep\n!keep/c.log";
        assert_eq!(
            world.copied(ignore, &order(&["."], "/x/")).unwrap(),
            ["x/b", "x/keep/c.log"]
        );
        let error = world
            .copied("*.log", &order(&["a.log"], "/x/"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "\"/a.log\": not found in the build context (.dockerignore leaves it out)"
        );
    }

    #[test]
    fn links_do_not_lead_out_of_the_context_or_the_image() {
        let world = World::new(&["context/d/a", "lower/real/"]);
        symlink("/etc/passwd", world.path("context/out")).unwrap();
        assert!(world.copied("", &order(&["out"], "/x")).is_err());
        symlink("/real", world.path("lower/link")).unwrap();
        assert_eq!(
            world.copied("", &order(&["d"], "/link/")).unwrap(),
            ["real/a"]
        );
    }

    #[test]
    fn a_copied_link_does_not_lead_the_next_file_elsewhere() {
        let world = World::new(&["context/one/", "context/two/trap/x"]);
        symlink(world.path("lower"), world.path("context/one/trap")).unwrap();
        assert!(world.copied("", &order(&["one", "two"], "/d/")).is_err());
        assert!(!world.path("lower/x").exists());
    }

    #[test]
    fn wildcards_match_per_component() {
        let world = World::new(&[
            "context/a.txt",
            "context/b.txt",
            "context/c.md",
            "context/d/e.txt",
        ]);
        assert_eq!(
            world.copied("", &order(&["*.txt"], "/x/")).unwrap(),
            ["x/a.txt", "x/b.txt"]
        );
    }

    #[test]
    fn the_digest_does_not_depend_on_times() {
        let world = World::new(&["context/a"]);
        let tree = Merged::new(&[world.path("context")]).unwrap();
        let digest = || {
            select(&tree, &Ignore::default(), &order(&["a"], "/x"))
                .unwrap()
                .digest()
                .unwrap()
        };
        let first = digest();
        let file = File::options()
            .write(true)
            .open(world.path("context/a"))
            .unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(digest(), first);
        fs::set_permissions(world.path("context/a"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(digest(), first);
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode("0755").unwrap(), 0o755);
        assert!(
            parse_mode("64a")
                .unwrap_err()
                .to_string()
                .contains("invalid chmod parameter: '64a'")
        );
    }
}
