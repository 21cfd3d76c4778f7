//! How a failure is told: what failed, the code, what to do, and the exit code.
//!
//! The exit codes are documented in `openkcm --help`; scripts rely on them. What always holds: one failure is
//! told once, on stderr; nothing that came from elsewhere steers the terminal.

use std::process::ExitCode;

use openkcm_client::{ClientError, LandscapeError, ProblemDocument};
use openkcm_contracts::RegionId;
use openkcm_contracts::problem::Code;
use serde_json::json;

use super::output::{self, Closed};
use super::render::{self, Format};

/// Failed here, for another reason than the others.
const GENERAL: u8 = 1;
/// Not typed right; the parser of arguments ends with the same.
const USAGE: u8 = 2;
/// A component refused.
const REFUSED: u8 = 3;
/// A component is unreachable.
const UNREACHABLE: u8 = 4;
/// Committed, and not seen to be in effect everywhere.
const UNSEEN: u8 = 5;

/// A failed command, and how its user wants to read of it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    format: Format,
}

impl Failure {
    pub(crate) fn new(error: anyhow::Error, format: Format) -> Self {
        Self { error, format }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the command failed")
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error.as_ref())
    }
}

/// Flags that do not go together, where the parser can't know.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) &'static str);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Usage {}

/// What was ended, or taken back, is committed, and these regions did not show it in time.
#[derive(Debug)]
pub(crate) struct Unseen {
    /// None where it could not be told which there are.
    pub(crate) regions: Vec<RegionId>,
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.regions.iter().map(RegionId::as_str).collect();
        match &names[..] {
            [] => write!(f, "it is committed, and no region was seen to follow"),
            [one] => write!(f, "it is committed, and region {one} was not seen to follow"),
            names => write!(f, "it is committed, and regions {} were not seen to follow", names.join(", ")),
        }
    }
}

impl std::error::Error for Unseen {}

/// What was begun is committed, and goes on; it was not seen to end.
#[derive(Debug)]
pub(crate) struct Behind {
    /// How far it was seen to come.
    pub(crate) what: String,
}

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it is committed and goes on by itself: {}", self.what)
    }
}

impl std::error::Error for Behind {}

/// Tells a person why a command failed, and its caller by the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let (error, format) = match error.downcast_ref::<Failure>() {
        Some(failure) => (&failure.error, failure.format),
        None => (error, Format::Table),
    };
    if !is::<Closed>(error) {
        output::note(&tell(error, format));
    }
    ExitCode::from(exit_code(error))
}

/// The failure in words.
fn tell(error: &anyhow::Error, format: Format) -> String {
    let lines = lines(error);
    let problem = client_error(error).and_then(ClientError::problem);
    let advice = advice(error);
    match format {
        Format::Json => render::json(&json!({ "error": {
            "message": lines.join(": "),
            "code": problem.map(|problem| &problem.code_text),
            "status": problem.map(|problem| problem.status),
            "field": problem.and_then(|problem| problem.field.as_ref()),
            "advice": advice,
            "exit_code": exit_code(error),
        }})),
        Format::Table => {
            let mut text = format!("error: {}", lines.join("\n  "));
            for line in problem.map(what_of).into_iter().flatten() {
                text.push_str(&format!("\n  {line}"));
            }
            if let Some(advice) = advice {
                text.push_str(&format!("\n  try: {advice}"));
            }
            text
        }
    }
}

/// What failed, then why. Of what an HTTP library says, only the last word is for people.
fn lines(error: &anyhow::Error) -> Vec<String> {
    let mut lines = Vec::new();
    for cause in error.chain() {
        if let Some(ClientError::NoRegionServes(none)) = cause.downcast_ref() {
            lines.push("no region serves this now".to_owned());
            lines.extend(none.said().iter().map(ToString::to_string));
            break;
        }
        lines.push(cause.to_string());
        let unanswered = matches!(
            cause.downcast_ref(),
            Some(
                ClientError::Unreachable { .. }
                    | ClientError::Distrust { .. }
                    | ClientError::Interrupted { .. }
            )
        );
        if unanswered {
            lines.push(error.root_cause().to_string());
            break;
        }
    }
    lines.dedup();
    lines
}

fn what_of(problem: &ProblemDocument) -> Vec<String> {
    let field = problem.field.as_ref().map(|field| format!("field: {field}"));
    let retry = problem.retryable().then(|| "this may succeed later, unchanged; see --wait".to_owned());
    field.into_iter().chain(retry).collect()
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match client_error(error) {
        Some(ClientError::Problem(_)) => REFUSED,
        Some(error @ ClientError::NoRegionServes(_)) => {
            if error.problem().is_some() {
                REFUSED
            } else {
                UNREACHABLE
            }
        }
        Some(
            ClientError::Unreachable { .. } | ClientError::Distrust { .. } | ClientError::Interrupted { .. },
        ) => UNREACHABLE,
        Some(ClientError::NoSuchRegion { .. }) => USAGE,
        Some(ClientError::Protocol { .. }) => GENERAL,
        None if is::<Usage>(error) => USAGE,
        None if is::<Unseen>(error) || is::<Behind>(error) => UNSEEN,
        None => GENERAL,
    }
}

fn client_error(error: &anyhow::Error) -> Option<&ClientError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn is<E: std::error::Error + 'static>(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<E>())
}

fn advice(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(problem) = client_error(error).and_then(ClientError::problem) {
        return problem.code.and_then(advice_on);
    }
    if is::<Unseen>(error) {
        return Some(
            "they follow by themselves when they hear of it; until then look at `openkcm status --tenant TENANT` and \
             `openkcm key show KEY`",
        );
    }
    if is::<Behind>(error) {
        return Some("wait longer with --wait 2m, or look at `openkcm failover list` and `openkcm status`");
    }
    let landscape = error.chain().find_map(|cause| cause.downcast_ref::<LandscapeError>())?;
    let credential = matches!(
        landscape,
        LandscapeError::CredentialUnreadable { .. } | LandscapeError::CredentialMalformed { .. }
    );
    credential
        .then_some("start the landscape again, which makes a credential; or correct `credential` in the file")
}

/// What to do about a refusal, where more can be said than its own words do.
fn advice_on(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::UnknownTenant => {
            "openkcm tenant list; define it with `openkcm tenant define TENANT --regions …`"
        }
        Code::UnknownSystem => "define it first with `openkcm system define TENANT/SYSTEM`",
        Code::UnknownService => "openkcm service list TENANT/SYSTEM",
        Code::UnknownKey => {
            "check the name with `openkcm service list TENANT/SYSTEM`, and the tenant's regions with `openkcm tenant \
             show TENANT`"
        }
        Code::UnknownRegion => "`openkcm status` shows the landscape's regions",
        Code::NotFailedOver | Code::FailoverInForce => "`openkcm failover list` shows the failovers",
        Code::TenantOffboarded => "openkcm tenant undelete TENANT, within its waiting period",
        Code::DefinitionDeleted => "undelete it, or define it again, from the outermost part on",
        Code::NotLinked => "openkcm l1 link TENANT --provider … --key …",
        Code::NotYetKnown => {
            "wait longer with --wait 1m; a tenant that was never linked needs `openkcm l1 link`"
        }
        Code::TenantUnlinked => {
            "`openkcm l1 status TENANT` says why: its owner withdrew it, or the tenant was offboarded and is back; with \
             its owner's consent, `openkcm l1 link` again"
        }
        Code::L1Denied => "the key's owner has to allow its use at the provider: enable it, or grant access",
        Code::L1Misconfigured => {
            "correct the reference, or the provider's section `[roots.…]` of the component"
        }
        Code::L1Unreachable => "check that the provider is up and that the component reaches it",
        Code::LeaseExpired => {
            "check the CMK Server and the mesh: serving resumes by itself with the next lease"
        }
        Code::KeyCompromised => "`openkcm rewrap` gets data out of a compromised version",
        Code::BadCiphertext => {
            "check that it is whole, and that key name and --aad are those it was made with"
        }
        Code::PreconditionFailed => "someone else changed it meanwhile: look at it, then decide again",
        Code::Unauthenticated => {
            "the landscape's credential is not the component's: was the landscape made anew?"
        }
        Code::LockedMemoryExhausted => "raise LimitMEMLOCK of the Core",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code) -> anyhow::Error {
        let problem = ProblemDocument {
            status: code.status(),
            code: Some(code),
            code_text: code.as_str().to_owned(),
            title: code.title().to_owned(),
            detail: "the detail".to_owned(),
            field: Some("regions[0]".to_owned()),
            retry_after: None,
        };
        anyhow::Error::new(ClientError::Problem(Box::new(problem))).context("can't define acme")
    }

    #[test]
    fn a_refusal_says_what_failed_and_why_with_its_code_and_what_to_do() {
        let text = tell(&refused(Code::UnknownRegion), Format::Table);
        let expected = "error: can't define acme\n  The landscape has no such region: the detail (unknown_region)\n  \
                        field: regions[0]\n  try: `openkcm status` shows the landscape's regions";
        assert_eq!(text, expected);
        assert_eq!(exit_code(&refused(Code::UnknownRegion)), REFUSED);
    }

    #[test]
    fn a_program_reads_the_code_and_not_the_words() {
        let text = tell(&refused(Code::TenantUnlinked), Format::Json);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["error"]["code"], "tenant_unlinked");
        assert_eq!((&value["error"]["status"], &value["error"]["exit_code"]), (&json!(403), &json!(3)));
    }

    #[test]
    fn what_is_refused_for_now_says_that_waiting_may_help() {
        assert!(tell(&refused(Code::Hydrating), Format::Table).contains("--wait"));
        assert!(!tell(&refused(Code::TenantUnlinked), Format::Table).contains("--wait"));
    }

    #[test]
    fn the_exit_code_tells_mistyped_commands_from_failures() {
        assert_eq!(exit_code(&Usage("no").into()), USAGE);
        assert_eq!(exit_code(&anyhow::anyhow!("disk full").context("can't write")), GENERAL);
        let region = ClientError::NoSuchRegion { name: "x".to_owned(), known: "a".to_owned() };
        assert_eq!(exit_code(&anyhow::Error::new(region).context("can't encrypt")), USAGE);
        let regions = ["a", "b"].map(|name| RegionId::new(name).unwrap()).to_vec();
        let unseen = anyhow::Error::new(Unseen { regions });
        assert_eq!(exit_code(&unseen), UNSEEN);
        assert!(tell(&unseen, Format::Table).contains("regions a, b were not seen to follow"));
    }

    #[test]
    fn a_failure_is_told_by_its_cause_and_not_by_its_wrapping() {
        let failure = anyhow::Error::new(Failure::new(refused(Code::UnknownTenant), Format::Json));
        let inner = failure.downcast_ref::<Failure>().unwrap();
        assert_eq!(exit_code(&inner.error), REFUSED);
    }
}
