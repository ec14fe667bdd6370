//! `ketch completion SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::ops::{Context, Result};

/// Generate the autocompletion script for the specified shell
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

impl Args {
    pub(super) fn run<C: CommandFactory>(&self, context: &Context) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut C::command(), "ketch", &mut script);
        Ok(context.ui.data(&script)?)
    }
}
