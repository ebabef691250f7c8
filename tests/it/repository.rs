//! Rules of the repository that are run, not wished.

use std::path::{Path, PathBuf};

use magistrate_tests::workspace;

/// Every file below a folder that ends in one of these.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        if entry.is_dir() && !["target", ".git", ".magistrate"].contains(&name.as_str()) {
            files(&entry, endings, found);
        } else if endings.iter().any(|end| name.ends_with(end)) {
            found.push(entry);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&workspace(), &[".rs"], &mut found);
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn no_file_outgrows_one_story() {
    let long = |(path, text): &(PathBuf, String)| {
        let test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        text.lines().count() > if test { 600 } else { 400 }
    };
    let long: Vec<_> = sources().into_iter().filter(long).map(|(path, _)| path).collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

#[test]
fn no_test_is_ignored_or_unfinished() {
    let words = [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    for (path, text) in sources() {
        for word in words {
            assert!(!text.contains(word), "{} holds `{word}`", path.display());
        }
    }
}

#[test]
fn every_exit_code_is_documented_once() {
    let help = magistrate_tests::magistrate(&workspace(), ["--help"]).code(0).out;
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    for code in ["invalid policy", "tests failed", "changes pending", "integrity failure"] {
        assert!(help.contains(code), "--help does not tell `{code}`");
        assert!(readme.contains(code), "the README does not tell `{code}`");
    }
}

#[test]
fn every_verb_of_the_readme_exists() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let lines: Vec<&str> = readme.lines().map(str::trim).filter(|line| line.starts_with("magistrate ")).collect();
    assert!(lines.len() > 5, "the README shows how to use it");
    for line in lines {
        let words: Vec<&str> = line
            .split_whitespace()
            .skip(1)
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
            .collect();
        let verb: Vec<&str> = words.into_iter().take(2).filter(|word| !word.starts_with('-')).collect();
        let known =
            |verb: &[&str]| magistrate_tests::magistrate(&workspace(), verb.iter().chain(&["--help"])).code == 0;
        assert!(known(&verb) || known(&verb[..1]), "`{line}` names no verb");
    }
}
