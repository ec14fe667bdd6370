//! Pure: keep, create, recreate, remove: what becomes of each container of a service, and why.

use std::collections::BTreeSet;

use ketch_runtime::spec::{ContainerSpec, MountKind, MountSpec, Namespace, NetworkMode};

use super::reconcile::Scope;
use super::{Cause, ObservedContainer, Recreate, difference};
use crate::lowering::LoweredService;
use crate::model::names::label;

/// What becomes of one container.
#[derive(Debug, Clone)]
pub(super) struct Decision<'a> {
    pub(super) service: &'a str,
    /// The name that it has in the end.
    pub(super) name: String,
    pub(super) action: Action<'a>,
    pub(super) cause: Cause,
    /// Present when something is created.
    pub(super) spec: Option<Wanted>,
    /// The container that is there now and stays.
    pub(super) observed: Option<&'a ObservedContainer>,
}

#[derive(Debug, Clone)]
pub(super) enum Action<'a> {
    /// As it is; started when it does not run.
    Keep {
        running: bool,
    },
    Create,
    /// A new one under a temporary name takes the old one's place.
    Recreate {
        old: &'a ObservedContainer,
        temporary: String,
    },
    /// The old one has been removed, with a volume that it used; a new one is created.
    Replace,
    /// Stopped, and started again after its dependency.
    Restart,
    Remove {
        old: &'a ObservedContainer,
    },
    /// An interrupted recreation left it beside the container that it should have replaced.
    Clear {
        old: &'a ObservedContainer,
    },
    /// What an interrupted recreation left under its temporary name gets the final one.
    Rename {
        old: &'a ObservedContainer,
    },
}

impl<'a> Decision<'a> {
    /// The container that has to end for it.
    pub(super) fn stops(&self) -> Option<&'a ObservedContainer> {
        match &self.action {
            Action::Recreate { old, .. } | Action::Remove { old } => Some(old),
            Action::Restart => self.observed,
            Action::Keep { .. }
            | Action::Create
            | Action::Replace
            | Action::Rename { .. }
            | Action::Clear { .. } => None,
        }
    }

    /// Why the container is started, where no earlier step of it says so.
    pub(super) fn start_cause(&self) -> Cause {
        match self.action {
            Action::Keep { running: false } if self.observed.is_some_and(|old| old.stopping) => {
                Cause::Stopping
            }
            Action::Keep { running: false } => Cause::NotRunning,
            Action::Keep { .. }
            | Action::Create
            | Action::Recreate { .. }
            | Action::Replace
            | Action::Restart
            | Action::Remove { .. }
            | Action::Rename { .. }
            | Action::Clear { .. } => Cause::Follows,
        }
    }
}

/// A spec, and what it names.
#[derive(Debug, Clone)]
pub(super) struct Wanted(pub(super) ContainerSpec);

impl Wanted {
    /// Real names of the networks that it joins.
    pub(super) fn networks(&self) -> Vec<String> {
        match &self.0.network {
            NetworkMode::Networks(endpoints) => endpoints
                .iter()
                .map(|endpoint| endpoint.network.clone())
                .collect(),
            NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => Vec::new(),
        }
    }

    /// Real names of the volumes that it mounts.
    pub(super) fn volumes(&self) -> Vec<String> {
        let names = self.0.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Volume { name, .. } => name.clone(),
            MountKind::Bind { .. } | MountKind::Tmpfs { .. } | MountKind::File { .. } => None,
        });
        names.collect()
    }

    /// Names of the containers whose namespaces it joins.
    pub(super) fn shares(&self) -> Vec<String> {
        let security = &self.0.security;
        let mut names = Vec::new();
        if let NetworkMode::Container(name) = &self.0.network {
            names.push(name.clone());
        }
        let spaces = [
            Some(&security.pid),
            Some(&security.ipc),
            Some(&security.uts),
            security.cgroup.as_ref(),
        ];
        for space in spaces.into_iter().flatten() {
            if let Namespace::Container(name) = space {
                names.push(name.clone());
            }
        }
        names
    }
}

/// Decides for every container of a service. `earlier` are the decisions for the services that it
/// depends on; `replaced` the volumes that are made anew.
pub(super) fn decide_service<'a>(
    scope: &Scope<'a>,
    service: &'a str,
    earlier: &[Decision<'a>],
    replaced: &BTreeSet<String>,
) -> Vec<Decision<'a>> {
    let Some(lowered) = scope.lowered.services.get(service) else {
        return Vec::new();
    };
    let judge = Judge {
        scope,
        service,
        lowered,
        earlier,
        replaced,
    };
    match &scope.options.one_off {
        Some(one_off) if one_off.service == service => {
            vec![judge.make(lowered.one_off(one_off), Cause::Asked)]
        }
        _ => judge.decide(),
    }
}

struct Judge<'a, 'b> {
    scope: &'b Scope<'a>,
    service: &'a str,
    lowered: &'a LoweredService,
    earlier: &'b [Decision<'a>],
    replaced: &'b BTreeSet<String>,
}

impl<'a> Judge<'a, '_> {
    fn decide(&self) -> Vec<Decision<'a>> {
        let wanted = self.scope.replicas(self.service) as usize;
        let (mut existing, left_over) = self.existing();
        let mut decisions: Vec<Decision<'a>> = left_over
            .into_iter()
            .map(|old| self.end(old, Action::Clear { old }, Cause::LeftOver))
            .collect();
        let highest = existing.iter().map(|old| old.number).max().unwrap_or(0);
        if existing.len() > wanted {
            // Obsolete ones go first, then the highest numbers.
            existing.sort_by_key(|old| {
                (
                    self.divergence(old).is_none(),
                    std::cmp::Reverse(old.number),
                )
            });
            existing.reverse();
            for old in existing.split_off(wanted) {
                decisions.push(self.end(old, Action::Remove { old }, Cause::ScaledDown));
            }
            existing.sort_by_key(|old| old.number);
        }
        let missing = wanted - existing.len();
        decisions.extend(existing.into_iter().map(|old| self.keep_or_recreate(old)));
        let numbers = (1..).map(|offset| highest + offset).take(missing);
        decisions.extend(numbers.map(|number| self.create(number)));
        decisions
    }

    /// The service's containers by number, and what an interrupted recreation left beside them.
    fn existing(&self) -> (Vec<&'a ObservedContainer>, Vec<&'a ObservedContainer>) {
        let (mut existing, mut left_over): (Vec<&'a ObservedContainer>, Vec<_>) =
            (Vec::new(), Vec::new());
        for container in self.scope.observed.of_service(self.service) {
            if !super::reconcile::is_ours(container) {
                continue;
            }
            match existing.last_mut() {
                Some(last) if last.number == container.number => {
                    // The one with the temporary name never ran.
                    if self.is_temporary(last) {
                        left_over.push(std::mem::replace(last, container));
                    } else {
                        left_over.push(container);
                    }
                }
                _ => existing.push(container),
            }
        }
        (existing, left_over)
    }

    fn is_temporary(&self, container: &ObservedContainer) -> bool {
        let name = self.lowered.container_name(container.number);
        let Some(prefix) = container.name.strip_suffix(&format!("_{name}")) else {
            return false;
        };
        prefix.len() == 12 && prefix.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    fn create(&self, number: u32) -> Decision<'a> {
        self.make(self.lowered.container(number), Cause::Missing)
    }

    fn make(&self, spec: ContainerSpec, cause: Cause) -> Decision<'a> {
        Decision {
            service: self.service,
            name: spec.name.clone(),
            action: Action::Create,
            cause,
            spec: Some(Wanted(spec)),
            observed: None,
        }
    }

    fn end(&self, old: &'a ObservedContainer, action: Action<'a>, cause: Cause) -> Decision<'a> {
        Decision {
            service: self.service,
            name: old.name.clone(),
            action,
            cause,
            spec: None,
            observed: Some(old),
        }
    }

    fn keep_or_recreate(&self, old: &'a ObservedContainer) -> Decision<'a> {
        let emptied = old
            .volumes
            .iter()
            .find(|mount| self.replaced.contains(&mount.volume));
        if let Some(mount) = emptied {
            let cause = Cause::VolumeRecreated(mount.volume.clone());
            return self.renew(old, Action::Replace, cause, None);
        }
        if let Some(cause) = self.divergence(old) {
            let temporary = format!(
                "{}_{}",
                old.short_id(),
                self.lowered.container_name(old.number)
            );
            let action = Action::Recreate {
                old,
                temporary: temporary.clone(),
            };
            return self.renew(old, action, cause, Some(temporary));
        }
        let (action, name) = if self.is_temporary(old) {
            (
                Action::Rename { old },
                self.lowered.container_name(old.number),
            )
        } else {
            // One that is about to end is started again once it has.
            let running = old.is_active() && !old.stopping;
            (Action::Keep { running }, old.name.clone())
        };
        let cause = if self.is_temporary(old) {
            Cause::LeftOver
        } else {
            Cause::Follows
        };
        Decision {
            service: self.service,
            name,
            action,
            cause,
            spec: None,
            observed: Some(old),
        }
    }

    fn renew(
        &self,
        old: &'a ObservedContainer,
        action: Action<'a>,
        cause: Cause,
        temporary: Option<String>,
    ) -> Decision<'a> {
        let mut spec = self.lowered.container(old.number);
        let name = spec.name.clone();
        if let Some(temporary) = temporary {
            let replaced = format!("{}-{}", self.service, old.number);
            spec.labels.insert(label::REPLACE.into(), replaced);
            spec.name = temporary;
        }
        if !self.scope.options.renew_anonymous_volumes {
            self.inherit(&mut spec, old);
        }
        Decision {
            service: self.service,
            name,
            action,
            cause,
            spec: Some(Wanted(spec)),
            observed: Some(old),
        }
    }

    /// Anonymous volumes go to the new container: those of mounts without a source, and those of
    /// the image's `VOLUME`s, by target.
    fn inherit(&self, spec: &mut ContainerSpec, old: &ObservedContainer) {
        for inherited in old.volumes.iter().filter(|mount| mount.anonymous) {
            if self.replaced.contains(&inherited.volume) {
                continue;
            }
            let same_target = |mount: &&mut MountSpec| mount.target == inherited.target;
            match spec.mounts.iter_mut().find(same_target) {
                Some(mount) => {
                    if let MountKind::Volume { name, .. } = &mut mount.kind {
                        name.get_or_insert_with(|| inherited.volume.clone());
                    }
                }
                None if self.image_declares(&inherited.target) => spec.mounts.push(MountSpec {
                    target: inherited.target.clone(),
                    read_only: false,
                    kind: MountKind::Volume {
                        name: Some(inherited.volume.clone()),
                        no_copy: false,
                        subpath: None,
                    },
                }),
                None => {}
            }
        }
    }

    /// Whether the new image has a volume there; an unknown image is given the benefit of the doubt.
    fn image_declares(&self, target: &str) -> bool {
        let id = self.lowered.image_id.as_ref();
        let image = id.and_then(|id| self.scope.observed.images.get(id));
        image.is_none_or(|image| image.volumes.iter().any(|volume| volume == target))
    }

    /// Why the container has to give way; `None`: it may stay.
    fn divergence(&self, old: &ObservedContainer) -> Option<Cause> {
        let options = self.scope.options;
        let policy = if self.scope.is_target(self.service) {
            match options.recreate {
                Recreate::Diverged if options.renew_anonymous_volumes => Recreate::Force,
                policy => policy,
            }
        } else {
            options.recreate_dependencies
        };
        match policy {
            Recreate::Never => return None,
            Recreate::Force => return Some(Cause::Forced),
            Recreate::Diverged => {}
        }
        if old.config_hash.as_ref() != Some(&self.lowered.config_hash) {
            let wanted = self.lowered.container(old.number);
            let what = old
                .spec
                .as_ref()
                .map(|spec| difference::describe(spec, &wanted));
            return Some(Cause::ConfigurationChanged(what.unwrap_or_default()));
        }
        if self
            .lowered
            .image_id
            .as_ref()
            .is_some_and(|id| *id != old.image_id)
        {
            return Some(Cause::ImageChanged);
        }
        let wanted = Wanted(self.lowered.template().clone());
        if let Some(name) = wanted
            .networks()
            .into_iter()
            .find(|name| !old.networks.contains(name))
        {
            return Some(Cause::NetworkMissing(name));
        }
        let mounts = |name: &String| old.volumes.iter().any(|mount| mount.volume == *name);
        if let Some(name) = wanted.volumes().into_iter().find(|name| !mounts(name)) {
            return Some(Cause::VolumeMissing(name));
        }
        let renewed = |name: &String| {
            self.earlier.iter().any(|decision| {
                let is_new = matches!(
                    decision.action,
                    Action::Recreate { .. } | Action::Replace | Action::Create
                );
                is_new && decision.name == *name
            })
        };
        wanted
            .shares()
            .into_iter()
            .find(renewed)
            .map(Cause::SharesRecreated)
    }
}
