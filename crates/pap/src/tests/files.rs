//! Policy directories.

use std::path::Path;

use super::{HELD, POLICIES, SCHEMA, now};
use crate::PolicyFiles;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A directory with schema, policies and the data of the small world.
fn directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "schema.cedarschema", SCHEMA);
    write(root.path(), "docs.cedar", POLICIES);
    for (kind, lines) in HELD {
        write(root.path(), &format!("data/{kind}.jsonl"), lines);
    }
    root
}

#[test]
fn directory_gives_policies_data_and_tests_in_path_order() {
    let root = directory();
    write(root.path(), "a.cedar", "@id(\"a\") permit (principal, action, resource);");
    write(root.path(), "notes.txt", "not a policy");
    write(root.path(), "tests/b.yaml", "");
    write(root.path(), "tests/a.yaml", "");
    let files = PolicyFiles::read(root.path()).unwrap();
    let names = |paths: Vec<String>| paths.iter().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect();
    let policies: Vec<String> = names(files.policies.iter().map(|source| source.name.clone()).collect());
    assert_eq!(policies, ["a.cedar", "docs.cedar"]);
    let tests: Vec<String> = names(files.test_files().unwrap().iter().map(|p| p.display().to_string()).collect());
    assert_eq!(tests, ["a.yaml", "b.yaml"]);
    let snapshot = files.compile().unwrap();
    let dataset = files.dataset(&snapshot, now()).unwrap();
    assert_eq!((dataset.entities.len(), dataset.scopes.len(), dataset.grants.len()), (10, 1, 2));
}

#[test]
fn grants_may_stand_in_csv_beside_json_lines() {
    let root = directory();
    let csv = "holder_type,holder_id,role,standing,reason\nUser,ben,editor,true,r\n";
    write(root.path(), "data/grants.csv", csv);
    assert_eq!(PolicyFiles::read(root.path()).unwrap().data().unwrap().grants.len(), 3);
}

#[test]
fn problems_name_the_file() {
    let root = directory();
    write(root.path(), "data/roles.jsonl", "{\"role\":\"reader\"}\n{\"rôle\":\"x\"}\n");
    let error = PolicyFiles::read(root.path()).unwrap().data().unwrap_err().to_string();
    assert!(error.contains("data/roles.jsonl:2: `rôle` is not a field of a role"), "{error}");
    let error = PolicyFiles::read(&root.path().join("data")).unwrap_err().to_string();
    assert!(error.contains("holds no `schema.cedarschema`"), "{error}");
    write(root.path(), "bad.cedar", "permit (principal, action, resource)");
    let findings = PolicyFiles::read(root.path()).unwrap().compile().unwrap_err().to_string();
    assert!(findings.contains("bad.cedar:1:"), "{findings}");
}
