//! What the host's own files say about names.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::resolv::{ResolvConf, SYSTEMD_PATH};

const PATH: &str = "/etc/resolv.conf";

/// The text of the host's resolv.conf; empty when there is none.
pub fn resolv_conf_text() -> String {
    std::fs::read_to_string(PATH).unwrap_or_default()
}

/// The servers that the host itself uses, a stub on its loopback included.
pub fn resolv_conf() -> ResolvConf {
    ResolvConf::parse(&resolv_conf_text())
}

/// The same for containers that must reach the servers themselves: where the host only has
/// systemd's stub, the servers behind it.
pub fn reachable_resolv_conf() -> ResolvConf {
    let conf = resolv_conf();
    if conf.is_systemd_stub()
        && let Ok(text) = std::fs::read_to_string(SYSTEMD_PATH)
    {
        return ResolvConf::parse(&text);
    }
    conf
}

/// Tells whether something has changed since it was last looked at.
#[derive(Debug, Default)]
pub struct Watched {
    seen: Option<SystemTime>,
    /// Changed so shortly before it was read that another change could bear the same time.
    too_fresh: bool,
    looked: bool,
}

impl Watched {
    /// Whether `path` must be read (again).
    pub fn has_changed(&mut self, path: &Path) -> bool {
        let modified = std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok();
        if self.looked && !self.too_fresh && modified == self.seen {
            return false;
        }
        self.looked = true;
        self.seen = modified;
        // The kernel's clock for files ticks every few milliseconds.
        self.too_fresh = modified
            .is_some_and(|time| time.elapsed().unwrap_or_default() < Duration::from_millis(20));
        true
    }

    /// Whether the host's resolv.conf must be read (again).
    pub fn resolv_conf_has_changed(&mut self) -> bool {
        self.has_changed(Path::new(PATH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once_it_is_old_enough() {
        let directory = tempfile::tempdir().unwrap();
        let mut watched = Watched::default();
        assert!(watched.has_changed(directory.path()));
        std::fs::write(directory.path().join("a"), "").unwrap();
        assert!(watched.has_changed(directory.path()));
        let old = SystemTime::now() - Duration::from_secs(60);
        std::fs::File::open(directory.path())
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert!(watched.has_changed(directory.path()));
        assert!(!watched.has_changed(directory.path()));
    }
}
