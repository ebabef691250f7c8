//! `policy`: lint, test, apply, status.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use magistrate_engine::Snapshot;
use magistrate_model::{Instant, PolicyId, Span};
use magistrate_pap::{
    AdminError, Applied, ApplyOptions, Changes as _, Data, PolicyFiles, Records as _, SuiteReport, read_cases,
};
use magistrate_pdp::View;
use serde_json::json;

use super::store;
use crate::cli::PolicyVerb;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out, verb: PolicyVerb, now: Instant) -> anyhow::Result<Exit> {
    match verb {
        PolicyVerb::Lint { dir } => lint(out, &dir),
        PolicyVerb::Test { dir } => test(config, out, &dir),
        PolicyVerb::Apply { dir, name, allow_shrink, with_data, authored } => {
            let files = PolicyFiles::read(&dir)?;
            let snapshot = files.compile()?;
            let authorship = store::authorship(&authored, now)?;
            let administration = store::administration(config).await?;
            let data = if with_data { files.data()? } else { Data::default() };
            let options = ApplyOptions { name, allow_shrink, data };
            tell(out, &administration.apply(&snapshot, &options, &authorship).await?)?;
            Ok(Exit::Ok)
        }
        PolicyVerb::Status => status(config, out).await,
    }
}

fn lint(out: Out, dir: &Path) -> anyhow::Result<Exit> {
    let compiled = PolicyFiles::read(dir)?.compile();
    match compiled {
        Ok(snapshot) => {
            let (policies, digest) = (snapshot.policies().len(), snapshot.digest());
            let unnarrowed: Vec<&str> = snapshot.unnarrowed().map(PolicyId::as_str).collect();
            out.either(
                || {
                    format!(
                        "{policies} policies are valid; digest {}, {} attribute hops\n{}",
                        digest.short(),
                        snapshot.dereferences(),
                        narrowing(&unnarrowed)
                    )
                },
                || {
                    json!({
                        "valid": true,
                        "policies": policies,
                        "digest": digest.to_string(),
                        "unnarrowed": unnarrowed,
                        "findings": [],
                    })
                },
            )?;
            Ok(Exit::Ok)
        }
        Err(AdminError::Findings(findings)) if out.is_json() => {
            let json: Vec<_> = findings.as_slice().iter().map(|f| {
                json!({ "file": f.source, "line": f.line, "column": f.column, "rule": f.rule.name(), "message": f.message, "help": f.help })
            }).collect();
            out.json(&json!({ "valid": false, "findings": json }))?;
            Ok(Exit::InvalidPolicy)
        }
        Err(error) => Err(error.into()),
    }
}

/// Which policies cost something at every request.
fn narrowing(unnarrowed: &[&str]) -> String {
    const SHOWN: usize = 10;
    match unnarrowed {
        [] => "every policy names a principal, a resource or a group in its scope".to_owned(),
        ids => {
            let more = ids.len().saturating_sub(SHOWN);
            let shown = ids.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!(
                "{} of them name no principal, resource or group in their scope, and are evaluated for every request of \
                 their actions: {shown}{more}",
                ids.len()
            )
        }
    }
}

fn test(config: &Config, out: Out, dir: &Path) -> anyhow::Result<Exit> {
    let files = PolicyFiles::read(dir)?;
    let snapshot = Arc::new(files.compile()?);
    let paths = files.test_files()?;
    if paths.is_empty() {
        bail!("`{}` holds no tests; write cases into `tests/*.yaml`", dir.display());
    }
    let mut reports = Vec::new();
    for path in paths {
        let suite = read_cases(&path, &namespace(config, &snapshot))?;
        let view = View::offline(Arc::clone(&snapshot), files.dataset(&snapshot, suite.now)?);
        reports.push(suite.run(|query, at| {
            view.answer(query, at, Span::ZERO).map(|(_, verdict)| verdict).map_err(|error| error.to_string())
        }));
    }
    report(out, &snapshot, &reports)
}

/// Bare action ids in tests belong to the configured namespace, or to the schema's only one.
pub(crate) fn namespace(config: &Config, snapshot: &Snapshot) -> String {
    let declared: BTreeSet<_> =
        snapshot.vocabulary().actions().map(|(action, _)| action.uid().type_name().namespace()).collect();
    match (config.default_namespace.as_str(), declared.len(), declared.first()) {
        ("", 1, Some(only)) => (*only).to_owned(),
        (configured, _, _) => configured.to_owned(),
    }
}

fn report(out: Out, snapshot: &Snapshot, reports: &[SuiteReport]) -> anyhow::Result<Exit> {
    let cases = || reports.iter().flat_map(|report| report.cases.iter().map(move |case| (&report.name, case)));
    let failed = cases().filter(|(_, case)| case.failure.is_some()).count();
    let passed = cases().count() - failed;
    let covered: BTreeSet<&PolicyId> = reports.iter().flat_map(|report| &report.covered).collect();
    let uncovered: Vec<&PolicyId> =
        snapshot.policies().map(|policy| &policy.id).filter(|id| !covered.contains(id)).collect();
    if out.is_json() {
        let cases: Vec<_> =
            cases().map(|(file, case)| json!({ "file": file, "case": case.name, "failure": case.failure })).collect();
        let uncovered: Vec<_> = uncovered.iter().map(|id| id.as_str()).collect();
        out.json(&json!({ "passed": passed, "failed": failed, "cases": cases, "uncovered_policies": uncovered }))?;
    } else {
        for report in reports {
            let failures = report.cases.iter().filter(|case| case.failure.is_some()).count();
            let state = if failures == 0 { "ok" } else { "FAILED" };
            out.line(&format!("{state:<7} {} ({} cases)", report.name, report.cases.len()))?;
            for case in &report.cases {
                if let Some(failure) = &case.failure {
                    out.line(&format!("        {}: {failure}", case.name))?;
                }
            }
        }
        for id in &uncovered {
            out.line(&format!("warning: no case makes `{id}` determining"))?;
        }
        out.line(&format!(
            "{passed} passed, {failed} failed; {} of {} policies covered",
            covered.len(),
            snapshot.policies().len()
        ))?;
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::TestsFailed })
}

fn tell(out: Out, applied: &Applied) -> anyhow::Result<()> {
    let Applied { revision, digest, changed, policies, data } = applied;
    let set = match changed {
        true => format!("{policies} policies are live as {}", digest.short()),
        false => format!("{} is live already", digest.short()),
    };
    let data_text = match data.total() {
        0 => String::new(),
        _ => format!("; data: {} added, {} updated, {} unchanged", data.added, data.updated, data.unchanged),
    };
    out.either(
        || format!("{set}{data_text}; revision {revision}"),
        || {
            json!({ "revision": revision.number(), "digest": digest.to_string(), "changed": changed, "policies": policies,
                "added": data.added, "updated": data.updated, "unchanged": data.unchanged })
        },
    )?;
    Ok(())
}

async fn status(config: &Config, out: Out) -> anyhow::Result<Exit> {
    let store = store::open(config).await?;
    let (base, migrations) = (store.base().await?, store.migrations().await?);
    let live = base.policy_set.as_ref().map(|set| (set.digest.to_string(), set.policies.len()));
    if !out.is_json() {
        out.line(&match &live {
            Some((digest, policies)) => format!("revision {}, {policies} policies live as {digest}\n", base.revision),
            None => format!("revision {}, no policy set applied yet", base.revision),
        })?;
    }
    let rows: Vec<_> = migrations
        .iter()
        .map(|m| {
            let Authored { at, actor, reason } = authored(m);
            vec![m.number.to_string(), m.name.clone(), m.result.short(), m.revision.to_string(), at, actor, reason]
        })
        .collect();
    let json = || {
        let migrations: Vec<_> = migrations.iter().map(|m| {
            let Authored { at, actor, reason } = authored(m);
            json!({ "number": m.number, "name": m.name, "base": m.base.map(|it| it.to_string()), "result": m.result.to_string(),
                "revision": m.revision.number(), "at": at, "actor": actor, "reason": reason })
        }).collect();
        json!({ "revision": base.revision.number(), "digest": live.as_ref().map(|(digest, _)| digest), "migrations": migrations })
    };
    out.rows(&["number", "name", "set", "revision", "at", "actor", "reason"], &rows, json)?;
    Ok(Exit::Ok)
}

struct Authored {
    at: String,
    actor: String,
    reason: String,
}

fn authored(migration: &magistrate_pap::PolicyMigration) -> Authored {
    let authorship = &migration.authorship;
    Authored {
        at: authorship.at.to_string(),
        actor: authorship.actor.to_string(),
        reason: authorship.reason.to_string(),
    }
}
