//! The software bill of materials.

use std::collections::BTreeSet;
use std::process::Command;

use magistrate_tests::{skip, workspace};

use super::{TARGET, shipped};

fn bill() -> Vec<u8> {
    let script = workspace().join("deploy/supply-chain/sbom.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(TARGET).current_dir(workspace()).env("CARGO", env!("CARGO"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// It names exactly what is built in, each with the digest of the lock, and the same lock gives the same bytes.
#[test]
fn bill_of_materials_is_complete() {
    let text = bill();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((json["bomFormat"].as_str(), json["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    let components = json["components"].as_array().unwrap();
    let named: BTreeSet<&str> = components.iter().map(|it| it["purl"].as_str().unwrap()).collect();
    let built = shipped();
    let expected: BTreeSet<String> = built.iter().map(|it| format!("pkg:cargo/{}@{}", it.name, it.version)).collect();
    assert_eq!(named, expected.iter().map(String::as_str).collect());
    let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    for component in components {
        let digest = component["hashes"][0]["content"].as_str().unwrap();
        assert!(digest.len() == 64 && lock.contains(&format!("checksum = \"{digest}\"")), "{component}");
    }
    assert_eq!(bill(), text);
}

/// It is what its schema asks for, licence expressions among it.
#[test]
fn bill_of_materials_is_valid() {
    let python = workspace().join("target/python/bin/python");
    let known = |name: &str| {
        Command::new(&python).args(["-c", &format!("import {name}")]).output().is_ok_and(|it| it.status.success())
    };
    if !known("cyclonedx.validation.json, jsonschema") {
        return skip("bill_of_materials_is_valid", "no cyclonedx; run tests/run");
    }
    let validate = "import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()) or '') or None)";
    let file = tempfile::NamedTempFile::new().unwrap();
    let told = |text: &[u8]| {
        std::fs::write(file.path(), text).unwrap();
        let output = Command::new(&python).args(["-c", validate]).arg(file.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let text = bill();
    let (valid, why) = told(&text);
    assert!(valid, "{why}");
    let broken = String::from_utf8(text).unwrap().replacen("\"type\": \"library\"", "\"type\": \"book\"", 1);
    let (valid, why) = told(broken.as_bytes());
    assert!(!valid && why.contains("book"), "{why}");
}
