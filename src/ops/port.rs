//! `port`: where a container's port is published.

use std::net::IpAddr;

use super::scope::Scope;
use super::{Context, Error, Result};
use crate::ui::status;

/// Prints `address:port`.
///
/// # Errors
/// `service "x" is not running`, `no port 99/tcp for container p-web-1: 80/tcp`.
pub fn run(
    context: &Context,
    service: &str,
    index: Option<u32>,
    port: u16,
    protocol: &str,
) -> Result<()> {
    let scope = Scope::find(context)?;
    let member = scope.running(&context.engine, service, index)?;
    let protocol = protocol.to_ascii_lowercase();
    let rows = status::port_rows(&member.container);
    let fits =
        |row: &&status::PortRow| row.container_port == port && row.protocol.as_str() == protocol;
    let host = rows.iter().filter(fits).find_map(|row| row.host);
    match host {
        Some((IpAddr::V4(ip), host_port)) => {
            Ok(context.ui.line(format_args!("{ip}:{host_port}"))?)
        }
        Some((IpAddr::V6(ip), host_port)) => {
            Ok(context.ui.line(format_args!("[{ip}]:{host_port}"))?)
        }
        None => {
            let name = member.name();
            let known = status::ports(&rows);
            Err(Error::Failed(format!(
                "no port {port}/{protocol} for container {name}: {known}"
            )))
        }
    }
}

/// `docker port`: every published port of a container, or where one of them is.
///
/// # Errors
/// A container that is not there; a port that is not published.
pub fn of_container(context: &Context, name: &str, port: Option<&str>) -> Result<()> {
    let container = context.engine.container(name)?;
    let wanted = port.map(|text| match text.contains('/') {
        true => text.to_ascii_lowercase(),
        false => format!("{text}/tcp"),
    });
    let mut found = false;
    for row in status::port_rows(&container) {
        let Some((ip, host_port)) = row.host else {
            continue;
        };
        let address = std::net::SocketAddr::new(ip, host_port);
        let key = format!("{}/{}", row.container_port, row.protocol.as_str());
        match &wanted {
            None => context.ui.line(format_args!("{key} -> {address}"))?,
            Some(wanted) if *wanted == key => {
                found = true;
                context.ui.line(address)?;
            }
            Some(_) => {}
        }
    }
    match wanted {
        Some(wanted) if !found => Err(Error::Failed(format!(
            "No public port '{wanted}' published for {name}"
        ))),
        _ => Ok(()),
    }
}
