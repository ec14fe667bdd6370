//! `config --origins`: the canonical project, a line for each value, with where it came from.

use crate::diag::{Sources, Span, render};
use crate::loader::origins::{Origins, in_one_line};
use crate::yaml::{Kind, Node, Path};

/// What `services.web.image: nginx  # compose.yaml:3` is made from.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    pub origins: &'a Origins,
    pub sources: &'a Sources,
    /// Whether the project was named on the command line.
    pub named: bool,
}

/// All values of a canonical project, in its order.
pub fn origins(project: &Node, listing: Listing<'_>) -> String {
    let mut text = String::new();
    walk(project, Path::ROOT, listing, &mut text);
    text
}

fn walk(node: &Node, path: Path<'_>, listing: Listing<'_>, text: &mut String) {
    match &node.kind {
        Kind::Map(map) if !map.is_empty() => {
            text.push_str(&whole(node, path, listing));
            for entry in map.iter() {
                walk(&entry.value, path.key(&entry.key), listing, text);
            }
        }
        Kind::List(items) if !items.is_empty() => {
            text.push_str(&whole(node, path, listing));
            for (index, item) in items.iter().enumerate() {
                walk(item, path.index(index), listing, text);
            }
        }
        Kind::Map(_) | Kind::List(_) | Kind::Null | Kind::Scalar(_) => {
            let path = path.to_string();
            let from = from(&path, node.span, listing);
            text.push_str(&format!("{path}: {}  # {from}\n", in_one_line(node)));
        }
    }
}

/// A line for a list or an item that replaced another as a whole.
fn whole(node: &Node, path: Path<'_>, listing: Listing<'_>) -> String {
    let path = path.to_string();
    let past = past(&path, node.span, listing);
    if past.is_empty() {
        return String::new();
    }
    let place = place(node.span, listing.sources);
    format!("{path}:  # {place}{past}\n")
}

/// The place, the variables in it, and what it replaced.
fn from(path: &str, span: Span, listing: Listing<'_>) -> String {
    if path == "name" {
        return name_from(listing);
    }
    if !listing.origins.is_written(path, span) {
        return "implied".to_owned();
    }
    written(path, span, listing)
}

/// Who gives the project its name.
fn name_from(listing: Listing<'_>) -> String {
    const VARIABLE: &str = "COMPOSE_PROJECT_NAME";
    if listing.named {
        return "from -p".to_owned();
    }
    if !listing.origins.sources(VARIABLE).is_empty() {
        return variable(VARIABLE, listing);
    }
    match listing.origins.name() {
        Some(span) => written("name", span, listing),
        None => "from the directory".to_owned(),
    }
}

fn written(path: &str, span: Span, listing: Listing<'_>) -> String {
    let mut text = place(span, listing.sources);
    for name in listing.origins.variables_in(path, span, listing.sources) {
        text.push_str(&format!(", {}", variable(name, listing)));
    }
    text + &past(path, span, listing)
}

/// A variable and where its value is from.
fn variable(name: &str, listing: Listing<'_>) -> String {
    match listing.origins.sources(name).first() {
        None => format!("{name} not set"),
        Some(source) => match source.span {
            None => format!("{name} from the {}", source.kind),
            Some(span) => format!("{name} from {}", place(span, listing.sources)),
        },
    }
}

fn past(path: &str, span: Span, listing: Listing<'_>) -> String {
    let past = listing.origins.past(path, span).into_iter();
    past.map(|it| format!(", was {} at {}", it.value, place(it.span, listing.sources)))
        .collect()
}

/// `compose.yaml:3`.
pub(super) fn place(span: Span, sources: &Sources) -> String {
    let place = render::place(span, sources);
    let line = place.rsplit_once(':').map(|(line, _)| line.to_owned());
    line.unwrap_or(place)
}
