//! `migrate`: the store's own schema, and the roles of a shared database.

use std::path::Path;

use anyhow::{Context as _, bail};
use magistrate_storage_postgres::{Database, HardeningLevel, MigrateOptions, Role, RolePrefix, Verifier, roles_sql};
use magistrate_storage_sqlite::SqliteStore;
use serde_json::json;

use crate::cli::{HardeningArg, MigrateArgs};
use crate::config::{Config, Storage, read_secret};
use crate::exit::Exit;
use crate::os;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out, args: &MigrateArgs) -> anyhow::Result<Exit> {
    if args.print_roles {
        out.line(roles_sql(&RolePrefix::new(&args.role_prefix)?).trim_end())?;
        return Ok(Exit::Ok);
    }
    match &config.storage {
        Storage::Embedded(_) if !args.passwords.is_empty() || args.hardening != HardeningArg::Standard => {
            bail!("`--password` and `--hardening` are for PostgreSQL; give `--database-url`")
        }
        Storage::Embedded(directory) => embedded(directory, out).await,
        Storage::Postgres(database) => postgres(database, out, args).await,
    }
}

async fn embedded(directory: &Path, out: Out) -> anyhow::Result<Exit> {
    let migrated = SqliteStore::create_or_migrate(directory).await;
    let directory = directory.display();
    let migrated = migrated.with_context(|| format!("cannot migrate the store in `{directory}`"))?;
    let steps: Vec<_> =
        migrated.steps.iter().map(|step| format!("{} {:04} {}", step.file, step.version, step.name)).collect();
    let text = || match steps.is_empty() {
        true => format!("the store in `{directory}` is up to date"),
        false => format!("{}\nthe store in `{directory}` is ready", steps.join("\n")),
    };
    out.either(text, || json!({ "data": directory.to_string(), "applied": steps }))?;
    Ok(Exit::Ok)
}

async fn postgres(database: &Database, out: Out, args: &MigrateArgs) -> anyhow::Result<Exit> {
    let options = MigrateOptions {
        role_prefix: RolePrefix::new(&args.role_prefix)?,
        hardening: match args.hardening {
            HardeningArg::Standard => HardeningLevel::Standard,
            HardeningArg::Strict => HardeningLevel::Strict,
        },
        passwords: passwords(args)?,
    };
    let migrated = magistrate_storage_postgres::migrate(database, &options).await.context("cannot migrate")?;
    let steps: Vec<_> = migrated.steps.iter().map(|step| format!("{:04} {}", step.version, step.name)).collect();
    let hardening = if migrated.is_strict { HardeningLevel::Strict } else { HardeningLevel::Standard };
    let text = || {
        let roles = migrated.created_roles.iter().map(|role| format!("role {role}"));
        let partitions =
            (migrated.created_partitions > 0).then(|| format!("{} partitions", migrated.created_partitions));
        let mut lines: Vec<String> = roles.chain(steps.iter().cloned()).chain(partitions).collect();
        let state = if lines.is_empty() { "is up to date" } else { "is ready" };
        lines.push(format!("{} {state}; hardening {}", database.describe(), hardening.name()));
        lines.join("\n")
    };
    let json = || {
        json!({ "database": database.describe(), "applied": steps, "created_roles": migrated.created_roles,
            "created_partitions": migrated.created_partitions, "hardening": hardening.name() })
    };
    out.either(text, json)?;
    Ok(Exit::Ok)
}

fn passwords(args: &MigrateArgs) -> anyhow::Result<Vec<(Role, Verifier)>> {
    let verifier = |(role, file): &(String, std::path::PathBuf)| {
        let named = Role::ALL.into_iter().find(|it| it.name() == role);
        let named = named.with_context(|| format!("`{role}` is not a role"))?;
        let password = read_secret(&format!("password of {role}"), file)?;
        let verifier = Verifier::new(&password, os::random());
        Ok((named, verifier.with_context(|| format!("`{}`", file.display()))?))
    };
    args.passwords.iter().map(verifier).collect()
}
