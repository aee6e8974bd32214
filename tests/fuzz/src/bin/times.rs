//! Fuzzes the target `times` with libFuzzer.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls an exported function")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::times(data));
