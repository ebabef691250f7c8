//! `caller key`: API keys, made, listed and ended.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use magistrate_identity::{ApiKey, KeyKind, RANDOM_BYTES, Secret};
use magistrate_model::{Instant, KeyId, Span};
use magistrate_pap::Keys as _;
use serde_json::{Value as Json, json};

use super::store;
use crate::cli::{Authored, CallerVerb, KeyVerb, NewKeyArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out, verb: CallerVerb, now: Instant) -> anyhow::Result<Exit> {
    let CallerVerb::Key(verb) = verb;
    match verb {
        KeyVerb::New(args) => new(config, out, &args, now).await,
        KeyVerb::List { expiring } => list(config, out, expiring.as_deref(), now).await,
        KeyVerb::Revoke { id, authored } => revoke(config, out, &id, &authored, now).await,
    }
}

async fn new(config: &Config, out: Out, args: &NewKeyArgs, now: Instant) -> anyhow::Result<Exit> {
    let kind: KeyKind = args.kind.parse()?;
    let expires_at = Instant::parse(&args.expires, now).context("`--expires`")?;
    let authorship = store::authorship(&args.authored, now)?;
    let secret = Secret::of_random(kind, &random()?)?;
    let key = ApiKey {
        id: secret.id().clone(),
        caller: args.name.clone(),
        kind,
        hash: secret.hash(),
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    let key = key.checked()?;
    let opened = store::open(config).await?;
    // Before it counts, so that a key that counts is never lost: it is shown once.
    let written = args.out.as_deref().map(|path| write(path, &secret)).transpose()?;
    if let Err(error) = opened.issue_key(&key, &authorship).await {
        if let Some(path) = &args.out {
            let _left = std::fs::remove_file(path);
        }
        return Err(anyhow::Error::new(error).context("the key was not kept, and does not count"));
    }
    if written.is_none() {
        out.either(
            || secret.reveal(),
            || json!({ "key": secret.reveal(), "id": key.id.to_string(), "expires_at": key.expires_at.to_string() }),
        )?;
    }
    tell(&format!(
        "key {} of `{}` for `{}` ends at {}; it is not shown again",
        key.id,
        key.caller,
        kind.name(),
        key.expires_at
    ));
    Ok(Exit::Ok)
}

/// Beside the key, which alone goes to standard output.
fn tell(text: &str) {
    let _unwritable = writeln!(anstream::stderr(), "{text}");
}

fn random() -> anyhow::Result<[u8; RANDOM_BYTES]> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the operating system gives no random bytes: {error}"))?;
    Ok(bytes)
}

fn write(path: &Path, secret: &Secret) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot write the key to `{}`", path.display()))?;
    writeln!(file, "{}", secret.reveal()).with_context(|| format!("cannot write the key to `{}`", path.display()))
}

async fn list(config: &Config, out: Out, expiring: Option<&str>, now: Instant) -> anyhow::Result<Exit> {
    let until = match expiring {
        Some(span) => Some(Instant::parse(&format!("+{}", span.trim_start_matches('+')), now).context("`--expiring`")?),
        None => None,
    };
    let keys = store::open(config).await?.listed_keys().await?;
    let ends_soon = |key: &&ApiKey| until.is_none_or(|until| key.is_in_force(now) && key.expires_at <= until);
    let keys: Vec<&ApiKey> = keys.iter().filter(ends_soon).collect();
    let row = |key: &&ApiKey| {
        let times = [key.created_at, key.expires_at].map(|at| at.to_string());
        let [created, expires] = times;
        vec![key.id.to_string(), key.caller.clone(), key.kind.name().into(), created, expires, state(key, now).into()]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    out.rows(&["id", "caller", "kind", "created", "expires", "state"], &rows, || {
        let key = |key: &&ApiKey| {
            json!({
                "id": key.id.to_string(), "caller": key.caller, "kind": key.kind.name(),
                "created_at": key.created_at.to_string(), "expires_at": key.expires_at.to_string(),
                "revoked_at": key.revoked_at.map(|at| at.to_string()), "state": state(key, now),
            })
        };
        Json::Array(keys.iter().map(key).collect())
    })?;
    Ok(Exit::Ok)
}

fn state(key: &ApiKey, now: Instant) -> &'static str {
    match key.revoked_at {
        Some(_) => "revoked",
        None if !key.is_in_force(now) => "expired",
        None if key.expires_at.since(now) < Span::hours(7 * 24) => "ends soon",
        None => "in force",
    }
}

async fn revoke(config: &Config, out: Out, id: &str, authored: &Authored, now: Instant) -> anyhow::Result<Exit> {
    let id: KeyId = id.parse().with_context(|| format!("`{id}`"))?;
    let authorship = store::authorship(authored, now)?;
    if !store::open(config).await?.revoke_key(&id, &authorship).await? {
        bail!("there is no key `{id}` that could be revoked; see `magistrate caller key list`");
    }
    out.either(|| format!("key {id} is revoked"), || json!({ "revoked": id.to_string() }))?;
    Ok(Exit::Ok)
}
