//! `build`: what it refers to, and the platforms.

use super::{attribute, meant, or_define};
use crate::diag::{Diagnostic, Diagnostics};
use crate::model::{Build, Project, Service};

/// Checks the build of a service, when it has one.
pub(super) fn check(project: &Project, service: &Service, diagnostics: &mut Diagnostics) {
    let Some(build) = &service.build else { return };
    check_secrets(project, service, build, diagnostics);
    check_contexts(project, service, build, diagnostics);
    check_platform(service, build, diagnostics);
}

fn check_secrets(
    project: &Project,
    service: &Service,
    build: &Build,
    diagnostics: &mut Diagnostics,
) {
    for secret in &build.secrets {
        if project.secrets.contains_key(&secret.value) {
            continue;
        }
        let message = format!(
            "service {:?} refers to undefined build secret {}: invalid compose project",
            service.name, secret.value
        );
        let diagnostic = Diagnostic::error(secret.span, message);
        let diagnostic = meant(diagnostic, &secret.value, project.secrets.keys());
        diagnostics.push(or_define(diagnostic, "secrets", &secret.value));
    }
}

/// `service:x` is the image that x builds, be its profile on or off.
fn check_contexts(
    project: &Project,
    service: &Service,
    build: &Build,
    diagnostics: &mut Diagnostics,
) {
    for (name, context) in &build.additional_contexts {
        let Some(other) = context.value.strip_prefix("service:") else {
            continue;
        };
        let found = project.services.get(other);
        let what = match found.or_else(|| project.disabled.get(other)) {
            Some(other) if other.build.is_some() => continue,
            Some(_) => "non-buildable",
            None => "unknown",
        };
        let message = format!(
            "service {:?} declares {what} service {other:?} as additional contexts {name}: invalid compose project",
            service.name
        );
        let diagnostic = Diagnostic::error(context.span, message);
        diagnostics.push(match what {
            "unknown" => meant(diagnostic, other, project.services.keys()),
            _ => diagnostic.hint(format!("give `{other}` a `build`")),
        });
    }
}

fn check_platform(service: &Service, build: &Build, diagnostics: &mut Diagnostics) {
    let Some(platform) = &service.platform else {
        return;
    };
    if build.platforms.is_empty() || build.platforms.contains(platform) {
        return;
    }
    let message = format!(
        "services.{}: service.build.platforms MUST include service.platform {platform:?}: invalid compose project",
        service.name
    );
    let place = attribute(service, &["platform"]);
    let platforms = attribute(service, &["build", "platforms"]);
    diagnostics.push(Diagnostic::error(place, message).label(platforms, "it is not among these"));
}
