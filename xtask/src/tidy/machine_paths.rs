//! No file names a place that exists on one machine only.

use super::finding::Finding;

/// Folders of somebody's machine. In pieces, so that this file does not find itself.
const PLACES: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for place in PLACES.iter().filter(|place| has_absolute(line, place)) {
            let message = format!(
                "a path below {place} exists on one machine only: write it relative to the repository"
            );
            findings.push(Finding::error(path, index + 1, message));
        }
    }
    findings
}

/// Whether `place` begins a path in `line`, and is not a folder inside another one.
fn has_absolute(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~$*})/".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_path_is_found_in_prose_and_in_code() {
        for place in PLACES {
            let text = format!("# Start\n\nRun `{place}main/openkcm`.\n");
            assert_eq!(check("README.md", &text)[0].line, 3, "{place}");
            assert_eq!(check("crates/a/src/lib.rs", &format!("let a = \"{place}a\";")).len(), 1, "{place}");
        }
    }

    #[test]
    fn a_folder_of_that_name_inside_another_is_fine() {
        for place in PLACES {
            assert_eq!(check("README.md", &format!("See docs{place}notes.md.")), [], "{place}");
        }
    }
}
