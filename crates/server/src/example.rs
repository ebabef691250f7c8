//! The shipped example, inside the binary: a newcomer needs no checkout.

use std::path::Path;

use anyhow::Context as _;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../policies/", $path)))),*]
    };
}

/// Every file of the example but its README and tests.
const FILES: &[(&str, &str)] = files![
    "schema.cedarschema",
    "documents.cedar",
    "guardrails.cedar",
    "messages.cedar",
    "operations.cedar",
    "orders.cedar",
    "payments.cedar",
    "reports.cedar",
    "data/entities.jsonl",
    "data/roles.jsonl",
    "data/scopes.jsonl",
    "data/grants.jsonl",
];

/// The namespace of the example's actions.
pub(crate) const NAMESPACE: &str = "Company";

/// A question the demonstration asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DemoQuestion {
    pub(crate) principal: (&'static str, &'static str),
    pub(crate) action: &'static str,
    pub(crate) resource: (&'static str, &'static str),
}

/// A user reads her own message; the payment service may not.
pub(crate) const QUESTIONS: [DemoQuestion; 2] = [
    DemoQuestion {
        principal: ("Company::User", "ana"),
        action: "readMessage",
        resource: ("Company::Message", "m-1001"),
    },
    DemoQuestion {
        principal: ("Company::Service", "payments"),
        action: "readMessage",
        resource: ("Company::Message", "m-1001"),
    },
];

/// Writes the example into a directory.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    for (name, text) in FILES {
        let path = directory.join(name);
        let folder = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names below `folder` that end in one of the extensions the example consists of.
    fn names(folder: &Path, prefix: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let wanted = |name: &str| [".cedar", ".cedarschema", ".jsonl"].iter().any(|end| name.ends_with(end));
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| wanted(name))
            .map(|name| format!("{prefix}{name}"))
            .collect()
    }

    #[test]
    fn binary_holds_every_file_of_the_example() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
        let mut on_disk = names(&folder, "");
        on_disk.extend(names(&folder.join("data"), "data/"));
        assert_eq!(FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), on_disk);
    }
}
