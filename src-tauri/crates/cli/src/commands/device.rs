//! `fieldkey inspect` and `fieldkey identify`: one device, nothing changed on it.

use std::time::Duration;

use commission::device::{DialectKind, Sighting};
use commission::dialect::{self, Client, Command, Report};
use commission::label::Label;
use commission::policy::Limits;
use engine::ports::{Link, Radio};
use engine::system::SystemEntropy;
use engine::talk::talk;

use crate::exit::Ended;
use crate::setup::Base;

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
            format!("encrypted                {}", yes(can.encrypted)),
            format!("proof of possession      {}", yes(can.pop)),
            format!("reuses nonces            {}", yes(can.nonce_reuse)),
            format!("lists networks           {}", yes(can.network_scan)),
            format!("retry on the same link   {}", yes(can.retry_in_place)),
            format!(
                "takes claims             {}",
                if claims.is_empty() {
                    "no".into()
                } else {
                    claims.join(", ")
                }
            ),
            format!("proves its identity      {}", yes(can.identity)),
            format!("reports enrolment        {}", yes(can.enrol_status)),
            format!("blinks                   {}", yes(can.blink)),
        ]
        .join("\n"),
    );
    Ok(())
}

/// Lets a device blink. It does so only inside a session, so its label is needed.
pub(crate) async fn identify(base: &Base, device: &str, label_stdin: bool) -> Result<(), Ended> {
    let prompt = format!("Label of {device} (scan it, or type its proof of possession)");
    let text = if label_stdin {
        base.person.line(&prompt).await
    } else {
        base.person.secret(&prompt).await
    };
    let label = match text.as_deref().map(String::as_str) {
        None | Some("") => None,
        Some(text) => Some(
            Label::parse(text)
                .map_err(|error| Ended::usage(error, "Scan the label again, or type the code on it."))?,
        ),
    };
    let mut conversation = Conversation::open(base, device).await?;
    let blinked = conversation.blink(label).await;
    conversation.link.disconnect().await;
    blinked?;
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

    async fn blink(&mut self, label: Option<Label>) -> Result<(), Ended> {
        let Report::Described(can) = self.say(Command::Describe).await? else {
            return Err(strange());
        };
        if !can.blink {
            return Err(Ended::new(
                crate::exit::Exit::DeviceFailed,
                "cannot-blink",
                "this device cannot blink on demand",
                "Tell it by its label, or by its signal: it grows as you come closer (fieldkey scan).",
            ));
        }
        let (pop, username) = label.map_or((None, None), |label| (label.pop, label.username));
        self.say(Command::Open { pop, username }).await?;
        self.say(Command::Blink).await?;
        Ok(())
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
        Ok(None) | Err(_) => Err((&commission::fault::Fault::NotAdvertising).into()),
    }
}

fn strange() -> Ended {
    (&commission::fault::Fault::Protocol("another answer than the one asked for".into())).into()
}
