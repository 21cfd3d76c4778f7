//! Each component answers as its own OpenAPI document says: asked by Schemathesis, which sends what the
//! document allows and what it does not, with and without the token, and judges every answer.
//!
//! The seed is fixed, so a run of today and one of tomorrow ask the same.

use std::path::Path;
use std::process::{Command, Stdio};

use openkcm_client::Url;
use openkcm_harness::{tool, until};

use crate::setup::{Setup, define, region};

/// Requests of each kind for each operation, besides those that cover each limit of each parameter.
const EXAMPLES: &str = "15";

/// What no document can say and a component has to refuse all the same: an `If-Match` that is no present
/// revision, a text that is no ciphertext of ours, a provider that is not configured. Schemathesis takes
/// such a refusal for a defect. All its other checks are on.
const EXCLUDED_CHECK: &str = "positive_data_acceptance";

/// Names that exist are asked for as a rule, others now and then.
const CONFIG: &str = r#"
headers = { Authorization = "Bearer TOKEN" }
continue-on-failure = true

[dictionaries]
tenants = { values = ["demo", "acme"] }
systems = { values = ["app"] }
services = { values = ["data"] }

[parameters]
"path.tenant" = { dictionary = "tenants", probability = 0.9 }
"path.t" = { dictionary = "tenants", probability = 0.9 }
"path.system" = { dictionary = "systems", probability = 0.9 }
"path.service" = { dictionary = "services", probability = 0.9 }
"#;

#[tokio::test]
async fn the_registry_answers_as_its_document_says() {
    conforms(|landscape| &landscape.registry).await;
}

#[tokio::test]
async fn the_cmk_server_answers_as_its_document_says() {
    conforms(|landscape| &landscape.cmk).await;
}

#[tokio::test]
async fn a_core_answers_as_its_document_says() {
    conforms(|landscape| &landscape.region(&region("a")).expect("region a").url).await;
}

async fn conforms(component: impl Fn(&openkcm_client::Landscape) -> &Url) {
    let setup = Setup::start().await;
    let client = setup.client();
    define(&client, "acme/app/data").await;
    let config = CONFIG.replace("TOKEN", &setup.token());
    std::fs::write(setup.path("schemathesis.toml"), config).expect("a configuration");
    let document = component(client.landscape()).join("openapi.json").expect("an address");

    let report = setup.path("report.txt");
    let mut child = schemathesis(setup.directory(), &report)
        .args(["run", document.as_str(), "--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--exclude-checks", EXCLUDED_CHECK])
        .spawn()
        .expect("Schemathesis can be started");
    let status = until("Schemathesis ends", || {
        let ended = child.try_wait().expect("our own child");
        async move { ended }
    })
    .await;
    let report = std::fs::read_to_string(report).expect("its report");
    assert!(status.success(), "{report}");
    assert!(report.contains("generated") && !report.contains("401/403"), "nothing was asked:\n{report}");
    let log = setup.landscape.log();
    assert!(!log.contains("request failed") && !log.contains("panicked"), "{log}");
}

fn schemathesis(directory: &Path, report: &Path) -> Command {
    let output = std::fs::File::create(report).expect("a file for the report");
    let mut command = Command::new(tool("schemathesis", "schemathesis"));
    command
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output);
    command
}
