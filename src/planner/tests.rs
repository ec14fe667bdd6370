//! Planning, as text: a project and a world in, the printed plan out.

use indexmap::IndexMap;
use ketch_runtime::container::state::Status;
use ketch_runtime::spec::{MountKind, NetworkMode};

use super::teardown::{self, Down};
use super::{
    Grace, Observed, ObservedContainer, ObservedMount, ObservedNetwork, ObservedVolume, Options,
    Plan, Recreate, reconcile, refuse_too_many,
};
use crate::graph::ServiceGraph;
use crate::lowering::OneOff;
use crate::lowering::fixture::{
    depends, health_check, lowered, mount, project, service, with_env, with_volume,
};
use crate::model::{Condition, Project};

/// A database with a volume, and a web service that waits for it.
fn app() -> Project {
    let mut db = service("db");
    db.healthcheck = Some(health_check());
    let web = depends(service("web"), "db", Condition::Healthy);
    let mut project = project([web, db]);
    with_volume(&mut project, "db", "data", "/data");
    project
}

fn graph(project: &Project) -> ServiceGraph {
    ServiceGraph::new(project).unwrap()
}

fn up(project: &Project, observed: &Observed, options: &Options) -> Plan {
    reconcile(
        project,
        &graph(project),
        &lowered(project),
        observed,
        options,
    )
    .unwrap()
}

/// The world after `up` of this project.
fn settled(project: &Project) -> Observed {
    let lowered = lowered(project);
    let mut observed = Observed::default();
    for spec in lowered.networks.values() {
        let network = ObservedNetwork {
            id: String::new(),
            name: spec.name.clone(),
            labels: spec.labels.clone(),
        };
        observed.networks.insert(spec.name.clone(), network);
    }
    for spec in lowered.volumes.values() {
        let volume = ObservedVolume {
            name: spec.name.clone(),
            anonymous: false,
            labels: spec.labels.clone(),
        };
        observed.volumes.insert(spec.name.clone(), volume);
    }
    for (name, service) in &lowered.services {
        for number in 1..=project.services[name].replicas() {
            let container = running(name, number, &service.container(number));
            observed.containers.push(container);
        }
    }
    observed
}

fn running(
    service: &str,
    number: u32,
    spec: &ketch_runtime::spec::ContainerSpec,
) -> ObservedContainer {
    let networks = match &spec.network {
        NetworkMode::Networks(endpoints) => endpoints.iter().map(|e| e.network.clone()).collect(),
        _ => Vec::new(),
    };
    let volumes = spec.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume { name, .. } => Some(ObservedMount {
            target: mount.target.clone(),
            volume: name.clone().unwrap_or_else(|| "f00".into()),
            anonymous: name.is_none(),
        }),
        _ => None,
    });
    ObservedContainer {
        id: format!("{:0>64}", format!("{number}")).replace("000000000000", "0123456789ab"),
        name: spec.name.clone(),
        service: service.into(),
        number,
        status: Status::Running,
        config_hash: spec.labels.get("com.docker.compose.config-hash").cloned(),
        image_id: format!("sha256:{service}"),
        networks,
        volumes: volumes.collect(),
        labels: spec.labels.clone(),
        spec: Some(Box::new(spec.clone())),
        ..ObservedContainer::default()
    }
}

#[track_caller]
fn assert_plan(plan: &Plan, expected: &str) {
    let lines = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected: Vec<String> = lines.map(squeezed).collect();
    let actual: Vec<String> = plan.to_string().lines().map(squeezed).collect();
    assert_eq!(actual, expected, "\n{plan}");
}

#[test]
fn an_empty_world_gets_networks_volumes_containers_then_starts_behind_gates() {
    let plan = up(&app(), &Observed::default(), &Options::default());
    let expected = "\
1          network   app_default   create                 missing
2          volume    app_data      create                 missing
3  [1 2]   container app-db-1      create                 missing
4  [1]     container app-web-1     create                 missing
5  [3 4]   container app-db-1      start
6  [5]     gate      db            healthy                web depends on it
7  [4 6]   container app-web-1     start
";
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn a_one_off_is_beside_the_services_own() {
    let project = app();
    let one_off = |attached| Options {
        targets: vec!["web".into()],
        one_off: Some(OneOff {
            service: "web".into(),
            slug: "0123456789abcdef".into(),
            attached,
            ..OneOff::default()
        }),
        ..Options::default()
    };
    let observed = settled(&project);
    let attached = up(&project, &observed, &one_off(true));
    assert_plan(
        &attached,
        "1 container app-web-run-0123456789ab create
         2 gate db healthy web depends on it",
    );
    let detached = up(&project, &observed, &one_off(false));
    assert_plan(
        &detached,
        "1 container app-web-run-0123456789ab create
         2 gate db healthy web depends on it
         3 [1 2] container app-web-run-0123456789ab start",
    );
}

#[test]
fn a_second_up_has_nothing_to_do() {
    let project = app();
    let plan = up(&project, &settled(&project), &Options::default());
    assert!(plan.is_empty(), "\n{plan}");
    let kept: Vec<_> = plan
        .kept
        .iter()
        .map(|kept| kept.container.as_str())
        .collect();
    assert_eq!(kept, ["app-db-1", "app-web-1"]);
}

#[test]
fn a_changed_variable_recreates_that_container_alone() {
    let mut project = app();
    let observed = settled(&project);
    let web = project.services["web"].clone();
    project
        .services
        .insert("web".into(), with_env(web, "COLOUR", "blue"));
    let plan = up(&project, &observed, &Options::default());
    assert_plan(
        &plan,
        "1       container 0123456789ab_app-web-1 create configuration changed: environment.COLOUR
         2 [1]   container app-web-1 stop
         3 [2]   container app-web-1 remove
         4 [3]   container 0123456789ab_app-web-1 rename to app-web-1
         5       gate db healthy web depends on it
         6 [4 5] container app-web-1 start",
    );
    let shown: Vec<_> = plan
        .steps
        .iter()
        .map(|step| (step.announce.before, step.announce.after))
        .collect();
    assert_eq!(
        shown[..4],
        [("Recreate", ""), ("", ""), ("", ""), ("", "Recreated")]
    );
    assert!(
        plan.steps[..4]
            .iter()
            .all(|step| step.announce.subjects[0].name == "app-web-1")
    );
    assert_eq!(plan.kept.len(), 1);
}

#[test]
fn who_asks_for_it_is_restarted_with_a_recreated_dependency() {
    let mut project = app();
    project.services["web"].depends_on["db"].restart = true;
    let observed = settled(&project);
    let options = Options {
        targets: vec!["db".into()],
        recreate: Recreate::Force,
        ..Options::default()
    };
    assert_plan(
        &up(&project, &observed, &options),
        "1       container 0123456789ab_app-db-1 create forced
         2       container app-web-1 stop db is restarted
         3 [1 2] container app-db-1 stop
         4 [3]   container app-db-1 remove
         5 [4]   container 0123456789ab_app-db-1 rename to app-db-1
         6 [5]   container app-db-1 start
         7 [6]   gate db healthy web depends on it
         8 [2 7] container app-web-1 start",
    );
}

#[test]
fn a_stopped_container_is_started_and_one_that_differs_by_image_recreated() {
    let project = app();
    let mut observed = settled(&project);
    observed.containers[0].status = Status::Exited;
    assert_plan(
        &up(&project, &observed, &Options::default()),
        "1     gate db healthy web depends on it
         2 [1] container app-web-1 start not running",
    );
    observed.containers[0].status = Status::Running;
    observed.containers[0].stopping = true;
    assert_plan(
        &up(&project, &observed, &Options::default()),
        "1     gate db healthy web depends on it
         2 [1] container app-web-1 start being stopped",
    );
    observed.containers[0].image_id = "sha256:old".into();
    let plan = up(&project, &observed, &Options::default());
    assert_eq!(plan.steps[0].cause.to_string(), "image changed");
    let options = Options {
        recreate: Recreate::Never,
        ..Options::default()
    };
    assert_eq!(up(&project, &observed, &options).steps.len(), 2);
}

#[test]
fn scaling_continues_after_the_highest_number_and_takes_the_highest_away() {
    let project = project([service("web")]);
    let observed = settled(&project);
    let scale = |n| Options {
        scale: IndexMap::from([("web".to_owned(), n)]),
        ..Options::default()
    };
    assert_plan(
        &up(&project, &observed, &scale(3)),
        "1       container app-web-2 create missing
         2       container app-web-3 create missing
         3 [1 2] container app-web-2 start
         4 [1 2] container app-web-3 start",
    );
    let mut wide = project.clone();
    wide.services["web"].scale = Some(3);
    let mut observed = settled(&wide);
    observed.containers[0].config_hash = Some("old".into());
    assert_plan(
        &up(&project, &observed, &scale(1)),
        "1     container app-web-3 stop scaled down
         2     container app-web-1 stop scaled down
         3 [1] container app-web-3 remove scaled down
         4 [2] container app-web-1 remove scaled down",
    );
}

#[test]
fn orphans_are_told_of_or_removed() {
    let project = project([service("web")]);
    let both = project_with_old();
    let observed = settled(&both);
    let plan = up(&project, &observed, &Options::default());
    assert!(plan.is_empty());
    assert!(
        plan.warnings[0].starts_with("Found orphan containers ([app-old-1]) for this project.")
    );
    let options = Options {
        remove_orphans: true,
        ..Options::default()
    };
    assert_plan(
        &up(&project, &observed, &options),
        "1     container app-old-1 stop orphan
         2 [1] container app-old-1 remove orphan",
    );
}

fn project_with_old() -> Project {
    project([service("web"), service("old")])
}

#[test]
fn a_changed_network_is_made_anew_and_the_same_containers_come_back() {
    let mut project = app();
    let observed = settled(&project);
    project.networks["default"].internal = true;
    assert_plan(
        &up(&project, &observed, &Options::default()),
        "1         container app-web-1 stop network app_default is recreated
         2 [1]     container app-db-1 stop network app_default is recreated
         3 [1 2]   network app_default remove configuration changed
         4 [3]     network app_default create
         5 [2 4]   container app-db-1 start
         6 [5]     gate db healthy web depends on it
         7 [1 4 6] container app-web-1 start",
    );
}

#[test]
fn a_changed_volume_is_kept_until_the_question_is_answered() {
    let mut project = app();
    let observed = settled(&project);
    let volume = project.volumes.get_mut("data").unwrap();
    for (key, value) in [("type", "none"), ("o", "bind"), ("device", "/srv")] {
        volume.driver_opts.insert(key.into(), value.into());
    }
    let plan = up(&project, &observed, &Options::default());
    assert!(plan.is_empty());
    assert_eq!(plan.questions[0].volume, "app_data");
    let mut options = Options::default();
    options.recreate_volumes.insert("app_data".into());
    assert_plan(
        &up(&project, &observed, &options),
        "1     container app-db-1 stop volume app_data is recreated
         2 [1] container app-db-1 remove volume app_data is recreated
         3 [2] volume app_data remove configuration changed
         4 [3] volume app_data create
         5 [2 4] container app-db-1 create volume app_data is recreated
         6 [5] container app-db-1 start",
    );
}

#[test]
fn anonymous_volumes_are_inherited_unless_they_are_to_be_renewed() {
    let mut db = service("db");
    db.volumes.push(mount(None, "/cache"));
    let project = project([db]);
    let mut observed = settled(&project);
    let declared = ObservedMount {
        target: "/image".into(),
        volume: "ba4".into(),
        anonymous: true,
    };
    observed.containers[0].volumes.push(declared);
    let volumes_of = |renew: bool| {
        let options = Options {
            recreate: Recreate::Force,
            renew_anonymous_volumes: renew,
            ..Options::default()
        };
        let plan = up(&project, &observed, &options);
        let super::Op::CreateContainer(spec) = &plan.steps[0].op else {
            panic!("it is recreated");
        };
        let names = spec.mounts.iter().map(|mount| match &mount.kind {
            MountKind::Volume { name, .. } => name.clone(),
            _ => None,
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(volumes_of(false), [Some("f00".into()), Some("ba4".into())]);
    assert_eq!(volumes_of(true), [None]);
}

#[test]
fn an_interrupted_recreation_is_mended() {
    let project = project([service("web")]);
    let mut observed = settled(&project);
    let mut half = observed.containers[0].clone();
    half.name = "0123456789ab_app-web-1".into();
    half.status = Status::Created;
    // The old one is gone: the new one gets its name.
    observed.containers = vec![half.clone()];
    assert_plan(
        &up(&project, &observed, &Options::default()),
        "1     container 0123456789ab_app-web-1 rename to app-web-1 left by an interrupted recreation
         2 [1] container app-web-1 start",
    );
    // Both are there, and the name is needed once more.
    let mut old = settled(&project).containers.remove(0);
    old.config_hash = Some("old".into());
    observed.containers = vec![old, half];
    assert_plan(
        &up(&project, &observed, &Options::default()),
        "1     container 0123456789ab_app-web-1 remove left by an interrupted recreation
         2 [1] container 0123456789ab_app-web-1 create configuration changed
         3 [2] container app-web-1 stop
         4 [3] container app-web-1 remove
         5 [4] container 0123456789ab_app-web-1 rename to app-web-1
         6 [5] container app-web-1 start",
    );
}

#[test]
fn waiting_ends_when_targets_are_ready() {
    let migrate = depends(service("migrate"), "db", Condition::Started);
    let web = depends(service("web"), "migrate", Condition::CompletedSuccessfully);
    let project = project([web, migrate, service("db")]);
    let options = Options {
        wait: true,
        ..Options::default()
    };
    let observed = settled(&project);
    assert_plan(
        &up(&project, &observed, &options),
        "1 gate db ready waited for
         2 gate migrate completed waited for
         3 gate web ready waited for",
    );
}

#[test]
fn a_missing_external_network_is_an_error_before_anything_happens() {
    let mut project = app();
    project.networks["default"].resource.external = true;
    let problems = reconcile(
        &project,
        &graph(&project),
        &lowered(&project),
        &Observed::default(),
        &Options::default(),
    );
    let problems = problems.unwrap_err();
    let message = &problems.iter().next().unwrap().message;
    assert_eq!(
        message,
        "network app_default declared as external, but could not be found"
    );
}

#[test]
fn more_containers_than_a_plan_holds_are_refused() {
    let mut project = app();
    project.services["db"].scale = Some(9_999);
    let mut options = Options::default();
    refuse_too_many(&project, &options).unwrap();
    options.scale.insert("web".into(), u32::MAX);
    let problems = refuse_too_many(&project, &options).unwrap_err();
    assert_eq!(
        problems.iter().next().unwrap().message,
        "services.web: 4294967295 containers are too many: a project may have 10000"
    );
}

#[test]
fn nothing_starts_with_no_start() {
    let options = Options {
        no_start: true,
        ..Options::default()
    };
    let plan = up(&app(), &Observed::default(), &options);
    assert_eq!(plan.steps.len(), 4);
}

#[test]
fn down_stops_dependants_first_and_goes_on_after_failures() {
    let project = app();
    let mut observed = settled(&project);
    let down = Down {
        volumes: true,
        ..Down::default()
    };
    let plan = teardown::down("app", Some(&project), &graph(&project), &observed, &down);
    assert_plan(
        &plan,
        "1       container app-web-1 stop
         2 [1]   container app-web-1 remove
         3 [1]   container app-db-1 stop
         4 [3]   container app-db-1 remove
         5 [2 4] network app_default remove
         6 [2 4] volume app_data remove",
    );
    assert!(plan.steps.iter().all(|step| step.best_effort));
    observed.containers.clear();
    observed.networks.clear();
    let plan = teardown::down(
        "app",
        Some(&project),
        &graph(&project),
        &observed,
        &Down::default(),
    );
    assert!(plan.is_empty());
}

#[test]
fn down_works_from_labels_alone() {
    let project = app();
    let observed = settled(&project);
    let graph = teardown::graph_of(&observed);
    let plan = teardown::down("app", None, &graph, &observed, &Down::default());
    assert_eq!(plan.steps.len(), 5);
    assert_eq!(plan.steps[0].op.name(), "app-web-1");
}

#[test]
fn start_stop_restart_kill_and_rm_know_the_order() {
    let project = app();
    let graph = graph(&project);
    let mut observed = settled(&project);
    let all: &[String] = &[];
    assert_plan(
        &teardown::stop(&graph, &observed, all, Grace::Configured),
        "1 container app-web-1 stop
         2 [1] container app-db-1 stop",
    );
    assert_plan(
        &teardown::restart(&graph, &observed, all, Grace::Configured, false),
        "1 container app-db-1 restart
         2 [1] container app-web-1 restart",
    );
    assert_plan(
        &teardown::kill(&observed, &["db".into()], Some("SIGHUP")),
        "1 container app-db-1 kill SIGHUP",
    );
    assert!(teardown::remove(&graph, &observed, all, None, false).is_empty());
    for container in &mut observed.containers {
        container.status = Status::Exited;
    }
    assert_plan(
        &teardown::start(&graph, &observed, &["web".into()], false).unwrap(),
        "1 container app-db-1 start not running
         2 [1] gate db healthy web depends on it
         3 [2] container app-web-1 start not running",
    );
    assert_eq!(
        teardown::remove(&graph, &observed, all, None, false)
            .steps
            .len(),
        2
    );
    observed.containers.clear();
    let error = teardown::start(&graph, &observed, &["web".into()], false).unwrap_err();
    assert_eq!(error.message, "service \"web\" has no container to start");
}
