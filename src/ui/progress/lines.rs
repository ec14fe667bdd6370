//! A line for each event: for pipes, files and programs.

use std::io::Write;

use super::{Event, Picture};

/// ` Container app-db-1  Creating`.
pub(super) struct Plain {
    pub(super) dry_run: bool,
}

/// One JSON object for each event.
pub(super) struct Json {
    pub(super) dry_run: bool,
}

/// Nothing at all.
pub(super) struct Quiet;

impl Picture for Plain {
    fn show(&self, event: &Event) {
        write(&plain(event, self.dry_run));
    }

    fn output(&self, id: &str, line: &str) {
        write(&format!(" {id}  {line}"));
    }

    fn shows_output(&self) -> bool {
        true
    }

    fn above(&self, print: &mut dyn FnMut()) {
        print();
    }

    fn finish(&self) {}
}

impl Picture for Json {
    fn show(&self, event: &Event) {
        write(&json(event, self.dry_run));
    }

    fn output(&self, id: &str, line: &str) {
        write(&serde_json::json!({"id": id, "tail": line}).to_string());
    }

    fn shows_output(&self) -> bool {
        true
    }

    fn above(&self, print: &mut dyn FnMut()) {
        print();
    }

    fn finish(&self) {}
}

impl Picture for Quiet {
    fn show(&self, _event: &Event) {}

    fn output(&self, _id: &str, _line: &str) {}

    fn above(&self, print: &mut dyn FnMut()) {
        print();
    }

    fn finish(&self) {}
}

/// One write for each line, so that lines of several threads do not mix.
fn write(line: &str) {
    let _unread = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn plain(event: &Event, dry_run: bool) -> String {
    let mark = if dry_run { " DRY-RUN MODE - " } else { "" };
    let mut line = format!("{mark} {}  {}", event.id, event.text);
    if !event.details.is_empty() {
        line.push(' ');
        line.push_str(&event.details);
    }
    line
}

fn json(event: &Event, dry_run: bool) -> String {
    let mut object = serde_json::Map::new();
    if dry_run {
        object.insert("dry-run".into(), true.into());
    }
    object.insert("id".into(), event.id.as_str().into());
    object.insert("status".into(), event.status.as_str().into());
    object.insert("text".into(), event.text.as_str().into());
    if !event.details.is_empty() {
        object.insert("details".into(), event.details.as_str().into());
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_plain_line_names_the_resource_and_what_happens() {
        let mut event = Event::new("Container app-db-1", "Created", Status::Done);
        assert_eq!(plain(&event, false), " Container app-db-1  Created");
        event.details = "0.5s".into();
        assert_eq!(
            plain(&event, true),
            " DRY-RUN MODE -  Container app-db-1  Created 0.5s"
        );
    }

    #[test]
    fn json_leaves_empty_fields_out() {
        let event = Event::new("Network a", "Created", Status::Done);
        assert_eq!(
            json(&event, false),
            r#"{"id":"Network a","status":"Done","text":"Created"}"#
        );
    }
}
