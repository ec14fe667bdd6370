//! Which stages a target needs, and what `ARG` means before and inside them.

use super::dockerfile::{Dockerfile, Instruction, ParseError, expansion};

/// A build-wide `ARG`: its name and, when it has one, its value.
pub type Globals = Vec<(String, Option<String>)>;

/// Where a stage starts from, variables expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    Scratch,
    /// An earlier stage, by index.
    Stage(usize),
    Image(String),
}

/// The stages to build, in order, the target last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    pub target: usize,
    /// Ascending: a stage refers to earlier ones only.
    pub needed: Vec<usize>,
    pub bases: Vec<Base>,
}

/// Values of the build-wide arguments: the platform's, then `ARG` lines before the first `FROM`,
/// the command line's winning over defaults.
///
/// # Errors
/// A default that can't be expanded.
pub fn globals(
    file: &Dockerfile,
    arguments: &[(String, String)],
    target: Option<&str>,
) -> Result<Globals, ParseError> {
    let architecture = architecture();
    let platform = format!("linux/{architecture}");
    let mut globals: Globals = Vec::new();
    for side in ["BUILD", "TARGET"] {
        for (name, value) in [
            ("PLATFORM", platform.as_str()),
            ("OS", "linux"),
            ("ARCH", architecture),
            ("VARIANT", ""),
        ] {
            globals.push((format!("{side}{name}"), Some(value.to_owned())));
        }
    }
    globals.push((
        "TARGETSTAGE".into(),
        Some(target.unwrap_or("default").to_ascii_lowercase()),
    ));
    for (name, value) in &mut globals {
        if let Some((_, given)) = arguments.iter().rev().find(|(key, _)| key == name) {
            *value = Some(given.clone());
        }
    }
    for line in &file.globals {
        for (name, default) in &line.value {
            let given = arguments
                .iter()
                .rev()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone());
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(
                    expansion::word(default, &known(&globals), file.escape)
                        .map_err(|message| ParseError::new(line.lines.clone(), message))?,
                ),
                (None, None) => None,
            };
            globals.push((name.clone(), value));
        }
    }
    Ok(globals)
}

/// Those that have a value.
pub fn known(globals: &Globals) -> Vec<(String, String)> {
    globals
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
        .collect()
}

/// This machine's architecture, as images name it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Finds the target and everything below it.
///
/// # Errors
/// A missing target, a blank base.
pub fn plan(
    file: &Dockerfile,
    globals: &Globals,
    target: Option<&str>,
) -> Result<Stages, ParseError> {
    let target = match target {
        None => file.stages.len() - 1,
        Some(name) => {
            find(file, &name.to_ascii_lowercase(), file.stages.len()).ok_or_else(|| {
                ParseError::new(1..=1, format!("target stage \"{name}\" could not be found"))
            })?
        }
    };
    let variables = known(globals);
    let mut bases = Vec::new();
    for (index, stage) in file.stages.iter().enumerate() {
        let name = expansion::word(&stage.from.base, &variables, file.escape)
            .map_err(|message| ParseError::new(stage.lines.clone(), message))?;
        bases.push(match (name.as_str(), find(file, &name, index)) {
            (_, Some(earlier)) => Base::Stage(earlier),
            ("scratch", None) => Base::Scratch,
            ("", None) => {
                let message = format!("base name ({}) should not be blank", stage.from.base);
                return Err(ParseError::new(stage.lines.clone(), message));
            }
            (_, None) => Base::Image(name),
        });
    }
    let mut is_needed = vec![false; file.stages.len()];
    is_needed[target] = true;
    for index in (0..=target).rev().filter(|index| *index <= target) {
        if !is_needed[index] {
            continue;
        }
        if let Base::Stage(earlier) = bases[index] {
            is_needed[earlier] = true;
        }
        for located in &file.stages[index].instructions {
            if let Instruction::Copy(copy) = &located.value
                && let Some(earlier) = copy
                    .from
                    .as_deref()
                    .map(|from| source_stage(file, from, index))
                    .transpose()
                    .map_err(|message| ParseError::new(located.lines.clone(), message))?
                    .flatten()
            {
                is_needed[earlier] = true;
            }
        }
    }
    let needed = (0..file.stages.len())
        .filter(|index| is_needed[*index])
        .collect();
    Ok(Stages {
        target,
        needed,
        bases,
    })
}

/// The stage that `--from` means in stage `before`, or `None` when it names an image.
///
/// # Errors
/// An index past the end, a stage that is not earlier.
pub fn source_stage(file: &Dockerfile, from: &str, before: usize) -> Result<Option<usize>, String> {
    if from.contains('$') {
        return Err(
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
                .into(),
        );
    }
    if let Ok(index) = from.parse::<usize>() {
        return if index < before {
            Ok(Some(index))
        } else {
            Err(format!("invalid stage index {index}"))
        };
    }
    let name = from.to_ascii_lowercase();
    match find(file, &name, before) {
        Some(index) => Ok(Some(index)),
        None if find(file, &name, file.stages.len()).is_some() => Err(format!(
            "cannot copy from stage \"{from}\", it needs to be defined before current stage"
        )),
        None => Ok(None),
    }
}

/// The latest stage of that name among the first `before`.
fn find(file: &Dockerfile, name: &str, before: usize) -> Option<usize> {
    file.stages[..before]
        .iter()
        .rposition(|stage| stage.from.name.as_deref() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::dockerfile::parse;
    use super::*;

    fn planned(
        text: &str,
        arguments: &[(&str, &str)],
        target: Option<&str>,
    ) -> Result<Stages, String> {
        let file = parse(text).map_err(|error| error.to_string())?;
        let arguments: Vec<_> = arguments
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let globals = globals(&file, &arguments, target).map_err(|error| error.message)?;
        plan(&file, &globals, target).map_err(|error| error.message)
    }

    #[test]
    fn only_what_the_target_needs_is_built() {
        let text =
            "FROM a AS one\nFROM b AS two\nFROM one\nCOPY --from=0 /x /y\nFROM two AS three\n";
        let stages = planned(text, &[], None).unwrap();
        assert_eq!((stages.target, stages.needed), (3, vec![1, 3]));
        assert_eq!(planned(text, &[], Some("ONE")).unwrap().needed, [0]);
        assert_eq!(
            planned(text, &[], Some("x")),
            Err("target stage \"x\" could not be found".into())
        );
    }

    #[test]
    fn from_sees_build_wide_arguments() {
        let text = "ARG V=1\nARG I=img:$V\nFROM $I\n";
        assert_eq!(
            planned(text, &[], None).unwrap().bases,
            [Base::Image("img:1".into())]
        );
        assert_eq!(
            planned(text, &[("V", "2")], None).unwrap().bases,
            [Base::Image("img:2".into())]
        );
        assert_eq!(
            planned("ARG I\nFROM ${I}\n", &[], None),
            Err("base name (${I}) should not be blank".into())
        );
    }

    #[test]
    fn a_later_stage_can_not_be_copied_from() {
        let text = "FROM a\nCOPY --from=late /x /y\nFROM b AS late\n";
        assert!(planned(text, &[], Some("late")).is_ok());
        let error = planned("FROM a AS first\nCOPY --from=7 /x /y\n", &[], None);
        assert_eq!(error, Err("invalid stage index 7".into()));
    }
}
