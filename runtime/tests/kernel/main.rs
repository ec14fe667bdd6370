//! The runtime on a real kernel. Needs root, and says so; each test has its own world: roots,
//! network namespace, containers, all gone at its end.

#![expect(
    clippy::unwrap_used,
    clippy::exit,
    clippy::print_stderr,
    reason = "these are tests, in a program of their own"
)]

mod attached;
mod bridge;
mod confinement;
mod dns;
mod execs;
mod features;
mod files;
mod lab;
mod kept;
mod layers;
mod limits;
mod logs;
mod monitor;
mod mounts;
mod ports;
mod processes;
mod security;
mod stop;
mod world;

use libtest_mimic::{Arguments, Trial};

/// Names each function once.
macro_rules! trials {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        vec![$($(
            Trial::test(
                concat!(stringify!($module), "::", stringify!($name)),
                || { $module::$name(); Ok(()) },
            ),
        )+)+]
    };
}

#[expect(clippy::too_many_lines, reason = "a table of names")]
fn trials() -> Vec<Trial> {
    trials! {
        bridge:
            containers_of_a_network_reach_each_other_and_no_other_network,
            a_container_goes_out_under_the_hosts_address_and_nobody_comes_in,
            an_internal_network_has_no_way_out,
            nobody_believes_the_router_advertisements_of_a_neighbour,
            a_recreated_container_keeps_its_address,
            a_lost_bridge_is_made_again,
            a_network_in_use_stays_and_nothing_stays_of_a_removed_one,
            who_leaves_takes_along_what_killed_monitors_had_begun_to_write,
            names_and_subnets_are_taken_once,
            two_networks_have_one_way_out;
        confinement:
            capabilities_and_filter_are_dockers,
            no_new_privileges_is_set_when_asked,
            added_and_dropped_capabilities_show,
            a_privileged_container_has_everything,
            calls_outside_the_policy_are_refused,
            a_custom_filter_is_used,
            devices_of_the_host_can_not_be_used,
            no_process_of_the_host_shows,
            no_fd_leaks,
            a_sealed_program_can_not_be_written_to;
        dns:
            names_of_the_shared_network_resolve_while_their_containers_run,
            an_address_has_a_name,
            a_container_may_have_port_53_for_itself,
            an_internal_network_does_not_ask_outside,
            other_names_are_asked_of_the_users_server_from_inside,
            a_client_that_never_takes_its_answers_is_let_go;
        attached:
            who_starts_it_attached_hears_all_and_is_its_input,
            a_terminal_is_typed_into_by_two,
            who_does_not_read_holds_it_up_and_loses_nothing,
            a_stopped_container_takes_nobody_in;
        execs:
            a_further_process_is_in_the_container,
            a_further_process_has_its_own_user_and_failures,
            a_further_process_has_the_same_rights;
        features:
            what_is_there_is_not_missing_and_asking_makes_nothing;
        files:
            directories_that_are_swapped_for_links_lead_nowhere_else;
        layers:
            whiteouts_hide_what_lies_below_and_only_that,
            an_opaque_root_hides_all_of_the_base,
            owners_modes_devices_and_capabilities_survive,
            directories_that_a_layer_only_implies_keep_the_base_s_attributes,
            an_upper_directory_becomes_a_layer_that_shows_the_same,
            a_diff_names_deletions_as_oci_does,
            a_volume_takes_owners_and_content_across_layers;
        limits:
            limits_are_in_the_cgroup,
            ulimits_hold,
            memory_beyond_the_limit_ends_the_process;
        logs:
            following_ends_with_the_container_and_misses_nothing,
            the_file_is_the_one_that_other_tools_read;
        monitor:
            the_exit_code_and_both_streams_are_kept,
            a_signal_that_ends_it_is_kept,
            a_program_that_is_missing_is_told_with_its_code,
            a_further_process_runs_and_its_code_comes_back,
            a_terminal_for_a_further_process_comes_back,
            a_container_outlives_its_monitor_and_keeps_its_log_and_code,
            a_container_that_died_with_its_monitor_is_buried,
            health_is_known_as_soon_as_it_is_true,
            a_probe_that_fails_often_enough_tells_why,
            a_paused_container_stands_still_and_can_be_stopped,
            a_container_that_removes_itself_leaves_nothing,
            a_running_container_is_not_removed_unless_forced,
            an_idle_monitor_is_small;
        mounts:
            the_default_mounts_are_there,
            dangerous_files_are_hidden,
            a_read_only_root_refuses_writes,
            tmpfs_options_are_kept,
            a_read_only_bind_is_so_all_the_way_down,
            files_in_memory_have_content_and_owner,
            a_volume_shows_its_subpath_and_nothing_above,
            a_missing_target_is_made_and_a_wrong_one_refused,
            links_of_the_image_lead_nowhere,
            the_root_has_the_mode_of_the_image;
        ports:
            every_way_to_a_published_port_works,
            datagrams_go_the_same_ways,
            a_port_on_the_loopback_is_the_hosts_alone,
            a_taken_port_names_its_holder_and_leaves_nothing,
            a_port_is_free_again_after_the_container,
            a_new_monitor_takes_ports_and_names_over;
        processes:
            the_environment_is_dockers,
            users_are_looked_up_in_the_container,
            the_streams_belong_to_the_user,
            missing_and_broken_programs_are_told_apart,
            the_working_directory_is_made,
            a_terminal_is_its_own,
            the_small_init_reaps_and_forwards,
            shared_namespaces_are_shared,
            a_dropped_start_leaves_nothing,
            a_start_is_quick;
        security:
            what_a_container_mounts_stays_in_it,
            a_program_of_elsewhere_is_sealed_in_memory,
            nobody_else_of_the_host_gets_at_what_is_kept,
            nobody_gets_the_session_keyring_of_the_caller,
            a_link_into_proc_is_no_place_for_a_volume,
            users_files_that_are_none_do_not_hold_a_start_up,
            what_the_caller_has_set_for_itself_does_not_reach_the_program,
            a_container_that_stops_what_enters_it_does_not_stop_us,
            a_link_that_swaps_while_containers_start_leads_nowhere;
        stop:
            a_handler_gets_its_grace,
            nobody_waits_for_a_process_that_will_not_hear,
            a_child_that_listens_is_asked_in_place_of_a_deaf_process_one,
            who_ignores_the_end_of_the_grace_is_killed,
            a_stop_on_its_way_is_known_and_a_start_waits_for_its_end,
            a_stop_outlives_the_monitor_that_was_asked_for_it,
            a_monitor_that_does_not_answer_is_replaced,
            the_policy_restarts_until_it_may_not,
            a_stop_between_two_runs_is_the_end,
            a_restart_by_hand_counts_anew;
    }
}

fn main() {
    ketch_runtime::reexec::check();
    world::runner::check();
    security::probe();
    let arguments = Arguments::from_args();
    if !rustix::process::geteuid().is_root() && !arguments.list {
        eprintln!("the kernel tests need root: they make namespaces, mounts and cgroups");
        std::process::exit(1);
    }
    let conclusion = libtest_mimic::run(&arguments, trials());
    world::remove_base_image();
    conclusion.exit();
}
