//! Loading from files in memory.

use std::path::Path;

use super::files::Unreadable;
use super::*;

struct Memory(Vec<(&'static str, &'static str)>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Arc<str>, Unreadable> {
        let found = self.0.iter().find(|(name, _)| Path::new(name) == path);
        found
            .map(|(_, text)| (*text).into())
            .ok_or(Unreadable::Missing)
    }

    fn exists(&self, path: &Path) -> bool {
        self.read(path).is_ok()
    }

    fn is_dir(&self, _path: &Path) -> bool {
        false
    }
}

fn options() -> Options {
    Options {
        working_dir: "/srv/My App".into(),
        ..Options::default()
    }
}

fn load_with(files: &[(&'static str, &'static str)], options: &Options) -> Result<Project, String> {
    load(&Memory(files.to_vec()), options)
        .map(|loaded| loaded.project)
        .map_err(|failed| {
            let line = |diagnostic: &Diagnostic| {
                let place = diagnostic.labels.first().map(|label| {
                    let (line, column) = failed.sources.position(label.span);
                    format!("{line}:{column}: ")
                });
                format!("{}{}", place.unwrap_or_default(), diagnostic.message)
            };
            failed
                .diagnostics
                .iter()
                .map(line)
                .collect::<Vec<_>>()
                .join("\n")
        })
}

fn load_one(text: &'static str) -> Result<Project, String> {
    load_with(&[("/srv/My App/compose.yaml", text)], &options())
}

/// Loads a text for what it says alone: nothing that it refers to is looked for.
pub(super) fn load_text(text: &str) -> Result<Project, Failed> {
    let options = Options {
        config_files: vec!["-".into()],
        stdin: Some(text.into()),
        project_name: Some("p".into()),
        no_consistency: true,
        no_env_resolution: true,
        all_resources: true,
        ..options()
    };
    load(&Memory(Vec::new()), &options).map(|loaded| loaded.project)
}

#[test]
fn a_simple_file_loads() {
    let project =
        load_one("services:\n  web:\n    image: nginx\n    ports: ['8080:80']\n").unwrap();
    assert_eq!(project.name, "myapp");
    let web = &project.services["web"];
    assert_eq!(web.image.as_ref().unwrap().value, "nginx");
    assert_eq!(web.ports[0].published, Some(8080..=8080));
    assert_eq!(project.networks["default"].resource.name, "myapp_default");
}

#[test]
fn a_build_may_use_what_a_disabled_service_builds() {
    let with = |other: &str| {
        let text = format!(
            "services:\n  web: {{build: {{additional_contexts: {{base: 'service:{other}'}}}}}}\n  base: {{build: ./base, profiles: [off]}}\n  db: {{image: x}}\n"
        );
        load_one(Box::leak(text.into_boxed_str())).map(drop)
    };
    assert_eq!(with("base"), Ok(()));
    assert_eq!(
        with("db").unwrap_err(),
        "2:45: service \"web\" declares non-buildable service \"db\" as additional contexts base: invalid compose project"
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let told = load_one(
        "services:\n  web:\n    imgae: a\n    ports: [x]\n  db:\n    depends_on: [wbe]\n    tty: [1]\n  none: {}\n",
    )
    .unwrap_err();
    assert_eq!(
        told,
        "3:5: services.web: additional properties 'imgae' not allowed\n\
         7:10: services.db.tty must be true or false, not a list\n\
         4:13: services.web.ports[0]: invalid containerPort: x\n\
         6:18: service \"db\" depends on undefined service \"wbe\": invalid compose project\n\
         8:3: service \"none\" has neither an image nor a build context specified: invalid compose project"
    );
}

#[test]
fn files_are_found_in_parents_with_their_override() {
    let files = [
        (
            "/srv/compose.yaml",
            "services: {a: {image: x, environment: {A: '1', V: $V}}}",
        ),
        (
            "/srv/compose.override.yml",
            "services: {a: {environment: [B=2, C, D]}}",
        ),
        ("/srv/.env", "V=parent\nC=c"),
        ("/srv/My App/.env", "V=own"),
    ];
    let project = load_with(&files, &options()).unwrap();
    assert_eq!(project.working_dir, Path::new("/srv"));
    let environment: Vec<String> = project.services["a"]
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    assert_eq!(
        environment,
        [
            "A=Some(\"1\")",
            "V=Some(\"own\")",
            "B=Some(\"2\")",
            "C=Some(\"c\")",
            "D=None"
        ]
    );
}

#[test]
fn nothing_found_is_told_in_docker_s_words() {
    let told = load_with(&[], &options()).unwrap_err();
    assert_eq!(told, "no configuration file provided: not found");
    assert_eq!(load_one("# nothing\n").unwrap_err(), "empty compose file");
}

#[test]
fn profiles_and_selection_keep_what_is_needed() {
    let text = "services:\n  a: {image: x, depends_on: [b], volumes: ['data:/d']}\n  b: {image: x}\n  c: {image: x, profiles: [p], depends_on: {a: {condition: service_started}}, networks: [n]}\n\
                volumes: {data: , other: }\nnetworks: {n: }\n";
    let project = load_one(text).unwrap();
    assert_eq!(project.services.len(), 2);
    assert!(project.disabled.contains_key("c"));
    assert_eq!(project.volumes.len(), 1);
    let named = Options {
        services: vec!["c".into()],
        ..options()
    };
    let project = load_with(&[("/srv/My App/compose.yaml", text)], &named).unwrap();
    assert_eq!(project.services.len(), 3);
    assert!(project.networks.contains_key("n"));
    let alone = Options {
        no_dependencies: true,
        ..named
    };
    let project = load_with(&[("/srv/My App/compose.yaml", text)], &alone).unwrap();
    assert_eq!(project.services.len(), 1);
    assert!(project.services["c"].depends_on.is_empty());
}

#[test]
fn env_files_come_before_environment_and_are_needed_only_where_used() {
    let files = [
        (
            "/srv/My App/compose.yaml",
            "services: {a: {image: x, env_file: a.env, environment: {B: own}}, b: {image: x, env_file: none.env}}",
        ),
        ("/srv/My App/a.env", "A=1\nB=2\nC=${B}-$X\n"),
    ];
    let only_a = Options {
        services: vec!["a".into()],
        environment: [("X".to_owned(), "x".to_owned())].into_iter().collect(),
        ..options()
    };
    let project = load_with(&files, &only_a).unwrap();
    let environment = &project.services["a"].environment;
    assert_eq!(environment["A"].as_deref(), Some("1"));
    assert_eq!(environment["B"].as_deref(), Some("own"));
    assert_eq!(environment["C"].as_deref(), Some("own-x"));
    let both = Options {
        services: Vec::new(),
        ..only_a
    };
    let told = load_with(&files, &both).unwrap_err();
    assert_eq!(told, "1:91: env file /srv/My App/none.env not found");
}

/// A service with one mistake: its lines, how the error begins, and its line and column
/// counted from the first of them.
const MISTAKES: [(&str, &str, usize, usize); 10] = [
    (
        "    imgae: x\n",
        "services.{}: additional properties 'imgae' not allowed",
        2,
        5,
    ),
    (
        "    image: x\n    tty: maybe\n",
        "services.{}.tty must be true or false",
        3,
        10,
    ),
    (
        "    image: x\n    ports: [80, \"x:80\"]\n",
        "services.{}.ports[1]: invalid hostPort: x",
        3,
        17,
    ),
    (
        "    image: x\n    networks:\n      nowhere:\n",
        "service \"{}\" refers to undefined network nowhere",
        4,
        7,
    ),
    (
        "    image: x\n    depends_on: [nobody]\n",
        "service \"{}\" depends on undefined service \"nobody\"",
        3,
        18,
    ),
    (
        "    image: x\n    user: a\n    user: b\n",
        "mapping key \"user\" already defined at line",
        4,
        5,
    ),
    (
        "    image: x\n    stop_grace_period: 10\n",
        "services.{}.stop_grace_period must be a duration",
        3,
        24,
    ),
    (
        "    image: x\n    hostname: a${\n",
        "invalid interpolation format for services.{}.hostname",
        3,
        16,
    ),
    (
        "    image: x\n    volumes: ['data:/d']\n",
        "service \"{}\" refers to undefined volume data",
        3,
        15,
    ),
    (
        "    hostname: h\n",
        "service \"{}\" has neither an image nor a build context",
        1,
        3,
    ),
];

#[test]
fn two_hundred_mistakes_are_told_in_order_each_at_its_place() {
    let mut text = "services:\n".to_owned();
    let mut expected = Vec::new();
    let mut line = 2;
    for number in 0..200 {
        let (lines, message, down, column) = MISTAKES[number % MISTAKES.len()];
        let name = format!("s{number:03}");
        text.push_str(&format!("  {name}:\n{lines}"));
        let message = message.replace("{}", &name);
        expected.push((message, format!("{}:{column}", line + down - 1)));
        line += 1 + lines.lines().count();
    }
    let text: &'static str = text.leak();
    let files = Memory(vec![("/srv/My App/compose.yaml", text)]);
    let failed = load(&files, &options()).unwrap_err();
    let picture = crate::diag::render::render(&failed.diagnostics, &failed.sources, false);
    let mut told = Vec::new();
    for line in picture.lines() {
        if let Some(message) = line.strip_prefix("error: ") {
            told.push((message, String::new()));
        } else if let Some(place) = line.trim_start().strip_prefix("--> compose.yaml:") {
            place.clone_into(&mut told.last_mut().unwrap().1);
        }
    }
    assert_eq!(told.len(), 200, "{picture}");
    for ((message, place), (expected, expected_place)) in told.iter().zip(&expected) {
        assert!(message.starts_with(expected.as_str()), "{message}");
        assert_eq!(place, expected_place, "{message}");
    }
}
