//! Every relative link in a Markdown file leads to a file of this repository.
//!
//! Not for links to other sites, nor for anchors: tidy works without a network and does not render Markdown. Code is
//! skipped.

use super::finding::Finding;

pub(super) fn check(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        if fence.is_some() {
            if mark == fence {
                fence = None;
            }
            continue;
        }
        if mark.is_some() {
            fence = mark;
            continue;
        }
        for target in targets(line) {
            findings.extend(judge(path, index + 1, &target, &exists));
        }
    }
    findings
}

fn judge(path: &str, line: usize, target: &str, exists: impl Fn(&str) -> bool) -> Option<Finding> {
    let file = target.split(['#', '?']).next().unwrap_or_default();
    if file.is_empty() || has_scheme(target) {
        return None;
    }
    if file.starts_with('/') {
        let message = format!("the link {target} is absolute: write it relative to this file");
        return Some(Finding::error(path, line, message));
    }
    match resolve(path, file) {
        Some(resolved) if exists(&resolved) => None,
        Some(resolved) => Some(Finding::error(
            path,
            line,
            format!("the link {target} leads to {resolved}, which does not exist"),
        )),
        None => Some(Finding::error(path, line, format!("the link {target} leads out of the repository"))),
    }
}

/// The targets of inline links and images, and of a link's definition.
fn targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let inline = line.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default());
    let definition = line
        .trim_start()
        .strip_prefix('[')
        .filter(|rest| !rest.starts_with('^'))
        .and_then(|rest| rest.split_once("]: "))
        .filter(|(label, _)| !label.contains(']'))
        .map(|(_, target)| target);
    let bare = |target: &str| {
        let target = target.trim();
        match target.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            Some((inside, _)) => inside.to_owned(),
            None => target.split_whitespace().next().unwrap_or_default().to_owned(),
        }
    };
    inline.chain(definition).map(bare).collect()
}

/// The line with the text between backticks taken out.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

fn has_scheme(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    })
}

/// `target` as seen from the file at `path`; `None` above the repository's root.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(text: &str) -> Vec<usize> {
        let exists = |target: &str| ["docs/errors.md", "docs/adr", "README.md", ""].contains(&target);
        check("docs/guide.md", text, exists).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_link_to_nothing_is_found_in_each_form() {
        assert_eq!(lines("# Guide\n\nSee [a](errors.md) and [b](error.md#seal).\n"), [3]);
        assert_eq!(lines("![picture](images/a.svg \"A picture\")"), [1]);
        assert_eq!(lines("[book]: <the book.md>"), [1]);
        assert_eq!(lines("[up](../../outside.md)"), [1]);
        assert_eq!(lines("[absolute](/docs/errors.md)"), [1]);
    }

    #[test]
    fn a_link_to_a_file_or_folder_or_elsewhere_is_fine() {
        assert_eq!(lines("[a](errors.md#seal) [b](./adr/) [c](../README.md) [d](#here) [e](..)"), NONE);
        assert_eq!(lines("[a](https://openkcm.org/x) <https://openkcm.org> [b](mailto:a@b.c)"), NONE);
        assert_eq!(lines("[book]: errors.md \"The book\"\n[^1]: a note"), NONE);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(
            lines(
                "`[a](nothing.md)`\n\n```text\n[a](nothing.md)\n~~~\n[b](nothing.md)\n```\n[c](nothing.md)"
            ),
            [8]
        );
    }
}
