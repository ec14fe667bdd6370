//! `login` and `logout`.

use crate::ops::{Context, Result, registry};

/// Authenticate to a registry
#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// Defaults to Docker Hub
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
}

impl Login {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        registry::login(
            context,
            registry::Login {
                server: self.server,
                user: self.username,
                password: self.password,
                password_stdin: self.password_stdin,
            },
        )
    }
}

/// Log out from a registry
#[derive(Debug, clap::Args)]
pub(super) struct Logout {
    /// Defaults to Docker Hub
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Logout {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        registry::logout(context, self.server.as_deref())
    }
}
