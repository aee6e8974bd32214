//! Fuzzes the target `recurrence_rule` with libFuzzer.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls an exported function")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::recurrence_rule(data));
