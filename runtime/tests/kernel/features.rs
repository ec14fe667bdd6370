//! What the kernel is said to lack, against this one, which has it all.

use std::collections::BTreeSet;

use ketch_runtime::features::{self, Feature, Lack};
use ketch_runtime::network::bridge;
use ketch_runtime::spec::{ContainerSpec, NetworkSpec};
use ketch_runtime::sys::netlink::Socket;

use crate::world::World;

pub(crate) fn what_is_there_is_not_missing_and_asking_makes_nothing() {
    let _world = World::new();
    let names = || -> Vec<String> {
        let links = bridge::links(&mut Socket::route().unwrap()).unwrap();
        links.into_iter().map(|link| link.name).collect()
    };
    let before = names();
    let mut wanted = features::of_container(&ContainerSpec::default());
    wanted.extend(features::of_network(&NetworkSpec::default()));
    assert_eq!(features::missing(&wanted), []);
    assert_eq!(names(), before);

    let unheard_of = BTreeSet::from([
        Feature::Interface("nosuchkind"),
        Feature::Controller("nosuchcontroller"),
        Feature::Namespace("nosuchnamespace"),
    ]);
    let told = |lack: Lack| lack.feature;
    let lacking: BTreeSet<Feature> = features::missing(&unheard_of)
        .into_iter()
        .map(told)
        .collect();
    assert_eq!(lacking, unheard_of);
}
