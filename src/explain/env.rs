//! `explain env`: a service's variables, each with all that was said about it, what counts first.

use super::origins::place;
use crate::diag::Sources;
use crate::loader::origins::Origins;
use crate::model::Service;
use crate::yaml::{Map, Node};

/// What a service's variables are read from.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    pub service: &'a Service,
    pub origins: &'a Origins,
    pub sources: &'a Sources,
    /// The image's name and its variables; absent when the image is not here.
    pub image: Option<(&'a str, &'a [String])>,
}

/// One line of the story: what kind of place, where, what it says.
struct Line {
    kind: String,
    place: String,
    value: String,
}

/// The names of all variables of the service and of its image, sorted.
pub fn names(environment: Environment<'_>) -> Vec<String> {
    let own = own(environment.service).into_iter().flatten();
    let mut names: Vec<String> = own.map(|entry| entry.key.as_str().to_owned()).collect();
    let of_image = environment.image.into_iter().flat_map(|(_, image)| image);
    names.extend(of_image.filter_map(|it| Some(it.split_once('=')?.0.to_owned())));
    names.sort();
    names.dedup();
    names
}

/// The story of one variable; `None` when nobody sets it.
pub fn variable(environment: Environment<'_>, name: &str) -> Option<String> {
    let (own, image) = (of_service(environment, name), of_image(environment, name));
    let head = match (&own, &image) {
        (Some((Some(value), _)), _) => format!("{name}={value}"),
        // A variable without a value takes the image's away.
        (Some((None, _)), _) => format!("{name} is not set"),
        (None, Some(line)) => format!("{name}={}", line.value),
        (None, None) => return None,
    };
    let lines = own.into_iter().flat_map(|(_, lines)| lines).chain(image);
    let lines: Vec<Line> = lines.collect();
    let width = |of: fn(&Line) -> &str| {
        let widths = lines.iter().map(|line| of(line).chars().count());
        widths.max().unwrap_or(0)
    };
    let (kinds, places) = (width(|line| &line.kind), width(|line| &line.place));
    let mut text = format!("{head}\n");
    for line in &lines {
        let (kind, place) = (&line.kind, &line.place);
        let row = format!("  {kind:kinds$}  {place:places$}  {}", line.value);
        text.push_str(row.trim_end());
        text.push('\n');
    }
    Some(text)
}

fn own(service: &Service) -> Option<&Map> {
    service.canonical.as_map()?.get("environment")?.as_map()
}

/// The final value, and what the files say, the latest first; below each that has variables in
/// it their values.
fn of_service(environment: Environment<'_>, name: &str) -> Option<(Option<String>, Vec<Line>)> {
    let value = own(environment.service)?.get(name)?;
    let Environment {
        origins, sources, ..
    } = environment;
    let path = format!("services.{}.environment.{name}", environment.service.name);
    let final_value = value.as_str().map(ToOwned::to_owned);
    let mut lines = Vec::new();
    let past = origins.past(&path, value.span).into_iter();
    let past = past.map(|past| (past.span, past.value.clone()));
    let shown = shown(value);
    for (span, value) in std::iter::once((value.span, shown)).chain(past) {
        let kind = match origins.is_of_service(span) {
            true => "env_file",
            false => "environment",
        };
        lines.push(Line {
            kind: kind.to_owned(),
            place: place(span, sources),
            value,
        });
        for variable in origins.variables_in(&path, span, sources) {
            lines.extend(of_variable(environment, variable));
        }
    }
    Some((final_value, lines))
}

/// Every value of a variable that is named in a file.
fn of_variable(environment: Environment<'_>, variable: &str) -> Vec<Line> {
    let sources = environment.origins.sources(variable);
    if sources.is_empty() {
        return vec![Line {
            kind: "  not set".to_owned(),
            place: String::new(),
            value: variable.to_owned(),
        }];
    }
    let line = |source: &crate::loader::origins::Source| Line {
        kind: format!("  {}", source.kind),
        place: source
            .span
            .map(|span| place(span, environment.sources))
            .unwrap_or_default(),
        value: format!("{variable}={}", source.value),
    };
    sources.iter().map(line).collect()
}

fn of_image(environment: Environment<'_>, name: &str) -> Option<Line> {
    let (image, variables) = environment.image?;
    let value = variables
        .iter()
        .find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))?;
    Some(Line {
        kind: "image".to_owned(),
        place: image.to_owned(),
        value: value.to_owned(),
    })
}

fn shown(value: &Node) -> String {
    match value.as_str() {
        Some(_) => crate::loader::origins::in_one_line(value),
        None => "no value".to_owned(),
    }
}
