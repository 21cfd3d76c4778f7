//! Defaults, file, environment and flags laid over one another, and where each key came from.
//!
//! A variable is `OPENKCM_`, the component, and the way to the key, with two underscores between the steps:
//! `OPENKCM_REGISTRY__LISTEN__ADDRESS`. Its value, and that of `--set`, is TOML where it looks like it, and otherwise a
//! text; a list may be told by its items with commas between them.

use std::path::{Path, PathBuf};

use openkcm_contracts::Role;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::ConfigError;

/// Keys whose values are lists of texts.
const LISTS: [&str; 3] = ["regions", "admins", "servers"];

/// What a configuration is gathered from. It can be gathered again, when the file has changed.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The file.
    pub(crate) path: PathBuf,
    /// The environment of the process.
    pub(crate) environment: Vec<(String, String)>,
    /// What flags say: the flag, the key, the value.
    pub(crate) flags: Vec<Flag>,
}

/// A key that a flag sets.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    /// As it was typed.
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) value: FlagValue,
}

/// What a flag sets a key to.
#[derive(Debug, Clone)]
pub(crate) enum FlagValue {
    /// A text, whatever it looks like.
    Text(String),
    /// Whatever it looks like.
    Any(String),
}

/// All that was said, and by whom.
pub(super) struct Layers {
    pub(super) path: PathBuf,
    pub(super) table: Table,
    text: String,
    /// The keys that are not the file's, and the variable or flag that said them.
    pub(super) overridden: Vec<(String, String)>,
}

impl Sources {
    /// A file, the environment of this process, and flags.
    ///
    /// # Errors
    /// When a variable for a component is no Unicode.
    pub(crate) fn of_process(path: &Path, flags: Vec<Flag>) -> Result<Self, ConfigError> {
        let ours = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OPENKCM_"));
        let environment = ours.map(|(name, value)| {
            let place = name.to_string_lossy().into_owned();
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => Ok((name, value)),
                _ => Err(ConfigError::Override { place, fault: "text in Unicode is expected".to_owned() }),
            }
        });
        Ok(Self { path: path.to_owned(), environment: environment.collect::<Result<_, _>>()?, flags })
    }

    /// Lays everything over one another.
    ///
    /// # Errors
    /// When the file can't be read or is no TOML, or a variable or a flag names no key.
    pub(super) fn gather(&self, role: Role, defaults: Table) -> Result<Layers, ConfigError> {
        let path = self.path.clone();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::File { path: path.clone(), source })?;
        let file: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            place: place(&path, &text, error.span().map(|span| span.start)),
            fault: error.message().to_owned(),
        })?;
        let mut layers = Layers { path, table: defaults, text, overridden: Vec::new() };
        merge(&mut layers.table, file);
        let prefix = format!("OPENKCM_{}__", role.to_string().to_uppercase());
        let mut variables: Vec<_> =
            self.environment.iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        variables.sort();
        for (name, text) in variables {
            let key = name[prefix.len()..].to_lowercase().replace("__", ".");
            let value = value_of(&key, text).map_err(|fault| layers.override_fault(name, &key, fault))?;
            layers.set(name, &key, value)?;
        }
        for Flag { name, key, value } in &self.flags {
            let value = match value {
                FlagValue::Text(text) => Value::String(text.clone()),
                FlagValue::Any(text) => {
                    value_of(key, text).map_err(|fault| layers.override_fault(name, key, fault))?
                }
            };
            layers.set(name, key, value)?;
        }
        Ok(layers)
    }
}

impl Layers {
    /// The error of a key, at the place where it was said.
    pub(super) fn fault(&self, key: &str, fault: String) -> ConfigError {
        ConfigError::Key { place: self.place_of(key), key: key.to_owned(), fault }
    }

    /// The variable or flag that said a key or a part of it, or else the file and the line.
    fn place_of(&self, key: &str) -> String {
        // Serde tells an item of a list as `regions[0]`.
        let key = key.split('[').next().unwrap_or(key);
        let concerns = |said: &str| said == key || is_below(said, key) || is_below(key, said);
        match self.overridden.iter().rev().find(|(said, _)| concerns(said)) {
            Some((_, origin)) => origin.clone(),
            None => place(&self.path, &self.text, offset_of(&self.text, key)),
        }
    }

    fn override_fault(&self, name: &str, key: &str, fault: String) -> ConfigError {
        ConfigError::Key { place: name.to_owned(), key: key.to_owned(), fault }
    }

    fn set(&mut self, origin: &str, key: &str, value: Value) -> Result<(), ConfigError> {
        let steps: Vec<&str> = key.split('.').collect();
        if steps.iter().any(|step| step.is_empty()) {
            let fault = "this names no key; the way to one is expected, such as listen.address".to_owned();
            return Err(ConfigError::Override { place: origin.to_owned(), fault });
        }
        let (last, way) = steps.split_last().expect("splitting gives at least one part");
        let mut table = &mut self.table;
        for step in way {
            let next = table.entry((*step).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(next) = next else {
                let fault = format!("{step} is no section, so nothing can be below it");
                return Err(ConfigError::Key { place: origin.to_owned(), key: key.to_owned(), fault });
            };
            table = next;
        }
        table.insert((*last).to_owned(), value);
        self.overridden.retain(|(said, _)| said != key);
        self.overridden.push((key.to_owned(), origin.to_owned()));
        Ok(())
    }
}

/// Whether a key is inside of a section.
fn is_below(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// Puts `upper` over `lower`, section by section.
fn merge(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(lower)), Value::Table(upper)) => merge(lower, upper),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

/// What a text from outside of the file stands for.
fn value_of(key: &str, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    let last = key.rsplit('.').next().unwrap_or(key);
    let is_toml = trimmed.starts_with(['[', '{', '"', '\'']);
    if LISTS.contains(&last) && !is_toml {
        let items = trimmed.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()));
    }
    if is_toml {
        let table: Table = format!("value = {trimmed}").parse().map_err(|error: toml::de::Error| {
            format!("this looks like TOML and is none: {}", error.message())
        })?;
        // More than one value would be a second line.
        return match (table.len(), table.into_iter().next()) {
            (1, Some((_, value))) => Ok(value),
            _ => Err("one value is expected".to_owned()),
        };
    }
    Ok(match trimmed {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        number => number.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer),
    })
}

/// A file, and the line of an offset in it.
fn place(path: &Path, text: &str, offset: Option<usize>) -> String {
    match offset.and_then(|offset| text.get(..offset)) {
        Some(before) => format!("{}, line {}", path.display(), before.matches('\n').count() + 1),
        None => path.display().to_string(),
    }
}

/// Where a key stands in a file; where it does not, its section.
fn offset_of(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut table = table.get_ref();
    let mut found = None;
    for step in key.split('.') {
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == step) else { break };
        found = Some(key.span().start);
        let DeValue::Table(next) = value.get_ref() else { break };
        table = next;
    }
    found
}
