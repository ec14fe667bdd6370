//! What talks to registries: `pull`, `push`, `login`, `logout` of single images and of projects.
//!
//! The lines are Docker's: `docker pull` prints to stdout, a line for each layer and step; Compose
//! shows images and layers as resources.

use std::io::BufRead as _;
use std::sync::{Mutex, PoisonError};

use ketch_runtime::error::ErrorKind;
use ketch_runtime::image::Image;
use ketch_runtime::image::platform::Platform;
use ketch_runtime::image::reference::Reference;
use ketch_runtime::registry::Registries;
use ketch_runtime::registry::credentials::{ConfigFile, Credentials, HUB, Kept};
use ketch_runtime::registry::pull::{LayerState, Pulled};
use ketch_runtime::registry::push::PushState;

use super::{Context, Error, Result};
use crate::ui::progress::{Event, Progress, Status};
use crate::ui::status;

impl Context {
    /// Registries, for the time of one operation.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn registries(&self) -> Result<Registries> {
        Ok(Registries::new(
            self.registry.clone(),
            Some(self.cancel.clone()),
        )?)
    }
}

/// `image pull`, as `docker pull` prints it.
///
/// # Errors
/// What the registry refuses.
pub fn pull(context: &Context, name: &str, platform: Option<&str>, quiet: bool) -> Result<()> {
    let platform = platform.map(Platform::parse).transpose()?;
    let reference = Reference::parse(name)?;
    if reference.tag.is_none() && reference.digest.is_none() && !quiet {
        context.ui.line("Using default tag: latest")?;
    }
    let reference = reference.or_latest();
    if context.dry_run {
        return Ok(context.ui.line(format_args!(
            "{}: would be pulled from {}",
            reference.familiar(),
            reference.domain
        ))?);
    }
    let registries = context.registries()?;
    let target = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.clone().unwrap_or_default(),
    };
    let header = format!("{target}: Pulling from {}", reference.path);
    let said = Mutex::new(false);
    let say = |line: String| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if !*said && !quiet {
            // Nobody reads stdout any more: the end of the command tells.
            let _unread = context.ui.line(&header);
            *said = true;
        }
        if !quiet && !line.is_empty() {
            let _unread = context.ui.line(line);
        }
    };
    let pulled =
        context
            .engine
            .pull_image(&registries, name, platform.as_ref(), &|layer, state| {
                if let Some(text) = layer_words(state) {
                    say(format!("{layer}: {text}"));
                }
            })?;
    say(String::new());
    for warning in pulled.warnings.iter().chain(&registries.warnings()) {
        context.ui.warn(warning);
    }
    if !quiet {
        context.ui.line(format_args!("Digest: {}", pulled.digest))?;
        let shown = reference.familiar();
        let status = if pulled.is_new {
            format!("Status: Downloaded newer image for {shown}")
        } else {
            format!("Status: Image is up to date for {shown}")
        };
        context.ui.line(status)?;
    }
    Ok(context.ui.line(&reference)?)
}

/// `image pull --all-tags`.
///
/// # Errors
/// A name with a tag; what the registry refuses.
pub fn pull_all(context: &Context, name: &str, platform: Option<&str>, quiet: bool) -> Result<()> {
    let reference = Reference::parse(name)?;
    if reference.tag.is_some() || reference.digest.is_some() {
        return Err(Error::Failed("tag can't be used with --all-tags/-a".into()));
    }
    for tag in context.registries()?.tags(&reference)? {
        pull(
            context,
            &format!("{}:{tag}", reference.name()),
            platform,
            quiet,
        )?;
    }
    Ok(())
}

/// The steps of a layer that are a line of their own.
fn layer_words(state: LayerState) -> Option<&'static str> {
    Some(match state {
        LayerState::Waiting => "Pulling fs layer",
        LayerState::Exists => "Already exists",
        LayerState::Downloaded => "Download complete",
        LayerState::Complete => "Pull complete",
        LayerState::Downloading { .. } => return None,
    })
}

/// One image for a project, its layers shown below it.
///
/// # Errors
/// What the registry refuses; the picture has it too.
pub fn pull_shown(
    context: &Context,
    registries: &Registries,
    name: &str,
    platform: Option<&str>,
    progress: &Progress,
) -> ketch_runtime::error::Result<Pulled> {
    let id = format!("Image {name}");
    progress.working(&id, "Pulling");
    let platform = match platform {
        Some(text) => Some(Platform::parse(text)?),
        None => None,
    };
    let on = |layer: &str, state: LayerState| {
        let details = match state {
            LayerState::Downloading {
                done_bytes,
                total_bytes,
            } if progress.is_redrawn() => {
                format!("{}/{}", status::size(done_bytes), status::size(total_bytes))
            }
            LayerState::Downloading { .. } => return,
            _ => String::new(),
        };
        let (text, status) = match state {
            LayerState::Downloading { .. } => ("Downloading", Status::Working),
            LayerState::Exists => ("Already exists", Status::Done),
            LayerState::Complete => ("Pull complete", Status::Done),
            other => (layer_words(other).unwrap_or_default(), Status::Working),
        };
        progress.show(&Event {
            details,
            ..Event::new(layer, text, status)
        });
    };
    let pulled = context
        .engine
        .pull_image(registries, name, platform.as_ref(), &on)?;
    progress.done(&id, "Pulled");
    Ok(pulled)
}

/// The image of this name: from the store, else from its registry. What builds begin with.
///
/// # Errors
/// What the registry refuses.
pub fn image_or_pull(
    context: &Context,
    name: &str,
    fresh: bool,
    progress: &Progress,
) -> ketch_runtime::error::Result<Image> {
    match context.engine.image(name) {
        Ok(image) if !fresh => return Ok(image),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let registries = Registries::new(context.registry.clone(), Some(context.cancel.clone()))?;
    Ok(pull_shown(context, &registries, name, None, progress)?.image)
}

/// `image push`, as `docker push` prints it.
///
/// # Errors
/// What the registry refuses.
pub fn push(context: &Context, name: &str, quiet: bool) -> Result<()> {
    let reference = Reference::parse(name)?;
    if reference.tag.is_none() && !quiet {
        context.ui.line("Using default tag: latest")?;
    }
    let reference = reference.or_latest();
    if !quiet {
        let line = format!("The push refers to repository [{}]", reference.name());
        context.ui.line(line)?;
    }
    if context.dry_run {
        return Ok(());
    }
    let registries = context.registries()?;
    let pushed = context
        .engine
        .push_image(&registries, name, &|layer, state| {
            if !quiet {
                let _unread = context
                    .ui
                    .line(format_args!("{layer}: {}", push_words(&state)));
            }
        })?;
    for warning in registries.warnings() {
        context.ui.warn(warning);
    }
    if quiet {
        return Ok(context.ui.line(&reference)?);
    }
    let tag = reference.tag.as_deref().unwrap_or_default();
    Ok(context.ui.line(format_args!(
        "{tag}: digest: {} size: {}",
        pushed.digest, pushed.size_bytes
    ))?)
}

/// In Docker's words.
pub(super) fn push_words(state: &PushState) -> String {
    match state {
        PushState::Preparing => "Preparing".into(),
        PushState::Pushing => "Pushing".into(),
        PushState::Exists => "Layer already exists".into(),
        PushState::Mounted(from) => format!("Mounted from {from}"),
        PushState::Pushed => "Pushed".into(),
    }
}

/// What `login` was told.
#[derive(Debug, Default)]
pub struct Login {
    /// Absent: Docker Hub.
    pub server: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub password_stdin: bool,
}

/// Proves credentials to a registry and keeps them.
///
/// # Errors
/// A refusal; a file that can't be written.
pub fn login(context: &Context, options: Login) -> Result<()> {
    if options.password.is_some() && options.password_stdin {
        let message = "--password and --password-stdin are mutually exclusive";
        return Err(Error::Failed(message.into()));
    }
    if options.password_stdin && options.user.is_none() {
        let message = "Must provide --username with --password-stdin";
        return Err(Error::Failed(message.into()));
    }
    let domain = domain_of(options.server.as_deref())?;
    let directory = config_directory(context)?;
    let mut file = ConfigFile::read(directory)?;
    let credentials = match given(context, &options)? {
        Some(credentials) => credentials,
        None => match known(context, &domain, &file)? {
            Some(known) => {
                let credentials = context.registries()?.login(&domain, &known);
                if credentials.is_ok() {
                    return Ok(context.ui.line("Login Succeeded")?);
                }
                asked(context, &domain, options.user)?
            }
            None => asked(context, &domain, options.user)?,
        },
    };
    let kept = context.registries()?.login(&domain, &credentials)?;
    if let Kept::File(path) = file.store(&domain, &kept)? {
        context.ui.talk(format_args!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential \
             helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    Ok(context.ui.line("Login Succeeded")?)
}

/// Forgets the credentials of a registry.
///
/// # Errors
/// A file that can't be written.
pub fn logout(context: &Context, server: Option<&str>) -> Result<()> {
    let domain = domain_of(server)?;
    let shown = if domain == "docker.io" { HUB } else { &domain };
    let line = format!("Removing login credentials for {shown}");
    context.ui.line(line)?;
    ConfigFile::read(config_directory(context)?)?.erase(&domain)?;
    Ok(())
}

fn config_directory(context: &Context) -> Result<&std::path::Path> {
    context.registry.user.as_deref().ok_or_else(|| {
        let message = "neither HOME nor DOCKER_CONFIG says where credentials are kept";
        Error::Failed(message.into())
    })
}

/// A host, with or without scheme and path.
fn domain_of(server: Option<&str>) -> Result<String> {
    let Some(server) = server else {
        return Ok("docker.io".into());
    };
    let bare = server.strip_prefix("https://").unwrap_or(server);
    let bare = bare.strip_prefix("http://").unwrap_or(bare);
    let host = bare.split('/').next().unwrap_or_default();
    if matches!(
        host,
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    ) {
        return Ok("docker.io".into());
    }
    // A registry is what may stand before a name.
    match Reference::parse(&format!("{host}/x")) {
        Ok(reference) if reference.domain == host => Ok(reference.domain),
        _ => Err(Error::Failed(format!("{server:?} is no registry"))),
    }
}

fn given(context: &Context, options: &Login) -> Result<Option<Credentials>> {
    let password = if options.password_stdin {
        let text = std::io::read_to_string(std::io::stdin())
            .map_err(|error| Error::Failed(format!("standard input: {error}")))?;
        Some(text.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        if options.password.is_some() {
            context
                .ui
                .talk("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        }
        options.password.clone()
    };
    Ok(match (&options.user, password) {
        (Some(user), Some(password)) => Some(Credentials::Password {
            user: user.clone(),
            password,
        }),
        _ => None,
    })
}

fn known(context: &Context, domain: &str, file: &ConfigFile) -> Result<Option<Credentials>> {
    let known = file.find(domain)?;
    let user = match &known {
        Credentials::Anonymous => return Ok(None),
        Credentials::Password { user, .. } => format!(" [Username: {user}]"),
        _ => String::new(),
    };
    context.ui.talk(format_args!(
        "Authenticating with existing credentials...{user}"
    ));
    Ok(Some(known))
}

/// Asks the person at the terminal.
fn asked(context: &Context, domain: &str, user: Option<String>) -> Result<Credentials> {
    if !context.ui.is_interactive() {
        let message = "Error: Cannot perform an interactive login from a non TTY device";
        return Err(Error::Failed(message.into()));
    }
    let shown = if domain == "docker.io" { HUB } else { domain };
    context.ui.talk(format_args!("Login to {shown}."));
    let user = match user {
        Some(user) => user,
        None => line_of(context, "Username: ")?,
    };
    let password = {
        let _hidden = Hidden::new()?;
        let password = line_of(context, "Password: ")?;
        context.ui.talk("");
        password
    };
    if user.is_empty() || password.is_empty() {
        return Err(Error::Failed("username and password are required".into()));
    }
    Ok(Credentials::Password { user, password })
}

fn line_of(context: &Context, prompt: &str) -> Result<String> {
    context.ui.error_data(prompt.as_bytes());
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Error::Failed(format!("standard input: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn new() -> Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let failed = |errno| Error::Failed(format!("terminal: {errno}"));
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        // The terminal is gone: so is what was typed.
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_host() {
        let domain = |text| domain_of(Some(text)).ok();
        assert_eq!(domain_of(None).ok().as_deref(), Some("docker.io"));
        for (text, expected) in [
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("http://localhost:5000/v2/", Some("localhost:5000")),
            ("r.test", Some("r.test")),
            ("nothost", None),
            ("a b.test", None),
        ] {
            assert_eq!(domain(text).as_deref(), expected, "{text}");
        }
    }
}
