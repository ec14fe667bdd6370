//! Projects for tests, without files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Lowered, lower};
use crate::diag::{FileId, Span};
use crate::loader;
use crate::loader::files::{Files, Unreadable};
use crate::model::{
    Condition, Dependency, HealthCheck, Mount, MountType, Network, Project, PullPolicy, Resource,
    Service, ServiceNetwork, Volume,
};
use crate::yaml::{Map, Node};

/// A place that says nothing.
pub(crate) fn nowhere() -> Span {
    Span::new(FileId(0), 0, 0)
}

/// No files at all.
pub(crate) struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &Path) -> Result<Arc<str>, Unreadable> {
        Err(Unreadable::Missing)
    }

    fn exists(&self, _path: &Path) -> bool {
        false
    }

    fn is_dir(&self, _path: &Path) -> bool {
        false
    }
}

/// The project of this compose file, called `app`.
pub(crate) fn loaded(text: &str) -> Project {
    let options = loader::Options {
        working_dir: "/app".into(),
        config_files: vec!["-".into()],
        stdin: Some(text.into()),
        project_name: Some("app".into()),
        ..loader::Options::default()
    };
    match loader::load(&NoFiles, &options) {
        Ok(loaded) => loaded.project,
        Err(failed) => panic!("{:?}", failed.diagnostics),
    }
}

/// A project called `app` of these services, with its default network.
pub(crate) fn project(services: impl IntoIterator<Item = Service>) -> Project {
    let services = services
        .into_iter()
        .map(|service| (service.name.clone(), service));
    Project {
        name: "app".into(),
        working_dir: PathBuf::from("/app"),
        config_files: vec![PathBuf::from("/app/compose.yaml")],
        env_files: Vec::new(),
        environment: IndexMap::new(),
        services: services.collect(),
        disabled: IndexMap::new(),
        networks: IndexMap::from([("default".into(), network("default"))]),
        volumes: IndexMap::new(),
        secrets: IndexMap::new(),
        configs: IndexMap::new(),
        models: IndexMap::new(),
        extensions: IndexMap::new(),
        profiles: Vec::new(),
    }
}

/// Adds a named volume to a project, and a mount of it to a service.
pub(crate) fn with_volume(project: &mut Project, service: &str, key: &str, target: &str) {
    let volume = Volume {
        resource: resource(key),
        driver: None,
        driver_opts: IndexMap::new(),
    };
    project.volumes.insert(key.into(), volume);
    let service = project
        .services
        .get_mut(service)
        .expect("it has been added");
    service.volumes.push(mount(Some(key), target));
}

/// A volume mount; without a source, an anonymous one.
pub(crate) fn mount(source: Option<&str>, target: &str) -> Mount {
    Mount {
        span: nowhere(),
        kind: MountType::Volume,
        source: source.map(str::to_owned),
        target: target.into(),
        read_only: false,
        bind: crate::model::BindOptions::default(),
        volume_nocopy: false,
        volume_subpath: None,
        tmpfs_size: None,
        tmpfs_mode: None,
    }
}

pub(crate) fn network(key: &str) -> Network {
    Network {
        resource: resource(key),
        driver: None,
        driver_opts: IndexMap::new(),
        internal: false,
        attachable: false,
        enable_ipv4: None,
        enable_ipv6: None,
        ipam: Vec::new(),
    }
}

fn resource(key: &str) -> Resource {
    Resource {
        key: key.into(),
        name: format!("app_{key}"),
        external: false,
        labels: IndexMap::new(),
        span: nowhere(),
        canonical: Node::map(Map::new(), nowhere()),
    }
}

/// `after` depends on `before`.
pub(crate) fn depends(mut after: Service, before: &str, condition: Condition) -> Service {
    let dependency = Dependency {
        condition,
        restart: false,
        required: true,
        span: nowhere(),
    };
    after.depends_on.insert(before.into(), dependency);
    after
}

/// Sets a variable, in the configuration that is hashed too.
pub(crate) fn with_env(mut service: Service, name: &str, value: &str) -> Service {
    service.environment.insert(name.into(), Some(value.into()));
    let mut environment = Map::new();
    for (name, value) in &service.environment {
        let value = Node::string(value.clone().unwrap_or_default(), nowhere());
        environment.insert(name.clone(), nowhere(), value);
    }
    let map = service.canonical.as_map_mut().expect("it is a mapping");
    map.insert("environment", nowhere(), Node::map(environment, nowhere()));
    service
}

/// A health check, for services that are waited for.
pub(crate) fn health_check() -> HealthCheck {
    HealthCheck {
        span: nowhere(),
        test: Some(vec!["CMD".into(), "true".into()]),
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: None,
        retries: None,
        disable: false,
    }
}

/// Lowers with an image id for each service.
pub(crate) fn lowered(project: &Project) -> Lowered {
    let images = project.services.keys();
    let images = images
        .map(|name| (name.clone(), format!("sha256:{name}")))
        .collect();
    lower(project, &images, &NoFiles).expect("the fixture is right")
}

/// A service of this name on the default network.
#[expect(
    clippy::too_many_lines,
    reason = "a table of everything that is absent"
)]
pub(crate) fn service(name: &str) -> Service {
    let default = ServiceNetwork {
        span: nowhere(),
        aliases: Vec::new(),
        ipv4_address: None,
        ipv6_address: None,
        mac_address: None,
        driver_opts: IndexMap::new(),
        interface_name: None,
        gw_priority: 0,
        priority: 0,
    };
    let mut canonical = Map::new();
    canonical.insert("image", nowhere(), Node::string(name, nowhere()));
    Service {
        name: name.into(),
        span: nowhere(),
        image: None,
        build: None,
        pull_policy: PullPolicy::Unset,
        platform: None,
        command: None,
        entrypoint: None,
        environment: IndexMap::new(),
        label_files: Vec::new(),
        env_files: Vec::new(),
        ports: Vec::new(),
        expose: Vec::new(),
        volumes: Vec::new(),
        tmpfs: Vec::new(),
        networks: IndexMap::from([("default".into(), default)]),
        network_mode: None,
        depends_on: IndexMap::new(),
        links: Vec::new(),
        external_links: Vec::new(),
        provider: None,
        models: Vec::new(),
        healthcheck: None,
        restart: None,
        container_name: None,
        hostname: None,
        domainname: None,
        user: None,
        group_add: Vec::new(),
        working_dir: None,
        labels: IndexMap::new(),
        annotations: IndexMap::new(),
        profiles: Vec::new(),
        init: None,
        stop_signal: None,
        stop_grace_period: None,
        read_only: false,
        privileged: false,
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        security_opt: Vec::new(),
        sysctls: IndexMap::new(),
        extra_hosts: Vec::new(),
        dns: Vec::new(),
        dns_search: Vec::new(),
        dns_opt: Vec::new(),
        cpus: None,
        cpu_shares: None,
        cpu_period: None,
        cpu_quota: None,
        cpu_rt_period_us: None,
        cpu_rt_runtime_us: None,
        cpuset: None,
        mem_limit: None,
        mem_reservation: None,
        memswap_limit: None,
        mem_swappiness: None,
        oom_kill_disable: false,
        oom_score_adj: None,
        pids_limit: None,
        ulimits: IndexMap::new(),
        shm_size: None,
        logging: None,
        watch: Vec::new(),
        stdin_open: false,
        tty: false,
        attach: None,
        scale: None,
        deploy: None,
        secrets: Vec::new(),
        configs: Vec::new(),
        mac_address: None,
        ipc: None,
        pid: None,
        uts: None,
        cgroup: None,
        cgroup_parent: None,
        devices: Vec::new(),
        device_cgroup_rules: Vec::new(),
        extensions: IndexMap::new(),
        canonical: Node::map(canonical, nowhere()),
    }
}
