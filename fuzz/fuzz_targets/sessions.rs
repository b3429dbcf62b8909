//! Made-up handshakes and conversations.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rlay_testkit::fuzz::sessions(data));
