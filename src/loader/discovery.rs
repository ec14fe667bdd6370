//! What is loaded: the compose files, the project's directory and name, the environment.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::paths;
use super::session::{EnvFile, Session, is_stdin};
use crate::diag::{Diagnostic, Severity};

const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Absolute, in order; `-` for standard input.
    pub(super) files: Vec<PathBuf>,
    pub(super) project_dir: PathBuf,
    /// The shell's variables and those of `.env`.
    pub(super) environment: IndexMap<String, String>,
    /// Given with `--env-file` or COMPOSE_ENV_FILES.
    pub(super) env_files: Vec<PathBuf>,
}

/// Looks in Compose's order of precedence.
pub(super) fn find(session: &mut Session<'_>) -> Option<Found> {
    let options = session.options;
    let mut environment = options.environment.clone();
    let env_files = explicit_env_files(session, &environment);
    let first_dir = options
        .project_directory
        .as_ref()
        .map(|directory| absolute(&options.working_dir, directory))
        .or_else(|| first_file_dir(session))
        .unwrap_or_else(|| options.working_dir.clone());
    let dotenv_disabled = environment
        .get("COMPOSE_DISABLE_ENV_FILE")
        .is_some_and(|value| matches!(value.as_str(), "1" | "t" | "T" | "TRUE" | "true" | "True"));
    if env_files.is_empty() {
        if !dotenv_disabled {
            let own = EnvFile::of_project(first_dir.join(".env"), false, None);
            session.read_env_files(&[own], &mut environment);
        }
    } else {
        let given = env_files.iter().cloned();
        let given: Vec<EnvFile> = given
            .map(|file| EnvFile::of_project(file, true, None))
            .collect();
        session.read_env_files(&given, &mut environment);
    }
    let files = files(session, &environment)?;
    let project_dir = match &options.project_directory {
        Some(directory) => absolute(&options.working_dir, directory),
        None => files
            .first()
            .filter(|file| !is_stdin(file))
            .and_then(|file| file.parent())
            .map_or_else(|| options.working_dir.clone(), Path::to_owned),
    };
    if env_files.is_empty() && !dotenv_disabled && project_dir != first_dir {
        let own = EnvFile::of_project(project_dir.join(".env"), false, None);
        session.read_env_files(&[own], &mut environment);
    }
    Some(Found {
        files,
        project_dir,
        environment,
        env_files,
    })
}

fn explicit_env_files(
    session: &Session<'_>,
    environment: &IndexMap<String, String>,
) -> Vec<PathBuf> {
    let options = session.options;
    let from_shell = || {
        let list = environment.get("COMPOSE_ENV_FILES").map(String::as_str);
        list.unwrap_or_default()
            .split(',')
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
            .collect()
    };
    let files: Vec<PathBuf> = if options.env_files.is_empty() {
        from_shell()
    } else {
        options.env_files.clone()
    };
    files
        .iter()
        .map(|file| absolute(&options.working_dir, file))
        .collect()
}

fn first_file_dir(session: &Session<'_>) -> Option<PathBuf> {
    let options = session.options;
    let first = options.config_files.first()?;
    if is_stdin(first) {
        return None;
    }
    absolute(&options.working_dir, first)
        .parent()
        .map(Path::to_owned)
}

fn files(
    session: &mut Session<'_>,
    environment: &IndexMap<String, String>,
) -> Option<Vec<PathBuf>> {
    let options = session.options;
    let named: Vec<PathBuf> = if options.config_files.is_empty() {
        let separator = environment
            .get("COMPOSE_PATH_SEPARATOR")
            .map_or(":", String::as_str);
        let list = environment.get("COMPOSE_FILE").map(String::as_str);
        list.unwrap_or_default()
            .split(separator)
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
            .collect()
    } else {
        options.config_files.clone()
    };
    if !named.is_empty() {
        let remote = named.iter().filter_map(|file| file.to_str());
        for file in remote.filter(|file| paths::is_remote_file(file)) {
            let diagnostic = Diagnostic::new(Severity::Error, paths::not_fetched(file));
            session
                .diagnostics
                .push(diagnostic.hint("download it and name the file"));
        }
        if session.diagnostics.has_errors() {
            return None;
        }
        let full = |file: &PathBuf| match is_stdin(file) {
            true => file.clone(),
            false => absolute(&options.working_dir, file),
        };
        return Some(named.iter().map(full).collect());
    }
    discover(session)
}

/// The working directory, then each above it.
fn discover(session: &mut Session<'_>) -> Option<Vec<PathBuf>> {
    let options = session.options;
    let start = options.project_directory.as_ref().map_or_else(
        || options.working_dir.clone(),
        |directory| absolute(&options.working_dir, directory),
    );
    for directory in start.ancestors() {
        let present = |names: &[&str]| -> Vec<PathBuf> {
            names
                .iter()
                .map(|name| directory.join(name))
                .filter(|path| session.files.exists(path) && !session.files.is_dir(path))
                .collect()
        };
        let found = present(&NAMES);
        let Some(first) = found.first().cloned() else {
            continue;
        };
        let overrides = present(&OVERRIDES);
        for several in [&found, &overrides] {
            if several.len() > 1 {
                let list: Vec<String> = several
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                session.warn(format!(
                    "Found multiple config files with supported names: {}",
                    list.join(", ")
                ));
                session.warn(format!("Using {}", list[0]));
            }
        }
        return Some(
            [first]
                .into_iter()
                .chain(overrides.into_iter().take(1))
                .collect(),
        );
    }
    let diagnostic = Diagnostic::new(Severity::Error, "no configuration file provided: not found");
    session.diagnostics.push(diagnostic.hint(format!(
        "there is no compose.yaml in {} or above it; name one with -f",
        start.display()
    )));
    None
}

/// The project's name: the first that is given.
pub(super) fn project_name(
    session: &mut Session<'_>,
    found: &Found,
    in_files: Option<&str>,
) -> Option<String> {
    let given = session.options.project_name.clone();
    let given = given.or_else(|| found.environment.get("COMPOSE_PROJECT_NAME").cloned());
    if let Some(name) = given.filter(|name| !name.is_empty()) {
        if normalized(&name) != name {
            let message = format!(
                "invalid project name {name:?}: must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or number"
            );
            let mut diagnostic = Diagnostic::new(Severity::Error, message);
            if !normalized(&name).is_empty() {
                diagnostic = diagnostic.hint(format!("`{}` would do", normalized(&name)));
            }
            session.diagnostics.push(diagnostic);
            return None;
        }
        return Some(name);
    }
    let name = in_files.map(normalized).filter(|name| !name.is_empty());
    let name = name.or_else(|| {
        let base = found.project_dir.file_name()?;
        Some(normalized(&base.to_string_lossy()))
    });
    let name = name.filter(|name| !name.is_empty());
    if name.is_none() {
        session.diagnostics.push(
            Diagnostic::new(Severity::Error, "project name must not be empty")
                .hint("give one with `name:` in the file or with -p"),
        );
    }
    name
}

/// Lower case; only letters, digits, `_` and `-`, beginning with a letter or digit.
fn normalized(name: &str) -> String {
    let name: String = name
        .to_lowercase()
        .chars()
        .filter(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_' | '-'))
        .collect();
    name.trim_start_matches(['_', '-']).to_owned()
}

/// A path as seen from a directory.
pub(super) fn absolute(directory: &Path, path: &Path) -> PathBuf {
    super::paths::clean(&directory.join(path))
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn names_are_normalised_as_compose_does() {
        assert_eq!(normalized("My Proj.1"), "myproj1");
        assert_eq!(normalized("__-x_y-"), "x_y-");
        assert_eq!(normalized("..."), "");
    }
}
