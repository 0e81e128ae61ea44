//! Which credential a connection is evidence for: the one place where that is decided.
//!
//! Some clouds say by which credential a device is connected, and then it is that one. Others say only that a client of
//! some name is connected, or that the client has some credential of the registration. Then it is inferred, and marked
//! as inferred. That a credential is the only active one is never enough: a claim lets in as well, and AWS IoT counts a
//! connection by the client's name, whoever's certificate it came with. So a connection counts for a credential only
//! if it began after the credential became active. That is also the first moment at which the claim's own session can
//! have ended, because a device registers over it.
//!
//! What this cannot show: a device that is given a new credential and connects anew with an older one that is still
//! active. Once the older ones are off, nothing else can be meant.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::evidence::{PrincipalStatus, Thing};
use crate::mending::{Kind, holds};
use crate::time::UnixTime;

/// How far the time that a cloud states for a connection may be off where it does not say whose it is, in seconds. AWS
/// IoT's presence times are good to two minutes either way.
pub const LEEWAY: i64 = 120;
/// How long a change may take to show in what a cloud says of connections, in seconds.
pub const LAG: i64 = 5;

/// A connection that stands, as the cloud shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Since when, by the cloud's clock; none where it does not say.
    pub since: Option<UnixTime>,
    /// By what.
    pub by: By,
}

/// By what a device is connected, in the cloud's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// By this credential.
    Told(String),
    /// By a credential of the registration; by which is not said. A claim is none.
    OneOfItsOwn,
    /// By something that the registration does not have, such as a claim.
    Foreign,
    /// Not said: only that a client of the registration's name is connected.
    Untold,
}

/// A credential of a registration, as one look shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'l> {
    /// The cloud's name for it.
    pub id: &'l str,
    /// Its state.
    pub status: PrincipalStatus,
    /// Since when it is active at the latest, by the cloud's own word; none where it does not say.
    pub active_since: Option<UnixTime>,
}

/// Whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This credential's, says the cloud.
    Told(String),
    /// This credential's, as far as times and looks tell.
    Inferred(String),
}

impl Whose {
    /// The credential.
    pub fn credential(&self) -> &str {
        match self {
            Self::Told(id) | Self::Inferred(id) => id,
        }
    }
}

/// What the looks at one registration showed so far. Without any, only what the cloud itself dates is known.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    sights: BTreeMap<String, Sight>,
    last: Standing,
}

/// What was seen of a credential.
#[derive(Clone, Debug, Default)]
struct Sight {
    /// When it was seen active first, by the cloud's clock.
    active_at: Option<UnixTime>,
    /// What stood at the last look that did not show it active.
    before: Standing,
    /// What stood at the first look that showed it active for longer than changes take to show.
    settled: Standing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// Not looked at, or not told.
    #[default]
    Unknown,
    Nothing,
    /// A connection since then. Two sources date the same one differently: whether it came with the word whose it is
    /// tells them apart.
    Since(UnixTime, bool),
}

impl Standing {
    fn of(connection: &Connection) -> Self {
        let said = connection.by != By::Untold;
        connection.since.map_or(Self::Unknown, |at| Self::Since(at, said))
    }
}

/// Whether a connection began before or after a credential became active, by what looks showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Before,
    After,
    Untold,
}

impl Looks {
    /// Takes in a look made at `now` by the cloud's clock. `connection` is none where the device is not connected, and
    /// `told` false where the cloud could not be asked about connections.
    pub fn take(
        &mut self,
        now: UnixTime,
        credentials: &[Credential<'_>],
        connection: Option<&Connection>,
        told: bool,
    ) {
        let standing = match connection {
            _ if !told => Standing::Unknown,
            None => Standing::Nothing,
            Some(connection) => Standing::of(connection),
        };
        for credential in credentials {
            let last = self.last;
            let sight = self.sights.entry(credential.id.to_owned()).or_insert(Sight {
                before: last,
                ..Sight::default()
            });
            if credential.status != PrincipalStatus::Active {
                // What was off and is on again counts from then.
                *sight = Sight {
                    before: standing,
                    ..Sight::default()
                };
                continue;
            }
            let active_at = *sight.active_at.get_or_insert(now);
            let active_at = credential
                .active_since
                .map_or(active_at, |since| since.min(active_at));
            if sight.settled == Standing::Unknown && now.0.saturating_sub(active_at.0) >= LAG {
                sight.settled = standing;
            }
        }
        self.last = standing;
    }

    /// Since when a credential is active at the latest.
    fn active_since(&self, credential: &Credential<'_>) -> Option<UnixTime> {
        let seen = self.sights.get(credential.id).and_then(|sight| sight.active_at);
        credential.active_since.or(seen)
    }

    fn order(&self, id: &str, connection: &Connection) -> Order {
        let (now, Some(sight)) = (Standing::of(connection), self.sights.get(id)) else {
            return Order::Untold;
        };
        match (sight.before, sight.settled, now) {
            (before, _, now) if before == now && now != Standing::Unknown => Order::Before,
            (_, Standing::Nothing, Standing::Since(..)) => Order::After,
            (_, Standing::Since(settled, by), Standing::Since(at, said)) if by == said && settled != at => {
                Order::After
            }
            _ => Order::Untold,
        }
    }
}

/// The credential that a connection is evidence for, of those that the registration has; none where that is open.
pub fn whose(connection: &Connection, credentials: &[Credential<'_>], looks: &Looks) -> Option<Whose> {
    let is_active = |credential: &&Credential<'_>| credential.status == PrincipalStatus::Active;
    if !holds(Kind::OwnSession) {
        let only = credentials.iter().find(is_active)?;
        return Some(Whose::Inferred(only.id.to_owned()));
    }
    let leeway = match &connection.by {
        By::Told(id) => {
            let told = credentials.iter().filter(is_active).any(|own| own.id == id);
            return told.then(|| Whose::Told(id.clone()));
        }
        By::Foreign => return None,
        // No claim's, and dated by the client's own record.
        By::OneOfItsOwn => 0,
        By::Untold => LEEWAY,
    };
    // One that was switched off may stay connected for minutes; one that is not on yet cannot connect.
    let may_be_it = |credential: &&Credential<'_>| {
        !matches!(
            credential.status,
            PrincipalStatus::PendingActivation | PrincipalStatus::PendingTransfer
        )
    };
    let candidates = || credentials.iter().filter(may_be_it);
    let newest = candidates()
        .filter(is_active)
        .max_by_key(|credential| looks.active_since(credential))?;
    let mut others = candidates().filter(|other| other.id != newest.id).peekable();
    let inferred = || Some(Whose::Inferred(newest.id.to_owned()));
    if connection.by == By::OneOfItsOwn && others.peek().is_none() {
        return inferred();
    }
    let (since, active_since) = (connection.since?, looks.active_since(newest)?);
    let mut rivals = others.filter(is_active);
    if !rivals.all(|rival| looks.active_since(rival).is_some_and(|at| at < active_since)) {
        return None;
    }
    match looks.order(newest.id, connection) {
        Order::Before => None,
        Order::After => inferred(),
        Order::Untold if since.0 >= active_since.0.saturating_add(leeway) => inferred(),
        Order::Untold => None,
    }
}

impl Thing {
    /// The credential that the device is online by now, by the rule of [`whose`]; none where it is offline, or that
    /// is open.
    pub fn online_by(&self) -> Option<&str> {
        let by = self.connected_principal.as_deref();
        by.or(self.inferred_principal.as_deref())
            .filter(|_| self.connected == Some(true))
    }

    /// Whether the device is online by this credential and has been since no earlier than `after`. A connection whose
    /// beginning is not known counts only where nothing is asked of it.
    pub fn is_online_by(&self, credential: &str, after: Option<UnixTime>) -> bool {
        let in_time = after.is_none_or(|after| self.connected_at.is_some_and(|at| at >= after));
        in_time && self.online_by() == Some(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PrincipalStatus::{Active, Inactive, PendingActivation};

    const MADE: i64 = 10_000;

    fn credential(id: &str, status: PrincipalStatus, active_since: Option<i64>) -> Credential<'_> {
        let active_since = active_since.map(UnixTime);
        Credential {
            id,
            status,
            active_since,
        }
    }

    fn connection(by: By, since: i64) -> Connection {
        let since = Some(UnixTime(since));
        Connection { since, by }
    }

    /// The credential that it is taken for, without any look before.
    fn alone(connection: &Connection, credentials: &[Credential<'_>]) -> Option<String> {
        whose(connection, credentials, &Looks::default()).map(|whose| whose.credential().to_owned())
    }

    #[test]
    fn being_the_only_active_credential_is_no_evidence() {
        let only = [credential("n", Active, Some(MADE))];
        for since in [MADE - 3600, MADE - 1, MADE, MADE + LEEWAY - 1] {
            assert_eq!(alone(&connection(By::Untold, since), &only), None, "{since}");
        }
        let late = connection(By::Untold, MADE + LEEWAY);
        assert_eq!(
            whose(&late, &only, &Looks::default()),
            Some(Whose::Inferred("n".into()))
        );
        let undated = Connection {
            since: None,
            by: By::Untold,
        };
        assert_eq!(alone(&undated, &only), None);
        let not_dated = [credential("n", Active, None)];
        assert_eq!(alone(&late, &not_dated), None);
    }

    #[test]
    fn the_clouds_own_word_counts_and_a_claim_is_none_of_the_devices_credentials() {
        let both = [
            credential("o", Active, Some(1)),
            credential("n", Active, Some(MADE)),
        ];
        let told = connection(By::Told("o".into()), MADE + 9);
        assert_eq!(
            whose(&told, &both, &Looks::default()),
            Some(Whose::Told("o".into()))
        );
        let claim = connection(By::Told("claim".into()), MADE + 9);
        assert_eq!(alone(&claim, &both), None);
        assert_eq!(alone(&connection(By::Foreign, MADE + 9999), &both), None);
        let off = [credential("o", Inactive, Some(1))];
        assert_eq!(alone(&told, &off), None);
    }

    #[test]
    fn one_of_its_own_credentials_is_the_only_one_or_the_newest_since_it_is_active() {
        let own = |since| connection(By::OneOfItsOwn, since);
        let only = [credential("n", Active, Some(MADE))];
        assert_eq!(alone(&own(MADE - 5), &only).as_deref(), Some("n"));
        for old in [Active, Inactive] {
            let both = [credential("o", old, Some(1)), credential("n", Active, Some(MADE))];
            assert_eq!(alone(&own(MADE - 1), &both), None, "{old:?}");
            assert_eq!(alone(&own(MADE), &both).as_deref(), Some("n"), "{old:?}");
        }
        let pending = [
            credential("o", Active, Some(1)),
            credential("n", PendingActivation, Some(MADE)),
        ];
        assert_eq!(alone(&own(MADE), &pending).as_deref(), Some("o"));
        let same_age = [
            credential("o", Active, Some(MADE)),
            credential("n", Active, Some(MADE)),
        ];
        assert_eq!(alone(&own(MADE + 9999), &same_age), None);
        let untold_age = [credential("o", Active, None), credential("n", Active, Some(MADE))];
        assert_eq!(alone(&own(MADE + 9999), &untold_age), None);
    }

    #[test]
    fn a_connection_that_stood_before_the_credential_is_never_its_own() {
        let (mut looks, old) = (Looks::default(), connection(By::OneOfItsOwn, MADE + 5));
        let o = credential("o", Active, Some(1));
        looks.take(UnixTime(MADE - 3), &[o], Some(&old), true);
        // By its dates alone the new one would be taken for it: the clocks are apart.
        let both = [o, credential("n", Active, Some(MADE))];
        looks.take(UnixTime(MADE + 1), &both, Some(&old), true);
        assert_eq!(whose(&old, &both, &looks), None);
        let anew = connection(By::OneOfItsOwn, MADE + 6);
        assert_eq!(whose(&anew, &both, &looks), Some(Whose::Inferred("n".into())));
    }

    #[test]
    fn a_connection_that_began_between_two_looks_at_the_active_credential_is_its_own() {
        let only = [credential("n", Active, Some(MADE))];
        let (claim, back) = (
            connection(By::Untold, MADE - 2),
            connection(By::Untold, MADE + LAG + 1),
        );
        for stood in [Some(&claim), None] {
            let mut looks = Looks::default();
            looks.take(UnixTime(MADE + LAG), &only, stood, true);
            if stood.is_some() {
                assert_eq!(whose(&claim, &only, &looks), None);
            }
            assert_eq!(whose(&back, &only, &looks), Some(Whose::Inferred("n".into())));
        }
        // What is said of connections lags behind, and may not be said at all.
        let mut hasty = Looks::default();
        hasty.take(UnixTime(MADE + LAG - 1), &only, None, true);
        hasty.take(UnixTime(MADE + LAG), &only, None, false);
        assert_eq!(whose(&back, &only, &hasty), None);
        // Another source dates the same connection otherwise.
        let mut other = Looks::default();
        let said = connection(By::Foreign, MADE - 1);
        other.take(UnixTime(MADE + LAG), &only, Some(&said), true);
        assert_eq!(whose(&claim, &only, &other), None);
    }

    #[test]
    fn a_credential_that_the_cloud_does_not_date_is_active_since_it_was_seen_so() {
        let undated = [credential("n", Active, None)];
        let mut looks = Looks::default();
        looks.take(UnixTime(MADE), &undated, None, false);
        assert_eq!(
            whose(&connection(By::Untold, MADE + LEEWAY - 1), &undated, &looks),
            None
        );
        let late = connection(By::Untold, MADE + LEEWAY);
        assert!(whose(&late, &undated, &looks).is_some());
        let off = [credential("n", Inactive, None)];
        looks.take(UnixTime(MADE + 10), &off, None, false);
        looks.take(UnixTime(MADE + 20), &undated, None, false);
        assert!(
            whose(&late, &undated, &looks).is_none(),
            "switched on again later"
        );
    }
}
