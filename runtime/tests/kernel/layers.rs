//! Layers on a real file system: whiteouts, devices, owners, capabilities; and what overlayfs
//! itself makes of them, which is the measure.

use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ketch_runtime::content::digest::Digest;
use ketch_runtime::layer::archive::{Entry, Kind, Reader, Writer};
use ketch_runtime::layer::merged::Merged;
use ketch_runtime::layer::{self, diff};
use ketch_runtime::store::Roots;
use rustix::fs::{FileType, Mode, XattrFlags};
use rustix::mount::{MountFlags, UnmountFlags};

fn roots(directory: &tempfile::TempDir) -> Roots {
    Roots::new(directory.path().join("data"), directory.path().join("run"))
}

fn entry(path: &str, kind: Kind) -> Entry {
    let mut entry = Entry::new(path, kind);
    entry.mode = 0o755;
    entry.mtime_seconds = 1_000_000;
    entry
}

fn file(path: &str, content: &str) -> (Entry, Vec<u8>) {
    let mut entry = entry(path, Kind::File);
    entry.size = content.len() as u64;
    (entry, content.into())
}

fn bare(path: &str, kind: Kind) -> (Entry, Vec<u8>) {
    (entry(path, kind), Vec::new())
}

fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// Unpacks archives on top of each other; returns the layers' directories, lowest first.
fn unpacked(roots: &Roots, archives: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut chain = Vec::new();
    for archive in archives {
        let (layer, _hold) = layer::unpack_archive(roots, &chain, &archive[..], None).unwrap();
        assert_eq!(layer.diff_id, Digest::of(archive));
        chain.push(layer.chain_id);
    }
    layer::directories(roots, &chain)
}

/// An overlay of these layers, unmounted when dropped.
struct Overlay(PathBuf);

impl Overlay {
    fn read_only(at: &Path, layers: &[PathBuf]) -> Self {
        let lower = joined(layers);
        Self::mount(at, &format!("lowerdir={lower},index=off"))
    }

    fn writable(at: &Path, layers: &[PathBuf], upper: &Path, work: &Path) -> Self {
        let (lower, upper, work) = (joined(layers), upper.display(), work.display());
        let options = format!(
            "lowerdir={lower},upperdir={upper},workdir={work},index=off,metacopy=off,\
             redirect_dir=off"
        );
        Self::mount(at, &options)
    }

    fn mount(at: &Path, options: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount("overlay", at, "overlay", MountFlags::empty(), &*options).unwrap();
        Self(at.to_owned())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

fn joined(layers: &[PathBuf]) -> String {
    let paths: Vec<_> = layers
        .iter()
        .rev()
        .map(|layer| layer.to_str().unwrap())
        .collect();
    paths.join(":")
}

/// Every path below a directory, in order.
fn tree(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            paths.push(path.strip_prefix(root).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                todo.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// The same through our own eyes, without a mount.
fn merged_tree(layers: &[PathBuf]) -> Vec<String> {
    let merged = Merged::new(layers).unwrap();
    let mut paths = Vec::new();
    let mut todo = vec![merged.root().unwrap().unwrap()];
    while let Some(directory) = todo.pop() {
        for node in directory.entries().unwrap() {
            let path = node.path.strip_prefix("/").unwrap();
            paths.push(path.display().to_string());
            if node.metadata.is_dir() {
                todo.push(node);
            }
        }
    }
    paths.sort();
    paths
}

pub(crate) fn whiteouts_hide_what_lies_below_and_only_that() {
    let directory = tempfile::tempdir().unwrap();
    let roots = roots(&directory);
    let base = tar(&[
        file("gone", "x"),
        file("dir/gone", "x"),
        file("dir/stays", "x"),
        file("opaque/old", "x"),
        file("swap/old", "x"),
        file("kept/old", "x"),
    ]);
    let top = tar(&[
        file(".wh.gone", ""),
        file("dir/.wh.gone", ""),
        // An opaque mark after its siblings: they stay.
        file("opaque/new", "y"),
        file("opaque/.wh..wh..opq", ""),
        // A whiteout and an entry of one name, in both orders.
        file(".wh.swap", ""),
        file("swap/new", "y"),
        file("kept/new", "y"),
        file(".wh.kept", ""),
    ]);
    let layers = unpacked(&roots, &[base, top]);
    let expected = [
        "dir",
        "dir/stays",
        "kept",
        "kept/new",
        "opaque",
        "opaque/new",
        "swap",
        "swap/new",
    ];
    let overlay = Overlay::read_only(&directory.path().join("mnt"), &layers);
    assert_eq!(tree(&overlay.0), expected);
    assert_eq!(merged_tree(&layers), expected);
}

pub(crate) fn an_opaque_root_hides_all_of_the_base() {
    let directory = tempfile::tempdir().unwrap();
    let roots = roots(&directory);
    let base = tar(&[file("a", "x"), file("b/c", "x")]);
    let top = tar(&[file("b/d", "y"), file(".wh..wh..opq", "")]);
    let layers = unpacked(&roots, &[base, top]);
    let overlay = Overlay::read_only(&directory.path().join("mnt"), &layers);
    assert_eq!(tree(&overlay.0), ["b", "b/d"]);
    assert_eq!(merged_tree(&layers), ["b", "b/d"]);
}

pub(crate) fn owners_modes_devices_and_capabilities_survive() {
    let directory = tempfile::tempdir().unwrap();
    let roots = roots(&directory);
    let (mut suid, content) = file("bin/su", "x");
    (suid.uid, suid.gid, suid.mode) = (1234, 5678, 0o6755);
    // CAP_NET_RAW, permitted and effective, in the kernel's form (version 2).
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    suid.xattrs = vec![
        (b"security.capability".to_vec(), capability.to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/evil".to_vec()),
        (b"user.note".to_vec(), b"hello".to_vec()),
    ];
    let (mut null, _) = bare("dev/null", Kind::Character);
    null.device = (1, 3);
    null.mode = 0o666;
    let archive = tar(&[(suid, content), (null, vec![]), bare("pipe", Kind::Fifo)]);
    let root = unpacked(&roots, &[archive]).remove(0);
    let su = root.join("bin/su");
    let metadata = su.metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 5678));
    assert_eq!(metadata.mode() & 0o7777, 0o6755);
    assert_eq!(metadata.mtime(), 1_000_000);
    let mut value = [0u8; 64];
    let length = rustix::fs::getxattr(&su, "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..length], capability);
    assert!(rustix::fs::getxattr(&su, "trusted.overlay.redirect", &mut value[..]).is_err());
    let null = root.join("dev/null").metadata().unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    assert!(root.join("pipe").metadata().unwrap().file_type().is_fifo());
}

pub(crate) fn directories_that_a_layer_only_implies_keep_the_base_s_attributes() {
    let directory = tempfile::tempdir().unwrap();
    let roots = roots(&directory);
    let (mut tmp, _) = bare("tmp", Kind::Directory);
    tmp.mode = 0o1777;
    tmp.uid = 7;
    let (mut top, _) = bare("./", Kind::Directory);
    top.mode = 0o711;
    let base = tar(&[(top, vec![]), (tmp, vec![])]);
    let layers = unpacked(
        &roots,
        &[base, tar(&[file("tmp/x", ""), file("new/y", "")])],
    );
    let tmp = layers[1].join("tmp").metadata().unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.uid()), (0o1777, 7));
    assert_eq!(tmp.mtime(), 1_000_000);
    let new = layers[1].join("new").metadata().unwrap();
    assert_eq!(new.mode() & 0o7777, 0o755);
    let root = layers[1].metadata().unwrap();
    assert_eq!(root.mode() & 0o7777, 0o711);
}

pub(crate) fn an_upper_directory_becomes_a_layer_that_shows_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let roots = roots(&directory);
    let base = tar(&[
        file("etc/passwd", "root"),
        file("etc/gone", "x"),
        file("dir/old", "x"),
        file("kept", "x"),
    ]);
    let (layer, _hold) = layer::unpack_archive(&roots, &[], &base[..], None).unwrap();
    let lower = layer::directories(&roots, std::slice::from_ref(&layer.chain_id));
    let upper = roots.data().join("upper");
    let work = roots.data().join("work");
    std::fs::create_dir_all(&upper).unwrap();
    std::fs::create_dir_all(&work).unwrap();
    let expected = {
        let overlay = Overlay::writable(&directory.path().join("mnt"), &lower, &upper, &work);
        let root = &overlay.0;
        std::fs::remove_file(root.join("etc/gone")).unwrap();
        std::fs::remove_dir_all(root.join("dir")).unwrap();
        std::fs::create_dir(root.join("dir")).unwrap();
        std::fs::write(root.join("dir/new"), "y").unwrap();
        std::fs::hard_link(root.join("dir/new"), root.join("dir/twin")).unwrap();
        std::fs::write(root.join("etc/passwd"), "changed").unwrap();
        symlink("/etc/passwd", root.join("link")).unwrap();
        tree(root)
    };
    // The archive of the diff, taken before the move, gives the same layer elsewhere.
    let mut archive = Vec::new();
    diff::write(&upper, &mut archive).unwrap();
    let (changed, _hold) = layer::commit_directory(&roots, Some(&layer.chain_id), &upper).unwrap();
    assert_eq!(changed.diff_id, Digest::of(&archive));
    assert_eq!(changed.size_bytes, "changed".len() as u64 + 1);
    assert!(!upper.exists());
    let layers = layer::directories(&roots, &[layer.chain_id.clone(), changed.chain_id]);
    assert_eq!(merged_tree(&layers), expected);
    let other = tempfile::tempdir().unwrap();
    let other = Roots::new(other.path().join("data"), other.path().join("run"));
    let layers = unpacked(&other, &[base, archive]);
    assert_eq!(merged_tree(&layers), expected);
    let overlay = Overlay::read_only(&directory.path().join("mnt"), &layers);
    assert_eq!(tree(&overlay.0), expected);
    let twin = layers[1].join("dir/twin").metadata().unwrap();
    assert_eq!(twin.nlink(), 2);
}

pub(crate) fn a_diff_names_deletions_as_oci_does() {
    let directory = tempfile::tempdir().unwrap();
    let upper = directory.path();
    std::fs::create_dir(upper.join("d")).unwrap();
    let opaque = OsStr::new("trusted.overlay.opaque");
    rustix::fs::setxattr(upper.join("d"), opaque, b"y", XattrFlags::empty()).unwrap();
    std::fs::write(upper.join("d/f"), "x").unwrap();
    let parent = std::fs::File::open(upper).unwrap();
    rustix::fs::mknodat(&parent, "gone", FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
    let mut archive = Vec::new();
    diff::write(upper, &mut archive).unwrap();
    drop(socket);
    let mut reader = Reader::new(&archive[..]);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        assert!(entry.xattrs.is_empty(), "orders to overlayfs stay here");
        names.push(String::from_utf8(entry.path).unwrap());
    }
    assert_eq!(names, ["d/", "d/.wh..wh..opq", "d/f", ".wh.gone"]);
}

pub(crate) fn a_volume_takes_owners_and_content_across_layers() {
    let directory = tempfile::tempdir().unwrap();
    let roots = roots(&directory);
    let (mut data, _) = bare("var/lib/db", Kind::Directory);
    (data.uid, data.gid, data.mode) = (999, 998, 0o700);
    let (mut conf, content) = file("var/lib/db/conf", "low");
    conf.uid = 999;
    let base = tar(&[
        (data.clone(), vec![]),
        (conf, content),
        file("var/lib/db/gone", "x"),
    ]);
    let top = tar(&[
        (data, vec![]),
        file("var/lib/db/.wh.gone", ""),
        file("var/lib/db/new", "y"),
    ]);
    let layers = unpacked(&roots, &[base, top]);
    let volume = directory.path().join("v/_data");
    std::fs::create_dir_all(&volume).unwrap();
    ketch_runtime::volume::populate(&layers, "/var/lib/db", &volume).unwrap();
    assert_eq!(tree(&volume), ["conf", "new"]);
    let root = volume.metadata().unwrap();
    assert_eq!((root.uid(), root.gid()), (999, 998));
    assert_eq!(root.permissions().mode() & 0o7777, 0o700);
    assert_eq!(volume.join("conf").metadata().unwrap().uid(), 999);
}
