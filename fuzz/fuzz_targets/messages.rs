//! Made-up frames.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rlay_testkit::fuzz::messages(data));
