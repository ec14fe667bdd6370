//! The picture of a diagnostic: `file:line:col`, the source line, a caret, hints.
//!
//! The only file that names annotate-snippets. Messages and source lines come from users'
//! files; control characters in them are shown, never sent to the terminal.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, FileId, Label, Severity, Sources, Span};

/// Wider source lines are cut around the caret.
const WIDTH: usize = 140;
/// Of more places than these, the rest is counted.
const MOST_PLACES: usize = 8;
/// Places further apart are shown one by one, and longer lines cut before they are drawn; bytes.
const APART: usize = 2000;

/// All of them, in the order of the files, each ending with a newline.
pub fn render(diagnostics: &Diagnostics, sources: &Sources, colour: bool) -> String {
    let mut pictures: Vec<String> = diagnostics
        .in_order()
        .into_iter()
        .map(|diagnostic| render_one(diagnostic, sources, colour))
        .collect();
    if diagnostics.left_out() > 0 {
        pictures.push(format!("{} more are not shown.\n", diagnostics.left_out()));
    }
    pictures.join("\n")
}

/// One of them, ending with a newline.
pub fn render_one(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    let (labels, more) = diagnostic
        .labels
        .split_at(diagnostic.labels.len().min(MOST_PLACES));
    for file in files(labels) {
        for element in snippets(file, labels, sources) {
            group = group.element(element);
        }
    }
    if !more.is_empty() {
        let places = if more.len() == 1 { "place" } else { "places" };
        group = group.element(Level::NOTE.message(format!("and {} more {places}", more.len())));
    }
    for hint in &diagnostic.hints {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.term_width(WIDTH).decor_style(DecorStyle::Ascii);
    let mut picture = renderer.render(&[group]);
    if !picture.ends_with('\n') {
        picture.push('\n');
    }
    picture
}

/// One line without a picture: `compose.yaml:7:9: the message`.
pub fn render_line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    match diagnostic.labels.first() {
        Some(label) => format!("{}: {}", place(label.span, sources), diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// `compose.yaml:7:9`.
pub fn place(span: Span, sources: &Sources) -> String {
    let (line, column) = sources.position(span);
    format!("{}:{line}:{column}", sources.get(span.file).name)
}

/// The files that the labels lie in, each once, the first label's first.
fn files(labels: &[Label]) -> Vec<FileId> {
    let mut files = Vec::new();
    for label in labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
}

/// A label's place in the order of labels, and what of it can be shown.
type Shown = (usize, Range<usize>);

/// The parts of one file that the labels need, that of the first label first.
fn snippets<'a>(file: FileId, labels: &'a [Label], sources: &'a Sources) -> Vec<Element<'a>> {
    let source = sources.get(file);
    let mut shown: Vec<Shown> = labels
        .iter()
        .enumerate()
        .filter(|(_, label)| label.span.file == file)
        .map(|(number, label)| (number, visible(&source.text, label.span)))
        .collect();
    shown.sort_by_key(|(_, range)| range.start);
    let near = |left: &Shown, right: &Shown| right.1.start <= left.1.end + APART;
    let mut parts: Vec<&[Shown]> = shown.chunk_by(near).collect();
    parts.sort_by_key(|part| part.iter().map(|(number, _)| *number).min());
    let parts = parts.into_iter();
    parts
        .flat_map(|part| snippet(file, part, labels, sources))
        .collect()
}

/// Labels that lie near each other. Only their lines are handed over, and of long lines only
/// the part around: files can be large.
fn snippet<'a>(
    file: FileId,
    part: &[Shown],
    labels: &'a [Label],
    sources: &'a Sources,
) -> Vec<Element<'a>> {
    let source = sources.get(file);
    let text: &str = &source.text;
    let first = part.first().map_or(0, |(_, range)| range.start);
    let last = part.iter().map(|(_, range)| range.end).max().unwrap_or(0);
    let (line, line_start) = source.line(first);
    // Which variable a line sets, and whether it may be shown, is known at its beginning.
    let start = match source.of_variables {
        true => line_start,
        false => line_start.max(border(text, first.saturating_sub(APART))),
    };
    let end = border(text, last + APART);
    let end = text[last..end]
        .find('\n')
        .map_or(end, |newline| last + newline);
    let annotations = part.iter().map(|(number, range)| {
        let kind = if *number == 0 {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let annotation = kind.span(range.start - start..range.end - start);
        match labels[*number].text.as_str() {
            "" => annotation,
            text => annotation.label(text),
        }
    });
    let snippet = Snippet::source(sources.shown(file, start..end))
        .line_start(line)
        .fold(true)
        .annotations(annotations);
    if start == line_start {
        return vec![snippet.path(source.name.as_str()).into()];
    }
    let column = text[line_start..first].chars().count() + 1;
    let origin = Origin::path(source.name.as_str());
    vec![origin.line(line).char_column(column).into(), snippet.into()]
}

/// The last border of a character up to this place.
fn border(text: &str, place: usize) -> usize {
    let mut at = place.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The first line of a span, on character borders, never past the end of the text.
fn visible(text: &str, span: Span) -> Range<usize> {
    let start = border(text, span.start as usize);
    let end = border(text, span.end as usize).max(start);
    let line_end = text[start..end]
        .find(['\n', '\r'])
        .map_or(end, |at| start + at);
    start..line_end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> (Sources, FileId) {
        let mut sources = Sources::default();
        let file = sources.add("compose.yaml", text.into());
        (sources, file)
    }

    #[test]
    fn an_error_shows_its_place_line_caret_and_hint() {
        let (sources, file) = sources("services:\n  web:\n    imag: nginx\n");
        let diagnostic = Diagnostic::error(Span::new(file, 21, 25), "unknown key \"imag\"")
            .hint("did you mean `image`?");
        let expected = "\
error: unknown key \"imag\"
 --> compose.yaml:3:5
  |
3 |     imag: nginx
  |     ^^^^
  |
  = hint: did you mean `image`?
";
        assert_eq!(render_one(&diagnostic, &sources, false), expected);
        assert_eq!(
            render_line(&diagnostic, &sources),
            "compose.yaml:3:5: unknown key \"imag\""
        );
    }

    #[test]
    fn further_labels_are_shown_with_their_words() {
        let (sources, file) = sources("a: 1\nb: 2\na: 3\n");
        let diagnostic =
            Diagnostic::error(Span::new(file, 10, 11), "mapping key \"a\" already defined")
                .label(Span::new(file, 0, 1), "first defined here");
        let picture = render_one(&diagnostic, &sources, false);
        assert!(picture.contains(" --> compose.yaml:3:1\n"), "{picture}");
        assert!(picture.contains("- first defined here"), "{picture}");
    }

    #[test]
    fn every_place_can_be_shown() {
        let text = "schlüssel: \u{1b}[31m€\r\n\tx";
        let (sources, file) = sources(text);
        let end = u32::try_from(text.len()).unwrap() + 3;
        for start in 0..end {
            for end in start..end {
                let diagnostic = Diagnostic::error(Span::new(file, start, end), "odd\u{1b}");
                let picture = render_one(&diagnostic, &sources, false);
                assert!(picture.contains(" compose.yaml:"), "{picture}");
                assert!(!picture.contains('\u{1b}'), "{picture}");
            }
        }
    }

    #[test]
    fn one_without_a_place_is_a_line() {
        let diagnostic = Diagnostic::new(Severity::Warning, "no file");
        let (sources, _) = sources("");
        assert_eq!(
            render_one(&diagnostic, &sources, false),
            "warning: no file\n"
        );
        assert!(render_one(&diagnostic, &sources, true).contains('\u{1b}'));
    }

    #[test]
    fn large_files_and_long_lines_are_shown_in_parts() {
        let long = format!(
            "{}€ here {}\n",
            "x".repeat(5_000_000),
            "y".repeat(5_000_000)
        );
        let (sources, file) = sources(&format!("a: 1\n{long}b: 2\n"));
        let end = u32::try_from(long.len() + 5).unwrap();
        let here = Span::new(file, 5_000_009, 5_000_013);
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            let diagnostic = Diagnostic::error(here, "odd")
                .label(Span::new(file, 0, 1), "above")
                .label(Span::new(file, end, end + 1), "below");
            let picture = render_one(&diagnostic, &sources, false);
            assert!(
                picture.contains(" --> compose.yaml:2:5000003\n"),
                "{picture}"
            );
            for line in [
                "x€ here y",
                "^^^^",
                "1 | a: 1",
                "- above",
                "3 | b: 2",
                "- below",
            ] {
                assert!(picture.contains(line), "{line}\n{picture}");
            }
            assert!(picture.len() < 4000, "{}", picture.len());
        }
        assert!(begun.elapsed().as_secs() < 10);
    }
}
