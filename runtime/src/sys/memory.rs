//! What this process holds in memory and could do without.
#![expect(
    unsafe_code,
    reason = "malloc_trim, and madvise of what is executing, are not in rustix"
)]

use std::ffi::c_void;
use std::ops::Range;

/// Gives the free pages of the heap back to the kernel: what a start needed for a moment, a
/// monitor would otherwise keep for the life of its container.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches the allocator's own free lists only, under its own lock.
    let _whether_any = unsafe { libc::malloc_trim(0) };
}

/// Lets go of the pages of our program text: most of what a start executed is never executed again.
/// What is, comes back from the page cache with the next step.
pub fn let_go_of_text() {
    let here = let_go_of_text as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(text) = text_around(&maps, here) else {
        return;
    };
    // SAFETY: the range is one mapping of ours that is executable, private and not writable, so no
    // page of it can differ from the file: each is the same when it is faulted in again. Nothing
    // unmaps the program's own text.
    let _only_saves_memory =
        unsafe { libc::madvise(text.start as *mut c_void, text.len(), libc::MADV_DONTNEED) };
}

/// The mapping `r-xp` around an address: `00401000-00452000 r-xp …` (proc_pid_maps(5)).
fn text_around(maps: &str, address: usize) -> Option<Range<usize>> {
    maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let range = number(start)?..number(end)?;
        (words.next()? == "r-xp" && range.contains(&address)).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_that_nobody_writes_to_is_let_go_of() {
        let maps = "00400000-00401000 r--p 00000000 08:01 1 /x\n\
                    00401000-00500000 r-xp 00001000 08:01 1 /x\n\
                    00500000-00600000 rwxp 00001000 08:01 1 /x\n";
        assert_eq!(text_around(maps, 0x40_1234), Some(0x40_1000..0x50_0000));
        assert_eq!(text_around(maps, 0x40_0000), None);
        assert_eq!(text_around(maps, 0x50_0000), None);
        assert_eq!(text_around("", 1), None);
        // And goes on afterwards.
        let_go_of_text();
        let_go_of_text();
    }
}
