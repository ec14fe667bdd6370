//! Lowering, as values: a project in, specs or complaints out.

use indexmap::IndexMap;
use ketch_runtime::spec::{MountKind, NetworkMode, RestartPolicy, Seccomp};

use super::fixture::{self, NoFiles, nowhere, project, service};
use super::{Lowered, lower};
use crate::diag::{Diagnostics, Spanned};
use crate::model::{
    Condition, Deploy, FileReference, FileSource, Logging, Port, Project, Resource, ResourceLimits,
    RestartPolicySpec, SharedFile, Ulimit,
};
use crate::yaml::Node;

fn try_lower(project: &Project) -> Result<Lowered, Diagnostics> {
    lower(project, &IndexMap::new(), &NoFiles)
}

fn messages(project: &Project) -> Vec<String> {
    let problems = match try_lower(project) {
        Ok(lowered) => lowered.warnings,
        Err(problems) => problems,
    };
    problems
        .iter()
        .map(|problem| problem.message.clone())
        .collect()
}

#[test]
fn a_container_is_named_labelled_and_joined() {
    let web = fixture::depends(service("web"), "db", Condition::Healthy);
    let lowered = fixture::lowered(&project([web, service("db")]));
    let spec = lowered.services["web"].container(2);
    assert_eq!(spec.name, "app-web-2");
    assert_eq!(spec.image, "app-web");
    let label = |key: &str| spec.labels[&format!("com.docker.compose.{key}")].as_str();
    assert_eq!(label("project"), "app");
    assert_eq!(label("service"), "web");
    assert_eq!(label("container-number"), "2");
    assert_eq!(label("oneoff"), "False");
    assert_eq!(label("image"), "sha256:web");
    assert_eq!(label("depends_on"), "db:service_healthy:false");
    assert_eq!(label("project.config_files"), "/app/compose.yaml");
    let NetworkMode::Networks(endpoints) = &spec.network else {
        panic!("it joins networks");
    };
    assert_eq!(endpoints[0].network, "app_default");
    assert_eq!(endpoints[0].aliases, ["web"]);
}

#[test]
fn networks_are_joined_by_priority_then_name() {
    let mut web = service("web");
    let plain = web.networks["default"].clone();
    let mut first = plain.clone();
    first.priority = 10;
    web.networks.insert("back".into(), plain);
    web.networks.insert("zone".into(), first);
    let mut project = project([web]);
    for key in ["back", "zone"] {
        project.networks.insert(key.into(), fixture::network(key));
    }
    let spec = fixture::lowered(&project).services["web"].container(1);
    let NetworkMode::Networks(endpoints) = &spec.network else {
        panic!("it joins networks");
    };
    let names: Vec<_> = endpoints
        .iter()
        .map(|endpoint| endpoint.network.as_str())
        .collect();
    assert_eq!(names, ["app_zone", "app_back", "app_default"]);
}

#[test]
fn the_hash_sees_what_compose_sees() {
    let hash = |service: crate::model::Service| {
        let lowered = fixture::lowered(&project([service]));
        lowered.services["web"].config_hash.clone()
    };
    let plain = hash(service("web"));
    let mut scaled = service("web");
    let map = scaled.canonical.as_map_mut().unwrap();
    map.insert("scale", nowhere(), crate::yaml::Node::integer(3, nowhere()));
    assert_eq!(hash(scaled), plain);
    assert_ne!(hash(fixture::with_env(service("web"), "A", "b")), plain);
}

#[test]
fn deploy_wins_over_the_older_keys() {
    let mut web = service("web");
    web.mem_limit = Some(1 << 20);
    web.cpus = Some(1.5);
    web.restart = Some(Spanned::new("always".into(), nowhere()));
    web.deploy = Some(Deploy {
        limits: ResourceLimits {
            cpus: None,
            memory_bytes: Some(1 << 30),
            pids: Some(7),
        },
        restart_policy: Some(RestartPolicySpec {
            condition: Some("on-failure".into()),
            max_attempts: Some(3),
            delay: None,
            window: None,
        }),
        ..Deploy::default()
    });
    let spec = fixture::lowered(&project([web])).services["web"].container(1);
    assert_eq!(spec.resources.memory_bytes, Some(1 << 30));
    assert_eq!(spec.resources.nano_cpus, Some(1_500_000_000));
    assert_eq!(spec.resources.pids, Some(7));
    assert_eq!(spec.restart, RestartPolicy::OnFailure { max: 3 });
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut web = service("web");
    web.cap_add = vec!["NET_ADMIN".into(), "FLY".into()];
    web.stop_signal = Some("SIGFOO".into());
    web.restart = Some(Spanned::new("sometimes".into(), nowhere()));
    web.dns = vec!["one.one.one.one".into()];
    web.ulimits
        .insert("nofiles".into(), Ulimit { soft: 1, hard: 1 });
    web.security_opt = vec![Spanned::new("seccomp=none.json".into(), nowhere())];
    web.logging = Some(Logging {
        driver: Some(Spanned::new("syslog".into(), nowhere())),
        options: IndexMap::new(),
    });
    let messages = messages(&project([web]));
    assert_eq!(
        messages,
        [
            "invalid ulimit type: nofiles",
            "bad DNS server \"one.one.one.one\": not an IP address",
            "unknown capability \"FLY\"",
            "opening seccomp profile /app/none.json failed: no such file",
            "invalid restart policy: unknown policy \"sometimes\"",
            "invalid signal \"SIGFOO\"",
            "logging driver \"syslog\" is not supported",
        ]
    );
}

#[test]
fn security_options_are_taken_apart() {
    let mut web = service("web");
    let options = [
        "no-new-privileges:true",
        "seccomp:unconfined",
        "label=disable",
    ];
    web.security_opt = options
        .map(|text| Spanned::new(text.into(), nowhere()))
        .into();
    let spec = fixture::lowered(&project([web])).services["web"].container(1);
    assert!(spec.security.no_new_privileges);
    assert_eq!(spec.security.seccomp, Seccomp::Unconfined);
    assert_eq!(spec.security.selinux, ["disable"]);
}

#[test]
fn ports_of_a_host_network_are_dropped_with_a_warning() {
    let mut web = service("web");
    web.ports.push(Port {
        span: nowhere(),
        target: 80,
        published: Some(8080..=8080),
        host_ip: None,
        protocol: "tcp".into(),
        mode: "ingress".into(),
        name: None,
        app_protocol: None,
    });
    let published = fixture::lowered(&project([web.clone()])).services["web"].container(1);
    assert_eq!(published.ports[0].host_ports, Some(8080..=8080));
    web.network_mode = Some(Spanned::new(crate::model::NetworkMode::Host, nowhere()));
    let project = project([web]);
    let host = fixture::lowered(&project).services["web"].container(1);
    assert!(host.ports.is_empty());
    assert_eq!(
        messages(&project),
        ["published ports are discarded when using host network mode"]
    );
}

#[test]
fn a_secret_from_a_variable_lives_in_memory_and_must_be_set() {
    let mut web = service("web");
    web.secrets.push(FileReference {
        span: nowhere(),
        source: "key".into(),
        target: "/run/secrets/key".into(),
        uid: Some("7".into()),
        gid: None,
        mode: None,
    });
    let mut project = project([web]);
    let secret = |value: Option<&str>| SharedFile {
        resource: Resource {
            key: "key".into(),
            name: "app_key".into(),
            external: false,
            labels: IndexMap::new(),
            span: nowhere(),
            canonical: Node::null(nowhere()),
        },
        source: FileSource::Environment {
            variable: "KEY".into(),
            value: value.map(str::to_owned),
        },
    };
    project.secrets.insert("key".into(), secret(Some("sesame")));
    let spec = fixture::lowered(&project).services["web"].container(1);
    let MountKind::File {
        content, mode, uid, ..
    } = &spec.mounts[0].kind
    else {
        panic!("its content comes along");
    };
    assert_eq!(
        (content.as_slice(), *mode, *uid),
        (&b"sesame"[..], 0o444, 7)
    );
    project.secrets.insert("key".into(), secret(None));
    assert_eq!(
        messages(&project),
        ["environment variable \"KEY\" required by secret \"key\" is not set"]
    );
}

#[test]
fn links_are_names_that_only_one_service_sees() {
    let project = fixture::loaded(
        "services: {web: {image: a, links: [db, 'db:store'], external_links: ['old:older', plain]}, db: {image: b, scale: 2}}",
    );
    let spec = fixture::lowered(&project).services["web"].container(1);
    let NetworkMode::Networks(endpoints) = &spec.network else {
        panic!("it joins networks");
    };
    let names: Vec<String> = endpoints[0]
        .links
        .iter()
        .map(|(alias, target)| format!("{alias}={target}"))
        .collect();
    assert_eq!(
        names,
        ["db-1=app-db-1", "db-2=app-db-2", "store=db", "older=old",]
    );
}

#[test]
fn real_time_limits_reach_the_control_group() {
    let project =
        fixture::loaded("services: {web: {image: a, cpu_rt_period: 1000, cpu_rt_runtime: '500'}}");
    let resources = fixture::lowered(&project).services["web"]
        .container(1)
        .resources;
    assert_eq!(resources.cpu_rt_period_us, Some(1000));
    assert_eq!(resources.cpu_rt_runtime_us, Some(500));
}

#[test]
fn a_shared_namespace_is_that_of_the_first_container() {
    let mut web = service("web");
    let mode = crate::model::NetworkMode::Service("db".into());
    web.network_mode = Some(Spanned::new(mode, nowhere()));
    let spec = fixture::lowered(&project([service("db"), web])).services["web"].container(1);
    assert_eq!(spec.network, NetworkMode::Container("app-db-1".into()));
}
