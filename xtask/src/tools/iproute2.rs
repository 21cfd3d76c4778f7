//! The `ip` program, with which tests build networks of their own and cut them.
//!
//! It belongs to the machine and not below `target/tools`: it has to fit the kernel. Where it is missing and can't be
//! installed, or the kernel permits no network namespaces, this is said and no error: those tests say it again, and
//! try what can be tried without.

use crate::process;

use super::debian;

const PROGRAM: &str = "ip";
const DEBIAN_PACKAGES: &[&str] = &["iproute2"];

pub(super) fn install() -> anyhow::Result<()> {
    if !is_here() {
        if !debian::can_install() {
            println!(
                "there is no `{PROGRAM}` here: tests with network partitions are SKIPPED or cut a proxy instead \
                 (on Debian: apt-get install {})",
                DEBIAN_PACKAGES.join(" ")
            );
            return Ok(());
        }
        debian::install(PROGRAM, DEBIAN_PACKAGES)?;
    }
    if !permits_namespaces() {
        println!(
            "network namespaces are not permitted here (they need root): tests with network partitions are SKIPPED \
             or cut a proxy instead"
        );
    }
    Ok(())
}

fn is_here() -> bool {
    process::answer(process::program(PROGRAM).arg("-Version")).is_some()
}

/// Makes a namespace and removes it. Its name tells the task's process, since two can be under way.
fn permits_namespaces() -> bool {
    let name = format!("okcm-{}-probe", std::process::id());
    let made = process::answer(process::program(PROGRAM).args(["netns", "add", &name])).is_some();
    // Nothing is left to do where there was nothing to remove.
    let _ = process::answer(process::program(PROGRAM).args(["netns", "delete", &name]));
    made
}
