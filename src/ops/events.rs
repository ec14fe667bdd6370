//! `events`: what happens, a line each, as Docker and as Compose write it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use ketch_runtime::store::events::Event;
use serde_json::{Value, json};

use super::filter::Filters;
use super::scope::{Scope, members};
use super::{Context, Error, Result, logs};
use crate::model::names::label;
use crate::ui::template::{self, Format};

/// From when and until when.
#[derive(Debug, Default)]
pub struct Span {
    /// A moment, or how long ago. Absent: from now on.
    pub since: Option<String>,
    /// Absent: for ever.
    pub until: Option<String>,
}

/// What filters of `docker events` there are.
const FILTERS: [&str; 9] = [
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "scope",
    "type",
    "volume",
];

/// Everything that happens, as `docker events` shows it.
///
/// # Errors
/// A moment or a filter that is none; a template that asks for what is not there.
pub fn all(context: &Context, span: &Span, filters: &[String], format: &Format) -> Result<()> {
    let filters = Filters::parse(filters, &FILTERS)?;
    follow(context, span, |event| {
        if !fits(event, &filters) {
            return Ok(());
        }
        match format {
            Format::Table => context.ui.line(line(event))?,
            Format::Json => context.ui.line(template::json(&document(event)))?,
            Format::Text(template) | Format::TableOf(template) => {
                let rows = [fields(event)];
                let text = template::render(template, None, &rows).map_err(Error::Failed)?;
                context.ui.data(text.as_bytes())?;
            }
        }
        Ok(())
    })
}

/// What happens to the containers of a project's services (none named: all), as Compose shows it.
///
/// # Errors
/// `no such service: x`; `EOF` when the time is over, as Compose's client ends.
pub fn of_project(
    context: &Context,
    services: &[String],
    span: &Span,
    as_json: bool,
) -> Result<()> {
    let scope = Scope::find(context)?;
    if scope.project.is_some() {
        scope.check(&members(&context.engine, &scope.name)?, services)?;
    }
    follow(context, span, |event| {
        let Some(service) = service_of(event, &scope.name) else {
            return Ok(());
        };
        if services.is_empty() || services.iter().any(|name| name == service) {
            match as_json {
                true => context
                    .ui
                    .line(template::json(&compose_document(event, service)))?,
                false => context.ui.line(compose_line(event))?,
            }
        }
        Ok(())
    })?;
    Err(Error::Failed("EOF".into()))
}

fn follow(
    context: &Context,
    span: &Span,
    mut told: impl FnMut(&Event) -> Result<()>,
) -> Result<()> {
    let now = Timestamp::now();
    let moment = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => logs::moment(text, now).map(Some).ok_or_else(|| {
            Error::Failed(format!(
                "failed to parse value as time or duration: {text:?}"
            ))
        }),
    };
    let (since, until) = (moment(&span.since)?, moment(&span.until)?);
    let is_past = since.is_some_and(|since| since < now) || until.is_some_and(|it| it < now);
    let mut watch = context.engine.watch_events(is_past)?;
    while let Some(event) = watch.next(until, &context.cancel)? {
        if until.is_some_and(|until| event.time > until) {
            break;
        }
        if since.is_none_or(|since| event.time >= since) {
            told(&event)?;
        }
    }
    Ok(())
}

fn fits(event: &Event, filters: &Filters) -> bool {
    let name = event.attributes.get("name");
    let is_named = |kind: &str, wanted: &str| {
        event.kind == kind && (event.id.starts_with(wanted) || name.is_some_and(|it| it == wanted))
    };
    filters.any("type", |wanted| event.kind == wanted)
        && filters.any("event", |wanted| {
            event.action == wanted || event.action.split(':').next() == Some(wanted)
        })
        && filters.any("container", |wanted| is_named("container", wanted))
        && filters.any("network", |wanted| is_named("network", wanted))
        && filters.any("volume", |wanted| is_named("volume", wanted))
        && filters.any("image", |wanted| {
            is_named("image", wanted)
                || event.attributes.get("image").is_some_and(|it| it == wanted)
        })
        && filters.any("scope", |wanted| wanted == "local")
        && filters.any("daemon", |_| false)
        && filters.labels(|key| event.attributes.get(key).map(String::as_str))
}

/// `2026-01-02T03:04:05.123456789Z container start <id> (image=x, name=y)`.
fn line(event: &Event) -> String {
    let sorted: BTreeMap<&String, &String> = event.attributes.iter().collect();
    let time = local(event)
        .strftime("%Y-%m-%dT%H:%M:%S.%9f%:z")
        .to_string();
    let time = time
        .strip_suffix("+00:00")
        .map_or(time.clone(), |utc| format!("{utc}Z"));
    let text = format!("{time} {} {} {}", event.kind, event.action, event.id);
    match sorted.is_empty() {
        true => text,
        false => format!("{text} ({})", listed(sorted.into_iter())),
    }
}

fn listed<'a>(attributes: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<String> = attributes
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(", ")
}

fn local(event: &Event) -> Zoned {
    event.time.to_zoned(TimeZone::system())
}

/// Whether Docker still says the old three of it.
fn has_old_fields(event: &Event) -> bool {
    matches!(event.kind.as_str(), "container" | "image")
}

/// As the Docker Engine API has it.
fn document(event: &Event) -> Value {
    let mut document = json!({
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.time.as_second(),
        "timeNano": i64::try_from(event.time.as_nanosecond()).unwrap_or(i64::MAX),
    });
    if has_old_fields(event) {
        document["status"] = event.action.as_str().into();
        document["id"] = event.id.as_str().into();
        if let Some(image) = event.attributes.get("image") {
            document["from"] = image.as_str().into();
        }
    }
    document
}

/// As templates have it.
fn fields(event: &Event) -> Value {
    let document = document(event);
    let old = |key: &str| document.get(key).cloned().unwrap_or_else(|| "".into());
    json!({
        "Type": document["Type"],
        "Action": document["Action"],
        "Actor": document["Actor"],
        "Scope": document["scope"],
        "Time": document["time"],
        "TimeNano": document["timeNano"],
        "Status": old("status"),
        "ID": old("id"),
        "From": old("from"),
    })
}

/// The service that a container of the project belongs to; one-off ones are no one's.
fn service_of<'a>(event: &'a Event, project: &str) -> Option<&'a str> {
    let label = |key: &str| event.attributes.get(key).map(String::as_str);
    let counts = event.kind == "container"
        && label(label::PROJECT) == Some(project)
        && label(label::ONE_OFF) != Some("True");
    label(label::SERVICE).filter(|_| counts)
}

fn without_labels(event: &Event) -> impl Iterator<Item = (&String, &String)> {
    let attributes = event.attributes.iter();
    attributes.filter(|(key, _)| !key.starts_with("com.docker.compose."))
}

/// `2026-01-02 03:04:05.123456 container start <id> (image=x, name=y)`.
fn compose_line(event: &Event) -> String {
    let time = local(event).strftime("%Y-%m-%d %H:%M:%S.%6f");
    let sorted: BTreeMap<&String, &String> = without_labels(event).collect();
    let attributes = listed(sorted.into_iter());
    format!(
        "{time} container {} {} ({attributes})",
        event.action, event.id
    )
}

fn compose_document(event: &Event, service: &str) -> Value {
    json!({
        "action": event.action,
        "attributes": without_labels(event).collect::<BTreeMap<_, _>>(),
        "id": event.id,
        "service": service,
        "time": local(event).strftime("%Y-%m-%dT%H:%M:%S.%f%:z").to_string(),
        "type": "container",
    })
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn event() -> Event {
        let attributes = [
            ("name", "app-web-1"),
            ("image", "busybox"),
            (label::PROJECT, "app"),
            (label::SERVICE, "web"),
            (label::ONE_OFF, "False"),
            ("own", "x"),
        ];
        let pairs = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Event {
            time: "2026-01-02T03:04:05.000000006Z".parse().unwrap(),
            kind: "container".into(),
            action: "health_status: healthy".into(),
            id: "0123".into(),
            attributes: IndexMap::from(pairs),
        }
    }

    #[test]
    fn lines_are_docker_s_and_compose_s() {
        let docker = line(&event());
        assert!(
            docker.contains(
                ".000000006Z container health_status: healthy 0123 (com.docker.compose.oneoff=False, "
            ) || docker.contains(".000000006+"),
            "{docker}"
        );
        let compose = compose_line(&event());
        assert!(
            compose.ends_with(
                ".000000 container health_status: healthy 0123 (image=busybox, name=app-web-1, own=x)"
            ),
            "{compose}"
        );
        let document = document(&event());
        assert_eq!(document["timeNano"], 1_767_323_045_000_000_006_i64);
        assert_eq!(document["from"], "busybox");
        assert_eq!(fields(&event())["Actor"]["ID"], "0123");
    }

    #[test]
    fn events_are_filtered() {
        let fits = |filters: &[&str]| {
            let given: Vec<String> = filters.iter().map(|&it| it.to_owned()).collect();
            fits(&event(), &Filters::parse(&given, &FILTERS).unwrap())
        };
        assert!(fits(&[]));
        assert!(fits(&[
            "type=container",
            "event=health_status",
            "container=app-web-1"
        ]));
        assert!(fits(&["container=01", "label=own=x", "image=busybox"]));
        assert!(fits(&["event=die", "event=health_status: healthy"]));
        assert!(!fits(&["event=die"]));
        assert!(!fits(&["type=image"]));
        assert!(!fits(&["network=app-web-1"]));
        assert!(!fits(&["label=own=y"]));
    }

    #[test]
    fn one_off_containers_are_of_no_service() {
        assert_eq!(service_of(&event(), "app"), Some("web"));
        assert_eq!(service_of(&event(), "other"), None);
        let mut one_off = event();
        let label = (label::ONE_OFF.to_owned(), "True".to_owned());
        one_off.attributes.extend([label]);
        assert_eq!(service_of(&one_off, "app"), None);
    }
}
