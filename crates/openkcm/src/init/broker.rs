//! The broker's configuration: `nats.conf`.
//!
//! Written from the layout of the mesh, which says what each user may do. What always holds: between the two marked
//! lines stand the users of the components, and nothing else is ever rewritten, so that what an operator changes
//! elsewhere in the file stays.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use openkcm_contracts::RegionId;
use openkcm_orbital::nats::layout::{
    COMPONENTS_ACCOUNT, IMPORTS, Layout, MESH_ACCOUNT, OPERATOR, OPERATOR_MAY, UserGrant, inbox_prefix,
};

use super::plan::Plan;
use super::site::Site;

/// The calls of JetStream as clients make them, and as they cross into the account of the streams. They need another
/// name there: JetStream's system account takes part in every account under the first, and answers, as a second voice
/// beside the account of the streams, that there is no JetStream in that of the components.
const API: &str = "$JS.API.";
const CROSSING_API: &str = "$JS.ORBITAL.API.";

/// The line above the components' users.
const BEGIN: &str =
    "# >>> users of the components: `openkcm init` writes what stands between these two lines";
/// The line below them.
const END: &str = "# <<< users of the components";

/// A user of the broker by its NKey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    /// The public one.
    pub(super) nkey: String,
}

/// The whole configuration.
pub(super) fn whole(site: &Site<'_>, plan: &Plan, users: &[User]) -> anyhow::Result<String> {
    let operator = user(users, OPERATOR)?;
    let directory = site.directory().display();
    let listen = plan.broker.listen();
    let section = section(&plan.regions(), users)?;
    let (exports, imports) = (exports(), imports());
    let operator_may = operator_may();
    Ok(format!(
        r#"# The broker of this landscape: NATS with JetStream, 2.14 or newer. Made by `openkcm init`.
#
# Start it with `nats-server -c` and this file, and let it read the file again with
# `nats-server --signal reload={directory}/data/nats/nats.pid`. The paths are absolute: change them if the
# directory moves.

server_name: openkcm
listen: "{listen}"
pid_file: "{directory}/data/nats/nats.pid"

# The largest event is far below this.
max_payload: 1MB

# Who connects brings a certificate by the landscape's authority, and then proves its NKey.
tls {{
  cert_file: "{directory}/tls/nats.pem"
  key_file: "{directory}/tls/nats.key"
  ca_file: "{directory}/tls/ca.pem"
  verify: true
  min_version: "1.3"
  timeout: 5
}}

jetstream {{
  store_dir: "{directory}/data/nats"
  # What is acknowledged is on the disk. Without this a broker that loses power loses events that their authors
  # have forgotten.
  sync_interval: always
}}

accounts {{
  # Owns the streams. Its one user makes them and their readers.
  {MESH_ACCOUNT} {{
    jetstream: enabled
    users: [
      {{ # {OPERATOR}
        nkey: {operator}
{operator_may}      }}
    ]
    exports: [
{exports}    ]
  }}

  # The components. They are apart from the streams: a requester chooses where its answer goes, and within one account
  # it could have the answer stored as another's word.
  {COMPONENTS_ACCOUNT} {{
    # JetStream's own account answers under the first name too: that there are no streams in this account.
    mappings: {{ "{API}>": "{CROSSING_API}>" }}
    imports: [
{imports}    ]
    default_permissions: {{ publish: {{ deny: [">"] }}, subscribe: {{ deny: [">"] }} }}
    users: [
      {BEGIN}
{section}      {END}
    ]
  }}
}}
"#
    ))
}

/// The configuration with the users of these regions; of `new`, the keys that the file does not have yet.
pub(super) fn with_users(text: &str, regions: &[RegionId], new: &[User]) -> anyhow::Result<String> {
    let missing =
        |line: &str| format!("nats.conf has no line {line:?}: put it back, above or below the users");
    let begin = text.find(BEGIN).with_context(|| missing(BEGIN))?;
    let from = text[begin..].find('\n').map(|end| begin + end + 1).with_context(|| missing(END))?;
    let end = text[from..].find(END).map(|end| from + end).with_context(|| missing(END))?;
    // The indentation of the last line is its own.
    let to = text[..end].rfind('\n').map_or(end, |line| line + 1);
    let mut users = users_in(&text[from..to]);
    users.extend(new.iter().cloned());
    let known = Layout::new(regions.iter().cloned()).users();
    if let Some(stranger) = users.iter().find(|user| !known.iter().any(|grant| grant.name == user.name)) {
        bail!("nats.conf has a user {:?} between the marked lines: move it out of them", stranger.name);
    }
    Ok(format!("{}{}{}", &text[..from], section(regions, &users)?, &text[to..]))
}

/// The users that stand in a section.
fn users_in(section: &str) -> Vec<User> {
    let mut users = Vec::new();
    let mut name = None;
    for line in section.lines().map(str::trim) {
        if let Some(named) = line.strip_prefix("{ #") {
            name = Some(named.trim().to_owned());
        } else if let Some(nkey) = line.strip_prefix("nkey:")
            && let Some(name) = name.take()
        {
            users.push(User { name, nkey: nkey.trim().to_owned() });
        }
    }
    users
}

/// The users of the components of these regions.
fn section(regions: &[RegionId], users: &[User]) -> anyhow::Result<String> {
    let mut text = String::new();
    for UserGrant { name, publish, subscribe } in Layout::new(regions.iter().cloned()).users() {
        let nkey = user(users, &name)?;
        let _ = write!(
            text,
            "      {{ # {name}\n        nkey: {nkey}\n        permissions: {{\n          publish: [\n{}          ]\n          \
             subscribe: [\n{}          ]\n        }}\n      }}\n",
            subjects(&publish),
            subjects(&subscribe)
        );
    }
    Ok(text)
}

fn user<'a>(users: &'a [User], name: &str) -> anyhow::Result<&'a str> {
    let user = users.iter().find(|user| user.name == name);
    Ok(&user.with_context(|| format!("the broker's user {name} has no key"))?.nkey)
}

fn subjects(subjects: &[String]) -> String {
    subjects.iter().map(|subject| format!("            \"{}\"\n", crossing(subject))).collect()
}

fn operator_may() -> String {
    let publish: String = OPERATOR_MAY.iter().map(|may| format!("            \"{may}\"\n")).collect();
    let inbox = inbox_prefix(OPERATOR);
    format!(
        "        permissions: {{\n          publish: [\n{publish}          ]\n          subscribe: [\"{inbox}.>\"]\n        }}\n"
    )
}

fn exports() -> String {
    IMPORTS
        .iter()
        .map(|import| {
            let many = if import.many_answers { ", response_type: stream" } else { "" };
            format!("      {{ service: \"{}\", accounts: [{COMPONENTS_ACCOUNT}]{many} }}\n", import.subject)
        })
        .collect()
}

fn imports() -> String {
    let import = |subject: &str| match crossing(subject) {
        same if same == subject => {
            format!("{{ service: {{ account: {MESH_ACCOUNT}, subject: \"{subject}\" }} }}")
        }
        other => {
            format!("{{ service: {{ account: {MESH_ACCOUNT}, subject: \"{subject}\" }}, to: \"{other}\" }}")
        }
    };
    IMPORTS.iter().map(|one| format!("      {}\n", import(one.subject))).collect()
}

/// A subject as it crosses into the account of the streams. Rights are checked on this one.
fn crossing(subject: &str) -> String {
    match subject.strip_prefix(API) {
        Some(call) => format!("{CROSSING_API}{call}"),
        None => subject.to_owned(),
    }
}
