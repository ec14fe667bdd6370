//! Pure: which networks to make, or to make anew.

use ketch_runtime::spec::NetworkSpec;

use super::{Observed, ObservedNetwork};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lowering::Lowered;
use crate::model::Project;
use crate::model::names::label;

/// Networks that are there without anyone making them.
const PREDEFINED: &[&str] = &["bridge", "host", "none"];

/// A network to make.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) spec: NetworkSpec,
    /// It exists, but differs: everyone leaves it, and comes back afterwards.
    pub(super) recreate: bool,
}

pub(super) fn decide(
    project: &Project,
    lowered: &Lowered,
    observed: &Observed,
    problems: &mut Diagnostics,
    warnings: &mut Vec<String>,
) -> Vec<Decision> {
    for network in project.networks.values() {
        let resource = &network.resource;
        if resource.external && !exists(observed, &resource.name) {
            let message = format!(
                "network {} declared as external, but could not be found",
                resource.name
            );
            problems.push(Diagnostic::error(resource.span, message));
        }
    }
    let mut decisions = Vec::new();
    for spec in lowered.networks.values() {
        let recreate = match observed.networks.get(&spec.name) {
            None => false,
            Some(there) if is_ours(there, &project.name) => {
                if there.labels.get(label::CONFIG_HASH) == spec.labels.get(label::CONFIG_HASH) {
                    continue;
                }
                true
            }
            Some(_) => {
                warnings.push(format!(
                    "a network with name {} exists but was not created for project {:?}.\n\
                     Set `external: true` to use an existing network",
                    spec.name, project.name
                ));
                continue;
            }
        };
        decisions.push(Decision {
            spec: spec.clone(),
            recreate,
        });
    }
    decisions
}

/// By exact name, then by id.
fn exists(observed: &Observed, name: &str) -> bool {
    PREDEFINED.contains(&name)
        || observed.networks.contains_key(name)
        || observed.networks.values().any(|network| network.id == name)
}

fn is_ours(network: &ObservedNetwork, project: &str) -> bool {
    network
        .labels
        .get(label::PROJECT)
        .is_some_and(|name| name == project)
}
