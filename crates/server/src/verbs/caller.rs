//! `caller key`: API keys, made, listed and ended.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use magistrate_identity::{ApiKey, KeyKind, ListedKey, RANDOM_BYTES, Secret};
use magistrate_model::{Instant, KeyId, Span};
use magistrate_pap::Keys as _;
use serde_json::{Value as Json, json};

use super::store;
use crate::cli::{Authored, CallerVerb, KeyVerb, NewKeyArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

/// A key that ends within this is spoken of.
pub(crate) const SOON: Span = Span::hours(7 * 24);

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
        let json =
            || json!({ "key": secret.reveal(), "id": key.id.to_string(), "expires_at": key.expires_at.to_string() });
        let lost = || format!("the key could not be shown, and counts; run `magistrate caller key revoke {}`", key.id);
        out.either(|| secret.reveal(), json).with_context(lost)?;
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
    let failed = || format!("cannot write the key to `{}`", path.display());
    let mut file = file.with_context(failed)?;
    let written = writeln!(file, "{}", secret.reveal()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _left = std::fs::remove_file(path);
    }
    written.with_context(failed)
}

async fn list(config: &Config, out: Out, expiring: Option<&str>, now: Instant) -> anyhow::Result<Exit> {
    let until = match expiring {
        Some(span) => Some(Instant::parse(&format!("+{}", span.trim_start_matches('+')), now).context("`--expiring`")?),
        None => None,
    };
    let keys = store::open(config).await?.listed_keys().await?;
    let is_wanted = |key: &&ListedKey| until.is_none_or(|until| key.is_in_force(now) && key.expires_at <= until);
    let keys: Vec<&ListedKey> = keys.iter().filter(is_wanted).collect();
    let row = |key: &&ListedKey| {
        let [created, expires] = [key.created.at, key.expires_at].map(|at| at.to_string());
        vec![key.id.to_string(), key.caller.clone(), key.kind.name().into(), created, expires, state(key, now).into()]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    let json = || Json::Array(keys.iter().map(|key| listed(key, now)).collect());
    out.rows(&["id", "caller", "kind", "created", "expires", "state"], &rows, json)?;
    Ok(Exit::Ok)
}

fn listed(key: &ListedKey, now: Instant) -> Json {
    let (created, revoked) = (&key.created, key.revoked.as_ref());
    json!({
        "id": key.id.to_string(), "caller": key.caller, "kind": key.kind.name(), "state": state(key, now),
        "created_at": created.at.to_string(), "created_by": created.actor.as_str(), "reason": created.reason.as_str(),
        "expires_at": key.expires_at.to_string(),
        "revoked_at": revoked.map(|it| it.at.to_string()), "revoked_by": revoked.map(|it| it.actor.as_str()),
        "revoked_reason": revoked.map(|it| it.reason.as_str()),
    })
}

fn state(key: &ListedKey, now: Instant) -> &'static str {
    match key.revoked {
        Some(_) => "revoked",
        None if !key.is_in_force(now) => "expired",
        None if key.expires_at.since(now) < SOON => "ends soon",
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
