//! Made-up addresses and commands.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rlay_testkit::fuzz::addresses(data));
