//! Files and hosts in, what is said out.

use ketch_runtime::spec::Protocol;

use super::*;
use crate::diag::{Sources, render};
use crate::graph::ServiceGraph;
use crate::loader;
use crate::lowering::fixture::{NoFiles, lowered};
use crate::planner::{Options, reconcile};

/// What is said to this file, a line each, on such a host.
fn say(text: &str, observed: &Observed, host: &Host) -> Vec<String> {
    let options = loader::Options {
        working_dir: "/app".into(),
        config_files: vec!["-".into()],
        stdin: Some(text.into()),
        project_name: Some("app".into()),
        ..loader::Options::default()
    };
    let loaded = loader::load(&NoFiles, &options).unwrap();
    let project = &loaded.project;
    let graph = ServiceGraph::new(project).unwrap();
    let lowered = lowered(project);
    let plan = reconcile(project, &graph, &lowered, observed, &Options::default()).unwrap();
    let problems = check(Some(project), &plan, observed, host);
    lines(&problems, &loaded.sources)
}

fn lines(problems: &Diagnostics, sources: &Sources) -> Vec<String> {
    let lines = problems.iter();
    lines
        .map(|problem| render::render_line(problem, sources))
        .collect()
}

fn neighbour(project: &str, service: &str, port: u16) -> Neighbour {
    Neighbour {
        id: "0123".into(),
        name: format!("{project}-{service}-1"),
        project: Some(project.into()),
        service: Some(service.into()),
        ports: vec![PublishedPort {
            host_ip: IpAddr::from([0, 0, 0, 0]),
            host_port: port,
            container_port: 80,
            protocol: Protocol::Tcp,
        }],
    }
}

fn held(port: u16) -> (HostPort, IpAddr, Obstacle) {
    let holder = Holder {
        program: "nginx".into(),
        pid: 77,
    };
    let address = IpAddr::from([0, 0, 0, 0]);
    let wanted = (None, port, Protocol::Tcp);
    (wanted, address, Obstacle::Held(Some(holder)))
}

#[test]
fn every_problem_is_told_with_its_place_and_its_holder() {
    let text = "\
services:
  a: {image: x, ports: ['8080:80', '8081:81']}
  b: {image: x, ports: ['8082:80'], container_name: theirs}
  c:
    image: x
    ports: ['8082:80']
    volumes: [{type: bind, source: /none, target: /data, bind: {create_host_path: false}}]
networks:
  default: {ipam: {config: [{subnet: 10.9.1.0/24}]}}
";
    let mut named = neighbour("shop", "api", 8081);
    named.name = "theirs".into();
    let host = Host {
        containers: vec![named],
        obstacles: vec![held(8080)],
        missing: BTreeSet::from(["/none".into()]),
        subnets: vec![Subnet {
            network: "other".into(),
            address: IpAddr::from([10, 9, 0, 0]),
            length: 16,
        }],
        ..Host::default()
    };
    let expected = [
        "<stdin>:3:53: service \"b\": Conflict. The container name \"/theirs\" is already in use by container theirs (project \"shop\", service \"api\")",
        "<stdin>:7:15: service \"c\": invalid mount config for type \"bind\": bind source path does not exist: /none",
        "<stdin>:2:25: service \"a\": failed to bind host port 0.0.0.0:8080/tcp: address already in use by nginx (pid 77)",
        "<stdin>:2:36: service \"a\": Bind for 0.0.0.0:8081 failed: port is already allocated by container theirs (project \"shop\", service \"api\")",
        "<stdin>:6:13: service \"c\": Bind for 0.0.0.0:8082 failed: port is already allocated by service \"b\"",
        "<stdin>:9:3: network app_default: invalid pool request: Pool overlaps with other one on this address space: 10.9.1.0/24 and that of network other",
    ];
    assert_eq!(say(text, &Observed::default(), &host), expected);
}

#[test]
fn a_range_needs_one_free_port_for_each_replica() {
    let text = "services: {a: {image: x, scale: 2, ports: ['8080-8082:80']}}";
    let mut host = Host {
        obstacles: vec![held(8080)],
        ..Host::default()
    };
    assert_eq!(say(text, &Observed::default(), &host), Vec::<String>::new());
    host.containers.push(neighbour("shop", "api", 8081));
    assert_eq!(say(text, &Observed::default(), &host).len(), 1);
    let fixed = "services: {a: {image: x, scale: 2, ports: ['9000:80']}}";
    let said = say(fixed, &Observed::default(), &Host::default());
    assert!(
        said[0].ends_with("by another container of this service"),
        "{said:?}"
    );
}

#[test]
fn what_the_plan_frees_is_no_conflict() {
    let text = "services: {a: {image: x, ports: ['8080:80']}}";
    let mut host = Host {
        containers: vec![neighbour("app", "a", 8080)],
        ..Host::default()
    };
    let mut observed = Observed::default();
    observed.containers.push(super::super::ObservedContainer {
        name: "app-a-1".into(),
        service: "a".into(),
        number: 1,
        status: ketch_runtime::container::state::Status::Running,
        config_hash: Some("another".into()),
        labels: IndexMap::from([("com.docker.compose.project".into(), "app".into())]),
        ..super::super::ObservedContainer::default()
    });
    assert_eq!(say(text, &observed, &host), Vec::<String>::new());
    // Another project's, of course, is.
    host.containers.push(neighbour("shop", "api", 8080));
    assert_eq!(say(text, &observed, &host).len(), 1);
}

#[test]
fn one_that_is_being_stopped_gives_its_ports_back_before_it_starts() {
    let binding = PortBinding {
        container_port: 80,
        protocol: Protocol::Tcp,
        host_ip: None,
        host_ports: Some(8080..=8080),
    };
    let spec = ContainerSpec {
        network: NetworkMode::Networks(Vec::new()),
        ports: vec![binding],
        ..ContainerSpec::default()
    };
    let observed = Observed {
        containers: vec![crate::planner::ObservedContainer {
            name: "app-a-1".into(),
            stopping: true,
            spec: Some(Box::new(spec)),
            ..crate::planner::ObservedContainer::default()
        }],
        ..Observed::default()
    };
    let step = crate::planner::Step {
        id: crate::planner::StepId(1),
        op: Op::StartContainer {
            name: "app-a-1".into(),
        },
        after: Vec::new(),
        cause: crate::planner::Cause::Stopping,
        best_effort: false,
        service: Some("a".into()),
        announce: crate::planner::Announce::default(),
    };
    let plan = Plan {
        steps: vec![step],
        ..Plan::default()
    };
    let said = |project| {
        let host = Host {
            containers: vec![neighbour(project, "a", 8080)],
            ..Host::default()
        };
        check(None, &plan, &observed, &host).iter().count()
    };
    assert_eq!((said("app"), said("shop")), (0, 1));
}

#[test]
fn other_addresses_and_protocols_do_not_meet() {
    let text = "services: {a: {image: x, ports: ['127.0.0.1:53:53', '127.0.0.2:53:53', '127.0.0.1:53:53/udp']}}";
    assert_eq!(
        say(text, &Observed::default(), &Host::default()),
        Vec::<String>::new()
    );
}

fn lack(feature: Feature, reason: &str) -> Lack {
    Lack {
        feature,
        reason: reason.into(),
    }
}

#[test]
fn what_the_kernel_lacks_is_told_once_and_lost_limits_each() {
    let text = "\
services:
  a: {image: x, mem_limit: 1g}
  b: {image: x, deploy: {resources: {limits: {memory: 1g, cpus: 0.5}}}, networks: [six]}
  c: {image: x, network_mode: none, scale: 2}
networks:
  six: {enable_ipv6: true}
";
    let host = Host {
        lacks: vec![
            lack(Feature::Overlay, "no such device"),
            lack(Feature::Controller("memory"), "not there"),
            lack(Feature::PacketFilter, "invalid argument"),
            lack(Feature::Ipv6, "not there"),
        ],
        ..Host::default()
    };
    let expected = [
        "<stdin>:2:3: service \"a\": this kernel has no overlayfs: no such device (2 others need it too)",
        "<stdin>:2:28: service \"a\": Your kernel does not support memory limits or the cgroup is not mounted. Limitation discarded.",
        "<stdin>:3:55: service \"b\": Your kernel does not support memory limits or the cgroup is not mounted. Limitation discarded.",
        "<stdin>:6:3: network app_six: this kernel has no nf_tables: invalid argument (3 others need it too)",
        "<stdin>:6:3: network app_six: this kernel has no IPv6: not there",
    ];
    assert_eq!(say(text, &Observed::default(), &host), expected);
}

#[test]
fn a_plan_wants_only_what_it_uses() {
    let host = Host {
        lacks: vec![
            lack(Feature::PacketFilter, "invalid argument"),
            lack(Feature::Ipv6, "not there"),
            lack(Feature::Controller("pids"), "not there"),
        ],
        ..Host::default()
    };
    let text = "services: {a: {image: x, network_mode: none}}";
    assert_eq!(say(text, &Observed::default(), &host), Vec::<String>::new());
}
