//! Walks the stages: each instruction changes the stage's configuration or adds a layer.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use jiff::Timestamp;

use super::cache::{self, Cached, KeyBuilder};
use super::dockerfile::instruction::{Copy, Run};
use super::dockerfile::{Dockerfile, Instruction, Located, ParseError, Stage, expansion};
use super::draft::{DEFAULT_PATH, Draft, heredoc_body};
use super::ignore::Ignore;
use super::run::{self, RunStep};
use super::stages::{self, Base, Globals, Stages};
use super::{BuildEvent, BuildRequest, Fetch, context, copy, select};
use crate::cancel::Cancel;
use crate::content::digest::Digest;
use crate::engine::Engine;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::image;
use crate::image::config::{Empty, History};
use crate::layer::merged::Merged;
use crate::layer::{self, Hold};
use crate::store::staging::Staging;

/// Proxies reach RUN without being declared, and count neither for keys nor for history.
const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// Why a step failed, and the lines that it stands in.
#[derive(Debug)]
pub struct Failure {
    pub error: Error,
    pub lines: Option<RangeInclusive<u32>>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, lines: None }
    }
}

/// One build being carried out.
pub struct Solver<'a> {
    engine: &'a Engine,
    request: &'a BuildRequest,
    fetch: &'a Fetch<'a>,
    file: &'a Dockerfile,
    globals: &'a Globals,
    plan: &'a Stages,
    cancel: &'a Cancel,
    ignore: Ignore,
    /// Finished stages by index.
    done: BTreeMap<usize, Draft>,
    /// Steps begun so far, for their numbers.
    steps: usize,
    /// The layers so far: nobody removes them before the image names them.
    holds: Vec<Hold>,
}

impl std::fmt::Debug for Solver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Solver({:?})", self.request)
    }
}

impl<'a> Solver<'a> {
    /// Reads the ignore file and checks the context.
    ///
    /// # Errors
    /// A missing context, a bad pattern.
    pub fn new(
        engine: &'a Engine,
        request: &'a BuildRequest,
        fetch: &'a Fetch<'a>,
        file: &'a Dockerfile,
        globals: &'a Globals,
        plan: &'a Stages,
        cancel: &'a Cancel,
    ) -> Result<Self> {
        context::check(&request.context)?;
        let ignore = context::read_ignore(request)?;
        Ok(Self {
            engine,
            request,
            fetch,
            file,
            globals,
            plan,
            cancel,
            ignore,
            done: BTreeMap::new(),
            steps: 0,
            holds: Vec::new(),
        })
    }

    /// Builds every needed stage and names the target's image.
    ///
    /// # Errors
    /// The first step that fails; its lines come along.
    pub fn solve(mut self, events: &mut dyn FnMut(BuildEvent)) -> Result<Digest, Failure> {
        for index in &self.plan.needed {
            let state = self.stage(*index, events)?;
            self.done.insert(*index, state);
        }
        let mut state = self
            .done
            .remove(&self.plan.target)
            .expect("the target is needed");
        if !self.request.labels.is_empty() {
            state
                .config
                .config
                .labels
                .get_or_insert_default()
                .extend(self.request.labels.clone());
        }
        state.config.created = state
            .config
            .history
            .iter()
            .rev()
            .find_map(|entry| entry.created)
            .or(state.created);
        let roots = self.engine.roots();
        let image = image::store::add(roots, &state.config, &state.layers, None)?;
        for tag in &self.request.tags {
            image::store::tag(roots, image.id.as_str(), tag)?;
        }
        Ok(image.id)
    }

    fn stage(
        &mut self,
        index: usize,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<Draft, Failure> {
        let stage = &self.file.stages[index];
        let at = |error: Error| Failure {
            error,
            lines: Some(stage.lines.clone()),
        };
        let mut state = self.base(index, events).map_err(at)?;
        let total = count_steps(stage);
        let mut number = usize::from(matches!(self.plan.bases[index], Base::Image(_)));
        for located in &stage.instructions {
            let at = |error: Error| Failure {
                error,
                lines: Some(located.lines.clone()),
            };
            if self.cancel.is_cancelled() {
                return Err(at(Error::new(ErrorKind::Cancelled, "build cancelled")));
            }
            if makes_layer(&located.value) {
                number += 1;
            }
            let name = self.step_name(
                index,
                number,
                total + usize::from(matches!(self.plan.bases[index], Base::Image(_))),
                located,
            );
            self.instruction(&mut state, index, located, &name, events)
                .map_err(at)?;
        }
        Ok(state)
    }

    fn base(&mut self, index: usize, events: &mut dyn FnMut(BuildEvent)) -> Result<Draft> {
        match &self.plan.bases[index] {
            Base::Stage(earlier) => {
                let mut state = self.done[earlier].clone();
                state.has_own_command = false;
                Ok(state)
            }
            Base::Scratch => Ok(Draft::scratch()),
            Base::Image(name) => {
                let step = self.begin(
                    &format!("[{}] FROM {name}", stage_name(self.file, index)),
                    events,
                );
                let image = match (self.fetch)(name) {
                    Ok(image) => image,
                    Err(error) => {
                        events(BuildEvent::Failed { step });
                        return Err(error.context(format!("FROM {name}")));
                    }
                };
                for chain_id in &image.layers {
                    self.holds.push(layer::hold(self.engine.roots(), chain_id)?);
                }
                events(BuildEvent::Cached { step });
                let mut config = image.config;
                if config
                    .config
                    .on_build
                    .take()
                    .is_some_and(|triggers| !triggers.is_empty())
                {
                    let message =
                        format!("{name} has ONBUILD triggers, which ketch does not carry out yet");
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
                let mut state = Draft {
                    key: KeyBuilder::new("from").part(image.id.as_str()).finish(),
                    layers: image.layers,
                    variables: Vec::new(),
                    arguments: Vec::new(),
                    has_own_command: false,
                    created: config.created,
                    config,
                };
                if !state.environment().iter().any(|(name, _)| name == "PATH") {
                    state.set_environment("PATH", DEFAULT_PATH);
                }
                state.variables = state.environment();
                Ok(state)
            }
        }
    }

    fn instruction(
        &mut self,
        state: &mut Draft,
        index: usize,
        located: &Located<Instruction>,
        name: &str,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<()> {
        let escape = self.file.escape;
        let expand = |text: &str, variables: &[(String, String)]| {
            expansion::word(text, variables, escape)
                .map_err(|message| Error::new(ErrorKind::Invalid, message))
        };
        let variables = state.variables.clone();
        match &located.value {
            Instruction::Run(run) => self.run(state, run, name, events)?,
            Instruction::Copy(copy) => self.copy(state, index, copy, name, events)?,
            Instruction::Workdir(path) => {
                self.workdir(state, &expand(path, &variables)?, name, events)?;
            }
            Instruction::Arg(arguments) => self.arg(state, arguments)?,
            Instruction::Env(pairs) => {
                let mut shown = String::from("ENV");
                for (key, value) in pairs {
                    let (key, value) = (expand(key, &variables)?, expand(value, &variables)?);
                    shown += &format!(" {key}={value}");
                    state.set_environment(&key, &value);
                    state.variables.push((key, value));
                }
                state.history(shown);
            }
            Instruction::Label(pairs) => {
                let mut shown = String::from("LABEL");
                for (key, value) in pairs {
                    let (key, value) = (expand(key, &variables)?, expand(value, &variables)?);
                    shown += &format!(" {key}={value}");
                    state
                        .config
                        .config
                        .labels
                        .get_or_insert_default()
                        .insert(key, value);
                }
                state.history(shown);
            }
            Instruction::User(user) => {
                state.config.config.user = expand(user, &variables)?;
                state.history(format!("USER {}", state.config.config.user));
            }
            Instruction::Volume(paths) => {
                let paths: Result<Vec<String>> =
                    paths.iter().map(|path| expand(path, &variables)).collect();
                let paths = paths?;
                let volumes = state.config.config.volumes.get_or_insert_default();
                volumes.extend(paths.iter().map(|path| (path.clone(), Empty {})));
                state.history(format!("VOLUME [{}]", paths.join(" ")));
            }
            Instruction::Expose(words) => {
                let mut ports = Vec::new();
                for word in words {
                    for part in expand(word, &variables)?.split_whitespace() {
                        ports.extend(
                            exposed(part)
                                .map_err(|message| Error::new(ErrorKind::Invalid, message))?,
                        );
                    }
                }
                let exposed = state.config.config.exposed_ports.get_or_insert_default();
                exposed.extend(ports.iter().map(|port| (port.clone(), Empty {})));
                state.history(format!("EXPOSE [{}]", ports.join(" ")));
            }
            Instruction::StopSignal(signal) => {
                let signal = expand(signal, &variables)?;
                crate::spec::signal::parse(&signal)?;
                state.history(format!("STOPSIGNAL {signal}"));
                state.config.config.stop_signal = Some(signal);
            }
            other => state.configure(other),
        }
        Ok(())
    }

    /// `--build-arg` wins over the default, which wins over the build-wide value.
    fn arg(&self, state: &mut Draft, arguments: &[(String, Option<String>)]) -> Result<()> {
        let mut shown = String::from("ARG");
        for (name, default) in arguments {
            let given = self.given(name);
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(
                    expansion::word(default, &state.variables, self.file.escape)
                        .map_err(|message| Error::new(ErrorKind::Invalid, message))?,
                ),
                (None, None) => self
                    .globals
                    .iter()
                    .rev()
                    .find(|(key, _)| key == name)
                    .and_then(|(_, value)| value.clone()),
            };
            shown += &format!(" {name}");
            if !state.arguments.contains(name) {
                state.arguments.push(name.clone());
            }
            if let Some(value) = value {
                shown += &format!("={value}");
                state.variables.push((name.clone(), value));
            }
        }
        state.history(shown);
        Ok(())
    }

    fn given(&self, name: &str) -> Option<String> {
        self.request
            .arguments
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }

    fn run(
        &mut self,
        state: &mut Draft,
        run: &Run,
        name: &str,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<()> {
        let args = state.run_args(run);
        let env = state.run_environment();
        let working_dir = state.working_dir();
        let user = state.config.config.user.clone();
        let network = run
            .network
            .as_deref()
            .filter(|mode| *mode != "default")
            .or(self.request.network.as_deref());
        let key = KeyBuilder::new("run")
            .part(state.key.as_str())
            .parts(&args)
            .parts(env.iter().map(|(name, value)| format!("{name}={value}")))
            .parts([&working_dir, &user, network.unwrap_or("default")])
            .parts(&run.mounts)
            .parts(self.request.extra_hosts.iter().map(|(name, _)| name))
            .finish();
        let declared: Vec<String> = state.declared_arguments();
        let count = if declared.is_empty() {
            String::new()
        } else {
            format!("|{} {} ", declared.len(), declared.join(" "))
        };
        let history = format!("RUN {count}{} # buildkit", args.join(" "));

        let caches = self.engine.roots().build_cache().join("mounts");
        let mounts: Result<Vec<_>> = run
            .mounts
            .iter()
            .map(|text| run::mount(text, &working_dir, &caches))
            .collect();
        let mut full_env = env;
        for (name, value) in &self.request.arguments {
            if PROXIES.contains(&name.to_ascii_uppercase().as_str())
                && !full_env.iter().any(|(other, _)| other == name)
            {
                full_env.push((name.clone(), value.clone()));
            }
        }
        let step = RunStep {
            layers: &state.layers.clone(),
            args,
            env: full_env,
            user,
            working_dir,
            mounts: mounts?,
            network,
            extra_hosts: self.request.extra_hosts.clone(),
            shm_size_bytes: self.request.shm_size_bytes,
        };
        let (engine, cancel) = (self.engine, self.cancel);
        self.layer(
            state,
            key,
            history,
            name,
            events,
            |upper, step_number, events| {
                run::run(
                    engine,
                    &step,
                    upper,
                    &mut run::output(step_number, events),
                    cancel,
                )
            },
        )
    }

    fn copy(
        &mut self,
        state: &mut Draft,
        index: usize,
        instruction: &Copy,
        name: &str,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<()> {
        let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
        let expand =
            |text: &str| expansion::word(text, &state.variables, self.file.escape).map_err(invalid);
        let (tree, ignore) = self.source(index, instruction)?;
        let sources: Result<Vec<String>> = instruction
            .sources
            .iter()
            .map(|text| expand(text))
            .collect();
        let mut files = Vec::new();
        for heredoc in &instruction.heredocs {
            let mut body = heredoc_body(heredoc);
            if heredoc.expand {
                body = expansion::heredoc(&body, &state.variables).map_err(invalid)?;
            }
            files.push((heredoc.name.clone(), body));
        }
        let lower = Merged::new(&layer::directories(self.engine.roots(), &state.layers))?;
        let order = select::Order {
            sources: sources?,
            files,
            destination: expand(&instruction.destination)?,
            working_dir: state.working_dir(),
            chown: instruction.chown.as_deref().map(&expand).transpose()?,
            chmod: instruction.chmod.as_deref().map(&expand).transpose()?,
            excludes: Ignore::new(&instruction.excludes).map_err(invalid)?,
            parents: instruction.parents,
            unpack: instruction.is_add && instruction.unpack != Some(false),
            keeps_owner: instruction.from.is_some(),
        };
        let keyword = if instruction.is_add { "ADD" } else { "COPY" };
        let selected =
            select::select(&tree, &ignore, &order).context(|| format!("{keyword} failed"))?;
        let key = KeyBuilder::new("copy")
            .part(state.key.as_str())
            .part(format!("{order:?}"))
            .part(selected.digest()?.as_str())
            .finish();
        let mut history = keyword.to_owned();
        for (flag, value) in [("chown", &order.chown), ("chmod", &order.chmod)] {
            if let Some(value) = value {
                history += &format!(" --{flag}={value}");
            }
        }
        let names = order
            .sources
            .iter()
            .cloned()
            .chain(order.files.iter().map(|(name, _)| format!("<<{name}")));
        history += &format!(
            " {} {} # buildkit",
            names.collect::<Vec<_>>().join(" "),
            order.destination
        );
        self.layer(state, key, history, name, events, |upper, _, _| {
            copy::apply(&selected, &order, &lower, upper)
        })
    }

    /// The files that a COPY reads, and which of them it must not see.
    fn source(&self, index: usize, instruction: &Copy) -> Result<(Merged, Ignore)> {
        let Some(from) = &instruction.from else {
            return Ok((
                Merged::new(std::slice::from_ref(&self.request.context))?,
                self.ignore.clone(),
            ));
        };
        let stage = stages::source_stage(self.file, from, index)
            .map_err(|message| Error::new(ErrorKind::Invalid, message))?;
        let layers = match stage {
            Some(earlier) => self.done[&earlier].layers.clone(),
            None => {
                (self.fetch)(from)
                    .context(|| format!("COPY --from={from}"))?
                    .layers
            }
        };
        Ok((
            Merged::new(&layer::directories(self.engine.roots(), &layers))?,
            Ignore::default(),
        ))
    }

    fn workdir(
        &mut self,
        state: &mut Draft,
        path: &str,
        name: &str,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<()> {
        let path = copy::clean(&state.working_dir(), path);
        state.config.config.working_dir.clone_from(&path);
        let history = format!("WORKDIR {path}");
        let lower = Merged::new(&layer::directories(self.engine.roots(), &state.layers))?;
        if path == "/" || lower.metadata(&path)?.is_some_and(|found| found.is_dir()) {
            state.history(history);
            return Ok(());
        }
        let user = state.config.config.user.clone();
        let key = KeyBuilder::new("workdir")
            .part(state.key.as_str())
            .part(&path)
            .part(&user)
            .finish();
        self.layer(state, key, history, name, events, |upper, _, _| {
            copy::make_directory(&lower, upper, &path, &user)
        })
    }

    /// A step that makes a layer: taken from the cache, or made by `work` in a directory that does
    /// not exist yet and then becomes the layer as it is.
    fn layer(
        &mut self,
        state: &mut Draft,
        key: Digest,
        history: String,
        name: &str,
        events: &mut dyn FnMut(BuildEvent),
        work: impl FnOnce(&Path, usize, &mut dyn FnMut(BuildEvent)) -> Result<()>,
    ) -> Result<()> {
        let step = self.begin(name, events);
        let roots = self.engine.roots();
        let found = if self.request.no_cache {
            None
        } else {
            self.cached(&key)?
        };
        let cached = if let Some(cached) = found {
            events(BuildEvent::Cached { step });
            cached
        } else {
            let staging = Staging::new(roots)?;
            let upper = staging.join("upper");
            let made = work(&upper, step, events).and_then(|()| {
                let (layer, hold) = layer::commit_directory(roots, state.layers.last(), &upper)?;
                let cached = Cached {
                    diff_id: layer.diff_id,
                    chain_id: layer.chain_id,
                    created: Timestamp::now(),
                };
                Ok((cached, hold))
            });
            let (cached, hold) = made.inspect_err(|_| {
                let _may_be_gone = fs::remove_dir_all(&upper);
                events(BuildEvent::Failed { step });
            })?;
            cache::remember(roots, &key, &cached)?;
            self.holds.push(hold);
            failpoint::reached(Point::BuildStepCached);
            events(BuildEvent::Finished { step });
            cached
        };
        state.key = key;
        state.layers.push(cached.chain_id);
        state.config.rootfs.diff_ids.push(cached.diff_id);
        state.created = Some(cached.created);
        state.config.history.push(History {
            created: Some(cached.created),
            created_by: Some(history),
            comment: Some("buildkit.dockerfile.v0".into()),
            ..History::default()
        });
        Ok(())
    }

    /// What is known of a step, its layer held.
    fn cached(&mut self, key: &Digest) -> Result<Option<Cached>> {
        let roots = self.engine.roots();
        let Some(cached) = cache::find(roots, key)? else {
            return Ok(None);
        };
        let hold = layer::hold(roots, &cached.chain_id)?;
        // It may have gone before it was held.
        if layer::find(roots, &cached.chain_id)?.is_none() {
            return Ok(None);
        }
        self.holds.push(hold);
        Ok(Some(cached))
    }

    fn begin(&mut self, name: &str, events: &mut dyn FnMut(BuildEvent)) -> usize {
        self.steps += 1;
        events(BuildEvent::Started {
            step: self.steps,
            name: name.to_owned(),
        });
        self.steps
    }

    fn step_name(
        &self,
        index: usize,
        number: usize,
        total: usize,
        located: &Located<Instruction>,
    ) -> String {
        let stage = if self.file.stages.len() > 1 {
            format!("{} ", stage_name(self.file, index))
        } else {
            String::new()
        };
        format!("[{stage}{number}/{total}] {}", located.text)
    }
}

fn makes_layer(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_)
    )
}

fn count_steps(stage: &Stage) -> usize {
    stage
        .instructions
        .iter()
        .filter(|located| makes_layer(&located.value))
        .count()
}

fn stage_name(file: &Dockerfile, index: usize) -> String {
    file.stages[index]
        .from
        .name
        .clone()
        .unwrap_or_else(|| format!("stage-{index}"))
}

/// `80`, `80-82/udp`, `ip:host:container`: the container ports, one by one.
fn exposed(text: &str) -> Result<Vec<String>, String> {
    let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("invalid port: {text:?}: invalid proto: {protocol}"));
    }
    let ports = ports.rsplit(':').next().unwrap_or(ports);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first..=last)
            .map(|port| format!("{port}/{protocol}"))
            .collect()),
        _ => Err(format!("invalid containerPort: {ports}")),
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self {
            lines: Some(error.lines.clone()),
            error: Error::new(ErrorKind::Invalid, error.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_ports_are_taken_apart() {
        assert_eq!(exposed("80-81/UDP").unwrap(), ["80/udp", "81/udp"]);
        assert_eq!(exposed("127.0.0.1:8080:80").unwrap(), ["80/tcp"]);
        assert_eq!(
            exposed("99999").unwrap_err(),
            "invalid containerPort: 99999"
        );
        assert_eq!(
            exposed("80/foo").unwrap_err(),
            "invalid port: \"80/foo\": invalid proto: foo"
        );
    }
}
