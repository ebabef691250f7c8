//! Tests of what only `SQLite` does; what every store must do is in the conformance suite.
