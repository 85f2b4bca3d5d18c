//! Records of TLS, from any peer and in any pieces.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| portwright::tunnel::fuzzing::records(input));
