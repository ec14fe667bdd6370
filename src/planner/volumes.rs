//! Pure: which volumes to make; what must be asked before data is lost.

use ketch_runtime::spec::VolumeSpec;

use super::{Observed, Options, Plan, Question};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lowering::Lowered;
use crate::model::Project;
use crate::model::names::label;

/// A volume to make.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) spec: VolumeSpec,
    /// It exists, differs, and the user has agreed to lose it.
    pub(super) recreate: bool,
}

pub(super) fn decide(
    project: &Project,
    lowered: &Lowered,
    observed: &Observed,
    options: &Options,
    problems: &mut Diagnostics,
    plan: &mut Plan,
) -> Vec<Decision> {
    for volume in project.volumes.values() {
        let resource = &volume.resource;
        if resource.external && !observed.volumes.contains_key(&resource.name) {
            let message = format!("external volume {:?} not found", resource.name);
            problems.push(Diagnostic::error(resource.span, message));
        }
    }
    let mut decisions = Vec::new();
    for spec in lowered.volumes.values() {
        let name = &spec.name;
        let recreate = match observed.volumes.get(name) {
            None => false,
            Some(there) if there.labels.get(label::PROJECT) != Some(&project.name) => {
                plan.warnings.push(format!(
                    "volume {name:?} already exists but was not created for project {:?}. \
                     Use `external: true` to use an existing volume",
                    project.name
                ));
                continue;
            }
            Some(there) => {
                if there.labels.get(label::CONFIG_HASH) == spec.labels.get(label::CONFIG_HASH) {
                    continue;
                }
                if !options.recreate_volumes.contains(name) {
                    plan.questions.push(Question {
                        volume: name.clone(),
                        text: format!(
                            "Volume {name:?} exists but doesn't match configuration in compose file. \
                             Recreate (data will be lost)?"
                        ),
                    });
                    continue;
                }
                true
            }
        };
        decisions.push(Decision {
            spec: spec.clone(),
            recreate,
        });
    }
    decisions
}
