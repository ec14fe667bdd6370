//! `top`: the processes of running containers.

use super::scope::Scope;
use super::{Context, Result};
use crate::ui::table::{self, Layout};

/// Lists them, a line each.
///
/// # Errors
/// `no such service: x`.
pub fn run(context: &Context, services: &[String]) -> Result<()> {
    let scope = Scope::find(context)?;
    let mut rows = Vec::new();
    for member in scope.containers(&context.engine, services)? {
        if !member.container.state.status.is_active() {
            continue;
        }
        for process in context.engine.container_processes(member.name())? {
            rows.push(vec![
                member.service.clone(),
                member.number.to_string(),
                process.uid.to_string(),
                process.pid.to_string(),
                process.ppid.to_string(),
                process.command,
            ]);
        }
    }
    if !rows.is_empty() {
        let head = ["SERVICE", "#", "UID", "PID", "PPID", "CMD"];
        context
            .ui
            .data(table::render(Layout::Docker, &head, &rows).as_bytes())?;
    }
    Ok(())
}
