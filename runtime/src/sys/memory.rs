//! The C library's heap.
#![expect(unsafe_code, reason = "malloc_trim is not in rustix")]

/// Gives the free pages of the heap back to the kernel: what a start needed for a moment, a
/// monitor would otherwise keep for the life of its container.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches the allocator's own free lists only, under its own lock.
    let _whether_any = unsafe { libc::malloc_trim(0) };
}
