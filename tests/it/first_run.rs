//! What a newcomer does first.

use magistrate_tests::{Store, magistrate};

#[test]
fn dev_gives_an_allow_and_a_deny_with_reasons_and_their_place_in_history() {
    let nowhere = Store::nowhere();
    let ran = magistrate(nowhere.home(), ["dev", "--once", "--port", "0"]).code(0);
    assert!(!ran.out.contains("Policies whose scope matches"), "answers, and no explanations: {}", ran.out);
    let lines: Vec<&str> = ran.out.lines().collect();
    let after = |start: &str| {
        lines.iter().position(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {}", ran.out))
    };
    let (allow, deny) = (after("ALLOW"), after("DENY"));
    assert!(lines[allow].contains("messages.owner.read"));
    assert!(lines[deny].contains("guardrails.payments.no-messages"));
    let history: Vec<&&str> = lines.iter().filter(|line| line.contains("in history")).collect();
    assert_eq!(history.len(), 2);
    assert!(history[0].contains("allow") && history[1].contains("deny"));
    assert!(ran.out.contains("UNSAFE"));
}

#[test]
fn example_is_valid_and_its_tests_pass() {
    let here = magistrate_tests::workspace();
    let lint = magistrate(&here, ["-o", "json", "policy", "lint", "policies"]).code(0).json();
    assert!(lint["policies"].as_u64().unwrap() >= 25);
    let tests = magistrate(&here, ["-o", "json", "policy", "test", "policies"]).code(0).json();
    assert_eq!(tests["failed"], 0);
    assert!(tests["passed"].as_u64().unwrap() >= 60);
    assert_eq!(tests["uncovered_policies"].as_array().unwrap().len(), 0);
}

#[test]
fn first_decision_needs_no_server() {
    let here = magistrate_tests::workspace();
    let ask = |principal: &str| {
        magistrate(&here, ["check", "--offline", "policies", principal, "readMessage", "Company::Message::m-1001"])
    };
    assert!(ask("Company::User::ana").code(0).out.starts_with("ALLOW  permitted by `messages.owner.read`"));
    assert!(ask("Company::Service::payments").code(5).out.starts_with("DENY  forbidden by"));
}
