//! `why`: the story of a service that is not running or not healthy, on one screen.

use jiff::Timestamp;
use ketch_runtime::error::ErrorKind;

use super::scope::{Member, Scope, members};
use super::{Context, Error, Result};
use crate::executor;
use crate::explain::{self, Dependency, Evidence};

/// Tells why; that there is something to tell is no failure.
///
/// # Errors
/// `no such service: x`.
pub fn run(context: &Context, service: &str) -> Result<()> {
    let scope = Scope::find(context)?;
    let members = members(&context.engine, &scope.name)?;
    scope.check(&members, &[service.to_owned()])?;
    let containers = evidence(context, &members, service)?;
    let mut dependencies = Vec::new();
    for (name, dependency) in scope.dependencies(service) {
        dependencies.push(Dependency {
            containers: evidence(context, &members, &name)?,
            condition: dependency,
            service: name,
        });
    }
    let text = explain::story(service, &containers, &dependencies, Timestamp::now());
    Ok(context.ui.data(text.as_bytes())?)
}

/// The containers of a service; one that is removed meanwhile has no story.
fn evidence(context: &Context, members: &[Member], service: &str) -> Result<Vec<Evidence>> {
    let of_service = members.iter().filter(|member| member.service == service);
    let mut found = Vec::new();
    for member in of_service.filter(|member| !member.one_off) {
        match executor::evidence(&context.engine, member.name()) {
            Ok(evidence) => found.push(evidence),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::Engine(error)),
        }
    }
    Ok(found)
}
