//! Who may depend on whom.
//!
//! `contracts` stands on nothing of ours; the three actors know only the rooms below them, never one another; and the
//! cryptography that was decided against stays out of the product. Tests are held to it too, except that a banned
//! crate may be a development dependency's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::finding::Finding;
use crate::process;

const MANIFEST: &str = "Cargo.toml";

/// What crosses Orbital: it depends on no crate of ours.
const CONTRACTS: &str = "openkcm-contracts";

/// The three that must work while the others are gone.
const ACTORS: &[&str] = &["openkcm-registry", "openkcm-cmk", "openkcm-krypton"];

/// What actors are built from: it knows no actor.
const ROOMS: &[&str] = &[
    "openkcm-host",
    "openkcm-secrets",
    "openkcm-store",
    "openkcm-orbital",
    "openkcm-roots",
    "openkcm-http",
    "openkcm-digests",
    "openkcm-component",
];

/// One library of primitives, aws-lc-rs, and no TLS beside it.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let metadata =
        MetadataCommand::new().current_dir(root).no_deps().exec().context("can't read the manifests")?;
    let mut picture = Picture::default();
    picture.add_declared(&metadata.packages);
    picture.add_built(&tree_of(root)?)?;
    Ok(picture.judge())
}

/// What is built, for every platform and with every feature, as lines of depth, name and version.
///
/// Not from `cargo metadata`, whose graph also has what only an inactive optional dependency would bring.
fn tree_of(root: &Path) -> anyhow::Result<String> {
    let arguments =
        "tree --locked --workspace --all-features --target all --edges normal --prefix depth --format";
    let mut tree = process::cargo(root);
    process::answer(tree.args(arguments.split(' ')).arg(" {p}")).context(
        "`cargo tree --locked` can't resolve the dependencies; if Cargo.lock is out of date, `cargo build` updates it",
    )
}

/// The dependency graph by names. Several versions of a crate are one here, which is right for these questions.
#[derive(Default)]
struct Picture {
    ours: BTreeSet<String>,
    /// What a crate is built from when it is someone's dependency.
    normal: BTreeMap<String, BTreeSet<String>>,
    /// What its build script and its tests need.
    own: BTreeMap<String, BTreeSet<String>>,
}

impl Picture {
    /// What our manifests say, optional dependencies included.
    fn add_declared(&mut self, packages: &[cargo_metadata::Package]) {
        for package in packages {
            let name = package.name.to_string();
            self.ours.insert(name.clone());
            for dependency in &package.dependencies {
                let normal = dependency.kind == DependencyKind::Normal;
                let edges = if normal { &mut self.normal } else { &mut self.own };
                edges.entry(name.clone()).or_default().insert(dependency.name.clone());
            }
        }
    }

    /// What cargo's tree shows, below our own crates too.
    fn add_built(&mut self, tree: &str) -> anyhow::Result<()> {
        let mut way: Vec<&str> = Vec::new();
        for line in tree.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let depth = words.next().and_then(|depth| depth.parse::<usize>().ok());
            let (Some(depth), Some(name)) = (depth.filter(|depth| *depth <= way.len()), words.next()) else {
                anyhow::bail!("`cargo tree` printed a line that tidy does not understand: {line}");
            };
            way.truncate(depth);
            if let Some(parent) = way.last() {
                self.normal.entry((*parent).to_owned()).or_default().insert(name.to_owned());
            }
            way.push(name);
        }
        Ok(())
    }

    fn judge(&self) -> Vec<Finding> {
        let mut wrong = Vec::new();
        for name in ACTORS.iter().chain(ROOMS).chain(&[CONTRACTS]).filter(|name| !self.ours.contains(**name))
        {
            wrong.push(format!("there is no crate {name}: tell tidy's crate picture what became of it"));
        }
        for ours in self.ours.iter().filter(|ours| *ours != CONTRACTS) {
            if let Some(path) = self.path(CONTRACTS, ours) {
                wrong.push(format!("{CONTRACTS} must depend on no crate of ours: {path}"));
            }
        }
        for actor in ACTORS {
            for other in ACTORS.iter().filter(|other| *other != actor) {
                if let Some(path) = self.path(actor, other) {
                    wrong.push(format!("actors meet over Orbital and never in code: {path}"));
                }
            }
            for room in ROOMS {
                if let Some(path) = self.path(room, actor) {
                    wrong.push(format!("{room} is below the actors and must know none: {path}"));
                }
            }
        }
        for banned in BANNED {
            if let Some(path) = self.ours.iter().find_map(|ours| self.normal_path(ours, banned)) {
                wrong.push(format!("{banned} must stay out of the product: {path}"));
            }
        }
        wrong.into_iter().map(|message| Finding::error(MANIFEST, 0, message)).collect()
    }

    /// How `from`, its build script or its tests come to depend on `to`.
    fn path(&self, from: &str, to: &str) -> Option<String> {
        let own = self.own.get(from).into_iter().flatten();
        let through_own = own.filter_map(|next| Some(format!("{from} → {}", self.normal_path(next, to)?)));
        self.normal_path(from, to).into_iter().chain(through_own).next()
    }

    /// How `from` comes to be built from `to`, by a shortest way; `None` if it does not.
    fn normal_path(&self, from: &str, to: &str) -> Option<String> {
        let mut ways = vec![vec![from]];
        let mut seen = BTreeSet::from([from]);
        while !ways.is_empty() {
            if let Some(way) = ways.iter().find(|way| way.last() == Some(&to)) {
                return Some(way.join(" → "));
            }
            let mut longer = Vec::new();
            for way in &ways {
                let last = way[way.len() - 1];
                for next in self.normal.get(last).into_iter().flatten().filter(|next| seen.insert(next)) {
                    longer.push([way.as_slice(), &[next]].concat());
                }
            }
            ways = longer;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture as it should be, with some edges more.
    fn judged(normal: &[(&str, &str)], own: &[(&str, &str)]) -> Vec<String> {
        let ours = ACTORS.iter().chain(ROOMS).chain(&[CONTRACTS, "openkcm"]).map(|name| (*name).to_owned());
        let mut picture = Picture { ours: ours.collect(), ..Picture::default() };
        let right = ACTORS.iter().flat_map(|actor| [(*actor, "openkcm-orbital"), ("openkcm", *actor)]);
        for (from, to) in right.chain(normal.iter().copied()).chain([("openkcm-orbital", CONTRACTS)]) {
            picture.normal.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
        for (from, to) in own {
            picture.own.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        picture.judge().into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_picture_as_drawn_is_fine() {
        assert_eq!(judged(&[], &[]), [""; 0]);
    }

    #[test]
    fn an_actor_that_knows_another_is_found_also_through_a_third_or_in_tests() {
        let direct = judged(&[("openkcm-krypton", "openkcm-cmk")], &[]);
        assert_eq!(direct, ["actors meet over Orbital and never in code: openkcm-krypton → openkcm-cmk"]);
        let through = judged(&[("openkcm-krypton", "middle"), ("middle", "openkcm-cmk")], &[]);
        assert!(through[0].ends_with("openkcm-krypton → middle → openkcm-cmk"), "{through:?}");
        assert_eq!(judged(&[], &[("openkcm-krypton", "openkcm-cmk")]).len(), 1);
    }

    #[test]
    fn contracts_and_the_rooms_below_must_not_look_up() {
        assert_eq!(judged(&[(CONTRACTS, "openkcm-host")], &[]).len(), 1);
        assert_eq!(judged(&[("openkcm-store", "openkcm-registry")], &[]).len(), 1);
    }

    #[test]
    fn a_banned_crate_is_found_in_the_product_and_may_be_in_a_test() {
        let found = judged(&[("openkcm-http", "rustls"), ("rustls", "ring")], &[]);
        assert_eq!(found, ["ring must stay out of the product: openkcm-http → rustls → ring"]);
        assert_eq!(judged(&[], &[("openkcm-http", "ring")]), [""; 0]);
    }

    #[test]
    fn the_tree_that_cargo_prints_is_understood() {
        let mut picture = Picture::default();
        picture.ours.insert("openkcm-http".to_owned());
        picture.add_built("0 openkcm-http v0.1.0\n1 hyper v1.12.0\n1 rustls v0.23.0\n2 ring v0.17.8\n\n0 xtask v0.1.0\n").unwrap();
        let way = picture.normal_path("openkcm-http", "ring");
        assert_eq!(way.as_deref(), Some("openkcm-http → rustls → ring"));
        assert_eq!(picture.normal_path("xtask", "ring"), None);
        assert!(picture.add_built("warning: what is this?").is_err());
    }

    #[test]
    fn a_crate_that_was_renamed_does_not_slip_out_of_the_picture() {
        let mut picture = Picture::default();
        picture.ours.extend(ACTORS.iter().chain(ROOMS).map(|name| (*name).to_owned()));
        let findings = picture.judge();
        assert!(findings[0].message.contains(CONTRACTS), "{findings:?}");
    }
}
