//! What the mesh consists of on a NATS broker, as data: streams, readers, and what each user may do.
//!
//! `openkcm init` writes the broker's configuration from it, the operator's connection makes streams and
//! readers from it, and a test tries what it forbids. Why the users are apart from the streams, in an account
//! of their own, and why none of them may make a reader: `docs/adr/0012-jetstream.md`.
//!
//! What always holds: a component publishes on its own subjects alone, and reads through readers that were
//! made for it: a component that could make readers, or choose where a broker's answer lands on the streams,
//! could bury another's word.

use openkcm_contracts::{Audience, Lane, RegionId, Role};

use crate::{Address, Reading, Stream};

/// The account that owns the streams; only the operator is in it.
pub const MESH_ACCOUNT: &str = "ORBITAL";

/// The account of all components.
pub const COMPONENTS_ACCOUNT: &str = "COMPONENTS";

/// The operator's user: makes streams and readers.
pub const OPERATOR: &str = "operator";

/// The last token of the subject that remembers a stream's runs.
pub(super) const RUN: &str = "run";

/// What components take from the account of the streams.
pub const IMPORTS: &[Import] = &[
    Import { subject: "orbital.>", many_answers: false },
    Import { subject: "$JS.API.CONSUMER.MSG.NEXT.>", many_answers: true },
    Import { subject: "$JS.API.CONSUMER.RESET.>", many_answers: false },
    Import { subject: "$JS.API.CONSUMER.INFO.>", many_answers: false },
    Import { subject: "$JS.API.DIRECT.GET.>", many_answers: false },
    Import { subject: "$JS.API.STREAM.INFO.>", many_answers: false },
];

/// What the operator may ask of the broker: to make streams and readers, and to note that a run begins. Not to
/// publish, read, purge or delete a word.
pub const OPERATOR_MAY: &[&str] = &[
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.INFO.>",
    "$JS.API.CONSUMER.CREATE.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.>",
    "$JS.API.DIRECT.GET.*.orbital.*.*.run",
    "$JS.API.DIRECT.GET.*.orbital.*.region.*.run",
    "orbital.*.*.run",
    "orbital.*.region.*.run",
];

/// A service that one account offers to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// Its subjects.
    pub subject: &'static str,
    /// Whether one request has many answers (`response_type: stream`).
    pub many_answers: bool,
}

/// A landscape's mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    regions: Vec<RegionId>,
}

/// A durable reader of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderPlan {
    /// What it reads.
    pub reading: Reading,
    /// The user whose reader it is.
    pub user: String,
}

/// A user of the components' account, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserGrant {
    /// The component's name: `registry`, `cmk`, `krypton-REGION`.
    pub name: String,
    /// Subjects that it may publish on.
    pub publish: Vec<String>,
    /// Subjects that it may subscribe to.
    pub subscribe: Vec<String>,
}

impl Layout {
    /// The mesh of a landscape with these regions.
    pub fn new(regions: impl IntoIterator<Item = RegionId>) -> Self {
        Self { regions: regions.into_iter().collect() }
    }

    /// Every stream.
    pub fn streams(&self) -> Vec<Stream> {
        let of_region = |region: &RegionId| {
            [Lane::Urgent, Lane::Facts, Lane::Manifests]
                .map(|lane| Stream { lane, audience: Audience::Region(region.clone()) })
        };
        let common = [
            Stream { lane: Lane::Facts, audience: Audience::Cmk },
            Stream { lane: Lane::Sealed, audience: Audience::Cores },
            Stream { lane: Lane::Manifests, audience: Audience::Authorities },
        ];
        common.into_iter().chain(self.regions.iter().flat_map(of_region)).collect()
    }

    /// Every reader.
    pub fn readers(&self) -> Vec<ReaderPlan> {
        let mut readers = Vec::new();
        for speaker in self.speakers() {
            let user = speaker.name();
            readers.extend(
                speaker
                    .reads()
                    .into_iter()
                    .map(|stream| ReaderPlan { reading: Reading::all(stream), user: user.clone() }),
            );
            readers.extend(self.words(&speaker).into_iter().map(|stream| ReaderPlan {
                reading: Reading::words(stream, speaker.role()),
                user: user.clone(),
            }));
        }
        readers
    }

    /// Every user, but for the operator.
    pub fn users(&self) -> Vec<UserGrant> {
        self.speakers().iter().map(|speaker| self.grant(speaker)).collect()
    }

    /// The streams of which an authority reads its own words back before it speaks.
    pub fn words_of(&self, role: Role) -> Vec<Stream> {
        let speaker = self.speakers().into_iter().find(|speaker| speaker.role() == role);
        speaker.map(|speaker| self.words(&speaker)).unwrap_or_default()
    }

    fn speakers(&self) -> Vec<Speaker> {
        let cores = self.regions.iter().cloned().map(Speaker::Core);
        [Speaker::Registry, Speaker::Cmk].into_iter().chain(cores).collect()
    }

    /// The streams that a speaker publishes on, each with the part of its subjects that it may use.
    fn says(&self, speaker: &Speaker) -> Vec<(Stream, &'static [&'static str])> {
        let regions = self.regions.iter().cloned().map(Audience::Region);
        match speaker {
            Speaker::Registry => regions
                .flat_map(|audience| of_lanes(&[Lane::Urgent, Lane::Facts, Lane::Manifests], &audience))
                .chain([Stream { lane: Lane::Facts, audience: Audience::Cmk }])
                .map(|stream| (stream, &[][..]))
                .collect(),
            Speaker::Cmk => regions
                .flat_map(|audience| of_lanes(&[Lane::Urgent, Lane::Facts, Lane::Manifests], &audience))
                .map(|stream| (stream, &[][..]))
                .collect(),
            Speaker::Core(_) => vec![
                (Stream { lane: Lane::Sealed, audience: Audience::Cores }, &["sealed-l2", "sealed-l3"]),
                (Stream { lane: Lane::Manifests, audience: Audience::Authorities }, &["manifest", "listing"]),
            ],
        }
    }

    /// Compacted streams that an authority publishes on.
    fn words(&self, speaker: &Speaker) -> Vec<Stream> {
        match speaker {
            Speaker::Core(_) => Vec::new(),
            authority => {
                let said = self.says(authority).into_iter().map(|(stream, _)| stream);
                said.filter(|stream| stream.lane.compacted()).collect()
            }
        }
    }

    fn grant(&self, speaker: &Speaker) -> UserGrant {
        let name = speaker.name();
        let mut publish = Vec::new();
        for (stream, kinds) in self.says(speaker) {
            let own = format!("{}.{}", subjects_of(&stream), speaker.role());
            match speaker {
                // A Core's subjects name it right after their kind: `sealed-l3.REGION.…`, `listing.REGION.…`,
                // `manifest.REGION`.
                Speaker::Core(region) => publish.extend(kinds.iter().flat_map(|kind| {
                    let named = format!("{own}.{kind}.{region}");
                    if *kind == "manifest" { vec![named] } else { vec![format!("{named}.>")] }
                })),
                _ => publish.push(format!("{own}.>")),
            }
            publish.push(run_subject(&stream));
            publish.extend(direct_gets(&stream, speaker));
        }
        let reads = speaker.reads().into_iter().map(Reading::all);
        let words = self.words(speaker).into_iter().map(|stream| Reading::words(stream, speaker.role()));
        for reading in reads.chain(words) {
            let (stream, reader) = (stream_name(&reading.stream), reader_name(&name, &reading));
            for call in ["MSG.NEXT", "RESET", "INFO"] {
                publish.push(format!("$JS.API.CONSUMER.{call}.{stream}.{reader}"));
            }
            publish.push(format!("$JS.API.DIRECT.GET.{stream}.{}", run_subject(&reading.stream)));
            if reading.words_of.is_none() {
                // Tells no more than whoever may read all of the stream can see.
                publish.push(format!("$JS.API.STREAM.INFO.{stream}"));
            }
        }
        publish.sort();
        publish.dedup();
        let subscribe = vec![format!("{}.>", inbox_prefix(&name))];
        UserGrant { name, publish, subscribe }
    }
}

/// The last word about a thing, which an author compares its own with: of its own subjects alone.
fn direct_gets(stream: &Stream, speaker: &Speaker) -> Vec<String> {
    if !stream.lane.compacted() {
        return vec![format!("$JS.API.DIRECT.GET.{}.{}", stream_name(stream), run_subject(stream))];
    }
    let own = format!("{}.{}", subjects_of(stream), speaker.role());
    let gets = match speaker {
        Speaker::Core(region) => {
            ["sealed-l2", "sealed-l3"].map(|kind| format!("{own}.{kind}.{region}.>")).into()
        }
        _ => vec![format!("{own}.>")],
    };
    let name = stream_name(stream);
    gets.into_iter()
        .chain([run_subject(stream)])
        .map(|subject| format!("$JS.API.DIRECT.GET.{name}.{subject}"))
        .collect()
}

fn of_lanes(lanes: &[Lane], audience: &Audience) -> Vec<Stream> {
    lanes.iter().map(|lane| Stream { lane: *lane, audience: audience.clone() }).collect()
}

/// Who is on the mesh.
enum Speaker {
    Registry,
    Cmk,
    Core(RegionId),
}

impl Speaker {
    fn role(&self) -> Role {
        match self {
            Self::Registry => Role::Registry,
            Self::Cmk => Role::Cmk,
            Self::Core(_) => Role::Krypton,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Core(region) => user_name(Role::Krypton, Some(region)),
            authority => user_name(authority.role(), None),
        }
    }

    fn reads(&self) -> Vec<Stream> {
        let manifests = Stream { lane: Lane::Manifests, audience: Audience::Authorities };
        match self {
            Self::Registry => vec![manifests],
            Self::Cmk => vec![Stream { lane: Lane::Facts, audience: Audience::Cmk }, manifests],
            Self::Core(region) => {
                let own = Audience::Region(region.clone());
                let mut reads = of_lanes(&[Lane::Urgent, Lane::Facts, Lane::Manifests], &own);
                reads.push(Stream { lane: Lane::Sealed, audience: Audience::Cores });
                reads
            }
        }
    }
}

/// The name of a component's user: `registry`, `cmk`, `krypton-REGION`.
pub fn user_name(role: Role, region: Option<&RegionId>) -> String {
    region.map_or_else(|| role.to_string(), |region| format!("{role}-{region}"))
}

/// The name of a stream on the broker: `ORBITAL_1_region_a`. Labels hold no `_`, so no two streams share one.
pub fn stream_name(stream: &Stream) -> String {
    format!("ORBITAL_{}", stream.to_string().replace('.', "_"))
}

/// The name of a user's reader.
pub fn reader_name(user: &str, reading: &Reading) -> String {
    if reading.words_of.is_some() { format!("{user}-words") } else { user.to_owned() }
}

/// What the subjects of a user's answers begin with.
pub fn inbox_prefix(user: &str) -> String {
    format!("_INBOX_{user}")
}

/// What all subjects of a stream begin with.
pub(super) fn subjects_of(stream: &Stream) -> String {
    format!("orbital.{stream}")
}

/// Where a stream remembers its runs.
pub(super) fn run_subject(stream: &Stream) -> String {
    format!("{}.{RUN}", subjects_of(stream))
}

/// The subjects that a reader is given; all of the stream's when it is not narrowed.
pub(super) fn filter_of(reading: &Reading) -> String {
    let all = subjects_of(&reading.stream);
    reading.words_of.map_or_else(|| format!("{all}.>"), |author| format!("{all}.{author}.>"))
}

/// The address of a message by its subject; none for what is no component's word.
pub(super) fn address_of(stream: &Stream, subject: &str) -> Option<Address> {
    let rest = subject.strip_prefix(&subjects_of(stream))?.strip_prefix('.')?;
    let (author, subject) = rest.split_once('.')?;
    let author =
        [Role::Registry, Role::Cmk, Role::Krypton].into_iter().find(|role| role.to_string() == author)?;
    Some(Address { stream: stream.clone(), author, subject: subject.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::new(name).expect("a label")
    }

    fn grants(name: &str) -> UserGrant {
        let layout = Layout::new([region("a"), region("b")]);
        layout.users().into_iter().find(|user| user.name == name).expect("a user")
    }

    /// Whether a grant covers a subject, as NATS matches tokens.
    fn may(grant: &UserGrant, subject: &str) -> bool {
        grant.publish.iter().any(|allowed| {
            let (mut allowed, mut subject) = (allowed.split('.'), subject.split('.'));
            loop {
                match (allowed.next(), subject.next()) {
                    (Some(">"), Some(_)) => return true,
                    (Some(one), Some(other)) if one == "*" || one == other => {}
                    (None, None) => return true,
                    _ => return false,
                }
            }
        })
    }

    #[test]
    fn a_component_says_its_own_words_and_no_others() {
        for (user, subject, allowed) in [
            ("registry", "orbital.1.region.a.registry.key.acme.hr", true),
            ("registry", "orbital.1.cmk.registry.tenant.acme", true),
            ("registry", "orbital.1.region.a.cmk.l1.acme", false),
            ("registry", "orbital.2.cores.krypton.sealed-l2.a.acme.hr.v", false),
            ("cmk", "orbital.0.region.b.cmk.revoke.acme", true),
            ("cmk", "orbital.1.region.b.registry.tenant.acme", false),
            ("krypton-a", "orbital.2.cores.krypton.sealed-l3.a.acme.hr.pay.v", true),
            ("krypton-a", "orbital.2.cores.krypton.sealed-l3.b.acme.hr.pay.v", false),
            ("krypton-a", "orbital.3.authorities.krypton.manifest.a", true),
            ("krypton-a", "orbital.3.authorities.krypton.manifest.b", false),
            ("krypton-a", "orbital.3.authorities.krypton.listing.a.links", true),
            ("krypton-a", "orbital.3.authorities.krypton.listing.b.links", false),
            ("krypton-a", "orbital.1.region.a.registry.tenant.acme", false),
        ] {
            assert_eq!(may(&grants(user), subject), allowed, "{user}: {subject}");
        }
    }

    #[test]
    fn a_component_reads_by_its_own_readers_and_makes_none() {
        for (user, call, allowed) in [
            ("krypton-a", "CONSUMER.MSG.NEXT.ORBITAL_1_region_a.krypton-a", true),
            ("krypton-a", "CONSUMER.MSG.NEXT.ORBITAL_1_region_b.krypton-b", false),
            ("krypton-a", "CONSUMER.MSG.NEXT.ORBITAL_1_region_a.registry-words", false),
            ("registry", "CONSUMER.RESET.ORBITAL_1_region_a.registry-words", true),
            ("registry", "CONSUMER.RESET.ORBITAL_1_region_a.krypton-a", false),
            ("registry", "DIRECT.GET.ORBITAL_1_region_a.orbital.1.region.a.registry.key.acme.hr", true),
            ("registry", "DIRECT.GET.ORBITAL_1_region_a.orbital.1.region.a.cmk.l1.acme", false),
            ("registry", "DIRECT.GET.ORBITAL_1_region_a", false),
            ("registry", "CONSUMER.CREATE.ORBITAL_1_region_a.mine", false),
            ("cmk", "STREAM.UPDATE.ORBITAL_1_cmk", false),
        ] {
            assert_eq!(may(&grants(user), &format!("$JS.API.{call}")), allowed, "{user}: {call}");
        }
    }

    #[test]
    fn an_address_is_read_back_from_its_subject() {
        let stream = Stream { lane: Lane::Facts, audience: Audience::Region(region("a")) };
        let address = address_of(&stream, "orbital.1.region.a.cmk.l1.acme").expect("an address");
        assert_eq!(address.to_string(), "orbital.1.region.a.cmk.l1.acme");
        for none in ["orbital.1.region.a.run", "orbital.1.region.ab.cmk.x", "orbital.1.region.a.eve.x", "x"] {
            assert_eq!(address_of(&stream, none), None, "{none}");
        }
    }

    #[test]
    fn every_reader_is_of_a_stream_that_is_made() {
        let layout = Layout::new([region("a"), region("b")]);
        let streams = layout.streams();
        assert!(layout.readers().iter().all(|reader| streams.contains(&reader.reading.stream)));
        assert_eq!(streams.len(), 9);
        assert_eq!(layout.words_of(Role::Registry).len(), 5);
    }
}
