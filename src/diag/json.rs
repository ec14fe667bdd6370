//! Diagnostics as one JSON document, for editors (docs/reference/config.md).
//!
//! Its form is kept: keys may be added, none changes its meaning while `version` is 1.

use serde_json::{Value, json};

use super::{Diagnostic, Diagnostics, Label, Severity, Sources};

/// The form of the document.
const VERSION: u32 = 1;

/// All of them, in the order of the files; ends with a newline.
pub fn document(diagnostics: &Diagnostics, sources: &Sources) -> String {
    let list: Vec<Value> = diagnostics
        .in_order()
        .into_iter()
        .map(|diagnostic| one(diagnostic, sources))
        .collect();
    let document = json!({"version": VERSION, "diagnostics": list});
    format!("{document:#}\n")
}

fn one(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|it| label(it, sources))
        .collect();
    json!({
        "severity": severity,
        "message": diagnostic.message,
        "hints": diagnostic.hints,
        "labels": labels,
    })
}

fn label(label: &Label, sources: &Sources) -> Value {
    let (line, column) = sources.position(label.span);
    let (end_line, end_column) = sources.end_position(label.span);
    json!({
        "file": sources.get(label.span.file).name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "message": label.text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;

    #[test]
    fn every_place_has_its_end() {
        let mut sources = Sources::default();
        let file = sources.add("compose.yaml", "a: 1\nü: [2,\n 3]\n".into());
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(Diagnostic::new(Severity::Warning, "no place"));
        diagnostics.push(
            Diagnostic::error(Span::new(file, 9, 16), "late")
                .label(Span::new(file, 0, 1), "first")
                .hint("do"),
        );
        let expected = json!({"version": 1, "diagnostics": [
            {"severity": "error", "message": "late", "hints": ["do"], "labels": [
                {"file": "compose.yaml", "line": 2, "column": 4, "end_line": 3, "end_column": 4, "message": ""},
                {"file": "compose.yaml", "line": 1, "column": 1, "end_line": 1, "end_column": 2, "message": "first"},
            ]},
            {"severity": "warning", "message": "no place", "hints": [], "labels": []},
        ]});
        let text = document(&diagnostics, &sources);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}
