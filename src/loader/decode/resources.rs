//! Networks, volumes, secrets and configs of the application.

use super::{Around, Fields};
use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::model::{FileSource, IpamConfig, Network, Resource, SharedFile, Volume, names};
use crate::yaml::{Entry, Path};

fn resource(key: &str, span: Span, around: &Around, fields: &mut Fields<'_>) -> Resource {
    let external = fields.bool("external").unwrap_or(false);
    let name = fields.text("name").filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| {
        if external {
            key.to_owned()
        } else {
            names::resource(&around.name, key)
        }
    });
    Resource {
        key: key.to_owned(),
        name,
        external,
        labels: fields.labels("labels"),
        span,
    }
}

/// An entry of `networks`.
pub(super) fn network(entry: &Entry, around: &Around, diagnostics: &mut Diagnostics) -> Network {
    let section = Path::ROOT.key("networks");
    let mut fields = Fields::new(&entry.value, section.key(&entry.key), diagnostics);
    let ipam = fields.below("ipam", |mut ipam| {
        if ipam
            .text("driver")
            .is_some_and(|driver| driver != "default")
        {
            ipam.error("driver", "only the driver `default` is supported by ketch");
        }
        ipam.each("config", ipam_config)
    });
    Network {
        resource: resource(&entry.key, entry.key_span, around, &mut fields),
        driver: fields.text("driver"),
        driver_opts: fields.labels("driver_opts"),
        internal: fields.bool("internal").unwrap_or(false),
        attachable: fields.bool("attachable").unwrap_or(false),
        enable_ipv4: fields.bool("enable_ipv4"),
        enable_ipv6: fields.bool("enable_ipv6"),
        ipam: ipam.unwrap_or_default(),
    }
}

fn ipam_config(mut fields: Fields<'_>) -> Option<IpamConfig> {
    for key in ["subnet", "ip_range"] {
        if let Some(text) = fields.text(key)
            && !is_subnet(&text)
        {
            fields.error(key, format!("invalid CIDR address: {text}"));
        }
    }
    let aux = fields.entries("aux_addresses", |_, address| {
        address.node.as_str()?.parse().ok()
    });
    Some(IpamConfig {
        subnet: fields.text("subnet"),
        gateway: fields.parsed("gateway", "an IP address"),
        ip_range: fields.text("ip_range"),
        aux_addresses: aux,
    })
}

fn is_subnet(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_ipv4() => 32,
        Ok(_) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// An entry of `volumes`.
pub(super) fn volume(entry: &Entry, around: &Around, diagnostics: &mut Diagnostics) -> Volume {
    let section = Path::ROOT.key("volumes");
    let mut fields = Fields::new(&entry.value, section.key(&entry.key), diagnostics);
    if fields.bool("external") == Some(true) {
        for key in ["driver", "driver_opts", "labels"] {
            if fields.node(key).is_some() {
                let message = format!("conflicting parameters \"external\" and {key:?} specified");
                fields.error(key, message);
            }
        }
    }
    Volume {
        resource: resource(&entry.key, entry.key_span, around, &mut fields),
        driver: fields.text("driver"),
        driver_opts: fields.labels("driver_opts"),
    }
}

/// An entry of `secrets` or `configs`.
pub(super) fn shared_file(
    kind: &str,
    entry: &Entry,
    around: &Around,
    diagnostics: &mut Diagnostics,
) -> SharedFile {
    let section = Path::ROOT.key(kind);
    let mut fields = Fields::new(&entry.value, section.key(&entry.key), diagnostics);
    let resource = resource(&entry.key, entry.key_span, around, &mut fields);
    let mut sources = Vec::new();
    if let Some(file) = fields.text("file") {
        sources.push(("file", FileSource::File(super::path(around, &file))));
    }
    if let Some(variable) = fields.text("environment") {
        let value = around.environment.get(&variable).cloned();
        sources.push(("environment", FileSource::Environment { variable, value }));
    }
    if let Some(content) = fields.text("content") {
        sources.push(("content", FileSource::Content(content)));
    }
    if resource.external {
        sources.push(("external", FileSource::External));
    }
    let path = format!("{kind}.{}", entry.key);
    match &sources[..] {
        [_] => {}
        [] => {
            let choices = if kind == "secrets" {
                "`file` or `environment`"
            } else {
                "`file`, `environment` or `content`"
            };
            let message = format!("{path}: one of file|environment|content|external must be set");
            let diagnostic = Diagnostic::error(entry.key_span, message);
            diagnostics
                .push(diagnostic.hint(format!("say with {choices} where its content comes from")));
        }
        several => {
            let keys: Vec<&str> = several.iter().map(|(key, _)| *key).collect();
            let message = format!(
                "{path}: {} attributes are mutually exclusive",
                keys.join("|")
            );
            diagnostics.push(Diagnostic::error(entry.key_span, message));
        }
    }
    let source = sources.into_iter().next();
    SharedFile {
        resource,
        source: source.map_or(FileSource::External, |(_, source)| source),
    }
}
