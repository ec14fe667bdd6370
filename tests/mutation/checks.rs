//! What must hold for every text, whoever wrote it: nothing panics, what is told can be shown,
//! and what loads means the same when it is printed and read again. The targets of `fuzz/`
//! are these functions too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ketch::diag::{Diagnostics, FileId, Sources, render};
use ketch::graph::ServiceGraph;
use ketch::loader::files::{Files, Unreadable};
use ketch::loader::{self, Options, dotenv, interpolate};
use ketch::model::{Project, canon};
use ketch::units::{bytes, duration, ranges};
use ketch::yaml::{self, write};

/// A line that begins another file of the same text.
pub(crate) const FILE: &str = "#file ";

/// A project's files, in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<PathBuf, Arc<str>>);

impl Memory {
    /// What stands before the first `#file NAME` is `compose.yaml`.
    pub(crate) fn from_bundle(text: &str) -> Self {
        let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut name = PathBuf::from("/case/compose.yaml");
        for line in text.split_inclusive('\n') {
            match line.strip_prefix(FILE) {
                Some(next) => name = Path::new("/case").join(next.trim_end()),
                None => files.entry(name.clone()).or_default().push_str(line),
            }
        }
        let files = files.into_iter().map(|(name, text)| (name, text.into()));
        Self(files.collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Arc<str>, Unreadable> {
        self.0.get(path).cloned().ok_or(Unreadable::Missing)
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file.starts_with(path))
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.exists(path) && !self.0.contains_key(path)
    }
}

fn options(profiles: &[&str]) -> Options {
    let environment = [
        ("A", "a"),
        ("EMPTY", ""),
        ("PORT", "8080"),
        ("TAG", "1.0"),
        ("HOME", "/home/u"),
        ("DOLLAR", "$A"),
    ];
    Options {
        working_dir: "/case".into(),
        profiles: profiles.iter().map(|name| (*name).to_owned()).collect(),
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Options::default()
    }
}

fn show(diagnostics: &Diagnostics, sources: &Sources) -> String {
    for diagnostic in diagnostics.iter() {
        let line = render::render_line(diagnostic, sources);
        assert!(!line.is_empty());
    }
    render::render(diagnostics, sources, false)
}

/// Loads a bundle of files; whether that went well.
pub(crate) fn loader(bundle: &str) -> bool {
    let files = Memory::from_bundle(bundle);
    let loaded = load(&files, &[]);
    // With all profiles on: what refers to a service that is off can't be read alone.
    if let Some(project) = loaded.as_ref().and_then(|_| load(&files, &["*"])) {
        reads_back(&project);
    }
    loaded.is_some()
}

fn load(files: &Memory, profiles: &[&str]) -> Option<Project> {
    match loader::load(files, &options(profiles)) {
        Ok(loaded) => {
            show(&loaded.warnings, &loaded.sources);
            if let Err(cycle) = ServiceGraph::new(&loaded.project) {
                render::render_one(&cycle, &loaded.sources, false);
            }
            Some(loaded.project)
        }
        Err(failed) => {
            assert!(failed.diagnostics.has_errors(), "refused without an error");
            show(&failed.diagnostics, &failed.sources);
            None
        }
    }
}

/// What `config` prints is a file that means the same, if the dollars of its values are doubled.
/// (Compose doubles those of the keys too, where nothing takes it back.)
fn reads_back(project: &Project) {
    let mut canonical = canon::project(project);
    let printed = write::to_yaml(&canonical);
    interpolate::escape(&mut canonical);
    let files = Memory::from_bundle(&write::to_yaml(&canonical));
    match loader::load(&files, &options(&["*"])) {
        Ok(again) => {
            let printed_again = write::to_yaml(&canon::project(&again.project));
            assert_eq!(printed, printed_again, "printed, read and printed again");
        }
        Err(failed) => panic!(
            "what was printed does not load:\n{}{printed}",
            show(&failed.diagnostics, &failed.sources)
        ),
    }
}

/// Reads YAML, writes it, and reads it again.
pub(crate) fn yaml(text: &str) -> bool {
    let mut diagnostics = Diagnostics::default();
    let mut sources = Sources::default();
    let file = sources.add("compose.yaml", text.into());
    let documents = yaml::parse(text, file, &mut diagnostics);
    show(&diagnostics, &sources);
    // Whichever reader read it.
    let mut told = Diagnostics::default();
    let by_library = yaml::parse_by_library(text, file, &mut told);
    // As texts: `.nan` is not even equal to itself.
    assert_eq!(
        format!("{documents:?} {diagnostics:?}"),
        format!("{:?} {told:?}", by_library.documents)
    );
    for document in &documents {
        let written = write::to_yaml(&document.root);
        let mut told = Diagnostics::default();
        let again = yaml::parse(&written, FileId(0), &mut told);
        assert!(told.is_empty(), "{told:?}\n{written}");
        // Not the same Nodes: the float `1e3` is written as 1000, as Docker has it.
        let again: Vec<String> = again.iter().map(|it| write::to_yaml(&it.root)).collect();
        assert_eq!(again, [written]);
    }
    diagnostics.is_empty()
}

/// Replaces variables in a text.
pub(crate) fn interpolation(text: &str) -> bool {
    let environment = options(&[]).environment;
    let lookup = |name: &str| environment.get(name).cloned();
    let inside = |at: usize, length: usize| assert!(at + length <= text.len(), "{at} {length}");
    let replaced = interpolate::substitute(text, &lookup);
    match &replaced {
        Ok(replaced) => {
            for unset in &replaced.unset {
                inside(unset.at, unset.length);
            }
        }
        Err(problem) => inside(problem.at, problem.length),
    }
    let escaped = interpolate::substitute(&text.replace('$', "$$"), &lookup);
    assert_eq!(escaped.map(|replaced| replaced.text).as_deref(), Ok(text));
    replaced.is_ok()
}

/// Reads a file of variables, in both of its formats.
pub(crate) fn dotenv(text: &str) -> bool {
    let environment = options(&[]).environment;
    let lookup = |name: &str| environment.get(name).cloned();
    let mut sources = Sources::default();
    let file = sources.add(".env", text.into());
    let mut diagnostics = Diagnostics::default();
    let mut variables = dotenv::Variables::new();
    let name = (file, "/case/.env");
    dotenv::parse(text, name, &lookup, &mut variables, &mut diagnostics);
    let good = diagnostics.is_empty();
    dotenv::parse_raw(text, name, &lookup, &mut variables, &mut diagnostics);
    show(&diagnostics, &sources);
    good
}

/// Where short forms stand; `@` is the text.
const FORMS: &[&str] = &[
    "ports: [@]",
    "volumes: [@]",
    "devices: [@]",
    "extra_hosts: [@]",
    "expose: [@]",
    "tmpfs: [@]",
    "command: @",
    "entrypoint: @",
    "healthcheck: {test: @, interval: @, retries: 1}",
    "environment: [@]",
    "labels: [@]",
    "env_file: [{path: @, required: false}]",
    "mem_limit: @",
    "shm_size: @",
    "stop_grace_period: @",
    "restart: @",
    "pull_policy: @",
    "cpuset: @",
    "cpus: @",
    "network_mode: @",
    "depends_on: [@]",
    "secrets: [@]",
    "ulimits: {nofile: @}",
    "networks: {default: {ipv4_address: @}}",
    "user: @",
    "security_opt: [@]",
];

/// Reads a text as a size, a duration, a range, and in the place of one short form: which one
/// the first byte says.
pub(crate) fn forms(text: &str) -> bool {
    if let Ok(value) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::print(value)), Ok(value));
    }
    if let Ok(Ok(value)) = bytes::parse(text).map(u64::try_from) {
        assert!(!bytes::human(value).is_empty() && !bytes::human_binary(value).is_empty());
    }
    if let Ok(cpus) = ranges::parse_cpu_set(text) {
        assert!(!cpus.is_empty());
    }
    if let Ok(ports) = ranges::parse_ports(text) {
        assert!(ports.start() <= ports.end());
    }
    let Some(first) = text.bytes().next() else {
        return false;
    };
    let form = FORMS[usize::from(first) % FORMS.len()];
    let rest: String = text.chars().skip(1).collect();
    let quoted = serde_json::Value::from(rest).to_string();
    let form = form.replace('@', &quoted);
    loader(&format!("services:\n  s:\n    image: x\n    {form}\n"))
}
