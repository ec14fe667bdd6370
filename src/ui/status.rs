//! Pure: a container's state as `ps` shows it.

use std::net::IpAddr;

use jiff::Timestamp;
use ketch_runtime::container::Container;
use ketch_runtime::container::state::{HealthStatus, State, Status};
use ketch_runtime::spec::Protocol;

use super::age;

/// The column STATUS: `Up 4 seconds (healthy)`, `Exited (143) 1 second ago`.
pub fn text(state: &State, now: Timestamp) -> String {
    let since = |moment: Option<Timestamp>| age::between(moment.unwrap_or(now), now);
    match state.status {
        Status::Created => "Created".into(),
        Status::Running => {
            let up = format!("Up {}", since(state.started_at));
            match state.health.as_ref().map(|health| health.status) {
                None => up,
                Some(HealthStatus::Starting) => format!("{up} (health: starting)"),
                Some(health) => format!("{up} ({})", health.as_str()),
            }
        }
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Restarting => {
            format!(
                "Restarting ({}) {} ago",
                state.exit_code,
                since(state.finished_at)
            )
        }
        Status::Removing => "Removal In Progress".into(),
        Status::Dead => "Dead".into(),
        Status::Exited => {
            format!(
                "Exited ({}) {} ago",
                state.exit_code,
                since(state.finished_at)
            )
        }
    }
}

/// One port of a container; without a host side it is only documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRow {
    pub host: Option<(IpAddr, u16)>,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// Published ports, and documented ones that are not published, in Docker's order.
pub fn port_rows(container: &Container) -> Vec<PortRow> {
    if !container.state.status.is_active() {
        return Vec::new();
    }
    let mut rows: Vec<PortRow> = container
        .state
        .ports
        .iter()
        .map(|port| PortRow {
            host: Some((port.host_ip, port.host_port)),
            container_port: port.container_port,
            protocol: port.protocol,
        })
        .collect();
    for (container_port, protocol) in &container.record.exposed {
        let published =
            |row: &PortRow| row.container_port == *container_port && row.protocol == *protocol;
        if !rows.iter().any(published) {
            rows.push(PortRow {
                host: None,
                container_port: *container_port,
                protocol: *protocol,
            });
        }
    }
    rows.sort_by_key(|row| {
        let address = row.host.map(|(ip, _)| ip.to_string()).unwrap_or_default();
        (
            row.container_port,
            address,
            row.host.map(|(_, port)| port),
            row.protocol,
        )
    });
    rows
}

/// The column PORTS: `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 9000/tcp`.
///
/// As Docker does it, neighbouring ports are joined to ranges where both sides have the same number.
pub fn ports(rows: &[PortRow]) -> String {
    struct Group {
        host: Option<IpAddr>,
        protocol: Protocol,
        first: u16,
        last: u16,
    }
    let print = |group: &Group| {
        let range = if group.first == group.last {
            group.first.to_string()
        } else {
            format!("{}-{}", group.first, group.last)
        };
        let protocol = group.protocol.as_str();
        match group.host {
            Some(ip) => format!("{}->{range}/{protocol}", address(ip, &range)),
            None => format!("{range}/{protocol}"),
        }
    };
    let mut groups: Vec<Group> = Vec::new();
    let (mut finished, mut mapped) = (Vec::new(), Vec::new());
    for row in rows {
        let (port, protocol) = (row.container_port, row.protocol);
        if let Some((ip, host_port)) = row.host
            && host_port != port
        {
            let host = address(ip, &host_port.to_string());
            mapped.push(format!("{host}->{port}/{}", protocol.as_str()));
            continue;
        }
        let host = row.host.map(|(ip, _)| ip);
        let same = |group: &&mut Group| group.host == host && group.protocol == protocol;
        match groups.iter_mut().find(same) {
            Some(group) if group.last.checked_add(1) == Some(port) => group.last = port,
            Some(group) => {
                finished.push(print(group));
                (group.first, group.last) = (port, port);
            }
            None => groups.push(Group {
                host,
                protocol,
                first: port,
                last: port,
            }),
        }
    }
    finished.extend(groups.iter().map(print));
    finished.extend(mapped);
    finished.join(", ")
}

fn address(ip: IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// Cut to so many characters, the last of them then being `…`.
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Go's `%q`: what Docker puts around a command.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            control if control.is_control() => {
                out.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Bytes in decimal units with three significant digits, as Docker shows sizes: `74.8MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    // Go's %.3g: three significant digits, no trailing zeros.
    let decimals = if value >= 100.0 {
        0
    } else {
        1 + usize::from(value < 10.0)
    };
    let mut number = format!("{value:.decimals$}");
    if number.contains('.') {
        number = number
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned();
    }
    format!("{number}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use ketch_runtime::container::state::Health;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn row(host: Option<(&str, u16)>, container_port: u16) -> PortRow {
        PortRow {
            host: host.map(|(ip, port)| (ip.parse().unwrap(), port)),
            container_port,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn a_state_reads_as_in_docker_ps() {
        let mut state = State {
            status: Status::Running,
            started_at: Some(at(100)),
            ..State::default()
        };
        assert_eq!(text(&state, at(104)), "Up 4 seconds");
        state.health = Some(Health::default());
        assert_eq!(text(&state, at(104)), "Up 4 seconds (health: starting)");
        state.health = Some(Health {
            status: HealthStatus::Healthy,
            ..Health::default()
        });
        assert_eq!(text(&state, at(160)), "Up About a minute (healthy)");
        state.status = Status::Paused;
        assert_eq!(text(&state, at(119)), "Up 19 seconds (Paused)");
        state.status = Status::Exited;
        state.exit_code = 143;
        state.finished_at = Some(at(150));
        assert_eq!(text(&state, at(151)), "Exited (143) 1 second ago");
        state.status = Status::Restarting;
        assert_eq!(text(&state, at(152)), "Restarting (143) 2 seconds ago");
        assert_eq!(text(&State::default(), at(0)), "Created");
    }

    #[test]
    fn ports_name_both_families_and_their_target() {
        let rows = [
            row(Some(("0.0.0.0", 8080)), 80),
            row(Some(("::", 8080)), 80),
        ];
        assert_eq!(ports(&rows), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
        assert_eq!(ports(&[row(None, 80)]), "80/tcp");
        assert_eq!(ports(&[]), "");
    }

    #[test]
    fn equal_ports_in_a_row_become_a_range() {
        let rows = [
            row(Some(("0.0.0.0", 80)), 80),
            row(Some(("0.0.0.0", 81)), 81),
            row(None, 90),
        ];
        assert_eq!(ports(&rows), "0.0.0.0:80-81->80-81/tcp, 90/tcp");
    }

    #[test]
    fn commands_are_cut_and_quoted() {
        assert_eq!(
            ellipsis("docker-entrypoint.sh postgres", 20),
            "docker-entrypoint.s…"
        );
        assert_eq!(ellipsis("short", 20), "short");
        assert_eq!(quoted("sh -c \"a\n\""), r#""sh -c \"a\n\"""#);
    }

    #[test]
    fn sizes_have_three_digits() {
        assert_eq!(size(0), "0B");
        assert_eq!(size(999), "999B");
        assert_eq!(size(74_800_000), "74.8MB");
        assert_eq!(size(1_000_000_000), "1GB");
        assert_eq!(size(117_400_000), "117MB");
    }
}
