//! Where one starts: templates, completion, manual pages.

use std::path::Path;
use std::process::Command;

use magistrate_tests::{Ran, Running, Store, magistrate, program, ran, skip, workspace};

use crate::python::python;

/// A template, the namespace of its actions, and a question beside the one it asks that is denied.
const TEMPLATES: [(&str, &str, [&str; 3]); 3] = [
    ("gateway", "Gateway", ["Gateway::User::bo", "POST", "Gateway::Route::acme/orders"]),
    ("saas", "App", ["App::User::bo", "edit", "App::Project::diary"]),
    ("m2m", "Mesh", ["Mesh::Service::legacy", "publish", "Mesh::Queue::invoices"]),
];

/// The lines of the README that one types, in order.
fn typed(directory: &Path) -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    let lines = readme.lines().filter_map(|line| line.strip_prefix("    magistrate "));
    let words = |line: &str| {
        let quoted = |(index, part): (usize, &str)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        };
        line.split('"').enumerate().flat_map(quoted).collect()
    };
    lines.map(words).collect()
}

/// Everything that a template's README tells works in the order it is told, and its question is allowed.
#[test]
fn templates_work_as_they_are_written() {
    for (template, namespace, denied) in TEMPLATES {
        let store = Store::nowhere();
        let start = store.home().join("start");
        let _told = store.run(&["init", "--template", template, "start"]).code(0);
        let lines = typed(&start);
        let verbs: Vec<&str> = lines.iter().map(|line| line[0].as_str()).collect();
        assert_eq!(verbs, ["policy", "policy", "check", "migrate", "policy", "serve", "caller"], "{template}");
        let run = |line: &[String]| magistrate(&start, line).code(0);
        let _linted = run(&lines[0]);
        every_policy_is_covered(&run(&lines[1]));
        let _told: Vec<Ran> = lines[2..5].iter().map(|line| run(line)).collect();
        let _made = run(&lines[6]);
        assert_eq!(lines[5], ["serve", "--config", "magistrate.toml"]);
        let mut serve = Command::new(program());
        serve.current_dir(&start).args(["--config", "magistrate.toml"]);
        let node = Running::launch(serve);
        let mut ask = Command::new("sh");
        ask.arg("ask.sh").current_dir(&start).env("MAGISTRATE", program()).env("MAGISTRATE_SERVER", node.url());
        let _allowed = ran(&mut ask).code(0);
        let url = node.url();
        let deny = ["--default-namespace", namespace, "check", "--server", &url].into_iter().chain(denied);
        let _denied = magistrate(store.home(), deny).code(5);
        ask_in_grpc(&node, &start.join("question.json"));
        let _kept = store.run(&["init", "--template", template, "start"]).code(1).says(&["is not empty"]);
    }
}

fn every_policy_is_covered(tested: &Ran) {
    let line = tested.out.lines().last().unwrap();
    let covered: Vec<&str> = line.split("; ").nth(1).unwrap().split(' ').collect();
    assert_eq!(covered.first(), covered.get(2), "every policy is covered: {line}");
    assert!(line.contains(" 0 failed") || line.split(' ').nth(2) == Some("passed,"), "{line}");
}

/// The question that is written down is the one that the script asks.
fn ask_in_grpc(node: &Running, question: &Path) {
    let Some(python) = python() else {
        return skip("ask_in_grpc", "no Python with grpcio in target/python; `tests/run` installs it");
    };
    let script = workspace().join("tests/python/question.py");
    let answer = ran(Command::new(python).arg(script).arg(node.address()).arg(question)).code(0);
    assert_eq!(answer.out.trim(), "DECISION_ALLOW");
}

#[test]
fn templates_are_listed() {
    let store = Store::nowhere();
    let listed = store.run(&["init", "--list"]).code(0).out;
    let json = store.run(&["-o", "json", "init", "--list"]).code(0).json();
    let known: Vec<&str> = json.as_array().unwrap().iter().map(|it| it["template"].as_str().unwrap()).collect();
    assert_eq!(known, TEMPLATES.map(|(name, ..)| name));
    assert!(known.iter().all(|name| listed.contains(name)) && listed.contains("routes, methods"), "{listed}");
    for wrong in [&["init"][..], &["init", "--list", "--template", "saas"], &["init", "--list", "start"]] {
        assert_eq!(store.run(wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(std::fs::read_dir(store.home()).unwrap().count(), 0, "nothing was written");
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
    let _read = ran(Command::new("bash").args(["-n", &script])).code(0);
    for (words, completed) in
        [("magistrate pol", "policy"), ("magistrate policy appl", "apply"), ("magistrate init --li", "--list")]
    {
        let last = words.split(' ').count() - 1;
        let typed = format!(
            ". {script}; COMP_WORDS=({words}); COMP_CWORD={last}; \
             _magistrate magistrate \"${{COMP_WORDS[{last}]}}\" x; echo \"${{COMPREPLY[@]}}\""
        );
        let output = ran(Command::new("bash").args(["-c", &typed])).code(0);
        assert_eq!(output.out.trim(), completed, "{words}: {}", output.err);
    }
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
