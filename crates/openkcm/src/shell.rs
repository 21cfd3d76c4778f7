//! Lines that a person can type: this program and paths, as words of a shell.

use std::path::{Path, PathBuf};

/// This program, as a shell line can call it.
pub(crate) fn program() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("openkcm"));
    let here = std::env::current_dir().unwrap_or_default();
    match program.strip_prefix(&here) {
        // A name without a slash would be looked for on the PATH.
        Ok(name) => word(&Path::new(".").join(name)),
        Err(_) => word(&program),
    }
}

/// A path as one word of a shell line.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+,:@%".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_for_the_shell_where_it_has_to_be() {
        for (path, quoted) in [
            ("./target/release/openkcm", "./target/release/openkcm"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~x", "'~x'"),
        ] {
            assert_eq!(word(Path::new(path)), quoted);
        }
    }
}
