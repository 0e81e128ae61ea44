//! `fieldkey inspect` and `fieldkey identify`: one device, nothing changed on it.

use std::collections::BTreeMap;
use std::time::Duration;

use commission::device::DialectKind;
use commission::dialect::{self, Client, Command, Report};
use commission::fault::Fault;
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::policy::Limits;
use engine::failure::Failure;
use engine::ports::{Link, Radio};
use engine::request::{Blink, BlinkError, Request};
use engine::run::Engine;
use engine::system::SystemEntropy;
use engine::talk::talk;
use engine::view::View;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::exit::{Ended, Exit};
use crate::setup::Base;
use crate::words;

/// How long to listen for the device; it advertises several times a second.
const FIND: Duration = Duration::from_secs(15);
/// How long to listen on for others of its name.
const NAMESAKES: Duration = Duration::from_millis(1500);
/// How long to connect.
const CONNECT: Duration = Duration::from_secs(20);

/// Says what a device can do.
pub(crate) async fn inspect(base: &Base, device: &str) -> Result<(), Ended> {
    // Whoever runs jobs may have the device's one link.
    let _work = base.work()?;
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
    // Whoever runs jobs may have the device's one link.
    let _work = base.work()?;
    let label = base.person.label(device, !label_stdin).await?;
    let engine = crate::setup::listener(base)?;
    let blinked = blinked(&engine, device, label).await;
    engine.shutdown().await;
    blinked?;
    base.out.both(
        "blinked",
        &serde_json::json!({ "name": device }),
        format!("{device} blinks now."),
    );
    Ok(())
}

async fn blinked(engine: &Engine, device: &str, label: Option<Label>) -> Result<(), Ended> {
    engine.request(Request::Listen);
    let mut views = engine.views();
    let around = |view: &View| -> Vec<PeripheralId> {
        let nearby = view.nearby.iter();
        nearby
            .filter(|heard| is_called(device, heard.name.as_deref(), &heard.peripheral))
            .map(|heard| heard.peripheral.clone())
            .collect()
    };
    let found = views.wait_for(|view| view.radio_trouble.is_some() || !around(view).is_empty());
    match timeout(FIND, found).await {
        Ok(Ok(view)) => {
            if let Some(trouble) = &view.radio_trouble {
                return Err(trouble.clone().into());
            }
        }
        Ok(Err(_)) | Err(_) => return Err(unheard(device)),
    }
    tokio::time::sleep(NAMESAKES).await;
    let peripheral = only(device, around(&views.borrow()))?;
    let (reply, told) = oneshot::channel();
    engine.request(Request::Blink(Box::new(Blink {
        peripheral,
        label,
        reply,
    })));
    match told.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(BlinkError::Fault(fault))) => Err((&fault).into()),
        Ok(Err(BlinkError::Entropy(error))) => Err(Ended::new(Exit::Local, "entropy", error, "")),
        Ok(Err(error @ BlinkError::InWork)) => Err(Ended::new(
            Exit::Local,
            "in-use",
            error,
            "Wait until the job has ended.",
        )),
        Err(_) => Err((&Fault::Cancelled(None)).into()),
    }
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
        let (peripheral, kind) = find(radio.as_ref(), device).await?;
        let link = radio.connect(&peripheral, CONNECT).await?;
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

/// The one device that is called so.
async fn find(radio: &dyn Radio, device: &str) -> Result<(PeripheralId, DialectKind), Ended> {
    let mut sightings = radio.scan().await?;
    let mut found: BTreeMap<PeripheralId, DialectKind> = BTreeMap::new();
    let mut until = Instant::now() + FIND;
    while let Ok(Some(sighting)) = timeout_at(until, sightings.recv()).await {
        if let Some(kind) = dialect::recognise(&sighting)
            && is_called(device, sighting.name.as_deref(), &sighting.peripheral)
            && sighting.rssi.is_some()
        {
            if found.is_empty() {
                until = until.min(Instant::now() + NAMESAKES);
            }
            found.insert(sighting.peripheral, kind);
        }
    }
    let peripheral = only(device, found.keys().cloned().collect())?;
    match found.remove(&peripheral) {
        Some(kind) => Ok((peripheral, kind)),
        None => Err(unheard(device)),
    }
}

/// Whether a person means this device: by its name, or by what the radio calls it.
fn is_called(wanted: &str, name: Option<&str>, peripheral: &PeripheralId) -> bool {
    name == Some(wanted) || peripheral.0 == wanted
}

/// The device, where a name means one alone: a proof of possession that is tried on the wrong one counts against it.
fn only(device: &str, mut around: Vec<PeripheralId>) -> Result<PeripheralId, Ended> {
    let Some(last) = around.pop() else {
        return Err(unheard(device));
    };
    if around.is_empty() {
        return Ok(last);
    }
    let all: Vec<&str> = around.iter().chain([&last]).map(|id| id.0.as_str()).collect();
    Err(Ended::new(
        Exit::Usage,
        "namesakes",
        format!(
            "{} devices called {device} are heard: {}",
            all.len(),
            all.join(", ")
        ),
        "Name the one that is meant by its identifier; fieldkey scan shows which is nearest.",
    ))
}

fn unheard(device: &str) -> Ended {
    let failure = Failure::from(&Fault::NotAdvertising);
    Ended {
        what: format!("{} {}", words::unheard(device), failure.why),
        ..failure.into()
    }
}

fn strange() -> Ended {
    (&Fault::Protocol("another answer than the one asked for".into())).into()
}
