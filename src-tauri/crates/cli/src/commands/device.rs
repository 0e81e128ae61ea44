//! `fieldkey inspect` and `fieldkey identify`: one device, nothing changed on it.

use std::time::Duration;

use commission::device::{DialectKind, Sighting};
use commission::dialect::{self, Client, Command, Report};
use commission::policy::Limits;
use engine::failure::Failure;
use engine::ports::{Link, Radio};
use engine::system::SystemEntropy;
use engine::talk::{blink, talk};

use crate::exit::Ended;
use crate::setup::Base;
use crate::words;

/// How long to listen for the device; it advertises several times a second.
const FIND: Duration = Duration::from_secs(15);
/// How long to connect.
const CONNECT: Duration = Duration::from_secs(20);

/// Says what a device can do.
pub(crate) async fn inspect(base: &Base, device: &str) -> Result<(), Ended> {
    let mut conversation = Conversation::open(base, device).await?;
    let described = conversation.say(Command::Describe).await;
    conversation.link.disconnect().await;
    let Report::Described(can) = described? else {
        return Err(strange());
    };
    let yes = |can: bool| if can { "yes" } else { "no" };
    let claims: Vec<String> = can
        .claims
        .iter()
        .map(|form| format!("{form:?}").to_lowercase())
        .collect();
    base.out.both(
        "device",
        &serde_json::json!({
            "name": device,
            "summary": can.summary,
            "encrypted": can.encrypted,
            "pop": can.pop,
            "nonceReuse": can.nonce_reuse,
            "networkScan": can.network_scan,
            "retryInPlace": can.retry_in_place,
            "claims": can.claims,
            "identity": can.identity,
            "enrolStatus": can.enrol_status,
            "blink": can.blink,
        }),
        [
            format!("{device}: {}", can.summary),
            format!("encrypts what is sent    {}", yes(can.encrypted)),
            format!("asks for its label       {} (proof of possession)", yes(can.pop)),
            format!(
                "weak encryption          {} (reused nonces)",
                yes(can.nonce_reuse)
            ),
            format!("lists networks           {}", yes(can.network_scan)),
            format!(
                "corrects a passphrase    {} (on the same link, without being switched off)",
                yes(can.retry_in_place)
            ),
            format!(
                "takes claims             {}",
                if claims.is_empty() {
                    "no".into()
                } else {
                    claims.join(", ")
                }
            ),
            format!("proves its identity      {}", yes(can.identity)),
            format!("reports its enrolment    {}", yes(can.enrol_status)),
            format!("blinks                   {}", yes(can.blink)),
        ]
        .join("\n"),
    );
    Ok(())
}

/// Lets a device blink. It does so only inside a session, so its label is needed.
pub(crate) async fn identify(base: &Base, device: &str, label_stdin: bool) -> Result<(), Ended> {
    let label = base.person.label(device, !label_stdin).await?;
    let mut entropy = crate::setup::entropy()?;
    let radio = base.radio();
    let (sighting, kind) = find(radio.as_ref(), device).await?;
    let (radio, clock) = (radio.as_ref(), base.clock.as_ref());
    blink(radio, &sighting.peripheral, kind, label, clock, &mut entropy)
        .await
        .map_err(|fault| Ended::from(&fault))?;
    base.out.both(
        "blinked",
        &serde_json::json!({ "name": device }),
        format!("{device} blinks now."),
    );
    Ok(())
}

struct Conversation<'a> {
    base: &'a Base,
    link: Box<dyn Link>,
    client: Box<dyn Client + Send>,
    entropy: SystemEntropy,
}

impl<'a> Conversation<'a> {
    async fn open(base: &'a Base, device: &str) -> Result<Self, Ended> {
        let entropy = crate::setup::entropy()?;
        let radio = base.radio();
        let (sighting, kind) = find(radio.as_ref(), device).await?;
        let link = radio.connect(&sighting.peripheral, CONNECT).await?;
        let client = dialect::client(kind, link.table(), &Limits::default());
        Ok(Self {
            base,
            link,
            client,
            entropy,
        })
    }

    async fn say(&mut self, command: Command) -> Result<Report, Ended> {
        talk(
            self.link.as_ref(),
            self.client.as_mut(),
            command,
            self.base.clock.as_ref(),
            &mut self.entropy,
        )
        .await
        .map_err(|fault| (&fault).into())
    }
}

async fn find(radio: &dyn Radio, device: &str) -> Result<(Sighting, DialectKind), Ended> {
    let mut sightings = radio.scan().await?;
    let heard = tokio::time::timeout(FIND, async {
        while let Some(sighting) = sightings.recv().await {
            if let Some(kind) = dialect::recognise(&sighting)
                && sighting.name.as_deref() == Some(device)
                && sighting.rssi.is_some()
            {
                return Some((sighting, kind));
            }
        }
        None
    });
    match heard.await {
        Ok(Some(found)) => Ok(found),
        Ok(None) | Err(_) => {
            let failure = Failure::from(&commission::fault::Fault::NotAdvertising);
            Err(Ended {
                what: format!("{} {}", words::unheard(device), failure.why),
                ..failure.into()
            })
        }
    }
}

fn strange() -> Ended {
    (&commission::fault::Fault::Protocol("another answer than the one asked for".into())).into()
}
