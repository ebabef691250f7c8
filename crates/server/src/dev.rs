//! `dev`: a throw-away server with the example loaded, and two real questions to begin with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use magistrate_client::v1::{CheckRequest, CheckResponse};
use magistrate_client::{Client, DEADLINE, check_request, entity_ref};
use magistrate_journal::Options;
use magistrate_ledger::{DecisionId, PrivateFields};
use magistrate_pap::{Administration, ApplyOptions, PolicyFiles};
use magistrate_pdp::{Clock as _, RefusalSettings, Settings};
use magistrate_storage_sqlite::SqliteStore;
use tokio::sync::oneshot;

use crate::cli::DevArgs;
use crate::config::{Config, Ops, Storage, Telemetry, Transport};
use crate::example::{self, DemoQuestion};
use crate::exit::Exit;
use crate::os::{self, SystemClock};
use crate::output::Out;
use crate::serve::{self, Server};
use crate::verbs;

pub(crate) async fn run(args: &DevArgs, out: Out) -> anyhow::Result<Exit> {
    let home = tempfile::Builder::new()
        .prefix("magistrate-dev-")
        .tempdir()
        .context("cannot create a directory to throw away")?;
    let policies = match &args.policies {
        Some(directory) => directory.clone(),
        None => {
            let directory = home.path().join("policies");
            example::write(&directory)?;
            directory
        }
    };
    let data = home.path().join("data");
    let config = Config {
        storage: Storage::Embedded(data.clone()),
        node: "dev".to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], args.port)),
        default_namespace: example::NAMESPACE.to_owned(),
        settings: Settings::default(),
        refusals: RefusalSettings::default(),
        private: PrivateFields::default(),
        journal: Options::of(data.join("journal")),
        signing_key: data.join("journal/signing.key"),
        checkpoints: data.join("journal/checkpoints"),
        transport: Transport { workers: 1, ..Transport::default() },
        ops: Ops::default(),
        admin: None,
        telemetry: Telemetry::default(),
    };
    load(&data, &policies).await?;
    let server = Box::pin(Server::build(&config)).await.context("`--port 0` takes a free port")?;
    let session = Session { address: server.address()?, data, policies, example: args.policies.is_none() };
    let (ask_to_stop, stop) = oneshot::channel::<()>();
    let demonstration = async {
        session.demonstrate(out).await?;
        if !args.once {
            session.invite(out)?;
            serve::interrupted().await;
        }
        drop(ask_to_stop);
        anyhow::Ok(())
    };
    let running = server.run(async { drop(stop.await) });
    let (outcome, shown) = tokio::join!(running, demonstration);
    shown.and(outcome)?;
    Ok(Exit::Ok)
}

/// Creates the store and fills it, the way an administrator would.
async fn load(data: &Path, policies: &Path) -> anyhow::Result<()> {
    SqliteStore::create_or_migrate(data).await?;
    let administration = Administration::new(SqliteStore::open(data).await?);
    let files = PolicyFiles::read(policies)?;
    let authorship = verbs::authored_by(&os::actor(), "loaded by `magistrate dev`", SystemClock.now())?;
    let options = ApplyOptions { name: "example".into(), allow_shrink: true, data: files.data()? };
    administration.apply(&files.compile()?, &options, &authorship).await?;
    Ok(())
}

#[derive(Debug)]
struct Session {
    address: SocketAddr,
    data: PathBuf,
    policies: PathBuf,
    example: bool,
}

impl Session {
    /// Asks over gRPC like any client, and reads the history like any auditor.
    async fn demonstrate(&self, out: Out) -> anyhow::Result<()> {
        let endpoint = format!("http://{}", self.address);
        out.line(&format!("magistrate dev: serving {endpoint}"))?;
        out.line(
            "UNSAFE for anything but trying it out: no caller is authenticated, whoever is on this machine may assert",
        )?;
        out.line(
            "entities and environment, and everything is thrown away at the end. Only this machine can connect.\n",
        )?;
        if !self.example {
            return Ok(());
        }
        let client = Client::connect(&endpoint).await?;
        for question in &example::QUESTIONS {
            let answer = client.check(request(question), DEADLINE).await?;
            self.show(out, question, &answer).await?;
        }
        Ok(())
    }

    async fn show(&self, out: Out, question: &DemoQuestion, answer: &CheckResponse) -> anyhow::Result<()> {
        let DemoQuestion { principal, action, resource } = question;
        out.line(&format!("May {}::\"{}\" {action} {}::\"{}\"?", principal.0, principal.1, resource.0, resource.1))?;
        verbs::Answer::of_wire(answer).telling(verbs::Telling::Answer).tell(out)?;
        let id: DecisionId = answer.decision_id.parse()?;
        let history = SqliteStore::open(&self.data).await?;
        let found = verbs::find_shipped(&history, id).await?.context("the decision is not in the history")?;
        out.line(&format!("  in history  {}\n", verbs::decision_row(&found).join("  ")))?;
        Ok(())
    }

    /// The lines to paste next.
    fn invite(&self, out: Out) -> anyhow::Result<()> {
        let program =
            std::env::current_exe().map_or_else(|_| "magistrate".to_owned(), |path| path.display().to_string());
        let data = self.data.display();
        out.line("Try, in another terminal:\n")?;
        out.line(&format!("  alias magistrate='{program}'; export MAGISTRATE_DATA={data} MAGISTRATE_SERVER=http://{} MAGISTRATE_DEFAULT_NAMESPACE={}", self.address, example::NAMESPACE))?;
        for line in LINES {
            out.line(&format!("  {line}"))?;
        }
        out.line(&format!("\nThe policies are in {}. Stop with Ctrl-C.", self.policies.display()))?;
        Ok(())
    }
}

const LINES: [&str; 6] = [
    "magistrate check Company::User::mia editDocument Company::Document::welcome",
    "magistrate check Company::User::ana editDocument Company::Document::welcome",
    "magistrate grant add Company::User::ana --role editor --on Company::Folder::handbook --expires +1h --reason 'trying it out'",
    "magistrate check Company::User::ana editDocument Company::Document::welcome --at-least-revision 2",
    "magistrate audit search --decision deny",
    "magistrate audit tail --follow",
];

fn request(question: &DemoQuestion) -> CheckRequest {
    let DemoQuestion { principal, action, resource } = question;
    let request = check_request(entity_ref(principal.0, principal.1), *action, entity_ref(resource.0, resource.1));
    CheckRequest { explain: true, request_id: "magistrate-dev".into(), ..request }
}
