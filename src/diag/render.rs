//! The picture of a diagnostic: `file:line:col`, the source line, a caret, hints.
