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
