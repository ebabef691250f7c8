#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| magistrate_engine::fuzzed::rules(bytes));
