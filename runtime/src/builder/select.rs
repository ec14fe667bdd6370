//! COPY and ADD, the first half: which files are meant, and what they digest to.
//!
//! Sources are looked at through [`Merged`], be they a directory of the host (one "layer") or the
//! layers of a stage: links never lead out of either.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::cache::KeyBuilder;
use super::ignore::{self, Ignore, components};
use crate::content::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::merged::{Merged, Node};

/// One COPY or ADD, variables expanded. Its `Debug` form is part of the step's key.
#[derive(Debug)]
pub struct Order {
    pub sources: Vec<String>,
    /// Here-documents: name and content.
    pub files: Vec<(String, String)>,
    pub destination: String,
    pub working_dir: String,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub excludes: Ignore,
    /// Keep the source's directories below the destination.
    pub parents: bool,
    /// Take local archives apart (ADD).
    pub unpack: bool,
    /// Owners are those of the source; otherwise everything belongs to root.
    pub keeps_owner: bool,
}

/// The files that an order means.
#[derive(Debug)]
pub struct Selected {
    pub(super) items: Vec<Item>,
}

/// One source: a file, or a directory whose content is meant.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) node: Node,
    /// With `parents`: the source's own directories, to be kept.
    pub(super) below: PathBuf,
    /// What lies in the directory, parents before children, paths relative to it.
    pub(super) content: Vec<(PathBuf, Node)>,
}

/// Finds them.
///
/// # Errors
/// A source that is not there, or that the ignore file hides.
pub fn select(tree: &Merged, ignore: &Ignore, order: &Order) -> Result<Selected> {
    let mut items = Vec::new();
    for source in &order.sources {
        if source.starts_with("http://")
            || source.starts_with("https://")
            || source.starts_with("git@")
        {
            let message = format!("{source}: remote sources are not supported by ketch yet");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let components = components(source);
        let is_pattern = components
            .iter()
            .any(|component| component.contains(['*', '?', '[', '\\']));
        let mut nodes = Vec::new();
        if is_pattern {
            let Some(root) = tree.root()? else { continue };
            matching(tree, &root, &components, &mut nodes)?;
            nodes.retain(|node| !is_ignored(ignore, node));
        } else {
            let found = tree
                .resolve(&components.join("/"))?
                .filter(|node| node.metadata.is_dir() || !is_ignored(ignore, node));
            nodes.push(found.ok_or_else(|| missing(tree, ignore, &components))?);
        }
        for node in nodes {
            let mut content = Vec::new();
            if node.metadata.is_dir() {
                collect(&node, Path::new(""), ignore, &order.excludes, &mut content)?;
            }
            let relative = node.path.strip_prefix("/").unwrap_or(&node.path);
            let below = match (order.parents, node.metadata.is_dir()) {
                (false, _) => PathBuf::new(),
                (true, true) => relative.to_owned(),
                (true, false) => relative.parent().unwrap_or(Path::new("")).to_owned(),
            };
            items.push(Item {
                node,
                below,
                content,
            });
        }
    }
    Ok(Selected { items })
}

fn matching(tree: &Merged, here: &Node, patterns: &[&str], found: &mut Vec<Node>) -> Result<()> {
    let Some((first, rest)) = patterns.split_first() else {
        found.push(here.clone());
        return Ok(());
    };
    for entry in here.entries()? {
        let name = entry
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let fits = ignore::matches_name(first, &name)
            .map_err(|message| Error::new(ErrorKind::Invalid, message))?;
        if !fits {
            continue;
        }
        // A link that is matched, or on the way, is followed.
        let Some(entry) = tree.resolve(&entry.path.to_string_lossy())? else {
            continue;
        };
        if rest.is_empty() || entry.metadata.is_dir() {
            matching(tree, &entry, rest, found)?;
        }
    }
    Ok(())
}

fn is_ignored(ignore: &Ignore, node: &Node) -> bool {
    let path = node.path.to_string_lossy();
    let path = path.trim_start_matches('/');
    !path.is_empty() && ignore.excludes(path)
}

/// Why a source is not there, as far as it can be told.
fn missing(tree: &Merged, ignore: &Ignore, components: &[&str]) -> Error {
    let path = components.join("/");
    let mut message = format!("\"/{path}\": not found in the build context");
    if ignore.excludes(&path) {
        message += " (.dockerignore leaves it out)";
    } else if let Ok(Some(directory)) =
        tree.resolve(&components[..components.len().saturating_sub(1)].join("/"))
        && let Ok(entries) = directory.entries()
    {
        let wanted = components
            .last()
            .copied()
            .unwrap_or_default()
            .to_lowercase();
        let names = entries
            .iter()
            .filter_map(|entry| entry.path.file_name()?.to_str().map(str::to_owned));
        if let Some(name) = names.into_iter().find(|name| name.to_lowercase() == wanted) {
            message += &format!(" (there is {name:?})");
        }
    }
    Error::new(ErrorKind::NotFound, message)
}

fn collect(
    directory: &Node,
    path: &Path,
    ignore: &Ignore,
    excludes: &Ignore,
    content: &mut Vec<(PathBuf, Node)>,
) -> Result<()> {
    for entry in directory.entries()? {
        let path = path.join(entry.path.file_name().unwrap_or_default());
        let is_ignored = is_ignored(ignore, &entry);
        let is_excluded = excludes.excludes(&path.to_string_lossy());
        let may_hold_exceptions =
            (!is_ignored || !ignore.may_prune()) && (!is_excluded || !excludes.may_prune());
        if (is_ignored || is_excluded) && !(entry.metadata.is_dir() && may_hold_exceptions) {
            continue;
        }
        let position = content.len();
        content.push((path.clone(), entry.clone()));
        if entry.metadata.is_dir() {
            collect(&entry, &path, ignore, excludes, content)?;
        }
        // An excluded directory is there only for what came back below it.
        if (is_ignored || is_excluded) && content.len() == position + 1 {
            content.pop();
        }
    }
    Ok(())
}

impl Selected {
    /// Digest of all that counts: names, kinds, modes, owners where they are kept, content. Never
    /// times, so that a fresh check-out of the same files is the same.
    pub fn digest(&self) -> Result<Digest> {
        let mut key = KeyBuilder::new("content");
        for item in &self.items {
            let name = item.node.path.file_name().unwrap_or_default();
            key = key.part(item.below.as_os_str().as_bytes());
            if item.node.metadata.is_dir() {
                for (path, node) in &item.content {
                    key = part(key, path, node)?;
                }
            } else {
                key = part(key, Path::new(name), &item.node)?;
            }
        }
        Ok(key.finish())
    }
}

fn part(key: KeyBuilder, path: &Path, node: &Node) -> Result<KeyBuilder> {
    let metadata = &node.metadata;
    let head = format!(
        "{:?} {:o} {} {} {} {:?}",
        metadata.kind,
        metadata.mode,
        metadata.uid,
        metadata.gid,
        metadata.device,
        node.attributes()?.xattrs
    );
    let key = key.part(path.as_os_str().as_bytes()).part(head);
    Ok(match metadata.kind {
        FileType::RegularFile => {
            let mut hasher = Hasher::default();
            let mut file = node.open()?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    count => hasher.update(&buffer[..count]),
                }
            }
            key.part(hasher.finish().as_str())
        }
        FileType::Symlink => key.part(node.read_link()?.as_os_str().as_bytes()),
        _ => key,
    })
}
