//! One file per verb; each says what it did and how it ended.

mod acts;
mod audit;
mod bulk;
mod caller;
mod check;
mod decision;
mod doctor;
mod entity;
mod erase;
mod export;
mod exported;
mod grant;
mod health;
mod init;
mod input;
mod manual;
mod migrate;
mod policy;
mod progress;
mod prove;
mod replay;
mod retention;
mod review;
mod role;
mod scope;
mod store;
mod tail;
mod tally;
mod verify;

pub(crate) use audit::find_shipped;
pub(crate) use check::{Answer, Telling};
pub(crate) use decision::row as decision_row;
pub(crate) use store::authored_by;

use magistrate_pdp::Clock as _;

use self::exported::Exported;
use crate::cli::{AuditVerb, Cli, Verb};
use crate::config::Config;
use crate::exit::Exit;
use crate::os::SystemClock;
use crate::output::Out;
use crate::{dev, serve};

/// Runs a verb. The clock is read once; verbs that run on read it themselves.
pub(crate) async fn run(cli: Cli, out: &Out) -> anyhow::Result<Exit> {
    let Cli { global, verb } = cli;
    // These need no configuration, and no store.
    if let Verb::Completion { shell } = &verb {
        return manual::completion(*shell);
    }
    if let Verb::Man { dir } = &verb {
        return manual::pages(*out, dir);
    }
    if let Verb::Audit(AuditVerb::CheckProof(args)) = &verb {
        return prove::check(*out, args);
    }
    if let Verb::Audit(AuditVerb::Verify(args)) = &verb
        && let Some(dir) = &args.from
    {
        return verify::run(&Exported::open(dir)?, *out, args, SystemClock.now()).await;
    }
    if let Verb::Init(args) = &verb {
        return init::run(*out, args);
    }
    let serving = if let Verb::Serve(args) = &verb { Some(args) } else { None };
    let config = Config::resolve(&global, serving)?;
    let now = SystemClock.now();
    match verb {
        Verb::Dev(args) => Box::pin(dev::run(&args, *out)).await,
        Verb::Serve(args) if args.check => doctor::check(&config, *out).await,
        Verb::Serve(_) => Box::pin(serve::run(&config, &global)).await,
        Verb::Migrate(args) => migrate::run(&config, *out, &args).await,
        Verb::Doctor => doctor::run(&config, *out).await,
        Verb::Health(args) => health::run(&config, *out, &args).await,
        Verb::Check(args) => check::run(&config, *out, *args, now, Telling::Answer).await,
        Verb::Explain(args) => check::run(&config, *out, *args, now, Telling::Explanation).await,
        Verb::Policy(verb) => policy::run(&config, *out, verb, now).await,
        Verb::Entity(verb) => entity::run(&config, *out, verb, now).await,
        Verb::Role(verb) => role::run(&config, *out, verb, now).await,
        Verb::Scope(verb) => scope::run(&config, *out, verb, now).await,
        Verb::Grant(verb) => grant::run(&config, *out, verb, now).await,
        Verb::Caller(verb) => caller::run(&config, *out, verb, now).await,
        Verb::Completion { .. } | Verb::Man { .. } | Verb::Init(_) => Ok(Exit::Ok),
        Verb::Audit(verb) => audit::run(&config, *out, verb, now).await,
    }
}
