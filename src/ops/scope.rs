//! Which project a command is about, and which of its containers.
//!
//! Commands that only look at containers, or stop them, work without a compose file when
//! the project's name is given: containers carry what is needed as labels.

use ketch_runtime::container::Container;
use ketch_runtime::container::record::Source;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::ContainerFilter;
use ketch_runtime::spec::NetworkMode;

use super::{Context, Error, Result};
use crate::diag::Sources;
use crate::graph::ServiceGraph;
use crate::model::names::label;
use crate::model::{Condition, Project};
use crate::planner::{Observed, teardown};

/// A project by its files, or by its name alone.
#[derive(Debug)]
pub struct Scope {
    pub name: String,
    /// Absent: known by its name only.
    pub project: Option<Project>,
    /// The texts that the project was read from.
    pub sources: Sources,
}

/// A container of a project, with what its labels say.
#[derive(Debug, Clone)]
pub struct Member {
    pub container: Container,
    pub service: String,
    /// Zero for one-off containers.
    pub number: u32,
    pub one_off: bool,
}

impl Member {
    /// The container's name.
    pub fn name(&self) -> &str {
        &self.container.record.name
    }

    /// The name without `<project>-`, as logs show it.
    pub fn short_name(&self, project: &str) -> &str {
        short_name(self.name(), project)
    }

    fn of(container: Container) -> Self {
        let labels = &container.record.spec.labels;
        let text = |key: &str| labels.get(key).cloned().unwrap_or_default();
        Self {
            service: text(label::SERVICE),
            number: text(label::NUMBER).parse().unwrap_or(0),
            one_off: text(label::ONE_OFF) == "True",
            container,
        }
    }
}

/// A container's name without `<project>-`.
pub fn short_name<'a>(name: &'a str, project: &str) -> &'a str {
    name.strip_prefix(project)
        .and_then(|rest| rest.strip_prefix('-'))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name)
}

/// All containers with the project's label, by name; one-off ones too.
///
/// # Errors
/// When the store can't be read.
pub fn members(engine: &Engine, project: &str) -> Result<Vec<Member>> {
    let filter = ContainerFilter {
        labels: vec![(label::PROJECT.into(), Some(project.into()))],
    };
    let mut members: Vec<Member> = engine
        .containers(&filter)?
        .into_iter()
        .map(Member::of)
        .collect();
    members.sort_by_key(natural);
    Ok(members)
}

/// `app-web-2` before `app-web-10`.
fn natural(member: &Member) -> (String, u32, String) {
    let name = member.name().to_owned();
    let stem = name
        .strip_suffix(&member.number.to_string())
        .unwrap_or(&name)
        .to_owned();
    (stem, member.number, name)
}

impl Scope {
    /// Finds the project by its files; without any, by `-p` or `COMPOSE_PROJECT_NAME`.
    ///
    /// # Errors
    /// What is wrong with the files; or that there are none and no name is given.
    pub fn find(context: &Context) -> Result<Self> {
        match context.load(&[]) {
            Ok(loaded) => Ok(Self {
                name: loaded.project.name.clone(),
                project: Some(loaded.project),
                sources: loaded.sources,
            }),
            Err(Error::Invalid(failed)) if names_no_file(&failed) => {
                let options = &context.project;
                let name = options
                    .project_name
                    .clone()
                    .or_else(|| options.environment.get("COMPOSE_PROJECT_NAME").cloned())
                    .filter(|name| !name.is_empty());
                match name {
                    Some(name) => Ok(Self {
                        name,
                        project: None,
                        sources: Sources::default(),
                    }),
                    None => Err(Error::Invalid(failed)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The project's containers, one-off ones not included: those of these services (empty: of
    /// every service that the files have and whose profile is on).
    ///
    /// # Errors
    /// `no such service: x`.
    pub fn containers(&self, engine: &Engine, services: &[String]) -> Result<Vec<Member>> {
        let all = members(engine, &self.name)?;
        self.check(&all, services)?;
        Ok(all
            .into_iter()
            .filter(|member| !member.one_off && self.selects(services, &member.service))
            .collect())
    }

    /// As [`Scope::containers`], with one-off ones.
    ///
    /// # Errors
    /// `no such service: x`.
    pub fn containers_and_one_offs(
        &self,
        engine: &Engine,
        services: &[String],
    ) -> Result<Vec<Member>> {
        let all = members(engine, &self.name)?;
        self.check(&all, services)?;
        Ok(all
            .into_iter()
            .filter(|member| self.selects(services, &member.service))
            .collect())
    }

    /// Whether the files have such a service; without files, whether a container has.
    ///
    /// # Errors
    /// `no such service: x`.
    pub fn check(&self, members: &[Member], services: &[String]) -> Result<()> {
        for service in services {
            let known = match &self.project {
                Some(project) => has(project, service),
                None => members.iter().any(|member| member.service == *service),
            };
            if !known {
                return Err(Error::Failed(format!("no such service: {service}")));
            }
        }
        Ok(())
    }

    /// The services that a command means: those named, else every one that the files have and whose
    /// profile is on; empty: whatever containers say.
    ///
    /// # Errors
    /// `no such service: x`.
    pub fn services(&self, observed: &Observed, named: &[String]) -> Result<Vec<String>> {
        if named.is_empty() {
            let project = self.project.as_ref();
            return Ok(project.map_or_else(Vec::new, |project| {
                project.services.keys().cloned().collect()
            }));
        }
        for service in named {
            let known = match &self.project {
                Some(project) => has(project, service),
                None => observed
                    .containers
                    .iter()
                    .any(|one| one.service == *service),
            };
            if !known {
                return Err(Error::Failed(format!("no such service: {service}")));
            }
        }
        Ok(named.to_vec())
    }

    /// Who needs whom: by the files, or by what containers remember when there are none, or when
    /// a service is meant whose profile is off.
    ///
    /// # Errors
    /// A cycle.
    pub fn graph(&self, observed: &Observed, services: &[String]) -> Result<ServiceGraph> {
        match &self.project {
            Some(project)
                if services
                    .iter()
                    .all(|name| project.services.contains_key(name)) =>
            {
                ServiceGraph::new(project).map_err(|cycle| Error::diagnostic(cycle, &self.sources))
            }
            _ => Ok(teardown::graph_of(observed)),
        }
    }

    /// What a service waits for before it starts, as the files say.
    pub fn dependencies(&self, service: &str) -> Vec<(String, Condition)> {
        let project = self.project.as_ref();
        let found = project.and_then(|project| {
            let services = &project.services;
            services
                .get(service)
                .or_else(|| project.disabled.get(service))
        });
        let dependencies = found.into_iter().flat_map(|service| &service.depends_on);
        dependencies
            .map(|(name, dependency)| (name.clone(), dependency.condition))
            .collect()
    }

    fn selects(&self, services: &[String], service: &str) -> bool {
        if !services.is_empty() {
            return services.iter().any(|name| name == service);
        }
        match &self.project {
            Some(project) => project.services.contains_key(service),
            None => true,
        }
    }

    /// The running container of a service that `exec` and `port` mean.
    ///
    /// # Errors
    /// `no such service: x`, `service "x" is not running`.
    pub fn running(&self, engine: &Engine, service: &str, index: Option<u32>) -> Result<Member> {
        let services = [service.to_owned()];
        let all = self.containers_and_one_offs(engine, &services)?;
        let active = |member: &&Member| member.container.state.status.is_active();
        let fits = |member: &&Member| index.is_none_or(|index| member.number == index);
        let replicas = all
            .iter()
            .filter(|member| !member.one_off)
            .filter(active)
            .filter(fits);
        let found = replicas.min_by_key(|member| member.number).or_else(|| {
            // Only without an index, and when nothing else runs.
            let one_off = all.iter().find(|member| member.one_off && active(member));
            one_off.filter(|_| index.is_none())
        });
        found.cloned().ok_or_else(|| {
            Error::Failed(match index {
                Some(index) => format!("service {service:?} is not running container #{index}"),
                None => format!("service {service:?} is not running"),
            })
        })
    }
}

fn has(project: &Project, service: &str) -> bool {
    project.services.contains_key(service) || project.disabled.contains_key(service)
}

fn names_no_file(failed: &crate::loader::Failed) -> bool {
    failed.diagnostics.iter().any(|diagnostic| {
        diagnostic
            .message
            .starts_with("no configuration file provided")
    })
}

/// The volumes that containers, running or not, use.
///
/// # Errors
/// When the store can't be read.
pub fn volumes_in_use(engine: &Engine) -> Result<std::collections::BTreeSet<String>> {
    let mut used = std::collections::BTreeSet::new();
    for container in engine.containers(&ContainerFilter::default())? {
        for mount in &container.record.mounts {
            if let Source::Volume { name, .. } = &mount.source {
                used.insert(name.clone());
            }
        }
    }
    Ok(used)
}

/// The networks that containers, running or not, name.
///
/// # Errors
/// When the store can't be read.
pub fn networks_in_use(engine: &Engine) -> Result<std::collections::BTreeSet<String>> {
    let mut used = std::collections::BTreeSet::new();
    for container in engine.containers(&ContainerFilter::default())? {
        if let NetworkMode::Networks(endpoints) = &container.record.spec.network {
            used.extend(endpoints.iter().map(|endpoint| endpoint.network.clone()));
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_show_names_without_the_project() {
        assert_eq!(short_name("app-web-1", "app"), "web-1");
        assert_eq!(short_name("longname", "app"), "longname");
        assert_eq!(short_name("app-", "app"), "app-");
    }
}
