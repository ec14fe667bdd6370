//! Which container, network, volume and image name a project gives, and its labels.

/// `<project>-<service>-<number>`.
pub fn container(project: &str, service: &str, number: u32) -> String {
    format!("{project}-{service}-{number}")
}

/// `<project>-<service>-run-<12 hex>`: a container that `run` made.
pub fn one_off(project: &str, service: &str, slug: &str) -> String {
    let short = slug.get(..12).unwrap_or(slug);
    format!("{project}-{service}-run-{short}")
}

/// `<project>_<key>`: networks and volumes.
pub fn resource(project: &str, key: &str) -> String {
    format!("{project}_{key}")
}

/// `<project>-<service>`: the image of a service that has only a `build`.
pub fn image(project: &str, service: &str) -> String {
    format!("{project}-{service}")
}

/// The labels by which Compose finds its own again.
pub mod label {
    pub const PROJECT: &str = "com.docker.compose.project";
    pub const SERVICE: &str = "com.docker.compose.service";
    pub const NUMBER: &str = "com.docker.compose.container-number";
    pub const ONE_OFF: &str = "com.docker.compose.oneoff";
    pub const SLUG: &str = "com.docker.compose.slug";
    pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
    pub const IMAGE: &str = "com.docker.compose.image";
    pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
    pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
    pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
    pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
    pub const REPLACE: &str = "com.docker.compose.replace";
    pub const NETWORK: &str = "com.docker.compose.network";
    pub const VOLUME: &str = "com.docker.compose.volume";
    pub const VERSION: &str = "com.docker.compose.version";
}
