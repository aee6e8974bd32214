//! Fuzzes the target `occurrence_edit` with libFuzzer.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls an exported function")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::occurrence_edit(data));
