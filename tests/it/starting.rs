//! Where one starts: templates, completion, manual pages.

use std::process::Command;

use magistrate_tests::{Running, Store, program};

/// Each template is valid, passes its own tests with every policy covered, and is served: an allow and a deny.
#[test]
fn templates_work_as_they_are_written() {
    for (template, namespace, neighbour) in [
        ("gateway", "Gateway", ["Gateway::User::bo", "POST", "Gateway::Route::acme/orders"]),
        ("saas", "App", ["App::User::bo", "edit", "App::Project::diary"]),
        ("m2m", "Mesh", ["Mesh::Service::legacy", "publish", "Mesh::Queue::invoices"]),
    ] {
        let store = Store::empty();
        let run = |arguments: &[&str]| magistrate_tests::magistrate(store.home(), arguments);
        let _told = run(&["init", "--template", template, "start"]).code(0);
        let _told = run(&["policy", "lint", "start"]).code(0);
        let tested = run(&["policy", "test", "start"]).code(0).out;
        let line = tested.lines().last().unwrap().to_owned();
        let counts: Vec<&str> = line.split(' ').collect();
        assert!(counts[2] == "passed," || line.contains(" 0 failed"), "{line}");
        let covered: Vec<&str> = line.split("; ").nth(1).unwrap().split(' ').collect();
        assert_eq!(covered[0], covered[2], "every policy is covered: {line}");
        let _told = run(&["policy", "apply", "start", "--with-data", "--reason", "test"]).code(0);
        let mut command = Command::new(program());
        command.current_dir(store.home()).args(["--config", "start/magistrate.toml"]);
        let node = Running::launch(command);
        let ask = |arguments: &[&str]| {
            let mut command = Command::new("sh");
            command.arg("start/ask.sh").args(arguments).current_dir(store.home()).env("MAGISTRATE", program());
            command.env("MAGISTRATE_SERVER", node.url()).output().unwrap()
        };
        let allowed = ask(&[]);
        assert_eq!(allowed.status.code(), Some(0), "{template}: {}", String::from_utf8_lossy(&allowed.stderr));
        let url = node.url();
        let mut deny = vec!["--default-namespace", namespace, "check", "--server", &url];
        deny.extend(neighbour);
        assert_eq!(magistrate_tests::magistrate(store.home(), deny).code, 5, "{template}");
        let _told = run(&["init", "--template", template, "start"]).code(1).says(&["is not empty"]);
    }
}

/// Completion scripts are scripts, and bash's completes a verb.
#[test]
fn completion_completes() {
    let store = Store::nowhere();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = store.run(&["completion", shell]).code(0).out;
        assert!(script.contains("magistrate"), "{shell}");
    }
    let script = store.file("completion.bash", &store.run(&["completion", "bash"]).code(0).out);
    let typed = format!(
        ". {script}; COMP_WORDS=(magistrate pol); COMP_CWORD=1; _magistrate magistrate pol magistrate; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &typed]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "policy", "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every verb has a page.
#[test]
fn every_verb_has_a_page() {
    let store = Store::nowhere();
    let _told = store.run(&["man", "--dir", "pages"]).code(0);
    let help = store.run(&["--help"]).code(0).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<&str> =
        verbs.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|it| !it.is_empty()).collect();
    assert!(verbs.len() > 15, "{verbs:?}");
    for verb in verbs.iter().filter(|verb| **verb != "help") {
        assert!(store.home().join(format!("pages/magistrate-{verb}.1")).is_file(), "{verb}");
    }
    assert!(store.home().join("pages/magistrate-caller-key-new.1").is_file());
}
