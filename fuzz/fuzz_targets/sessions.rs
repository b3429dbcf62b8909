//! Handshakes and conversations that somebody made up.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rlay_testkit::fuzz::sessions(data));
