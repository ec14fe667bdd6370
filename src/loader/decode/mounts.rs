//! `volumes`, `secrets` and `configs` of a service.

use super::Fields;
use crate::model::{BindOptions, FileReference, Mount, MountType};

/// One entry of `volumes` in its long form.
pub(super) fn mount(mut fields: Fields<'_>) -> Option<Mount> {
    fields.node.as_map()?;
    let kind = match fields.text("type").as_deref() {
        Some("bind") => MountType::Bind,
        Some("tmpfs") => MountType::Tmpfs,
        Some("volume") => MountType::Volume,
        _ => return None,
    };
    let bind = fields.below("bind", |mut bind| BindOptions {
        create_host_path: bind.bool("create_host_path").unwrap_or(true),
        propagation: bind.text("propagation"),
        recursive: bind.text("recursive"),
        selinux: bind.text("selinux"),
    });
    let volume = fields.below("volume", |mut volume| {
        (
            volume.bool("nocopy").unwrap_or(false),
            volume.text("subpath"),
        )
    });
    let tmpfs = fields.below("tmpfs", |mut tmpfs| {
        (tmpfs.bytes("size"), tmpfs.integer_from("mode", 0, 0o7777))
    });
    let target = fields.text("target").unwrap_or_default();
    let (volume_nocopy, volume_subpath) = volume.unwrap_or_default();
    let (tmpfs_size, tmpfs_mode) = tmpfs.unwrap_or_default();
    Some(Mount {
        span: fields.node.span,
        kind,
        source: fields.text("source").filter(|source| !source.is_empty()),
        target,
        read_only: fields.bool("read_only").unwrap_or(false),
        bind: bind.unwrap_or_default(),
        volume_nocopy,
        volume_subpath,
        tmpfs_size,
        tmpfs_mode,
    })
}

/// One entry of `secrets` or `configs`; a relative target lies in `directory`.
pub(super) fn grant(mut fields: Fields<'_>, directory: &str) -> Option<FileReference> {
    let source = fields.text("source")?;
    let target = fields.text("target").filter(|target| !target.is_empty());
    let target = target.unwrap_or_else(|| source.clone());
    let target = if target.starts_with('/') {
        target
    } else {
        format!("{directory}{target}")
    };
    let mode = fields.text("mode").and_then(|mode| {
        let number = u32::from_str_radix(&mode, 8).ok();
        if number.is_none() {
            fields.error("mode", format!("{mode:?} is no octal file mode"));
        }
        number
    });
    Some(FileReference {
        span: fields.node.span,
        source,
        target,
        uid: fields.text("uid"),
        gid: fields.text("gid"),
        mode,
    })
}
