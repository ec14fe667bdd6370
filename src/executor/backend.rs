//! What the executor does things with. Tests give it a recorder.

use ketch_runtime::cancel::Cancel;
use ketch_runtime::error::Result;

use crate::planner::{Gate, Op};

/// The only things that an executor can do; every call blocks until it is done.
pub trait Backend: Sync {
    /// Carries out one operation; never given a gate.
    ///
    /// # Errors
    /// Why it could not be done.
    fn perform(&self, op: &Op, cancel: &Cancel) -> Result<()>;

    /// What a finished operation could not do in full.
    fn warnings(&self, _op: &Op) -> Vec<String> {
        Vec::new()
    }

    /// Waits until the gate opens.
    ///
    /// # Errors
    /// Why it never will, in Compose's words; `Cancelled` when `cancel` was.
    fn wait(&self, gate: &Gate, cancel: &Cancel) -> Result<()>;
}
