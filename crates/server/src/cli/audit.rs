//! Arguments of the history verbs.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Show the newest decisions, and new ones as they are made
    Tail(Box<TailArgs>),
    /// Find decisions: values of one option are alternatives, options narrow each other
    #[command(after_help = SEARCH_HELP)]
    Search(Box<SearchArgs>),
    /// Show who changed what and why: policies, entities, roles, scopes, grants
    Changes {
        /// The newest so many revisions
        #[arg(short = 'n', long, default_value_t = 20)]
        revisions: u32,
        /// Those after this revision instead
        #[arg(long, value_name = "REVISION")]
        after: Option<u64>,
    },
    /// Show who read the history, which keys were enrolled, what was taken out and what was refused: what is recorded besides
    /// decisions and changes
    #[command(after_help = ACTS_HELP)]
    Acts(ActsArgs),
    /// Find out whether history is what was recorded: every record, every header, every checkpoint
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Copy the history into files that can be verified elsewhere; run again, it adds what is new
    #[command(after_help = EXPORT_HELP)]
    Export {
        /// The directory; made if it is not there
        dir: PathBuf,
        /// Private values as well: what is erased later stays in these files
        #[arg(long)]
        with_private: bool,
    },
    /// Erase the private values of decisions, after a signed record that says so; the decisions stay, and verify
    #[command(after_help = ERASE_HELP)]
    Erase(EraseArgs),
    /// Take out days that are old enough, after a signed record that says so; headers stay, and what stays verifies
    #[command(after_help = EXPIRE_HELP)]
    Expire(ExpireArgs),
    /// Show which days must not be taken out, hold days, or release a hold
    Hold(HoldArgs),
    /// Prove to whoever has no store that a decision is in the history, or that the history goes on from a checkpoint
    #[command(after_help = PROVE_HELP)]
    Prove(ProveArgs),
    /// Verify such a proof with pinned keys alone, without store and configuration
    CheckProof(CheckProofArgs),
    /// Show the key that verifies this node's checkpoints, to be pinned
    Key {
        /// Make a signing key in this file first, for a node that will be given it
        #[arg(long, value_name = "FILE")]
        make: Option<PathBuf>,
        /// Record that this verifier key is a node's; nodes do so themselves when they first sign
        #[arg(long, value_name = "KEY", conflicts_with_all = ["make", "revoke"])]
        enrol: Option<String>,
        /// Record that this verifier key signs no more: its node stops sequencing when it next asks
        #[arg(long, value_name = "KEY", conflicts_with = "make")]
        revoke: Option<String>,
    },
    /// Decide again what was decided: by what was in force then, or by something else
    #[command(after_help = REPLAY_HELP)]
    Replay(Box<ReplayArgs>),
    /// Show what could be taken away: grants and policies that nothing needed, what never ends, what ends soon, who is refused
    #[command(after_help = REVIEW_HELP)]
    Review {
        /// Look at so much of history
        #[arg(long, value_name = "SPAN", default_value = "90d")]
        within: String,
        /// What ends within that is ending soon
        #[arg(long, value_name = "SPAN", default_value = "14d")]
        soon: String,
        /// Tell of so many principals that were refused most
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        denied: usize,
    },
    /// Show one decision in full
    Show {
        /// The decision's id
        id: String,
    },
}

const SEARCH_HELP: &str = "\
A value behind `!` is one that is not wanted: `--principal '!User::ana'`. Principal, resource and time narrow what is read;
policy, grant, revision, caller, ip and trace id are looked up in each record of what the others leave.";

const ACTS_HELP: &str = "\
`refused` is one call of a known caller; `refusal` is a number of calls, summed up by cause and by where they came from: a
key, an address, the /64 network of one, or `elsewhere` where there were too many.";

const REPLAY_HELP: &str = "\
The recorded question is asked again at its instant, of the policies, entities and grants of its revision: everything that
was known then and everything that was answered must come out as recorded. Exit code 7: something did not, or a state is
gone. With --under, what would be answered otherwise is told, and exit code 6 says that there is something.";

const REVIEW_HELP: &str = "\
A grant is unused if it made no answer possible within that time, although it was in force for all of it; a policy is unused
if it decided nothing and was live for all of it. A forbid that decided nothing may be doing its work: nobody tried.";

const EXPORT_HELP: &str = "\
JSON lines: every record and header as it was sealed, in base64, by stream, and every checkpoint; private values, which lie
beside the records, with --with-private only, which also adds those of records that were exported without. What was
interrupted is taken up where it ended. `magistrate audit verify --from DIR --key KEY` verifies it, and needs no store.";

const VERIFY_HELP: &str = "\
Nothing that is stored is believed. What is believed are keys that were pinned elsewhere (--key) and checkpoints that were
kept elsewhere (--seen): whoever can write to the store can still take away, unseen, what was recorded after the newest of
them. What retention took out, and what was erased, is believed if a key signed it that was pinned for that
(--retention-key), and is missing otherwise. Exit code 7: something is missing, altered, reordered, forked, rolled_back or untrusted. What is only to be known,
such as expired, lost_in_crash, not_covered and silent, is told, and is no failure.";

const EXPIRE_HELP: &str = "\
Run by whoever keeps the rule of retention, in PostgreSQL as the role `retention`, with a signing key of its own (`magistrate
audit key --make FILE` makes one) that verifiers pin with `audit verify --retention-key`. A day goes if it is over, is not
held, every record in it is what was sealed, and the newest of the given checkpoints, which was kept outside the store,
covers it; nor may private values be gone that nobody signed for. Run again, it takes up what was left. Exit code 7:
something in a day was touched; it stays. Exit code 1: a day is not covered yet; it stays.";

const ERASE_HELP: &str = "\
Private are the values of the fields in `ledger.private_fields`, as each was configured when it was recorded. In PostgreSQL run
as the role `retention`. The signing key is that of whoever keeps the rule of retention, or another one that verifiers pin
with `audit verify --retention-key`. Days that are held keep theirs. What was decided in the last seconds may still be on its way from a
node's journal: run it again. Copies, exported files and PostgreSQL's own log are not reached.";

const PROVE_HELP: &str = "\
A decision can be proven when a checkpoint of the global log covers it, within some ten seconds while a server runs; until
then the answer is `pending`, exit code 6. Exit code 7: what is stored does not prove it, `audit verify` tells more.
Whoever verifies needs the proof and a key that was pinned: magistrate audit check-proof FILE --key KEY";

/// Which acts are wanted: options narrow each other.
#[derive(Debug, Args)]
pub(crate) struct ActsArgs {
    /// The newest so many
    #[arg(short = 'n', long, default_value_t = 50)]
    pub(crate) lines: usize,
    /// Of one kind only
    #[arg(long, value_parser = ["access", "enrolment", "retention", "hold", "erasure", "refusal", "refused", "difference"])]
    pub(crate) kind: Option<String>,
    /// Who did it, such as `os:mia`, `key:ID`, or `node/NAME`, which refused
    #[arg(long, value_name = "ACTOR")]
    pub(crate) actor: Option<String>,
    /// Refusals of this cause, such as `NOT_READY`
    #[arg(long, value_name = "CAUSE")]
    pub(crate) cause: Option<String>,
    /// Refusals of the holder of an API key, by its id
    #[arg(long, value_name = "KEY")]
    pub(crate) caller: Option<String>,
    /// Since then: RFC 3339, or ago such as `7d`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before then: RFC 3339, or ago such as `1h`
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The decision's id
    #[arg(required_unless_present = "since")]
    pub(crate) id: Option<String>,
    /// That the log goes on from this checkpoint instead: a file that has it, or how many entries it covers
    #[arg(long, value_name = "FILE|SIZE", conflicts_with_all = ["id", "wait"])]
    pub(crate) since: Option<String>,
    /// File to write the proof to, instead of showing it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Wait up to a minute until it can be proven
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckProofArgs {
    /// The proof, as `audit prove` wrote it
    pub(crate) file: PathBuf,
    /// A verifier key that is trusted, as `magistrate audit key` shows it, or a file of them; may be repeated
    #[arg(long, value_name = "KEY|FILE", required = true)]
    pub(crate) key: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Verify an exported history instead of the store's
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// A verifier key that is trusted, as `magistrate audit key` shows it, or a file of them; may be repeated
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) key: Vec<String>,
    /// Checkpoints that were seen before, such as a node's `checkpoints` file; replaced by the newest when all is well
    #[arg(long, value_name = "FILE")]
    pub(crate) seen: Option<PathBuf>,
    /// A verifier key of whoever may take out what is old (`audit expire`) or erase (`audit erase`), or a file of them; may be
    /// repeated
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) retention_key: Vec<String>,
    /// An act of erasure from before these were signed, by its id in `audit acts -o json`, or a file of such ids, that is
    /// believed all the same; may be repeated
    #[arg(long, value_name = "ID|FILE")]
    pub(crate) unsigned_erasure: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExpireArgs {
    /// Days that ended longer ago, such as `400d`
    #[arg(long, value_name = "SPAN", required_unless_present = "before", conflicts_with = "before")]
    pub(crate) older_than: Option<String>,
    /// Days before this one, such as `2026-01-31`, in UTC
    #[arg(long, value_name = "DATE")]
    pub(crate) before: Option<String>,
    /// A verifier key of a node, or a file of them; may be repeated
    #[arg(long, value_name = "KEY|FILE", required = true)]
    pub(crate) key: Vec<String>,
    /// Checkpoints that were kept outside the store: the newest of the global log must cover what goes
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoints: PathBuf,
    /// The key that signs what is taken out
    #[arg(long, value_name = "FILE")]
    pub(crate) signing_key: PathBuf,
    /// A verifier key of what was taken out or erased before, or a file of them, where it is another one; may be repeated
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) retention_key: Vec<String>,
    /// An act of erasure from before these were signed, by its id, or a file of such ids, that is believed; may be repeated
    #[arg(long, value_name = "ID|FILE")]
    pub(crate) unsigned_erasure: Vec<String>,
    /// The rule that is followed, for whoever reads the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Let records go as well that no header covers, because their node never came back
    #[arg(long)]
    pub(crate) with_uncovered: bool,
    /// Show what would go, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("selection").required(true).multiple(true).args(["principal", "resource", "since", "until"])))]
pub(crate) struct EraseArgs {
    /// Of this principal
    #[arg(long, value_name = "UID")]
    pub(crate) principal: Option<String>,
    /// On this resource
    #[arg(long, value_name = "UID")]
    pub(crate) resource: Option<String>,
    /// Since then: RFC 3339, or ago such as `7d`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before then: RFC 3339, or ago such as `1h` [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Why, for whoever reads the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// The key that signs what is erased
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    pub(crate) signing_key: Option<PathBuf>,
    /// Show how many would be erased, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// Name of the hold, used once: lower case, digits, `.`, `_`, `-`
    #[arg(requires = "reason")]
    pub(crate) name: Option<String>,
    /// The first day that is held, such as `2026-01-31`, in UTC [default: every day there is]
    #[arg(long, value_name = "DATE", requires = "name", conflicts_with = "release")]
    pub(crate) from: Option<String>,
    /// The last day that is held [default: every day to come]
    #[arg(long, value_name = "DATE", requires = "name", conflicts_with = "release")]
    pub(crate) until: Option<String>,
    /// Release it
    #[arg(long, requires = "name")]
    pub(crate) release: bool,
    /// What for
    #[arg(long, value_name = "TEXT", requires = "name")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The decision's id; else all that the options want
    #[arg(required_unless_present = "since")]
    pub(crate) id: Option<String>,
    /// Ask something else: `current` is everything as it is now, a directory its policies with the data of then
    #[arg(long, value_name = "current|DIR")]
    pub(crate) under: Option<String>,
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
    /// Tell at most so many decisions that come out otherwise; all are counted
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// How many to begin with
    #[arg(short = 'n', long, default_value_t = 10)]
    pub(crate) lines: u32,
    /// Go on until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Tell what arrived since an earlier run ended, which FILE says, and keep there where this one ends. Where there is no
    /// FILE yet, begins with --lines
    #[arg(long, value_name = "FILE")]
    pub(crate) resume_from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    /// Behind this decision, in the order of the search: continues one
    #[arg(long, value_name = "ID", alias = "before")]
    pub(crate) after: Option<String>,
    /// The oldest first
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// Count them instead, by decision and cause
    #[arg(long, conflicts_with_all = ["limit", "after", "oldest_first"])]
    pub(crate) count: bool,
    /// Count them by time, in stretches so long, such as `1h`; needs --since
    #[arg(long, value_name = "SPAN", requires = "since", conflicts_with_all = ["limit", "after", "oldest_first"])]
    pub(crate) histogram: Option<String>,
}

/// Which decisions are wanted. Every option may be repeated.
#[derive(Debug, Default, Args)]
pub(crate) struct WantedArgs {
    /// Principal
    #[arg(long, value_name = "UID")]
    pub(crate) principal: Vec<String>,
    /// Action
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Vec<String>,
    /// Resource
    #[arg(long, value_name = "UID")]
    pub(crate) resource: Vec<String>,
    /// allow or deny
    #[arg(long)]
    pub(crate) decision: Vec<String>,
    /// Cause, such as `no_permit`
    #[arg(long)]
    pub(crate) cause: Vec<String>,
    /// Determining policy
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Vec<String>,
    /// Grant that made the answer possible
    #[arg(long, value_name = "GRANT")]
    pub(crate) grant: Vec<String>,
    /// Revision that answered
    #[arg(long)]
    pub(crate) revision: Vec<String>,
    /// Id of the API key of whoever asked
    #[arg(long, value_name = "KEY")]
    pub(crate) caller: Vec<String>,
    /// Address of whoever asked, or of the end user
    #[arg(long)]
    pub(crate) ip: Vec<String>,
    /// The caller's own id for the request
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Vec<String>,
    /// Trace the call belonged to
    #[arg(long, value_name = "ID")]
    pub(crate) trace_id: Vec<String>,
    /// Since then: RFC 3339, or ago such as `7d`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before then: RFC 3339, or ago such as `1h`
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}
