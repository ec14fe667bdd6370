//! A container's files, while the container works against us.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;

use ketch_runtime::container::directory::FileAttributes;
use ketch_runtime::container::state::Status;

use crate::kept::Kept;

const ROUNDS: usize = 3000;

pub(crate) fn directories_that_are_swapped_for_links_lead_nowhere_else() {
    let kept = Kept::new();
    let host = tempfile::tempdir().unwrap();
    let outside = host.path().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/kept"), "untouched").unwrap();
    let content = host.path().join("content");
    fs::write(&content, "planted").unwrap();
    // /t/d is a directory, a link to one of the host, nothing; so is what is in it.
    let script = format!(
        "cd /t; mkdir -p a/deep; ln -s {0} l; ln -s / r; echo ready; \
         while :; do \
           mv a d; mv d/deep d/x; ln -s {0}/deep d/deep; mv d a; rm a/deep; mv a/x a/deep; \
           mv l d; mv d l; mv r d; mv d r; mkdir -p a/deep a/more; \
         done 2>/dev/null",
        outside.display()
    );
    kept.start(&format!("mkdir /t; {script}"), |_| {});
    kept.wait_for_line("ready");
    let files = kept.engine.running_files("box").unwrap();
    let attributes = FileAttributes {
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: (0, 0),
    };
    let (planted, deep) = (OsStr::new("planted"), OsStr::new("deep"));
    let (mut put, mut removed) = (0, 0);
    for round in 0..ROUNDS {
        let way = ["/t/d", "/t/a", "/t/d/deep", "/t/a/deep"][round % 4];
        // What is refused, because it is something else by now, is as good.
        if let Ok(directory) = files.make_directory(Path::new(way)) {
            let mut content = File::open(&content).unwrap();
            let done = directory.put_file(planted, &mut content, attributes);
            put += usize::from(done.is_ok());
            drop(directory.put_directory(deep, attributes));
            drop(directory.put_link(OsStr::new("link"), Path::new("/"), (0, 0)));
        }
        if round % 8 < 4 {
            let parent = Path::new(way).parent().unwrap();
            if let Ok(Some(directory)) = files.directory(parent) {
                let name = Path::new(way).file_name().unwrap();
                removed += usize::from(directory.remove(name).is_ok());
            }
        }
    }
    assert!(put > 0 && removed > 0, "{put} put, {removed} removed");
    assert_eq!(kept.state().status, Status::Running);
    let names = |directory: &Path| -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        entries.map(|entry| name(entry.unwrap())).collect()
    };
    assert_eq!(names(&outside), ["deep"]);
    assert_eq!(names(&outside.join("deep")), ["kept"]);
    let kept_text = fs::read_to_string(outside.join("deep/kept")).unwrap();
    assert_eq!(kept_text, "untouched");
    for path in ["/planted", "/deep", "/link"] {
        assert!(!Path::new(path).exists(), "{path}");
    }
}
