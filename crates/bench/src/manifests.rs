//! Ten million definitions: how large a manifest is and how long it takes to make, and what it costs to find ten
//! differences between a Core and the Registry and to heal them.
//!
//! In one process and without a broker: the two stores are SQLite's, the digests, the rules, the signatures and the
//! bytes are the product's; what carries them is left out. Each store is filled with records and their sums straight
//! away, since how they come there is not measured.

mod fill;
mod post;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use openkcm_component::drift;
use openkcm_contracts::Lane;
use openkcm_contracts::v1::Kept;
use openkcm_host::{OsEntropy, SystemClock};
use openkcm_krypton::rules::Moment;
use openkcm_krypton::store as core_store;
use openkcm_orbital::Intake;
use openkcm_registry::inbox;
use openkcm_store::{Store, StoreError};

use crate::landscape::elapsed;
use crate::statistics::Sample;
use fill::{Landscape, region};
use post::{Counted, Post};

/// How often a manifest is made.
const MADE: usize = 1_000;

/// Rounds after which the two sides must agree.
const ROUNDS: usize = 50;

/// What the two sides may cost each other.
const MOST_MESSAGES: usize = 4;
const MOST_BYTES: usize = 256 * 1024;
const MOST_MANIFEST_BYTES: usize = 16 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many services are defined: a thousand in each tenant, fifty in each system
    #[arg(long, default_value_t = 10_000_000)]
    definitions: usize,
    /// Where the stores lie while they are measured [default: the system's directory for temporary files]
    #[arg(long)]
    directory: Option<PathBuf>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let directory = match &arguments.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let sides = Sides::open(directory.path())?;
    let landscape = Landscape::of(arguments.definitions);
    let begun = elapsed();
    landscape.fill_registry(&sides.registry).await?;
    landscape.fill_core(&sides.core).await?;
    println!(
        "{} definitions in both stores after {:.0} s",
        arguments.definitions,
        since(begun).as_secs_f64()
    );
    sides.in_sync().await?;
    landscape.injure(&sides.core).await?;
    sides.heal().await
}

/// The two stores.
struct Sides {
    registry: Store,
    core: Store,
    registrys: Post,
    cores: Post,
}

impl Sides {
    fn open(directory: &Path) -> anyhow::Result<Self> {
        let open =
            |name: &str, spaces| openkcm_component::open_store(&directory.join(name), name, None, spaces);
        let (registrys, cores) = Post::pair()?;
        Ok(Self {
            registry: open("registry", openkcm_registry::store::SPACES)?,
            core: open("krypton", core_store::SPACES)?,
            registrys,
            cores,
        })
    }

    /// A manifest of a region that holds what it is to hold.
    async fn in_sync(&self) -> anyhow::Result<()> {
        let mut took = Vec::with_capacity(MADE);
        for _ in 0..MADE {
            let made = self.core.read(|view| {
                let begun = elapsed();
                let definitions = core_store::buckets(view, Kept::Definitions)?.to_text();
                let links = core_store::buckets(view, Kept::Links)?.to_text();
                Ok::<_, StoreError>((since(begun), definitions.len() + links.len()))
            });
            took.push(made.await?.0);
        }
        let sample = Sample::new(took);
        println!("{}", sample.line("a manifest is made"));
        self.tell().await?;
        let (intake, counted) = self.cores.carry(&self.core, Lane::Manifests).await?;
        println!("a manifest in sync: {} bytes, signed", counted.bytes);
        ensure!(counted.bytes <= MOST_MANIFEST_BYTES, "a manifest has more than {MOST_MANIFEST_BYTES} bytes");
        self.registry_takes(intake).await?;
        let (_, asked) = self.registrys.carry(&self.registry, Lane::Manifests).await?;
        ensure!(asked.messages == 0, "both sides hold the same, and the Registry asks");
        Ok(())
    }

    /// From the manifest that differs to the one that does not.
    async fn heal(&self) -> anyhow::Result<()> {
        let (mut up, mut down) = (Counted::default(), Counted::default());
        let begun = elapsed();
        self.tell().await?;
        for _ in 0..ROUNDS {
            let (intake, said) = self.cores.carry(&self.core, Lane::Manifests).await?;
            up.add(said);
            self.registry_takes(intake).await?;
            let (facts, told) = self.registrys.carry(&self.registry, Lane::Facts).await?;
            // Words that are told together travel as one batch.
            down.add(Counted { messages: told.messages.min(1), ..told });
            self.core.write(move |tx| core_store::absorb(tx, &facts, fill::now()).map(drop)).await?;
            let (queries, asked) = self.registrys.carry(&self.registry, Lane::Manifests).await?;
            down.add(asked);
            if asked.messages == 0 {
                break;
            }
            self.core_answers(&queries).await?;
        }
        println!("found and healed within {:.0} ms", since(begun).as_secs_f64() * 1e3);
        println!("to the Registry: {} messages, {} bytes", up.messages, up.bytes);
        println!("to the Core:     {} messages, {} bytes", down.messages, down.bytes);
        self.tell().await?;
        let (intake, _) = self.cores.carry(&self.core, Lane::Manifests).await?;
        self.registry_takes(intake).await?;
        let region = region()?;
        let counts = self.registry.read(move |view| drift::counts(view, &region)).await?;
        println!("drift records: {} healed, {} open", counts.healed, counts.open);
        ensure!(
            counts == drift::Counts { open: 0, healed: fill::INJURIES as u64, stale: 0 },
            "not all were healed"
        );
        ensure!(up.messages <= MOST_MESSAGES && down.messages <= MOST_MESSAGES, "that were more messages");
        ensure!(up.bytes + down.bytes <= MOST_BYTES, "that were more bytes than {MOST_BYTES}");
        Ok(())
    }

    async fn tell(&self) -> anyhow::Result<()> {
        let region = region()?;
        let tell = move |tx: &mut dyn openkcm_store::Write| {
            core_store::manifest::tell(tx, &region, "nonce".into(), None, &Moment::of(&SystemClock))
        };
        Ok(self.core.write(tell).await?)
    }

    async fn registry_takes(&self, intake: Intake) -> anyhow::Result<()> {
        let narrowed = self.registry.read(move |view| {
            let narrowings = inbox::narrow(view, &intake)?;
            Ok::<_, StoreError>((intake, narrowings))
        });
        let (intake, narrowings) = narrowed.await?;
        let take = move |tx: &mut dyn openkcm_store::Write| {
            inbox::take(tx, &intake, narrowings, (fill::now(), &OsEntropy::new()))
        };
        Ok(self.registry.write(take).await?)
    }

    async fn core_answers(&self, queries: &Intake) -> anyhow::Result<()> {
        let region = region()?;
        for query in core_store::asked(&queries.events, &region) {
            let (query, nodes) = (query.clone(), query.nodes.clone());
            let listed =
                self.core.read(move |view| core_store::look(view, Kept::Definitions, &nodes)).await?;
            let answer = move |tx: &mut dyn openkcm_store::Write| {
                core_store::manifest::answer(tx, &query, listed, "nonce".into(), fill::now())
            };
            self.core.write(answer).await?;
        }
        Ok(())
    }
}

fn since(begun: Duration) -> Duration {
    elapsed().saturating_sub(begun)
}
