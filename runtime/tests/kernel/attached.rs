//! Clients that are attached to a container: its bytes as they come, its input, its end.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ketch_runtime::engine::containers::{AttachSpec, Attached, Ended};
use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::ContainerSpec;
use ketch_runtime::sys::fd::pipe;

use crate::kept::{Kept, alarm};

fn interactive(spec: &mut ContainerSpec) {
    spec.process.stdin_open = true;
    spec.process.stdin_once = true;
}

/// Our ends of its stdout and stderr.
fn streams(stdin: bool) -> (AttachSpec, File, File) {
    let (stdout, their_stdout) = pipe().unwrap();
    let (stderr, their_stderr) = pipe().unwrap();
    let spec = AttachSpec {
        stdin,
        stdout: Some(their_stdout),
        stderr: Some(their_stderr),
        size: None,
    };
    (spec, stdout.into(), stderr.into())
}

fn ended(attached: &Attached) -> Ended {
    attached.wait(&alarm(Duration::from_secs(20))).unwrap()
}

fn text(pipe: &mut File) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn who_starts_it_attached_hears_all_and_is_its_input() {
    let kept = Kept::new();
    let script = "printf 'name? '; read name; echo \"hello $name\"; echo done >&2; cat; exit 3";
    kept.create(script, interactive);
    let (spec, mut stdout, mut stderr) = streams(true);
    let mut attached = kept.engine.start_attached("box", spec).unwrap();
    // No line yet, and here already.
    let mut question = [0; 6];
    stdout.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"name? ");
    let mut input = File::from(attached.take_input().unwrap());
    input.write_all(b"ketch\nmore").unwrap();
    // Its end is the end of the program's stdin.
    drop(input);
    let end = ended(&attached);
    assert_eq!((end.code, end.rest.len()), (3, 0));
    assert_eq!(text(&mut stdout), "hello ketch\nmore");
    assert_eq!(text(&mut stderr), "done\n");
    let log = kept.log();
    assert!(
        log.contains("name? hello ketch\n") && log.contains("done\n"),
        "{log:?}"
    );
}

pub(crate) fn a_terminal_is_typed_into_by_two() {
    let kept = Kept::new();
    kept.create("read a; read b; echo $a$b", |spec| {
        spec.process.tty = true;
        interactive(spec);
    });
    let attach = || {
        let (read, write) = pipe().unwrap();
        let spec = AttachSpec {
            stdin: true,
            stdout: Some(write),
            stderr: None,
            size: Some((30, 100)),
        };
        (spec, File::from(read))
    };
    let type_in = |input: Option<OwnedFd>, line: &[u8]| {
        File::from(input.unwrap()).write_all(line).unwrap();
    };
    let (spec, mut first_hears) = attach();
    let mut first = kept.engine.start_attached("box", spec).unwrap();
    let (spec, mut second_hears) = attach();
    let mut second = kept.engine.attach_container("box", spec).unwrap();
    type_in(first.take_input(), b"one\n");
    type_in(second.take_input(), b"two\n");
    assert_eq!(ended(&first).code, 0);
    assert_eq!(ended(&second).code, 0);
    let heard = text(&mut first_hears);
    assert!(heard.ends_with("onetwo\r\n"), "{heard:?}");
    assert!(text(&mut second_hears).ends_with("onetwo\r\n"));
}

pub(crate) fn who_does_not_read_holds_it_up_and_loses_nothing() {
    let kept = Kept::new();
    let script = "i=0; while [ $i -lt 40000 ]; do echo 0123456789; i=$((i+1)); done";
    kept.create(script, |_| ());
    let (spec, mut stdout, _stderr) = streams(false);
    let attached = kept.engine.start_attached("box", spec).unwrap();
    assert!(attached.wait(&alarm(Duration::from_millis(300))).is_err());
    // What is left fits into two pipes, but not into one.
    let mut heard = vec![0; 330_000];
    stdout.read_exact(&mut heard).unwrap();
    let end = ended(&attached);
    assert!(!end.rest.is_empty());
    stdout.read_to_end(&mut heard).unwrap();
    for rest in end.rest {
        File::from(rest).read_to_end(&mut heard).unwrap();
    }
    assert_eq!(heard.len(), 440_000);
    assert_eq!(kept.log().len(), 440_000);
}

pub(crate) fn a_stopped_container_takes_nobody_in() {
    let kept = Kept::new();
    kept.create("true", |_| ());
    let (spec, ..) = streams(false);
    let error = kept.engine.attach_container("box", spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error
            .to_string()
            .contains("cannot attach to a stopped container")
    );
}
