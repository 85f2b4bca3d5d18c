//! A session with any peer and any application.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| portwright::tunnel::fuzzing::session(input));
