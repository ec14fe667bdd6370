//! Pure: the `com.docker.compose.*` labels, by which everything is found again.

use indexmap::IndexMap;

use crate::model::names::label;
use crate::model::{Project, Resource, Service};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All labels of a service's containers but the number.
pub(super) fn of_container(
    project: &Project,
    service: &Service,
    config_hash: &str,
    image_id: Option<&str>,
) -> IndexMap<String, String> {
    let mut labels = service.labels.clone();
    let mut set = |key: &str, value: String| labels.insert(key.to_owned(), value);
    set(label::PROJECT, project.name.clone());
    set(label::SERVICE, service.name.clone());
    set(label::ONE_OFF, "False".into());
    set(label::CONFIG_HASH, config_hash.to_owned());
    if let Some(id) = image_id {
        set(label::IMAGE, id.to_owned());
    }
    set(label::DEPENDS_ON, depends_on(service));
    set(label::CONFIG_FILES, joined(&project.config_files));
    set(
        label::WORKING_DIR,
        project.working_dir.display().to_string(),
    );
    if !project.env_files.is_empty() {
        set(label::ENVIRONMENT_FILE, joined(&project.env_files));
    }
    set(label::VERSION, VERSION.into());
    labels
}

/// Labels of a network or volume; `kind` is the label that holds its key.
pub(super) fn of_resource(
    project: &Project,
    resource: &Resource,
    kind: &str,
    config_hash: String,
) -> IndexMap<String, String> {
    let mut labels = resource.labels.clone();
    labels.insert(label::PROJECT.into(), project.name.clone());
    labels.insert(kind.into(), resource.key.clone());
    labels.insert(label::CONFIG_HASH.into(), config_hash);
    labels.insert(label::VERSION.into(), VERSION.into());
    labels
}

/// Labels of an image that is built for a service.
pub(super) fn of_image(project: &Project, service: &Service) -> IndexMap<String, String> {
    IndexMap::from([
        (label::PROJECT.into(), project.name.clone()),
        (label::SERVICE.into(), service.name.clone()),
        (label::VERSION.into(), VERSION.into()),
    ])
}

/// `db:service_healthy:false,…`: name, condition, restart.
fn depends_on(service: &Service) -> String {
    let parts = service.depends_on.iter().map(|(name, dependency)| {
        format!(
            "{name}:{}:{}",
            dependency.condition.as_str(),
            dependency.restart
        )
    });
    parts.collect::<Vec<_>>().join(",")
}

fn joined(paths: &[std::path::PathBuf]) -> String {
    let texts = paths.iter().map(|path| path.display().to_string());
    texts.collect::<Vec<_>>().join(",")
}
