//! The compose file, as Compose itself resolves it: how it is confined, and its steps run without an engine.

use std::path::Path;
use std::process::Command;

use magistrate_testkit::postgres::{Cluster, Options};
use magistrate_tests::{Ran, Running, magistrate, program, ran, skip, workspace};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::{content, tool};

/// The file with its anchors followed and its values checked against the specification; nothing where Compose is absent.
fn resolved() -> Option<Json> {
    let compose = tool("docker-compose")?;
    let mut config = Command::new(compose);
    config.current_dir(workspace()).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    config.args(["--file", "docker-compose.yml", "--profile", "*", "config", "--format", "json"]);
    Some(serde_json::from_str(&content(&mut config)).unwrap())
}

/// The texts of a list.
fn texts(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

#[test]
fn compose_services_are_confined() {
    let Some(file) = resolved() else {
        return skip("compose_services_are_confined", "no docker-compose; run tests/run");
    };
    let services = file["services"].as_object().unwrap();
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["admin", "magistrate-1", "magistrate-2", "migrate", "postgres"]);
    for (name, service) in services {
        for variable in service["environment"].as_object().unwrap().keys() {
            let secret = variable.contains("PASSWORD") || variable.contains("KEY");
            assert!(!secret || variable.ends_with("_FILE"), "`{name}` is given `{variable}` by value");
        }
        if service["image"] != "magistrate" {
            continue;
        }
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(service["privileged"].is_null() && service["user"].is_null(), "{name} runs as the image says");
    }
    for node in ["magistrate-1", "magistrate-2"] {
        let node = &services[node];
        assert_eq!(node["depends_on"]["migrate"]["condition"], "service_completed_successfully");
        assert_eq!(node["ports"][0]["host_ip"], "127.0.0.1");
        // A drain is at most the delay, 10 s of calls in flight and what the recorder still has.
        let delay: u64 = node["environment"]["MAGISTRATE_DRAIN_DELAY"].as_str().unwrap().parse().unwrap();
        let grace = node["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse::<u64>().unwrap();
        assert!(grace > delay + 10, "{grace} s are too few for a drain with a delay of {delay} s");
    }
    assert_eq!(services["migrate"]["depends_on"]["postgres"]["condition"], "service_healthy");
}

/// What the engine would set up: the database, and a directory with the secrets.
struct Stack {
    file: Json,
    home: TempDir,
    cluster: Cluster,
}

impl Stack {
    fn up(file: Json) -> Self {
        let home = tempfile::Builder::new().prefix("magistrate-compose-").tempdir().unwrap();
        let cluster = Cluster::private(&Options::default());
        let _made = cluster.sql("postgres", "CREATE DATABASE magistrate");
        let script = workspace().join("deploy/compose/secrets.sh");
        content(Command::new("sh").arg(script).arg(home.path().join("secrets")));
        let stack = Self { file, home, cluster };
        // The one secret that the database's image would take over from the file; here the database is there first.
        let url = stack.cluster.superuser_url("magistrate");
        let password = url.split_once("//postgres:").unwrap().1.split_once('@').unwrap().0;
        std::fs::write(stack.home.path().join("secrets/postgres_password"), password).unwrap();
        stack
    }

    /// A part of what the file says of a service.
    fn part(&self, service: &str, name: &str) -> &Json {
        self.file.pointer(&format!("/services/{service}/{name}")).unwrap()
    }

    /// What a container sees, as it is called here.
    fn here(&self, text: &str) -> String {
        let secrets = self.home.path().join("secrets");
        let policies = workspace().join("policies");
        text.replace("/run/secrets", secrets.to_str().unwrap())
            .replace("@postgres/", &format!("@{}/", self.cluster.address()))
            .replace("/policies", policies.to_str().unwrap())
    }

    /// The program with the environment of a service, and nothing else of ours.
    fn program(&self, service: &str) -> Command {
        let mut command = Command::new(program());
        command.env_clear().env("USER", "tester").current_dir(self.home.path());
        for (name, value) in self.part(service, "environment").as_object().unwrap() {
            command.env(name, self.here(value.as_str().unwrap()));
        }
        command
    }

    /// Runs a service with its own command.
    fn run(&self, service: &str) -> Ran {
        let arguments = texts(self.part(service, "command"));
        ran(self.program(service).args(arguments.iter().map(|argument| self.here(argument))))
    }

    /// Runs `admin` with what is typed after its name.
    fn admin(&self, typed: &str) -> Ran {
        ran(self.program("admin").args(shell_words(typed).iter().map(|word| self.here(word))))
    }

    /// Starts a node at a free port of every address.
    fn node(&self, service: &str) -> Running {
        assert_eq!(texts(self.part(service, "command")), ["serve"]);
        Running::launch_at(self.program(service), "0.0.0.0:0")
    }
}

/// The words of a line in which quotes hold words together.
fn shell_words(line: &str) -> Vec<String> {
    let quoted = |(index, part): (usize, &str)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    };
    line.split('"').enumerate().flat_map(quoted).collect()
}

/// The lines at the top of the file that one runs, in order.
fn told() -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("docker-compose.yml")).unwrap();
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    lines.filter_map(|line| Some(line.split_once("docker compose run --rm admin ")?.1.to_owned())).collect()
}

/// Migrates, applies the policies and makes a key as the file tells, then asks both nodes over TLS with that key.
#[test]
fn compose_steps_work_without_an_engine() {
    let Some(file) = resolved() else {
        return skip("compose_steps_work_without_an_engine", "no docker-compose; run tests/run");
    };
    let stack = Stack::up(file);
    let _told = stack.run("migrate").code(0);
    let again = stack.run("migrate").code(0);
    assert!(!again.out.is_empty(), "a second `up` migrates once more, and says so");
    let lines = told();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let _told = stack.admin(&lines[0]).code(0);
    let (typed, file) = lines[1].split_once(" > ").unwrap();
    let key = stack.home.path().join(file);
    std::fs::write(&key, stack.admin(typed).code(0).out).unwrap();
    let nodes = ["magistrate-1", "magistrate-2"].map(|service| stack.node(service));
    for node in &nodes {
        let url = format!("https://localhost:{}", node.address().rsplit(':').next().unwrap());
        let authority = stack.here("/run/secrets/ca.pem");
        let ask = |key: Option<&Path>, message: &str| {
            let mut arguments =
                vec!["--default-namespace", "Company", "check", "--server", &url, "--ca-file", &authority];
            arguments.extend(key.map(|path| ["--api-key-file", path.to_str().unwrap()]).into_iter().flatten());
            arguments.extend(["Company::User::ana", "readMessage", message]);
            magistrate(stack.home.path(), arguments)
        };
        let _allowed = ask(Some(&key), "Company::Message::m-1001").code(0);
        let _denied = ask(Some(&key), "Company::Message::nobody-wrote-it").code(5);
        let _nobody = ask(None, "Company::Message::m-1001").code(1);
        let _well = magistrate(stack.home.path(), ["health", "--ops", node.ops()]).code(0);
    }
    let doctor = stack.run("admin");
    assert_eq!(doctor.code, 0, "{}{}", doctor.out, doctor.err);
}
