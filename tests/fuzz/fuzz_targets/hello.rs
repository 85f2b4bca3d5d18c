//! Messages of the handshake.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| portwright::tunnel::fuzzing::hello(input));
