//! Pure: the container of `run`: a service's, but for what it is one of.

use ketch_runtime::spec::{ContainerSpec, NetworkMode, RestartPolicy};

use super::LoweredService;
use crate::model::names::{self, label};

/// What `run` says beside the service itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneOff {
    pub service: String,
    /// 64 hexadecimal digits.
    pub slug: String,
    /// `--name`.
    pub name: Option<String>,
    /// `--use-aliases`: it answers to the service's names too.
    pub use_aliases: bool,
    /// `--rm`.
    pub auto_remove: bool,
    /// Its stdin ends with the one who is attached to it.
    pub stdin_once: bool,
    /// The plan only makes it: who is attached to it from its first byte starts it.
    pub attached: bool,
}

impl LoweredService {
    /// The spec of a container beside those of the service.
    pub fn one_off(&self, one_off: &OneOff) -> ContainerSpec {
        let mut spec = self.template.clone();
        spec.name = match &one_off.name {
            Some(name) => name.clone(),
            None => names::one_off(&self.project, &self.name, &one_off.slug),
        };
        spec.labels.insert(label::ONE_OFF.into(), "True".into());
        spec.labels.insert(label::SLUG.into(), one_off.slug.clone());
        spec.restart = RestartPolicy::No;
        spec.auto_remove = one_off.auto_remove;
        spec.process.stdin_once = one_off.stdin_once;
        if let NetworkMode::Networks(endpoints) = &mut spec.network
            && !one_off.use_aliases
        {
            endpoints.iter_mut().for_each(|it| it.aliases.clear());
        }
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{loaded, lowered};
    use super::*;

    #[test]
    fn it_is_none_of_the_services_containers() {
        let project = loaded(
            "services: {web: {image: i, restart: always, container_name: fixed, networks: {default: {aliases: [x]}}}}",
        );
        let web = &lowered(&project).services["web"];
        let mut one_off = OneOff {
            service: "web".into(),
            slug: "0123456789abcdef".into(),
            auto_remove: true,
            ..OneOff::default()
        };
        let spec = web.one_off(&one_off);
        assert_eq!(spec.name, "app-web-run-0123456789ab");
        assert_eq!(spec.restart, RestartPolicy::No);
        assert!(spec.auto_remove);
        let label = |key: &str| spec.labels.get(key).map(String::as_str);
        assert_eq!(label(label::ONE_OFF), Some("True"));
        assert_eq!(label(label::SLUG), Some("0123456789abcdef"));
        assert_eq!(label(label::NUMBER), None);
        let aliases = |spec: &ContainerSpec| match &spec.network {
            NetworkMode::Networks(endpoints) => endpoints[0].aliases.clone(),
            _ => panic!("no network"),
        };
        assert_eq!(aliases(&spec), [""; 0]);
        one_off.use_aliases = true;
        one_off.name = Some("mine".into());
        let spec = web.one_off(&one_off);
        assert_eq!(spec.name, "mine");
        assert_eq!(aliases(&spec), ["web", "x"]);
    }
}
