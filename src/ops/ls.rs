//! `ls`: the projects that have containers.

use indexmap::IndexMap;
use ketch_runtime::container::Container;
use serde_json::{Value, json};

use super::{Context, Result};
use crate::executor::project_names;
use crate::model::names::label;
use crate::ui::table::{self, Layout};

/// What to list.
#[derive(Debug)]
pub struct Options {
    /// Projects without a running container too.
    pub all: bool,
    /// Names must contain one of these; empty: all.
    pub names: Vec<String>,
    pub json: bool,
    pub quiet: bool,
}

/// Lists projects.
///
/// # Errors
/// When the store can't be read.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let mut rows = Vec::new();
    for (name, containers) in project_names(&context.engine)? {
        let running = containers.iter().any(|one| one.state.status.is_active());
        let named =
            options.names.is_empty() || options.names.iter().any(|part| name.contains(part));
        if named && (options.all || running) {
            let files = config_files(&containers);
            rows.push(vec![name, summary(&containers), files]);
        }
    }
    if options.quiet {
        for row in &rows {
            context.ui.line(&row[0])?;
        }
    } else if options.json {
        let object =
            |row: &Vec<String>| json!({"Name": row[0], "Status": row[1], "ConfigFiles": row[2]});
        let array: Vec<Value> = rows.iter().map(object).collect();
        context.ui.line(Value::Array(array))?;
    } else {
        let text = table::render(Layout::Compose, &["NAME", "STATUS", "CONFIG FILES"], &rows);
        context.ui.data(text.as_bytes())?;
    }
    Ok(())
}

/// `exited(1), running(2)`.
fn summary(containers: &[Container]) -> String {
    let mut counts: IndexMap<&str, usize> = IndexMap::new();
    for container in containers {
        *counts.entry(container.state.status.as_str()).or_default() += 1;
    }
    counts.sort_keys();
    let texts: Vec<String> = counts
        .iter()
        .map(|(status, n)| format!("{status}({n})"))
        .collect();
    texts.join(", ")
}

fn config_files(containers: &[Container]) -> String {
    let mut files: Vec<&str> = Vec::new();
    for container in containers {
        let label = container.record.spec.labels.get(label::CONFIG_FILES);
        for file in label.iter().flat_map(|list| list.split(',')) {
            if !file.is_empty() && !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files.join(",")
}
