#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| magistrate_grpc::fuzzed::query(bytes));
