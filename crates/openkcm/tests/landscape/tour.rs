//! The tour of the README, and the line that `dev` prints for pasting, do what they say.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::setup::{Setup, program};

/// What opens a block of the tour in the README.
const FENCE: &str = "```sh tour";

#[tokio::test]
async fn every_line_of_the_readmes_tour_succeeds_and_shows_what_it_promises() {
    let setup = Setup::start().await;
    let release = setup.path("target/release");
    std::fs::create_dir_all(&release).expect("a directory");
    std::os::unix::fs::symlink(program(), release.join("openkcm")).expect("a link to the program");
    let tour = tour();
    assert!(tour.contains("openkcm l1 unlink") && tour.contains("curl"), "the tour was not found:\n{tour}");
    // Two users of one machine may run it at once.
    let script = tour.replace("/tmp/openkcm-tour", "tour-file");

    let output = bash(&script, setup.directory());
    let (printed, told) = texts(&output);
    assert!(output.status.success(), "the tour failed:\n{printed}\n{told}");
    let lines = |wanted: &str| printed.lines().filter(|line| *line == wanted).count();
    assert_eq!(lines("identical"), 3, "{printed}\n{told}");
    assert_eq!(lines("refused, as it should be"), 1, "{printed}\n{told}");
    assert_eq!(lines("gone for good"), 1, "{printed}\n{told}");
    assert!(told.contains("key_purged"), "the refusal has another reason:\n{told}");
    assert!(told.contains("tenant_unlinked"), "the refusal has another reason:\n{told}");
    assert!(printed.contains(r#""ciphertext":"kcm1."#), "nothing was encrypted over HTTP:\n{printed}");
}

#[tokio::test]
async fn the_line_that_dev_prints_for_pasting_encrypts_and_decrypts() {
    let setup = Setup::start().await;
    let printed = setup.landscape.output();
    let line = printed.lines().find(|line| line.trim_start().starts_with("echo hello |"));
    let line = line.unwrap_or_else(|| panic!("there is no line to paste in:\n{printed}"));
    // Where the landscape was started.
    let here = std::env::current_dir().expect("the present directory");
    let output = bash(line, &here);
    let (printed, told) = texts(&output);
    assert!(output.status.success(), "{line}\n{told}");
    assert_eq!(printed, "hello\n", "{line}\n{told}");
}

/// All blocks of the tour, as one script.
fn tour() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let mut script = String::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            FENCE => inside = true,
            "```" => inside = false,
            line if inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

fn bash(script: &str, directory: &Path) -> Output {
    Command::new("bash")
        .args(["-e", "-u", "-o", "pipefail", "-c", script])
        .current_dir(directory)
        .env_remove("OPENKCM_LANDSCAPE")
        .stdin(Stdio::null())
        .output()
        .expect("bash is there")
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
