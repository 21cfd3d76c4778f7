//! `landscape.json`: where the components are, and what opens them.
//!
//! Written by `openkcm dev` and `openkcm init`, read by every client command. Paths in it are relative to
//! the folder that it is in, so that the folder can be moved. The file itself holds no secret: it names
//! the file that does.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use openkcm_contracts::RegionId;
use reqwest::Url;
use rustls_pki_types::pem;
use serde::{Deserialize, Serialize};

/// Where the components are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landscape {
    /// The Registry.
    #[serde(with = "as_text")]
    pub registry: Url,
    /// The CMK Server.
    #[serde(with = "as_text")]
    pub cmk: Url,
    /// The Cores, in the order of the file: the first is asked first.
    #[serde(with = "in_order")]
    pub regions: Vec<Region>,
    /// The file that holds the administrator's token, or with https the administrator's certificate and
    /// its key, both in PEM.
    pub credential: PathBuf,
    /// The file with the certificates of the CA that the components' own are by, in PEM: those alone are
    /// trusted. None without TLS.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// A region and its Core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The region's name.
    pub name: RegionId,
    /// Its Core.
    pub url: Url,
}

/// Why there is no landscape to work with. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LandscapeError {
    /// There is no such file.
    #[error(
        "no landscape at {}: start one with `openkcm dev`, make one with `openkcm init`, or name one with --landscape",
        path.display()
    )]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The file is there and can't be read.
    #[error("can't read the landscape at {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file can't be written.
    #[error("can't write the landscape to {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is no landscape: correct it, or let `openkcm dev` or `openkcm init` write it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The credential can't be read.
    #[error("can't read the credential at {}, which the landscape names", path.display())]
    CredentialUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The credential is no token.
    #[error("the credential at {} is not a bearer token on one line, which http addresses need", path.display())]
    CredentialMalformed {
        /// The file.
        path: PathBuf,
    },
    /// The credential is no certificate with its key.
    #[error(
        "the credential at {} does not hold a certificate and its key in PEM, which https addresses need: name the administrator's, such as the admin.pem that `openkcm init` makes",
        path.display()
    )]
    CredentialNotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The key in the credential is not that of its certificate, or of a kind that can't be used.
    #[error("the credential at {} can't be used: its key has to be the one that its certificate was made for", path.display())]
    CredentialUnusable {
        /// The file.
        path: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// The address would need TLS.
    #[error(
        "refusing to send the credential to {url} without TLS: beyond loopback an https address is required, with `ca` and a certificate as `credential`, as `openkcm init` writes them"
    )]
    NeedsTls {
        /// The address.
        url: Url,
    },
    /// Some addresses are https and some are not: one credential can't serve both.
    #[error("{url} is not https and other addresses of the landscape are: make all of them https, or none")]
    MixedSchemes {
        /// An address without TLS.
        url: Url,
    },
    /// There is TLS, and nobody is trusted.
    #[error(
        "{url} is https and the landscape names no `ca`: name the file with the certificate of the components' CA"
    )]
    NoCa {
        /// An address with TLS.
        url: Url,
    },
    /// The file of the CA can't be read.
    #[error("can't read the CA at {}, which the landscape names as `ca`", path.display())]
    CaUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file of the CA holds something else.
    #[error("{}, which the landscape names as `ca`, does not hold certificates in PEM: is it the right file?", path.display())]
    CaNotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A certificate in the file of the CA is none that can be trusted.
    #[error("{}, which the landscape names as `ca`, holds a certificate that is none of a CA: is it the right file?", path.display())]
    CaUnusable {
        /// The file.
        path: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// The HTTP client can't be set up.
    #[error("can't set up the HTTP client")]
    Setup {
        /// What the HTTP library says.
        source: reqwest::Error,
    },
}

impl Landscape {
    /// Reads a landscape. Its paths come out relative to where this process is, not to the file.
    ///
    /// # Errors
    /// When the file is missing, unreadable, or no landscape.
    pub fn load(path: &Path) -> Result<Self, LandscapeError> {
        let text = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => LandscapeError::Missing { path: path.to_owned() },
            _ => LandscapeError::Unreadable { path: path.to_owned(), source },
        })?;
        let mut landscape: Self = serde_json::from_slice(&text)
            .map_err(|source| LandscapeError::Malformed { path: path.to_owned(), source })?;
        let folder = folder_of(path);
        landscape.credential = folder.join(&landscape.credential);
        landscape.ca = landscape.ca.map(|ca| folder.join(ca));
        Ok(landscape)
    }

    /// Writes a landscape, as a whole or not at all. Paths below the file's folder are written relative
    /// to it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, path: &Path) -> Result<(), LandscapeError> {
        let folder = folder_of(path);
        let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).to_owned();
        let mut written = self.clone();
        written.credential = relative(&self.credential);
        written.ca = self.ca.as_ref().map(relative);
        write_whole(path, &written)
            .map_err(|source| LandscapeError::Unwritable { path: path.to_owned(), source })
    }

    /// The region of this name.
    pub fn region(&self, name: &RegionId) -> Option<&Region> {
        self.regions.iter().find(|region| region.name == *name)
    }

    /// Every address, each once.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &Url> {
        [&self.registry, &self.cmk].into_iter().chain(self.regions.iter().map(|region| &region.url))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Beside it first, then over it: a reader sees the old file or the new one.
fn write_whole(path: &Path, landscape: &Landscape) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(landscape)?;
    text.push(b'\n');
    let beside = path.with_extension("json.new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// An address as text, without the slash that stands for an empty path: whoever reads the file appends
/// paths to it.
mod as_text {
    use reqwest::Url;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn text(url: &Url) -> &str {
        url.as_str().trim_end_matches('/')
    }

    pub(super) fn url<E: Error>(text: &str) -> Result<Url, E> {
        let url =
            Url::parse(text).map_err(|_| E::custom("a URL such as http://127.0.0.1:7010 is expected"))?;
        let plain = url.username().is_empty() && url.password().is_none();
        match plain && url.has_host() && url.query().is_none() && url.fragment().is_none() {
            true => Ok(url),
            false => Err(E::custom("a URL of a host, with no user, query or fragment is expected")),
        }
    }

    pub(super) fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text(url))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        url(&String::deserialize(deserializer)?)
    }
}

/// A map that keeps its order, which says whom to ask first.
mod in_order {
    use std::fmt;

    use openkcm_contracts::RegionId;
    use serde::de::{Error, MapAccess, Visitor};
    use serde::{Deserializer, Serializer};

    use super::{Region, as_text};

    pub(super) fn serialize<S: Serializer>(regions: &[Region], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(regions.iter().map(|region| (&region.name, as_text::text(&region.url))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Region>, D::Error> {
        struct Ordered;

        impl<'de> Visitor<'de> for Ordered {
            type Value = Vec<Region>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of region names to URLs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Region>, A::Error> {
                let mut regions: Vec<Region> = Vec::new();
                while let Some((name, url)) = map.next_entry::<RegionId, String>()? {
                    if regions.iter().any(|region| region.name == name) {
                        return Err(A::Error::custom(format_args!("region {name} is named twice")));
                    }
                    regions.push(Region { name, url: as_text::url(&url)? });
                }
                Ok(regions)
            }
        }

        deserializer.deserialize_map(Ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "registry": "http://127.0.0.1:7010",
  "cmk": "http://127.0.0.1:7020",
  "regions": {
    "b": "http://127.0.0.1:7032",
    "a": "http://127.0.0.1:7031"
  },
  "credential": "admin.token",
  "ca": null
}
"#;

    fn folder_with(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("landscape.json");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_landscape_is_written_as_it_was_read_with_its_regions_in_order() {
        let (folder, path) = folder_with(TEXT);
        let landscape = Landscape::load(&path).unwrap();
        let names: Vec<_> = landscape.regions.iter().map(|region| region.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(landscape.credential, folder.path().join("admin.token"));
        landscape.save(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
        assert_eq!(Landscape::load(&path).unwrap(), landscape);
    }

    #[test]
    fn a_landscape_that_is_not_there_says_how_to_get_one() {
        let (folder, _) = folder_with(TEXT);
        let error = Landscape::load(&folder.path().join("none.json")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(
                "none.json: start one with `openkcm dev`, make one with `openkcm init`, or name one"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_landscape_says_what_is_wrong_and_where() {
        for (from, to, said) in [
            ("http://127.0.0.1:7010", "127.0.0.1:7010", "URL"),
            ("http://127.0.0.1:7010", "http://me:secret@127.0.0.1:7010", "no user"),
            ("\"a\"", "\"A\"", "region: character 'A'"),
            ("\"a\"", "\"b\"", "named twice"),
            ("\"cmk\"", "\"cmc\"", "missing field `cmk`"),
        ] {
            let (_folder, path) = folder_with(&TEXT.replace(from, to));
            let error = Landscape::load(&path).unwrap_err();
            assert!(matches!(error, LandscapeError::Malformed { .. }), "{to}");
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(said) && !source.contains("secret"), "{source}");
        }
    }
}
