//! Pure: options of the local driver: `type`, `o`, `device`.
//!
//! Docker makes a mount of them at first use. Ours turns a bind into its source, which needs no
//! mount; everything else is refused, with what to use instead.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::error::{Error, ErrorKind, Result};

/// The directory of the host that a volume stands for; `None` for an ordinary volume.
pub(super) fn bind_source(options: &IndexMap<String, String>) -> Result<Option<PathBuf>> {
    for key in options.keys() {
        if !matches!(key.as_str(), "type" | "o" | "device" | "size") {
            return Err(invalid(format!("invalid option: {key:?}")));
        }
    }
    if options.is_empty() {
        return Ok(None);
    }
    if options.contains_key("size") {
        return Err(unsupported(
            "volume option \"size\" is not supported: it needs quotas",
        ));
    }
    let get = |key: &str| options.get(key).map_or("", String::as_str);
    let (kind, flags, device) = (get("type"), get("o"), get("device"));
    for (key, value) in [("device", device), ("type", kind)] {
        if value.is_empty() {
            return Err(invalid(format!("missing required option: {key:?}")));
        }
    }
    let flags: Vec<&str> = flags.split(',').filter(|flag| !flag.is_empty()).collect();
    let is_bind = flags.iter().any(|flag| matches!(*flag, "bind" | "rbind"))
        || matches!(kind, "bind" | "rbind");
    if !is_bind {
        let hint = if kind == "tmpfs" {
            "; use a tmpfs mount of the service instead"
        } else {
            "; mount it on the host and use a bind mount instead"
        };
        return Err(unsupported(&format!(
            "volumes of type {kind:?} are not supported{hint}"
        )));
    }
    if let Some(flag) = flags
        .iter()
        .find(|flag| !matches!(**flag, "bind" | "rbind" | "rw" | "defaults"))
    {
        return Err(unsupported(&format!(
            "mount option {flag:?} of a bind volume is not supported"
        )));
    }
    if !device.starts_with('/') {
        return Err(invalid(format!(
            "device {device:?} is not an absolute path"
        )));
    }
    Ok(Some(PathBuf::from(device)))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(options: &[(&str, &str)]) -> String {
        let options = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        match bind_source(&options) {
            Ok(source) => format!("{source:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_bind_is_its_source_and_the_rest_is_refused() {
        assert_eq!(source(&[]), "None");
        let bind = [("type", "none"), ("o", "bind"), ("device", "/srv/x")];
        assert_eq!(source(&bind), "Some(\"/srv/x\")");
        assert_eq!(
            source(&[("device", "/x")]),
            "missing required option: \"type\""
        );
        assert_eq!(source(&[("foo", "1")]), "invalid option: \"foo\"");
        assert!(source(&[("type", "tmpfs"), ("device", "tmpfs")]).contains("tmpfs mount"));
        assert!(source(&[("type", "none"), ("o", "bind,ro"), ("device", "/x")]).contains("\"ro\""));
        assert!(source(&[("type", "none"), ("o", "bind"), ("device", "x")]).contains("absolute"));
    }
}
