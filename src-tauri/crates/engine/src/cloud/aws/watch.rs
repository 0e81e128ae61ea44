//! What a look at the registry proves of an enrolment.
//!
//! A device is enrolled by our claim when its thing has a certificate that was not there before and was made after
//! the claim was; registered when that certificate is ACTIVE; seen online when the device is connected and the
//! connection can only be with that certificate. The registry has no events, so each fact has a number that it gets at every look, and whoever
//! saw it before is not told again; that holds across a restart, too.
//!
//! Whose a connection is says [`commission::presence`], for AWS tells at most that it is one of the thing's own.

use std::collections::BTreeSet;

use commission::evidence::{Evidence, Fact, Principal, PrincipalStatus, Source, Thing};
use commission::presence::{Credential, Looks, Whose, whose};
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
    /// Whose the connection is, where that can be told.
    pub(super) whose: Option<Whose>,
}

impl Look {
    /// A look made at `now` by AWS's clock, with what earlier ones showed.
    pub(super) fn new(
        thing: &str,
        version: u64,
        certificates: Vec<Certificate>,
        online: Option<Online>,
        looks: &mut Looks,
        now: UnixTime,
    ) -> Self {
        let credentials: Vec<Credential<'_>> = certificates.iter().map(credential).collect();
        let connection = online.as_ref().and_then(Online::connection);
        // That a source knows of no connection yet is no word that there is none.
        let told = online
            .as_ref()
            .is_some_and(|online| online.connected || online.at.is_some());
        looks.take(now, &credentials, connection.as_ref(), told);
        let whose = connection.and_then(|connection| whose(&connection, &credentials, looks));
        Self {
            thing: thing.to_owned(),
            version,
            certificates,
            online,
            whose,
        }
    }
}

fn credential(certificate: &Certificate) -> Credential<'_> {
    Credential {
        id: &certificate.id,
        status: certificate.status,
        active_since: certificate.changed,
    }
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

/// When the device connected with this certificate; none where it did not, or nobody can tell.
fn online_with(certificate: &Certificate, look: &Look) -> Option<Option<UnixTime>> {
    let whose = look.whose.as_ref()?;
    let since = look.online.as_ref().and_then(|online| online.at);
    (whose.credential() == certificate.id).then_some(since)
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
        if let Some(at) = online_with(certificate, look) {
            facts.push((Fact::SeenOnline { thing, principal }, at));
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

/// The registration as it stands.
pub(super) fn thing(look: &Look) -> Thing {
    let online = look.online.as_ref();
    let (told, inferred) = match &look.whose {
        Some(Whose::Told(id)) => (Some(id.clone()), None),
        Some(Whose::Inferred(id)) => (None, Some(id.clone())),
        None => (None, None),
    };
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
        connected: online.map(|online| online.connected),
        connected_at: online.and_then(|online| online.at),
        connected_principal: told,
        inferred_principal: inferred,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commission::device::Serial;
    use commission::presence::{By, LEEWAY as PRESENCE};

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
            changed: created.map(UnixTime),
        }
    }

    /// The first look of a run, where the data plane says that the connection is with a certificate of the thing.
    fn look(certificates: Vec<Certificate>, online: Option<(bool, Option<i64>)>) -> Look {
        look_by(By::OneOfItsOwn, certificates, online)
    }

    fn look_by(by: By, certificates: Vec<Certificate>, online: Option<(bool, Option<i64>)>) -> Look {
        let online = online.map(|(connected, at)| Online {
            connected,
            at: at.map(UnixTime),
            by,
        });
        let now = UnixTime(ISSUED + 60);
        Look::new("FK-7", 3, certificates, online, &mut Looks::default(), now)
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
                look_by(By::Untold, new(Active), on(ISSUED - 5)),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "the claim's own connection",
                look_by(By::Untold, new(Active), on(ISSUED + 10)),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "later than the certificate, as far as its time can be trusted not",
                look_by(By::Untold, new(Active), on(ISSUED + 19 + PRESENCE)),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "later than the certificate for certain",
                look_by(By::Untold, new(Active), on(ISSUED + 20 + PRESENCE)),
                before(&[]),
                "CloudReached, issued n, registered n, online n / 4",
            ),
            (
                "somebody else's connection",
                look_by(By::Foreign, new(Active), on(ISSUED + 999)),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "online without a time",
                look_by(By::Untold, new(Active), Some((true, None))),
                before(&[]),
                "CloudReached, issued n, registered n / 3",
            ),
            (
                "online with the old one that is off",
                look(
                    vec![
                        certificate("o", Inactive, Some(10)),
                        certificate("n", Active, Some(ISSUED + 20)),
                    ],
                    on(ISSUED + 10),
                ),
                before(&["o"]),
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
    fn a_connection_is_laid_to_a_certificate_only_where_aws_says_that_it_is_the_things_own_or_by_its_time() {
        use PrincipalStatus::{Active, Inactive};
        let old = certificate("o", Active, Some(10));
        let told = |by, certificates, at| {
            let thing = thing(&look_by(by, certificates, Some((true, at))));
            assert_eq!((thing.connected, thing.connected_principal), (Some(true), None));
            thing.inferred_principal
        };
        let own = |certificates, at| told(By::OneOfItsOwn, certificates, Some(at));
        assert_eq!(own(vec![old.clone()], 20).as_deref(), Some("o"));
        assert_eq!(
            told(By::Untold, vec![old.clone()], Some(20)),
            None,
            "it may be a claim"
        );
        let both = vec![old.clone(), certificate("n", Active, Some(ISSUED + 20))];
        assert_eq!(own(both.clone(), 20), None, "either may be meant");
        assert_eq!(own(both, ISSUED + 30).as_deref(), Some("n"), "it got a new one");
        let untold = vec![certificate("o", Active, None), certificate("n", Active, Some(30))];
        assert_eq!(own(untold, ISSUED + 30), None, "which is newer is not known");
        let off = vec![
            certificate("o", Inactive, Some(10)),
            certificate("n", Active, Some(30)),
        ];
        assert_eq!(own(off, 31).as_deref(), Some("n"));
        let offline = thing(&look(vec![old.clone()], Some((false, Some(20)))));
        assert_eq!(
            (offline.connected, offline.inferred_principal),
            (Some(false), None)
        );
        let untold = thing(&look(vec![old], None));
        assert_eq!((untold.connected, untold.inferred_principal), (None, None));
    }
}
