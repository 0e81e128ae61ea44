//! Mendings that a proof takes out again, one at a time, to see that the simulation misses each: a search that finds
//! nothing is worth as much as what it would have found.
//!
//! Where a fault of some kind was mended, the mended branch asks [`holds`]. Without the feature `mending`, which
//! nothing that ships has, that is the constant `true`, and the compiler leaves nothing of it.

/// Kinds of faults that were mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "mending"),
    allow(
        dead_code,
        reason = "some kinds are mended by a type, so that nothing can take them out"
    )
)]
#[repr(u8)]
pub enum Kind {
    /// An effect that was asked for and not answered is maybe done, not undone.
    MaybeDone,
    /// Recovery asks what is true now, and a later done job settles earlier ones.
    TruthFirst,
    /// Lists of open jobs are read again before one is taken up.
    ListsReadAgain,
    /// Only the organisation that a job belongs to takes it up.
    OwnOrganisation,
    /// An identity that must be proven must be known, too.
    KnownIdentity,
    /// A device is online by a session that is its own credential's.
    OwnSession,
    /// What was proven over one link is demanded over each later one.
    ProvenBinds,
    /// Answers name their question.
    NamedAnswers,
    /// Wrong proofs of possession are counted by device, whatever the link.
    CountedByDevice,
    /// Less than what is known of a device's scheme is refused.
    NoDowngrade,
    /// A run of a job is its person's.
    OwnPerson,
    /// Time in which the radio cannot hear does not count.
    DeafTime,
}

/// All kinds.
pub const KINDS: [Kind; 12] = [
    Kind::MaybeDone,
    Kind::TruthFirst,
    Kind::ListsReadAgain,
    Kind::OwnOrganisation,
    Kind::KnownIdentity,
    Kind::OwnSession,
    Kind::ProvenBinds,
    Kind::NamedAnswers,
    Kind::CountedByDevice,
    Kind::NoDowngrade,
    Kind::OwnPerson,
    Kind::DeafTime,
];

#[cfg(feature = "mending")]
static OUT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

#[cfg(feature = "mending")]
static ASKED: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// Whether this kind is mended.
#[cfg(feature = "mending")]
pub fn holds(kind: Kind) -> bool {
    if !is_asked(kind) {
        ASKED.fetch_or(1 << kind as u32, core::sync::atomic::Ordering::Relaxed);
    }
    OUT.load(core::sync::atomic::Ordering::Relaxed) & (1 << kind as u32) == 0
}

/// Whether this kind is mended, which it is.
#[cfg(not(feature = "mending"))]
#[inline(always)]
pub const fn holds(_: Kind) -> bool {
    true
}

/// Whether anybody ever asked for this kind, so that taking it out can change something.
#[cfg(feature = "mending")]
pub fn is_asked(kind: Kind) -> bool {
    ASKED.load(core::sync::atomic::Ordering::Relaxed) & (1 << kind as u32) != 0
}

/// Takes this mending out, in the whole process; none puts all back.
#[cfg(feature = "mending")]
pub fn take_out(kind: Option<Kind>) {
    let out = kind.map_or(0, |kind| 1 << kind as u32);
    OUT.store(out, core::sync::atomic::Ordering::Relaxed);
}
