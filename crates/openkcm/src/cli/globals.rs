//! Flags that every command takes, and pieces that several commands' flags are made of.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use openkcm_client::Patience;
use openkcm_contracts::RegionId;

use super::render::Format;

/// The heading of the flags that every command takes.
const HEADING: &str = "Global options";

/// Flags that every command takes.
#[derive(Args)]
pub(crate) struct Globals {
    /// The landscape to work on: the file that `openkcm dev` wrote
    #[arg(
        long,
        global = true,
        env = "OPENKCM_LANDSCAPE",
        value_name = "FILE",
        default_value = "./.openkcm/landscape.json",
        help_heading = HEADING
    )]
    pub(crate) landscape: PathBuf,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, help_heading = HEADING)]
    pub(crate) output: Format,
    /// How long to wait for what is on its way, such as 30s
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        value_parser = parse_span,
        default_value = "10s",
        help_heading = HEADING
    )]
    wait: Duration,
    /// Wait for nothing: take the first answer
    #[arg(long, global = true, conflicts_with = "wait", help_heading = HEADING)]
    no_wait: bool,
}

impl Globals {
    /// How long to wait for what is on its way.
    pub(crate) fn patience(&self) -> Patience {
        if self.no_wait { Patience::NONE } else { Patience { total: self.wait } }
    }
}

/// The flag of commands that use the data plane.
#[derive(Args)]
pub(crate) struct InRegion {
    /// Ask this region and no other [default: the tenant's, in order, until one serves]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<RegionId>,
}

/// The flags of a list.
#[derive(Args)]
pub(crate) struct ListFlags {
    /// Show only names that begin so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// `name=value`, as labels and options are typed.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected".to_owned()),
    }
}

/// A span of time, as flags take it.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|error| format!("a span such as 10s or 2m is expected: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_pair("a").is_err() && parse_pair("=b").is_err());
    }

    #[test]
    fn a_span_has_a_unit_or_is_nothing() {
        assert_eq!(parse_span("0"), Ok(Duration::ZERO));
        assert_eq!(parse_span("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(parse_span("10").is_err());
    }
}
