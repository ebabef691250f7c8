//! The Helm chart: rendered, held to the schemas of Kubernetes, and what its containers do run without a cluster.

use std::path::PathBuf;
use std::process::Command;

use magistrate_tests::{Running, magistrate, ran, skip, workspace};
use serde_json::Value as Json;

use super::stage::Stage;
use super::{content, tool};

const ON_POSTGRESQL: &[&str] = &[
    "tls.secret=tls",
    "defaultNamespace=Company",
    "database.url=postgres://magistrate_app@db/magistrate",
    "database.passwordSecret=app",
    "database.migrate.url=postgres://postgres@db/magistrate",
    "database.migrate.passwordSecret=passwords",
];
const EMBEDDED: &[&str] = &[
    "tls.secret=tls",
    "replicas=1",
    "metrics.enabled=true",
    "metrics.serviceMonitor.enabled=true",
    "metrics.serviceMonitor.keySecret=scraper",
    "metrics.serviceMonitor.serverName=magistrate",
];

fn chart() -> PathBuf {
    workspace().join("deploy/helm/magistrate")
}

/// The flags that set these values.
fn set(values: &[&str]) -> Vec<String> {
    values.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]).collect()
}

/// The resources of the chart with these values, which it is also linted with; nothing where helm is absent.
fn rendered(values: &[&str]) -> Option<Vec<Json>> {
    let (helm, python) = (tool("helm")?, tool("python")?);
    content(Command::new(&helm).args(["lint", "--strict"]).arg(chart()).args(set(values)));
    let text = content(Command::new(&helm).args(["template", "m"]).arg(chart()).args(set(values)));
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    let read = "import json, sys, yaml
json.dump([it for it in yaml.safe_load_all(open(sys.argv[1])) if it], sys.stdout)";
    let json = content(Command::new(python).args(["-c", read]).arg(file.path()));
    Some(serde_json::from_str(&json).unwrap())
}

/// The resource of a kind.
fn of_kind<'a>(resources: &'a [Json], kind: &str) -> &'a Json {
    resources.iter().find(|it| it["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn texts(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

/// Both forms of the chart are valid for the API of the oldest and the newest Kubernetes the validator knows of.
#[test]
fn chart_renders_to_valid_resources() {
    let Some(validate) = tool("kubernetes-validate").filter(|_| rendered(EMBEDDED).is_some()) else {
        return skip("chart_renders_to_valid_resources", "no helm or kubernetes-validate; run tests/run");
    };
    for (values, kinds) in [
        (ON_POSTGRESQL, &["Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service"][..]),
        (EMBEDDED, &["NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceMonitor", "StatefulSet"]),
    ] {
        let resources = rendered(values).unwrap();
        let mut found: Vec<&str> = resources.iter().map(|it| it["kind"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, kinds);
        // The operator's kinds are not Kubernetes' own, and the validator does not know them.
        let known = resources.iter().filter(|it| it["kind"] != "ServiceMonitor").map(Json::to_string);
        let known = known.collect::<Vec<_>>().join("\n---\n");
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), known).unwrap();
        for version in ["1.27", "1.33"] {
            content(Command::new(&validate).args(["--strict", "-k", version]).arg(file.path()));
        }
    }
}

/// What cannot work is refused when it is rendered, in words.
#[test]
fn chart_refuses_what_cannot_work() {
    let Some(helm) = tool("helm") else { return skip("chart_refuses_what_cannot_work", "no helm; run tests/run") };
    for (values, says) in [
        (&["replicas=1"][..], "tls.secret is required"),
        (&["tls.secret=t"], "set replicas to 1, or name a database"),
        (&["tls.secret=t", "database.url=postgres://x@y/z"], "database.passwordSecret is required"),
        (&["tls.secret=t", "replicas=1", "metrics.serviceMonitor.enabled=true"], "needs metrics.enabled"),
    ] {
        let output = Command::new(&helm).args(["template", "m"]).arg(chart()).args(set(values)).output();
        let told = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
        assert!(told.contains(says), "wanted `{says}` in: {told}");
    }
}

/// Nothing in a pod may gain rights or write to its image, and it is stopped no sooner than it has drained.
#[test]
fn chart_confines_its_pods() {
    let Some(resources) = rendered(ON_POSTGRESQL) else {
        return skip("chart_confines_its_pods", "no helm; run tests/run");
    };
    let embedded = rendered(EMBEDDED).unwrap();
    for workload in [of_kind(&resources, "Deployment"), of_kind(&resources, "Job"), of_kind(&embedded, "StatefulSet")] {
        let pod = workload.pointer("/spec/template/spec").unwrap();
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let containers = [&pod["containers"], &pod["initContainers"]].into_iter().filter_map(Json::as_array).flatten();
        for container in containers {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{container}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{container}");
            assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"], "{container}");
            for variable in container["env"].as_array().into_iter().flatten() {
                let name = variable["name"].as_str().unwrap();
                assert!(!name.contains("PASSWORD") || name.ends_with("_FILE"), "`{name}` is given by value");
            }
        }
        if workload["kind"] != "Job" {
            let delay: u64 = variable(&pod["containers"][0], "MAGISTRATE_DRAIN_DELAY").parse().unwrap();
            assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > delay + 10);
        }
    }
}

/// The value of a variable of a container; of one that the cluster fills in, a name.
fn variable<'a>(container: &'a Json, name: &str) -> &'a str {
    let mut variables = container["env"].as_array().unwrap().iter();
    variables.find(|it| it["name"] == name).and_then(|it| it["value"].as_str()).unwrap_or("m-0")
}

/// The program as a container runs it, but for its arguments.
fn program(stage: &Stage, container: &Json) -> Command {
    let names: Vec<&str> =
        container["env"].as_array().into_iter().flatten().map(|it| it["name"].as_str().unwrap()).collect();
    stage.program(names.into_iter().map(|name| (name, variable(container, name))))
}

fn run(stage: &Stage, container: &Json) {
    let arguments = texts(&container["args"]);
    let _done = ran(program(stage, container).args(arguments.iter().map(|argument| stage.here(argument)))).code(0);
}

/// A node at a free port, well by each of its probes.
fn serve(stage: &Stage, container: &Json) -> Running {
    assert_eq!(texts(&container["args"]), ["serve"]);
    let node = Running::launch_at(program(stage, container), "0.0.0.0:0");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let command = texts(container.pointer(&format!("/{probe}/exec/command")).unwrap());
        assert_eq!(command.first(), Some(&"/usr/bin/magistrate"));
        let arguments = command.iter().skip(1).copied().chain(["--ops", node.ops()]);
        let _well = magistrate(stage.home(), arguments).code(0);
    }
    node
}

/// Policies and a key, made by an administrator with these variables.
fn administer(stage: &Stage, environment: &[(&str, &str)]) -> PathBuf {
    let run = |arguments: &[&str]| ran(stage.program(environment.iter().copied()).args(arguments)).code(0).out;
    let policies = workspace().join("policies");
    let _told = run(&["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"]);
    let key = stage.home().join("gateway.key");
    std::fs::write(&key, run(&["caller", "key", "new", "--name", "gateway", "--kind", "check", "--reason", "test"]))
        .unwrap();
    key
}

/// The stage with the names of files that the chart mounts.
fn mounted() -> Stage {
    let stage = Stage::set();
    let address = format!("@{}/", stage.database());
    let files = [
        ("/run/magistrate/tls/tls.crt", "tls_certificate"),
        ("/run/magistrate/tls/tls.key", "tls_key"),
        ("/run/magistrate/database/password", "app_password"),
        ("/run/magistrate/passwords/password", "postgres_password"),
        ("/run/magistrate/passwords/app", "app_password"),
        ("/run/magistrate/passwords/admin", "admin_password"),
        ("/run/magistrate/passwords/auditor", "auditor_password"),
    ];
    let files = files.map(|(there, name)| (there, stage.secret(name)));
    files.iter().fold(stage.called("@db/", &address), |stage, (there, here)| stage.called(there, here))
}

/// The job migrates, and a pod of the deployment serves what it has made.
#[test]
fn chart_steps_work_without_a_cluster() {
    let Some(resources) = rendered(ON_POSTGRESQL) else {
        return skip("chart_steps_work_without_a_cluster", "no helm; run tests/run");
    };
    let stage = mounted();
    let container = |kind| of_kind(&resources, kind).pointer("/spec/template/spec/containers/0").unwrap();
    run(&stage, container("Job"));
    let url = "postgres://magistrate_admin@db/magistrate";
    let password = ("MAGISTRATE_DATABASE_PASSWORD_FILE", "/run/magistrate/passwords/admin");
    let key = administer(&stage, &[("MAGISTRATE_DATABASE_URL", url), password]);
    let node = serve(&stage, container("Deployment"));
    stage.expect_answers(&node, &key);
}

/// The first container of the stateful pod makes the store that the second serves.
#[test]
fn chart_steps_work_with_the_embedded_store() {
    let Some(resources) = rendered(&[EMBEDDED, &["defaultNamespace=Company"]].concat()) else {
        return skip("chart_steps_work_with_the_embedded_store", "no helm; run tests/run");
    };
    let stage = mounted();
    let container = |path| of_kind(&resources, "StatefulSet").pointer(path).unwrap();
    run(&stage, container("/spec/template/spec/initContainers/0"));
    let key = administer(&stage, &[]);
    let node = serve(&stage, container("/spec/template/spec/containers/0"));
    stage.expect_answers(&node, &key);
}
