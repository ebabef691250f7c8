//! What to start, as it is written on the command line.

use anyhow::{Context as _, bail};

/// A program to load: `PROGRAM[,NAME=value…][,--flag=value…][,store=sqlite|postgres]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    /// As it was written.
    pub(crate) written: String,
    pub(crate) program: String,
    /// Variables for its environment.
    pub(crate) variables: Vec<(String, String)>,
    /// Further arguments, for `serve` where it is Magistrate.
    pub(crate) arguments: Vec<String>,
    pub(crate) store: StoreKind,
}

/// Where Magistrate keeps things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    Postgres,
}

impl std::str::FromStr for Spec {
    type Err = anyhow::Error;

    fn from_str(written: &str) -> anyhow::Result<Self> {
        let mut parts = written.split(',').map(str::trim);
        let program = parts.next().filter(|it| !it.is_empty()).context("name a program")?.to_owned();
        let mut spec = Self {
            written: written.to_owned(),
            program,
            variables: Vec::new(),
            arguments: Vec::new(),
            store: StoreKind::Sqlite,
        };
        for part in parts {
            match (part.starts_with("--"), part.split_once('=')) {
                (true, _) => spec.arguments.push(part.to_owned()),
                (false, Some(("store", "sqlite"))) => spec.store = StoreKind::Sqlite,
                (false, Some(("store", "postgres"))) => spec.store = StoreKind::Postgres,
                (false, Some((name, value))) if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') => {
                    spec.variables.push((name.to_owned(), value.to_owned()));
                }
                (false, _) => bail!(
                    "`{part}` in `{written}` is neither NAME=value nor --flag=value nor store=sqlite or store=postgres"
                ),
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_name_a_program_and_what_differs() {
        let spec: Spec = "target/dist/magistrate,OTEL_X=1,--workers=2,store=postgres".parse().unwrap();
        assert_eq!((spec.program.as_str(), spec.store), ("target/dist/magistrate", StoreKind::Postgres));
        assert_eq!(spec.variables, [("OTEL_X".to_owned(), "1".to_owned())]);
        assert_eq!(spec.arguments, ["--workers=2"]);
        for wrong in ["", ",A=1", "echo,store=oracle", "echo,workers", "echo,workers=2"] {
            assert!(wrong.parse::<Spec>().is_err(), "{wrong}");
        }
    }
}
