//! What a look at the registry proves of an enrolment.
//!
//! A device is enrolled by our claim when its thing has a certificate that was not there before and was made after
//! the claim was; registered when that certificate is ACTIVE; seen online when the device connected after that
//! certificate was made. The registry has no events, so each fact has a number that it gets at every look, and whoever
//! saw it before is not told again; that holds across a restart, too.
//!
//! **What it cannot show.** AWS does not say with which certificate a device is connected. A connection that began
//! after the new certificate was made is taken for one with it, which is wrong only for a device that came back with
//! an older one in the meantime; once the older ones are off, nothing else can be meant.

use std::collections::BTreeSet;

use commission::evidence::{Evidence, Fact, Principal, PrincipalStatus, Source, Thing};
use commission::time::UnixTime;

use super::claim::ClaimName;
use super::registry::{Certificate, Online};

/// How far the clocks of AWS's own services may be apart, in seconds.
const LEEWAY: i64 = 5;
/// How long after a claim's end an enrolment that it began may still show, in seconds: the registry lags.
const GRACE: i64 = 60;
/// Facts that one certificate may lead to.
const FACTS: u64 = 4;

/// What the registry showed.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The thing's name.
    pub(super) thing: String,
    pub(super) version: u64,
    pub(super) certificates: Vec<Certificate>,
    /// None where AWS cannot be asked.
    pub(super) online: Option<Online>,
}

/// Which certificates were there before the claim; none after a restart, when their age alone decides.
pub(super) type Before = Option<BTreeSet<String>>;

/// Certificates that this claim led to, oldest first.
fn fresh<'l>(look: &'l Look, claim: &ClaimName, before: &Before) -> Vec<&'l Certificate> {
    let is_fresh = |certificate: &&Certificate| {
        let known = before.as_ref().map(|before| before.contains(&certificate.id));
        let young = certificate.created.map(|at| at.0 >= claim.issued_at.0 - LEEWAY);
        match (known, young) {
            (Some(true), _) | (_, Some(false)) => false,
            (Some(false), _) | (None, Some(true)) => true,
            (None, None) => false,
        }
    };
    let mut fresh: Vec<&Certificate> = look.certificates.iter().filter(is_fresh).collect();
    fresh.sort_by_key(|certificate| (certificate.created, certificate.id.clone()));
    fresh
}

/// Whether a certificate that is not there before could be one of this claim's, by its name alone.
pub(super) fn may_be_fresh(id: &str, before: &Before) -> bool {
    before.as_ref().is_none_or(|before| !before.contains(id))
}

/// When the device connected with this certificate, as far as can be told; none where it did not.
fn online_with(certificate: &Certificate, look: &Look, claim: &ClaimName) -> Option<UnixTime> {
    let at = look.online.filter(|online| online.connected)?.at?;
    let since = certificate
        .created
        .map_or(claim.issued_at, |made| made.max(claim.issued_at));
    (certificate.status == PrincipalStatus::Active && at >= since).then_some(at)
}

/// What is new after the fact numbered `after`, and the number of the last.
pub(super) fn news(look: &Look, claim: &ClaimName, before: &Before, after: u64) -> (Vec<Evidence>, u64) {
    let (mut evidence, mut last, mut first) = (Vec::new(), after, 0);
    for certificate in fresh(look, claim, before) {
        let (thing, principal) = (Some(look.thing.clone()), Some(certificate.id.clone()));
        let issued = Fact::IdentityIssued {
            principal: principal.clone(),
        };
        // It can only have been made with the claim.
        let mut facts = vec![
            (Fact::CloudReached, certificate.created),
            (issued, certificate.created),
        ];
        if certificate.status == PrincipalStatus::Active {
            let registered = Fact::Registered {
                thing: thing.clone(),
                principal: principal.clone(),
            };
            facts.push((registered, certificate.created));
        }
        if let Some(at) = online_with(certificate, look, claim) {
            facts.push((Fact::SeenOnline { thing, principal }, Some(at)));
        }
        for (number, (fact, at)) in (first + 1..).zip(facts) {
            if number > after {
                last = last.max(number);
                evidence.push(Evidence {
                    fact,
                    source: Source::Cloud,
                    at,
                });
            }
        }
        first += FACTS;
    }
    (evidence, last)
}

/// Whether a claim is dead and led to nothing.
pub(super) fn is_over(look: Option<&Look>, claim: &ClaimName, before: &Before, now: UnixTime) -> bool {
    now.0 > claim.ends.0.saturating_add(GRACE)
        && look.is_none_or(|look| fresh(look, claim, before).is_empty())
}

/// The registration as it stands. `claim` tells which certificate a connection is taken to be with.
pub(super) fn thing(look: &Look, claim: Option<(&ClaimName, &Before)>) -> Thing {
    let connected = look.online.map(|online| online.connected);
    let fresh = claim.and_then(|(claim, before)| {
        let mut fresh = fresh(look, claim, before).into_iter().rev();
        fresh.find(|certificate| online_with(certificate, look, claim).is_some())
    });
    let mut active = look
        .certificates
        .iter()
        .filter(|certificate| certificate.status == PrincipalStatus::Active);
    // The only one that may connect.
    let only = active.next().filter(|_| active.next().is_none());
    let newest = newest(look).filter(|_| claim.is_none());
    Thing {
        name: look.thing.clone(),
        version: look.version,
        principals: look
            .certificates
            .iter()
            .map(|certificate| Principal {
                id: certificate.id.clone(),
                status: certificate.status,
            })
            .collect(),
        connected,
        connected_at: look.online.and_then(|online| online.at),
        connected_principal: fresh
            .or(only)
            .or(newest)
            .filter(|_| connected == Some(true))
            .map(|certificate| certificate.id.clone()),
    }
}

/// The newest of several active certificates, where the device connected after it was made: one that enrols itself got it
/// in place of the others.
fn newest(look: &Look) -> Option<&Certificate> {
    let at = look.online.filter(|online| online.connected)?.at?;
    let is_active = |certificate: &&Certificate| certificate.status == PrincipalStatus::Active;
    let active = look.certificates.iter().filter(is_active);
    let newest = active.clone().max_by_key(|certificate| certificate.created)?;
    let made = newest.created?;
    let older = |other: &Certificate| other.id == newest.id || other.created.is_some_and(|at| at < made);
    let alone = active.clone().all(older);
    (alone && at >= made).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use commission::device::Serial;

    const ISSUED: i64 = 1000;

    fn claim() -> ClaimName {
        ClaimName {
            certificate: "c".repeat(64),
            issued_at: UnixTime(ISSUED),
            ends: UnixTime(ISSUED + 300),
            serial: Serial::new("FK-7").unwrap(),
            thing: None,
        }
    }

    fn certificate(id: &str, status: PrincipalStatus, created: Option<i64>) -> Certificate {
        Certificate {
            id: id.into(),
            status,
            created: created.map(UnixTime),
        }
    }

    fn look(certificates: Vec<Certificate>, online: Option<(bool, Option<i64>)>) -> Look {
        Look {
            thing: "FK-7".into(),
            version: 3,
            certificates,
            online: online.map(|(connected, at)| Online {
                connected,
                at: at.map(UnixTime),
            }),
        }
    }

    fn before(ids: &[&str]) -> Before {
        Some(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    fn told(look: &Look, before: &Before, after: u64) -> String {
        let (evidence, last) = news(look, &claim(), before, after);
        let words: Vec<String> = evidence
            .iter()
            .map(|evidence| match &evidence.fact {
                Fact::IdentityIssued { principal } => format!("issued {}", principal.as_deref().unwrap()),
                Fact::Registered { principal, .. } => format!("registered {}", principal.as_deref().unwrap()),
                Fact::SeenOnline { principal, .. } => format!("online {}", principal.as_deref().unwrap()),
                other => format!("{other:?}"),
            })
            .collect();
        format!("{} / {last}", words.join(", "))
    }

    #[test]
    fn each_answer_of_the_registry_proves_what_it_proves_and_no_more() {
        use PrincipalStatus::{Active, Inactive, PendingActivation};
        let new = |status| vec![certificate("n", status, Some(ISSUED + 20))];
        let on = |at| Some((true, Some(at)));
        let table: Vec<(&str, Look, Before, &str)> = vec![
            ("nothing there", look(vec![], None), before(&[]), " / 0"),
            (
                "made, not yet active",
                look(new(PendingActivation), None),
                before(&[]),
                "CloudReached, issued n / 2",
            ),
            (
                "made and off",
                look(new(Inactive), on(ISSUED + 30)),
                before(&[]),
                "CloudReached, issued n / 2",
            ),
            (
                "registered, connection unknown",
                look(new(Active), None),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "registered, offline",
                look(new(Active), Some((false, Some(ISSUED + 25)))),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "online since before the claim",
                look(new(Active), on(ISSUED - 5)),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "the claim's own connection",
                look(new(Active), on(ISSUED + 10)),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "online without a time",
                look(new(Active), Some((true, None))),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "online",
                look(new(Active), on(ISSUED + 25)),
                before(&[]),
                "CloudReached, issued n, registered n, online n / 4",
            ),
            (
                "there before",
                look(vec![certificate("o", Active, Some(10))], on(ISSUED + 25)),
                before(&["o"]),
                " / 0",
            ),
            (
                "there before, clock of AWS odd",
                look(vec![certificate("o", Active, Some(ISSUED + 9))], None),
                before(&["o"]),
                " / 0",
            ),
            (
                "older than the claim though new here",
                look(vec![certificate("o", Active, Some(10))], None),
                before(&[]),
                " / 0",
            ),
            (
                "age untold",
                look(vec![certificate("n", Active, None)], on(ISSUED + 1)),
                before(&["o"]),
                "CloudReached, issued n, registered n, online n / 4",
            ),
            (
                "after a restart, old",
                look(vec![certificate("o", Active, Some(10))], on(ISSUED + 25)),
                None,
                " / 0",
            ),
            (
                "after a restart, new",
                look(new(Active), on(ISSUED + 25)),
                None,
                "CloudReached, issued n, registered n, online n / 4",
            ),
            (
                "after a restart, age untold",
                look(vec![certificate("n", Active, None)], on(ISSUED + 25)),
                None,
                " / 0",
            ),
        ];
        for (case, look, before, expected) in table {
            assert_eq!(told(&look, &before, 0), expected, "{case}");
        }
    }

    #[test]
    fn what_was_told_is_not_told_again_and_a_second_enrolment_is() {
        use PrincipalStatus::{Active, Inactive};
        let first = certificate("a", Active, Some(ISSUED + 20));
        let registered = look(vec![first.clone()], None);
        assert_eq!(told(&registered, &before(&[]), 3), " / 3");
        let online = look(vec![first.clone()], Some((true, Some(ISSUED + 30))));
        assert_eq!(told(&online, &before(&[]), 3), "online a / 4");
        let again = vec![
            certificate("b", Active, Some(ISSUED + 50)),
            certificate("a", Inactive, Some(ISSUED + 20)),
        ];
        assert_eq!(
            told(&look(again, Some((true, Some(ISSUED + 60)))), &before(&[]), 4),
            "CloudReached, issued b, registered b, online b / 8"
        );
    }

    #[test]
    fn a_claim_is_over_once_it_is_dead_for_a_while_and_led_to_nothing() {
        let (ends, none) = (ISSUED + 300, before(&[]));
        let over = |look: Option<&Look>, now| is_over(look, &claim(), &none, UnixTime(now));
        assert!(!over(None, ends + 60));
        assert!(over(None, ends + 61));
        assert!(over(Some(&look(vec![], None)), ends + 61));
        let led = look(
            vec![certificate(
                "n",
                PrincipalStatus::PendingActivation,
                Some(ISSUED + 9),
            )],
            None,
        );
        assert!(!over(Some(&led), ends + 999));
    }

    #[test]
    fn a_connection_is_laid_to_the_only_certificate_that_may_connect() {
        use PrincipalStatus::{Active, Inactive};
        let old = certificate("o", Active, Some(10));
        let with = |certificates, online| thing(&look(certificates, online), None).connected_principal;
        let on = Some((true, Some(20)));
        assert_eq!(with(vec![old.clone()], on).as_deref(), Some("o"));
        assert_eq!(with(vec![old.clone()], Some((false, Some(20)))), None);
        assert_eq!(with(vec![old.clone()], None), None);
        let both = vec![old.clone(), certificate("n", Active, Some(ISSUED + 20))];
        assert_eq!(with(both.clone(), on), None, "either may be meant");
        let later = Some((true, Some(ISSUED + 30)));
        assert_eq!(
            with(both.clone(), later).as_deref(),
            Some("n"),
            "it got a new one"
        );
        let untold = vec![certificate("o", Active, None), certificate("n", Active, Some(30))];
        assert_eq!(with(untold, later), None, "which is newer is not known");
        let seen = look(both, Some((true, Some(ISSUED + 30))));
        let shown = thing(&seen, Some((&claim(), &before(&["o"]))));
        assert_eq!(shown.connected_principal.as_deref(), Some("n"));
        assert_eq!((shown.version, shown.active().count()), (3, 2));
        let off = vec![
            certificate("o", Inactive, Some(10)),
            certificate("n", Active, Some(30)),
        ];
        assert_eq!(with(off, on).as_deref(), Some("n"));
    }
}
