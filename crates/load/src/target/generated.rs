//! The generated policies, taken apart for engines that do not read Cedar.

use magistrate_testkit::Scenario;

/// What a generated policy on a folder says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Permits members of a group.
    Group(String),
    /// Permits those who are cleared for so much.
    Clearance(u8),
    /// Forbids those who are suspended.
    Suspended,
}

/// Each generated policy with its folder.
pub(crate) fn policies(scenario: &Scenario) -> Vec<(String, Shape)> {
    let text = scenario.policies.last().map_or("", |source| source.text.as_str());
    text.lines().filter(|line| !line.starts_with('@')).filter_map(policy).collect()
}

fn policy(line: &str) -> Option<(String, Shape)> {
    let after = |start: &str| line.split_once(start).map(|(_, rest)| rest);
    let folder = after("Folder::\"")?.split('"').next()?.to_owned();
    let shape = match (after("Group::\""), after("clearance >= ")) {
        _ if line.starts_with("forbid") => Shape::Suspended,
        (Some(group), _) => Shape::Group(group.split('"').next()?.to_owned()),
        (None, Some(level)) => Shape::Clearance(level.split(' ').next()?.parse().ok()?),
        (None, None) => return None,
    };
    Some((folder, shape))
}

#[cfg(test)]
mod tests {
    use magistrate_testkit::Scale;

    use super::*;

    #[test]
    fn every_generated_policy_is_understood() {
        let scale = Scale { policies: 162, assignments: 0, entities: 30 };
        let scenario = Scenario::generate(1, scale);
        let found = policies(&scenario);
        let written = scenario.policies.last().unwrap().text.matches("@id(").count();
        assert_eq!(found.len(), written);
        let of = |shape: &Shape| found.iter().filter(|(_, it)| it == shape).count();
        assert!(of(&Shape::Suspended) >= 20 && of(&Shape::Group("employees".into())) >= 20);
        assert!(found.iter().all(|(folder, _)| folder == "handbook" || folder.starts_with("folder-")));
    }
}
