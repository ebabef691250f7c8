//! `audit erase`: private values, for good.

use anyhow::Context as _;
use magistrate_ledger::Selection;
use magistrate_model::Instant;
use magistrate_pdp::Clock as _;
use magistrate_pdp::erasing::{Eraser, count_erasable, erase};
use serde_json::json;

use super::input;
use crate::cli::EraseArgs;
use crate::exit::Exit;
use crate::os::{self, SystemClock};
use crate::output::Out;
use crate::signing;
use crate::store::Store;

pub(super) async fn run(store: &Store, out: Out, args: &EraseArgs, now: Instant) -> anyhow::Result<Exit> {
    let of = selection(args, now)?;
    let counted = count_erasable(store, &of).await?;
    let erased = match args.dry_run {
        true => 0,
        false => {
            let key = args.signing_key.as_deref().context("say which key signs what is erased: --signing-key")?;
            let (signer, actor) = (signing::signer_of(key)?, os::actor().parse()?);
            let (reason, act_id) = (args.reason.clone(), os::random);
            let by = Eraser { signer, actor, reason, act_id, now: || SystemClock.now() };
            Box::pin(erase(store, &of, &by)).await?
        }
    };
    let (erasable, held) = (counted.erasable, counted.held);
    let text = || {
        let kept = match held {
            0 => String::new(),
            held => format!("; those of {held} stay, in days that are held (`magistrate audit hold`)"),
        };
        match args.dry_run {
            true => format!("dry run: the private values of {erasable} decisions would be erased{kept}"),
            false => format!("the private values of {erased} decisions were erased{kept}"),
        }
    };
    let json = || json!({ "dry_run": args.dry_run, "erasable": erasable, "erased": erased, "held": held });
    out.either(text, json)?;
    Ok(if args.dry_run && erasable > 0 { Exit::ChangesPending } else { Exit::Ok })
}

/// What is decided from now on is not meant.
fn selection(args: &EraseArgs, now: Instant) -> anyhow::Result<Selection> {
    let uid =
        |text: &Option<String>| text.as_deref().map(|text| input::uid(text).map(|uid| uid.to_string())).transpose();
    let instant = |text: &Option<String>| text.as_deref().map(|text| input::ago(text, now)).transpose();
    Ok(Selection {
        principal: uid(&args.principal)?,
        resource: uid(&args.resource)?,
        since: instant(&args.since)?,
        until: Some(instant(&args.until)?.unwrap_or(now)),
    })
}
