//! Bad input to the real program: each kind is refused with words that say what to do, nothing is lost,
//! and nothing is allowed.

mod command_line;
mod policy_files;
mod server;
mod store_files;

use magistrate_tests::Store;

use crate::administration::revision;

/// Expects a refusal with this exit code and these words, which answers nothing and changes nothing.
/// Returns what was told.
#[track_caller]
fn refused(store: &Store, arguments: &[&str], code: i32, says: &[&str]) -> String {
    let before = revision(store);
    let ran = store.run(arguments).code(code).says(says);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    assert_eq!(ran.out, "", "{arguments:?}");
    assert_eq!(revision(store), before, "what is refused changes nothing: {arguments:?}");
    ran.err
}
