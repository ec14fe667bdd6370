//! Logs: followed as they grow, over rotation, to the container's end.

use std::time::Duration;

use ketch_runtime::engine::containers::{LogQuery, Stream};

use crate::kept::{Kept, alarm};

pub(crate) fn following_ends_with_the_container_and_misses_nothing() {
    let kept = Kept::new();
    kept.start(
        "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; echo done >&2",
        |spec| {
            spec.log.options.insert("max-size".into(), "1k".into());
            spec.log.options.insert("max-file".into(), "100".into());
        },
    );
    let query = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut log = kept.engine.container_logs("box", &query).unwrap();
    let cancel = alarm(Duration::from_secs(20));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(record) = log.next(&cancel).unwrap() {
        match record.stream {
            Stream::Stdout => out.push(String::from_utf8(record.text).unwrap()),
            Stream::Stderr => err.push(record.text),
        }
    }
    let expected: Vec<String> = (0..200).map(|i| format!("line {i}\n")).collect();
    assert_eq!(out, expected);
    assert_eq!(err, [b"done\n"]);
}

pub(crate) fn the_file_is_the_one_that_other_tools_read() {
    let kept = Kept::new();
    kept.start("echo '<hello>'", |_| {});
    kept.end();
    let id = kept.container().record.id;
    let path = kept
        .engine
        .roots()
        .container(&id)
        .join(format!("log/{id}-json.log"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.starts_with("{\"log\":\"\\u003chello\\u003e\\n\",\"stream\":\"stdout\",\"time\":\"20"),
        "{text}"
    );
    assert!(text.ends_with("Z\"}\n"), "{text}");
}
