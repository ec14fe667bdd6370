//! Language models that services use.

use crate::diag::Span;
use crate::yaml::Node;

/// An entry of `models`.
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageModel {
    /// The key in the file.
    pub key: String,
    pub span: Span,
    /// Which model to run: `ai/smollm2`.
    pub model: String,
    /// As a canonical Node: what `config` prints.
    pub canonical: Node,
}
