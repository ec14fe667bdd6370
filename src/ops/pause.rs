//! `pause` and `unpause`.

use ketch_runtime::engine::Engine;

use super::scope::Scope;
use super::{Context, Error, Result};

/// Freezes the running containers of these services.
///
/// # Errors
/// Each failure was shown.
pub fn pause(context: &Context, services: &[String]) -> Result<()> {
    each(
        context,
        services,
        ["Pausing", "Paused"],
        Engine::pause_container,
    )
}

/// Thaws the paused containers of these services.
///
/// # Errors
/// Each failure was shown.
pub fn unpause(context: &Context, services: &[String]) -> Result<()> {
    each(
        context,
        services,
        ["Unpausing", "Unpaused"],
        Engine::unpause_container,
    )
}

fn each(
    context: &Context,
    services: &[String],
    [before, after]: [&str; 2],
    act: impl Fn(&Engine, &str) -> ketch_runtime::error::Result<()>,
) -> Result<()> {
    let scope = Scope::find(context)?;
    let members = scope.containers(&context.engine, services)?;
    let progress = context.ui.progress("Running");
    let mut failed = false;
    for member in members
        .iter()
        .filter(|member| member.container.state.status.is_active())
    {
        let id = format!("Container {}", member.name());
        progress.working(&id, before);
        let result = if context.dry_run {
            Ok(())
        } else {
            act(&context.engine, member.name())
        };
        match result {
            Ok(()) => progress.done(&id, after),
            Err(error) => {
                progress.error(&id, error);
                failed = true;
            }
        }
    }
    progress.finish();
    if failed { Err(Error::Reported) } else { Ok(()) }
}
