//! Networks, volumes, secrets and configs of the application.

use super::{Around, Fields};
use crate::diag::{Diagnostic, Diagnostics};
use crate::model::{
    FileSource, IpamConfig, LanguageModel, Network, Resource, SharedFile, Volume, names,
};
use crate::yaml::{Entry, Path};

fn resource(entry: &Entry, around: &Around, fields: &mut Fields<'_>) -> Resource {
    let key = &entry.key;
    let external = fields.bool("external").unwrap_or(false);
    let name = fields.text("name").filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| {
        if external {
            key.as_str().to_owned()
        } else {
            names::resource(&around.name, key)
        }
    });
    Resource {
        key: key.as_str().to_owned(),
        name,
        external,
        labels: fields.labels("labels"),
        span: entry.key_span,
        canonical: entry.value.clone(),
    }
}

/// An entry of `networks`.
pub(super) fn network(entry: &Entry, around: &Around, diagnostics: &mut Diagnostics) -> Network {
    let section = Path::ROOT.key("networks");
    let mut fields = Fields::new(&entry.value, section.key(&entry.key), diagnostics);
    let ipam = fields.below("ipam", |mut ipam| ipam.each("config", ipam_config));
    Network {
        resource: resource(entry, around, &mut fields),
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
        resource: resource(entry, around, &mut fields),
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
    let resource = resource(entry, around, &mut fields);
    let keys: &[&str] = match kind {
        "secrets" => &["file", "environment"],
        _ => &["file", "environment", "content"],
    };
    let path = format!("{kind}.{}", entry.key);
    let given = keys.iter().filter(|key| fields.node(key).is_some()).count();
    if given > 1 {
        let message = format!(
            "{path}: {} attributes are mutually exclusive",
            keys.join("|")
        );
        let diagnostic = Diagnostic::error(entry.key_span, message);
        fields.diagnostics.push(diagnostic.hint("keep one of them"));
    } else if given == 0 && !resource.external && fields.node("driver").is_none() {
        let message = format!("{path}: one of {} must be set", keys.join("|"));
        let diagnostic = Diagnostic::error(entry.key_span, message);
        let choices = match kind {
            "secrets" => "`file` or `environment`",
            _ => "`file`, `environment` or `content`",
        };
        let hint = format!("say with {choices} where its content comes from");
        fields.diagnostics.push(diagnostic.hint(hint));
    }
    let source = source(&mut fields, around).filter(|_| !resource.external);
    SharedFile {
        resource,
        source: source.unwrap_or(FileSource::External),
    }
}

fn source(fields: &mut Fields<'_>, around: &Around) -> Option<FileSource> {
    if let Some(file) = fields.text("file") {
        return Some(FileSource::File(super::path(around, &file)));
    }
    if let Some(variable) = fields.text("environment") {
        let value = around.environment.get(&variable).cloned();
        return Some(FileSource::Environment { variable, value });
    }
    fields.text("content").map(FileSource::Content)
}

/// An entry of `models`.
pub(super) fn model(entry: &Entry, diagnostics: &mut Diagnostics) -> LanguageModel {
    let section = Path::ROOT.key("models");
    let mut fields = Fields::new(&entry.value, section.key(&entry.key), diagnostics);
    LanguageModel {
        key: entry.key.as_str().to_owned(),
        span: entry.key_span,
        model: fields.text("model").unwrap_or_default(),
        canonical: entry.value.clone(),
    }
}
