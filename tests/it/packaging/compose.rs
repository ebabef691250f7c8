//! The compose file, as Compose itself resolves it: how it is confined, and its steps run without an engine.

use std::process::Command;

use magistrate_tests::{Ran, Running, ran, skip, workspace};
use serde_json::Value as Json;

use super::stage::Stage;
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

/// The file, and what its services find around them.
struct Stack {
    file: Json,
    stage: Stage,
}

impl Stack {
    fn up(file: Json) -> Self {
        let stage = Stage::set();
        let (secrets, database) = (stage.secrets(), format!("@{}/", stage.database()));
        let stage = stage.called("/run/secrets", secrets.to_str().unwrap()).called("@postgres/", &database);
        let stage = stage.called("/policies", workspace().join("policies").to_str().unwrap());
        Self { file, stage }
    }

    /// A part of what the file says of a service.
    fn part(&self, service: &str, name: &str) -> &Json {
        self.file.pointer(&format!("/services/{service}/{name}")).unwrap()
    }

    /// The program with the environment of a service.
    fn program(&self, service: &str) -> Command {
        let environment = self.part(service, "environment").as_object().unwrap();
        self.stage.program(environment.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())))
    }

    /// Runs a service with its own command.
    fn run(&self, service: &str) -> Ran {
        let arguments = texts(self.part(service, "command"));
        ran(self.program(service).args(arguments.iter().map(|argument| self.stage.here(argument))))
    }

    /// Runs `admin` with what is typed after its name.
    fn admin(&self, typed: &str) -> Ran {
        ran(self.program("admin").args(shell_words(typed).iter().map(|word| self.stage.here(word))))
    }

    /// Starts a node at a free port of every address. Its working directory is the volume that it has for itself.
    fn node(&self, service: &str) -> Running {
        assert_eq!(texts(self.part(service, "command")), ["serve"]);
        let volumes = self.part(service, "volumes").as_array().unwrap().iter();
        let mut own =
            volumes.filter(|it| it["target"] == "/var/lib/magistrate").map(|it| it["source"].as_str().unwrap());
        let volume = self.stage.home().join(own.next().unwrap());
        std::fs::create_dir_all(&volume).unwrap();
        let mut program = self.program(service);
        program.current_dir(volume);
        Running::launch_at(program, "0.0.0.0:0")
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
    let key = stack.stage.home().join(file);
    std::fs::write(&key, stack.admin(typed).code(0).out).unwrap();
    let nodes = ["magistrate-1", "magistrate-2"].map(|service| stack.node(service));
    for node in &nodes {
        stack.stage.expect_answers(node, &key);
    }
    let _content = stack.run("admin").code(0);
}
