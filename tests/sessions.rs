//! Every folder of `tests/sessions/` is a talk with ketch in a shell, as `session` tells it: lines
//! that begin with `$ ` are commands, what follows each is what it must print (stdout and stderr),
//! and `[1]` its exit code when that is not 0. The folder's files are the project, in a copy called
//! `/app`. `UPDATE_EXPECT=1` writes the answers anew. Nothing here needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn every_session_goes_as_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    let cases = folders(&root);
    assert!(cases.len() > 3, "only {} sessions found", cases.len());
    for case in cases {
        let path = case.join("session");
        let expected = fs::read_to_string(&path).expect("each folder has a session");
        let got = replayed(&case, &expected);
        if got == expected {
            continue;
        }
        if update {
            fs::write(&path, got).unwrap();
        } else {
            let name = case.file_name().unwrap().to_string_lossy();
            wrong.push(format!("{name}\n--- expected\n{expected}--- got\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).expect("the sessions are there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    paths
}

/// The session with what ketch really says; comments and blank lines between talks are kept.
fn replayed(case: &Path, session: &str) -> String {
    let world = tempfile::tempdir().expect("there is room");
    let app = world.path().join("app");
    copy(case, &app);
    let mut got = String::new();
    for line in session.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            got.push_str(&format!("$ {command}\n"));
            got.push_str(&said(world.path(), &app, command));
        } else if line.starts_with("## ") {
            got.push_str(&format!("{line}\n"));
        }
    }
    got
}

fn said(world: &Path, app: &Path, command: &str) -> String {
    let ketch = Path::new(env!("CARGO_BIN_EXE_ketch"));
    let programs = std::env::join_paths(
        std::iter::once(ketch.parent().expect("it lies in a directory").to_owned()).chain(
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()),
        ),
    )
    .expect("they were split before");
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(app)
        .env_clear()
        .env("PATH", programs)
        .env("KETCH_ROOT", world.join("data"))
        .env("KETCH_RUN", world.join("run"))
        .stdin(Stdio::null())
        .output()
        .expect("sh is on every machine");
    let text = String::from_utf8(output.stdout).expect("ketch writes text");
    let mut text = text.replace(&app.display().to_string(), "/app");
    if let Some(at) = text.find("time=\"") {
        let end = at + 6 + text[at + 6..].find('"').expect("it is closed");
        text.replace_range(at + 6..end, "now");
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str("(no newline)\n");
    }
    match output.status.code() {
        Some(0) => text,
        code => format!("{text}[{}]\n", code.unwrap_or(-1)),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("there is room");
    for entry in fs::read_dir(from).expect("the case is there") {
        let path = entry.expect("it can be listed").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("there is room");
        }
    }
}
