//! `openkcm key show`, `datakey`, `rewrap` and `rotate`: single calls to a region's Core.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use openkcm_client::{ClientError, Served};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, RegionId, ServicePath};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::encrypt::warn_if_at_risk;
use super::files::MAX_CIPHERTEXT_BYTES;
use super::globals::InRegion;
use super::output;
use super::render::{self, Column, Format};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("REGION", "/region"),
    ("VERSION", "/version/version"),
    ("COUNTER", "/version/counter"),
    ("STATE", "/version/state"),
    ("MADE AT", "/version/made_at"),
    ("AT RISK", "/version/at_risk"),
    ("NOTE", "/note"),
];

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show a key's versions and their states, region by region
    Show {
        /// TENANT/SYSTEM for an L2, TENANT/SYSTEM/SERVICE for an L3
        key: KeyPath,
        #[command(flatten)]
        at: InRegion,
    },
}

#[derive(Args)]
#[command(after_help = "Example:\n  openkcm datakey acme/hr/payroll --output json")]
pub(crate) struct DatakeyArguments {
    /// TENANT/SYSTEM/SERVICE
    key: ServicePath,
    /// Its length, 16 to 1024
    #[arg(long, value_name = "N", default_value_t = 32)]
    bytes: usize,
    #[command(flatten)]
    at: InRegion,
}

#[derive(Args)]
#[command(after_help = "\
The first region that knows the key does it, and no other in its place: where that one can't be reached, name another
with --region.

Example:
  openkcm rewrap acme/hr/payroll < password.kcm > password.new")]
pub(crate) struct RewrapArguments {
    /// TENANT/SYSTEM/SERVICE
    key: ServicePath,
    /// The ciphertext, `kcm1.…` [default: from stdin]
    ciphertext: Option<String>,
    /// What was bound to it by `encrypt --raw --aad`
    #[arg(long, value_name = "TEXT")]
    aad: Option<String>,
    #[command(flatten)]
    at: InRegion,
}

#[derive(Args)]
#[command(after_help = "\
The first region that knows the key makes the version, and no other in its place: where that one can't be reached, name
another with --region.

Examples:
  openkcm rotate acme/hr/payroll
  openkcm rotate acme/hr")]
pub(crate) struct RotateArguments {
    /// TENANT/SYSTEM for an L2, TENANT/SYSTEM/SERVICE for an L3
    key: KeyPath,
    #[command(flatten)]
    at: InRegion,
}

pub(crate) async fn run(command: &Command, session: &Session) -> anyhow::Result<()> {
    let Command::Show { key, at } = command;
    show(key, at.region.as_ref(), session).await
}

/// Shows the key as each region sees it. Fails only if none does.
async fn show(key: &KeyPath, chosen: Option<&RegionId>, session: &Session) -> anyhow::Result<()> {
    let mut views = Vec::new();
    let mut failed: Option<ClientError> = None;
    for region in session.regions(chosen) {
        let route = openkcm_client::Route::Only(region.clone());
        match session.asker().core(route).key(key).await {
            Ok(Served { answer, .. }) => views.push(json!({ "region": region, "key": answer.value })),
            // Where the tenant is not served, there is no such key.
            Err(error) if error.code() == Some(Code::UnknownKey) => failed = failed.or(Some(error)),
            Err(error) => {
                views.push(json!({ "region": region, "error": error.to_string() }));
                failed = Some(error);
            }
        }
    }
    if views.iter().all(|view| view["key"].is_null())
        && let Some(error) = failed
    {
        return Err(error).with_context(|| format!("can't show the key {key}"));
    }
    output::result(&match session.format {
        Format::Json => render::json(&json!({ "regions": views })),
        Format::Table => render::table(COLUMNS, &rows(&views)),
    })
}

/// A row for each version; and one for each region that has none, or does not serve, that says why.
fn rows(views: &[Value]) -> Vec<Value> {
    let mut rows = Vec::new();
    for view in views {
        let refusal = reason(&view["key"]["refusal"]).map(|reason| format!("not served: {reason}"));
        let note = view["error"].as_str().map(str::to_owned).or(refusal);
        let versions = view["key"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        if note.is_some() || versions.is_empty() {
            rows.push(json!({ "region": view["region"], "note": note }));
        }
        for version in versions {
            let note = reason(&version["refusal"]);
            rows.push(json!({ "region": view["region"], "version": version, "note": note }));
        }
    }
    rows
}

fn reason(refusal: &Value) -> Option<String> {
    Some(format!("{} ({})", refusal["detail"].as_str()?, refusal["code"].as_str()?))
}

pub(crate) async fn datakey(arguments: &DatakeyArguments, session: &Session) -> anyhow::Result<()> {
    let DatakeyArguments { key, bytes, at } = arguments;
    let made = session.anywhere(at.region.as_ref(), async |core| core.datakey(key, *bytes).await).await;
    let Served { region, answer, .. } = made.with_context(|| format!("can't make a data key under {key}"))?;
    warn_if_at_risk(answer.at_risk, &region);
    // Not by way of a JSON value, whose copies nobody wipes.
    let mut clear = Zeroizing::new(String::with_capacity(answer.plaintext.len() * 2));
    STANDARD.encode_string(&*answer.plaintext, &mut clear);
    let (ciphertext, version, clear) = (&answer.ciphertext, answer.version, clear.as_str());
    let at_risk = answer.at_risk;
    let text = Zeroizing::new(match session.format {
        Format::Json => format!(
            "{{\"plaintext\": \"{clear}\", \"ciphertext\": {}, \"version\": \"{version}\", \"region\": \"{region}\", \
             \"at_risk\": {at_risk}}}",
            Value::from(ciphertext.as_str()),
        ),
        Format::Table => {
            format!(
                "plaintext   {clear}\nciphertext  {ciphertext}\nversion     {version}\nregion      {region}"
            )
        }
    });
    output::result(&text)
}

pub(crate) async fn rewrap(arguments: &RewrapArguments, session: &Session) -> anyhow::Result<()> {
    let RewrapArguments { key, ciphertext, aad, at } = arguments;
    let ciphertext = match ciphertext {
        Some(ciphertext) => ciphertext.clone(),
        None => ciphertext_from_stdin()?,
    };
    let (old, aad) = (ciphertext.trim(), aad.as_deref().map(str::as_bytes));
    let wrapped =
        session.where_known(at.region.as_ref(), async |core| core.rewrap(key, old, aad).await).await;
    let Served { region, answer, .. } = wrapped.with_context(|| format!("can't rewrap under {key}"))?;
    warn_if_at_risk(answer.at_risk, &region);
    output::result(&match session.format {
        Format::Table => answer.ciphertext,
        Format::Json => render::json(&json!({
            "ciphertext": answer.ciphertext, "version": answer.version, "region": region, "at_risk": answer.at_risk,
        })),
    })
}

pub(crate) async fn rotate(arguments: &RotateArguments, session: &Session) -> anyhow::Result<()> {
    let RotateArguments { key, at } = arguments;
    let rotated = session.where_known(at.region.as_ref(), async |core| core.rotate(key).await).await;
    let Served { region, answer, .. } = rotated.with_context(|| format!("can't rotate {key}"))?;
    warn_if_at_risk(answer.at_risk, &region);
    session.show(&json!({ "key": key.to_string(), "version": answer.version, "region": region }))
}

fn ciphertext_from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_CIPHERTEXT_BYTES + 1).read_to_string(&mut text);
    read.context("can't read a ciphertext from stdin")?;
    if text.len() as u64 > MAX_CIPHERTEXT_BYTES || !text.trim_start().starts_with("kcm1.") {
        bail!(
            "stdin holds no kcm1.… ciphertext; a file that `openkcm encrypt` made is decrypted and encrypted anew"
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_each_region_is_a_row_and_what_is_not_served_says_why() {
        let views = [
            json!({"region": "a", "key": {"refusal": null, "versions": [
                {"version": "v1", "counter": 1, "state": "deactivated", "refusal": null},
                {"version": "v2", "counter": 2, "state": "active", "refusal": null},
            ]}}),
            json!({"region": "b", "key": {
                "refusal": {"code": "tenant_unlinked", "detail": "withdrawn"}, "versions": [],
            }}),
            json!({"region": "c", "error": "unreachable"}),
        ];
        let rows = rows(&views);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1]["version"]["state"], "active");
        assert_eq!(rows[2]["note"], "not served: withdrawn (tenant_unlinked)");
        assert_eq!(rows[3]["note"], "unreachable");
    }
}
