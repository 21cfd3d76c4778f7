//! Why a configuration can't be used. Each names the place, the key and what was expected.

use std::path::PathBuf;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("the configuration {} can't be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{place}: this is no TOML: {fault}")]
    Syntax {
        /// The file and the line.
        place: String,
        /// What was found.
        fault: String,
    },
    /// A key is unknown, missing, or has a value that can't be used.
    #[error("{place}: {key}: {fault}")]
    Key {
        /// The file and the line, the variable, or the flag.
        place: String,
        /// The way to the key, with dots.
        key: String,
        /// What is wrong, and what was expected.
        fault: String,
    },
    /// An override does not name a key.
    #[error("{place}: {fault}")]
    Override {
        /// The variable or the flag.
        place: String,
        /// What was expected.
        fault: String,
    },
}
