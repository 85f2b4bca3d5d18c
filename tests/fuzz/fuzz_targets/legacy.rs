//! A session with any version 1 peer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| portwright::tunnel::fuzzing::legacy(input));
