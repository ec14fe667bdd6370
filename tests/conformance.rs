//! Every folder of `compose-specs/` is loaded as it stands, and what comes out is compared:
//! `expect.yaml` is what `config` prints, `expect.txt` what is told of files that are wrong
//! (or, beside a good one, the warnings). `shell` holds the caller's variables, `arguments`
//! what would stand behind `ketch config`, `stdin` the text for `-f -`, and `directory` the
//! folder of the case where it is called. What is printed must print the same when it is read
//! again. `UPDATE_EXPECT=1` writes the expectations anew.

use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use ketch::diag::{Diagnostics, Sources, render};
use ketch::executor::DiskFiles;
use ketch::graph::ServiceGraph;
use ketch::loader::{self, Options, interpolate};
use ketch::model::{Project, canon};
use ketch::yaml::write;

/// What stands for the folder of a case in expectations.
const HERE: &str = "/case";

#[test]
fn every_case_comes_out_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-specs");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let (mut seen, mut wrong) = (0, Vec::new());
    for case in cases(&root) {
        seen += 1;
        let got = outcome(&case);
        wrong.extend(read_again(&case, &got));
        for (name, text) in [("expect.yaml", got.printed), ("expect.txt", got.told)] {
            let path = case.join(name);
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if expected == text {
                continue;
            }
            if !update {
                let case = case.strip_prefix(&root).unwrap().display();
                wrong.push(format!(
                    "{case}/{name}\n--- expected\n{expected}--- got\n{text}"
                ));
            } else if text.is_empty() {
                fs::remove_file(&path).unwrap();
            } else {
                fs::write(&path, text).unwrap();
            }
        }
    }
    assert!(seen > 200, "only {seen} cases found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `config` prints is a file that means the same. Says what differs.
fn read_again(case: &Path, got: &Outcome) -> Option<String> {
    let printed = &got.printed;
    if printed.is_empty() {
        return None;
    }
    let again = Options {
        config_files: vec!["-".into()],
        stdin: Some(got.for_reading.as_str().into()),
        project_directory: Some(case.to_owned()),
        ..options(case)
    };
    let (printed_again, told) = match loader::load(&DiskFiles::default(), &again) {
        Ok(loaded) => (print(&loaded.project, case), String::new()),
        Err(failed) => (
            String::new(),
            render::render(&failed.diagnostics, &failed.sources, false),
        ),
    };
    let name = case.file_name().unwrap_or_default().to_string_lossy();
    (printed_again != *printed).then(|| {
        format!(
            "{name}, printed and read again\n--- expected\n{printed}--- got\n{printed_again}{told}"
        )
    })
}

fn cases(root: &Path) -> Vec<PathBuf> {
    let mut cases = Vec::new();
    for area in children(root) {
        cases.extend(children(&area));
    }
    cases
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the cases are there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_dir())
        .collect();
    paths.sort();
    paths
}

struct Outcome {
    printed: String,
    /// The same with the dollars that a reader needs, and the folder's real name.
    for_reading: String,
    told: String,
}

fn outcome(case: &Path) -> Outcome {
    let here = case.display().to_string();
    let shown = |diagnostics: &Diagnostics, sources: &Sources| {
        render::render(diagnostics, sources, false).replace(&here, HERE)
    };
    match loader::load(&DiskFiles::default(), &options(case)) {
        Ok(loaded) => {
            let mut told = loaded.warnings;
            if let Err(cycle) = ServiceGraph::new(&loaded.project) {
                told.push(cycle);
            }
            let mut escaped = canon::project(&loaded.project);
            interpolate::escape(&mut escaped);
            Outcome {
                printed: print(&loaded.project, case),
                for_reading: write::to_yaml(&escaped),
                told: shown(&told, &loaded.sources),
            }
        }
        Err(failed) => Outcome {
            printed: String::new(),
            for_reading: String::new(),
            told: shown(&failed.diagnostics, &failed.sources),
        },
    }
}

fn print(project: &Project, case: &Path) -> String {
    let text = write::to_yaml(&canon::project(project));
    text.replace(&case.display().to_string(), HERE)
}

/// What `shell`, `arguments`, `stdin` and `directory` of a case say.
fn options(case: &Path) -> Options {
    let text = |name: &str| fs::read_to_string(case.join(name)).ok();
    let environment: IndexMap<String, String> = text("shell")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut options = Options {
        working_dir: match text("directory") {
            Some(directory) => case.join(directory.trim()),
            None => case.to_owned(),
        },
        environment,
        stdin: text("stdin").map(Into::into),
        ..Options::default()
    };
    let arguments = text("arguments").unwrap_or_default();
    let mut words = arguments.split_whitespace().map(ToOwned::to_owned);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--profile" => options.profiles.extend(words.next()),
            "--file" | "-f" => options.config_files.extend(words.next().map(PathBuf::from)),
            "--env-file" => options.env_files.extend(words.next().map(PathBuf::from)),
            "--project-name" | "-p" => options.project_name = words.next(),
            "--project-directory" => options.project_directory = words.next().map(PathBuf::from),
            "--no-interpolate" => options.no_interpolate = true,
            "--no-normalize" => options.no_normalize = true,
            "--no-path-resolution" => options.no_path_resolution = true,
            "--no-consistency" => options.no_consistency = true,
            flag if flag.starts_with('-') => panic!("{}: unknown {flag}", case.display()),
            service => options.services.push(service.to_owned()),
        }
    }
    options
}
