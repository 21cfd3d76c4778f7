//! What a component answered, as a table for people or as JSON for programs.
//!
//! The JSON is the component's own document. A table shows every member of one document, or the chosen members
//! of a list. Nothing is decided here, and nothing secret comes by here.

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::output::printable;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// A column of a list: its header, and the member that it shows as a JSON pointer (RFC 6901).
pub(crate) type Column = (&'static str, &'static str);

/// What a person looks for first in a document, in this order.
const FIRST: &[&str] = &[
    "tenant",
    "system",
    "service",
    "provider",
    "key",
    "state",
    "ended_by",
    "purge_at",
    "purged_at",
    "regions",
    "algorithm",
    "rotate_every",
    "version",
    "region",
];

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// One document.
pub(crate) fn document(format: Format, value: &Value) -> String {
    match format {
        Format::Json => json(value),
        Format::Table => {
            let mut rows = Vec::new();
            flatten(String::new(), value, &mut rows);
            // Otherwise by name, as they come.
            rows.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
            grid(None, rows.into_iter().map(|(name, value)| vec![name, value]))
        }
    }
}

/// A list, and whether there is more of it.
pub(crate) fn list(format: Format, columns: &[Column], items: &[Value], more: bool) -> String {
    match format {
        Format::Json => json(&serde_json::json!({ "items": items, "more": more })),
        Format::Table => table(columns, items),
    }
}

/// A table of some members of each item.
pub(crate) fn table(columns: &[Column], items: &[Value]) -> String {
    let header = columns.iter().map(|(header, _)| (*header).to_owned()).collect();
    let rows =
        items.iter().map(|item| columns.iter().map(|(_, member)| cell(item.pointer(member))).collect());
    grid(Some(header), rows)
}

/// JSON for programs and for reading.
pub(crate) fn json(value: &Value) -> String {
    format!("{value:#}")
}

fn grid(header: Option<Vec<String>>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if let Some(header) = header {
        table.set_header(header);
    }
    table.add_rows(rows);
    // Without borders a column needs space on one side only.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// The members of a document, by the way to each of them.
fn flatten(way: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let name = one_line(name);
                let way = if way.is_empty() { name } else { format!("{way}.{name}") };
                flatten(way, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, value) in items.iter().enumerate() {
                flatten(format!("{way}[{index}]"), value, rows);
            }
        }
        value => rows.push((way, cell(Some(value)))),
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NOTHING.to_owned(),
        Some(Value::String(text)) => one_line(text),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(items)) => joined(items.iter().map(|item| cell(Some(item)))),
        Some(Value::Object(members)) => {
            joined(members.iter().map(|(name, value)| format!("{}={}", one_line(name), cell(Some(value)))))
        }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let joined = parts.collect::<Vec<_>>().join(",");
    if joined.is_empty() { NOTHING.to_owned() } else { joined }
}

fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] =
        &[("TENANT", "/tenant"), ("REGIONS", "/regions"), ("HEALTH", "/health/outcome")];

    fn items() -> Vec<Value> {
        vec![
            json!({"tenant": "acme", "regions": ["a", "b"], "health": {"outcome": "ok"}}),
            json!({"tenant": "a-longer-name", "regions": [], "health": null}),
        ]
    }

    #[test]
    fn a_list_shows_the_chosen_members_below_their_headers() {
        let expected = "\
TENANT         REGIONS  HEALTH
acme           a,b      ok
a-longer-name  -        -";
        assert_eq!(list(Format::Table, COLUMNS, &items(), false), expected);
    }

    #[test]
    fn a_list_without_items_is_its_headers_for_people_and_no_items_for_programs() {
        assert_eq!(list(Format::Table, COLUMNS, &[], false), "TENANT  REGIONS  HEALTH");
        let text = list(Format::Json, COLUMNS, &[], true);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"items": [], "more": true}));
    }

    #[test]
    fn a_program_gets_the_document_as_the_component_wrote_it() {
        let value = json!({"tenant": "acme", "labels": {"k": "v"}, "at": null});
        assert_eq!(serde_json::from_str::<Value>(&document(Format::Json, &value)).unwrap(), value);
    }

    #[test]
    fn a_person_gets_every_member_of_a_document_with_the_way_to_it() {
        let value = json!({
            "tenant": "acme",
            "health": {"outcome": "ok"},
            "roots": [{"provider": "local", "key": "acme", "options": {}}],
            "told": ["a", "b"],
            "serving": true,
        });
        let text = document(Format::Table, &value);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        for row in [
            ["tenant", "acme"],
            ["health.outcome", "ok"],
            ["roots[0].provider", "local"],
            ["roots[0].options", "-"],
            ["told", "a,b"],
            ["serving", "yes"],
        ] {
            assert!(rows.contains(&row.to_vec()), "{row:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_document_begins_with_what_a_person_looks_for_first() {
        let text = document(
            Format::Table,
            &json!({"algorithm": "AES256", "zeta": 1, "state": "defined", "tenant": "acme"}),
        );
        let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["tenant", "state", "algorithm", "zeta"]);
    }

    #[test]
    fn a_label_can_neither_steer_the_terminal_nor_add_a_line() {
        let text = document(Format::Table, &json!({"labels": {"k\n": "v\u{1b}[2J\nadmin yes"}}));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
