//! Taking a backup.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use openkcm_contracts::Timestamp;
use openkcm_host::{Clock as _, SystemClock};
use openkcm_orbital::TrustBundle;
use openkcm_store::backup::{self, Copy};
use serde_json::json;

use super::description::{Description, digest};
use super::{STORE, left_out, store_of};
use crate::cli::{Format, Progress, output, render};
use crate::files;
use crate::run::Config;

/// How often it is looked how far a copy is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Takes a backup of the component of this configuration.
pub(super) fn run(config: &Config, to: &Path, format: Format) -> anyhow::Result<()> {
    let store = store_of(config);
    if !store.exists() {
        bail!(
            "{} has no store: nothing was ever kept in {}",
            config.component.title(),
            config.data_dir.display()
        );
    }
    let trust = TrustBundle::load(&config.mesh.trust)?;
    files::private_directory(to)?;
    let taken_at = SystemClock.now();
    let name = format!("{}-{}", config.component, compact(taken_at));
    let backup = to.join(&name);
    let draft = to.join(format!("{name}.part"));
    if backup.exists() || draft.exists() {
        bail!("{} is there already: wait a second, or choose another directory", backup.display());
    }
    files::private_directory(&draft)?;
    let taken = fill(config, &store, &draft, |digested| {
        Description::new(config.component.to_string(), taken_at, digested, &trust)
    });
    let description = match taken {
        Ok(description) => description,
        Err(error) => {
            // What a failed backup left has no use; that it can't be removed either changes nothing.
            let _ = std::fs::remove_dir_all(&draft);
            return Err(error);
        }
    };
    files::rename(&draft, &backup)?;
    tell(&backup, &description, format)
}

fn fill(
    config: &Config,
    store: &Path,
    draft: &Path,
    describe: impl FnOnce(super::description::Digested) -> Description,
) -> anyhow::Result<Description> {
    let copy = draft.join(STORE);
    let whole = backup::size(store).context("the store can't be read")?;
    watched("copying", &copy, whole, || backup::copy(store, &copy, &left_out(config)))
        .context("the store can't be copied")?;
    files::keep_private(&copy)?;
    Copy::open(&copy).and_then(|copy| copy.check()).context("the copy is of no use: the store is damaged")?;
    let description = describe(digest(&copy, "reading it back")?);
    description.write(draft)?;
    Ok(description)
}

/// Does something that writes a file, and shows how far it is.
fn watched<T>(what: &'static str, file: &Path, whole: u64, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (progress, mut shown) = (Progress::begin(what, Some(whole)), 0);
            while !done.load(Ordering::Relaxed) {
                let written = std::fs::metadata(file).map_or(0, |file| file.len());
                progress.add(written.saturating_sub(shown));
                shown = written.max(shown);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        outcome
    })
}

/// A moment as a part of a file's name, such as `20261125T124500Z`.
fn compact(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or(&text);
    format!("{}Z", seconds.replace(['-', ':'], ""))
}

fn tell(backup: &Path, description: &Description, format: Format) -> anyhow::Result<()> {
    let path: PathBuf = std::path::absolute(backup)?;
    let Description { component, taken_at, bytes, sha256, .. } = description;
    output::result(&match format {
        Format::Table => format!(
            "{}\n{component} as of {taken_at}: {bytes} bytes, SHA-256 {sha256}\n\
             It was read back and is whole. Keep it where no failure of this machine reaches.\n",
            path.display()
        ),
        Format::Json => render::json(&json!({ "backup": path, "description": description })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_name() {
        assert_eq!(compact(Timestamp::from_millis(1_000)), "19700101T000001Z");
    }
}
