#![no_main]

#[path = "../../tests/mutation/checks.rs"]
#[expect(dead_code, reason = "each target is one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| {
    checks::loader(text);
});
