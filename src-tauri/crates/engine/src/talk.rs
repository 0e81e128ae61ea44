//! One command to one device outside a commissioning job: looking at what it can do, letting it blink.
//!
//! Nothing here changes a device or a cloud, so nothing is journaled.

use std::time::Duration;

use commission::device::DialectKind;
use commission::dialect::{self, Client, Command, Report};
use commission::fault::Fault;
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::policy::{Least, Limits};
use commission::secret::Entropy;

use crate::ports::{Clock, Link, Radio};

/// How long to connect.
const CONNECT: Duration = Duration::from_secs(20);

/// Runs a command of a dialect's client over a link to its end.
///
/// # Errors
/// The [`Fault`] that the dialect ended with, or that it ended without a report.
pub async fn talk(
    link: &dyn Link,
    client: &mut (dyn Client + Send),
    command: Command,
    clock: &dyn Clock,
    entropy: &mut (dyn Entropy + Send),
) -> Result<Report, Fault> {
    client.begin(command, clock.now(), entropy);
    loop {
        while let Some(report) = client.poll_report() {
            match report {
                Report::Failed(fault) => return Err(fault),
                Report::ClaimProgress { .. } => {}
                report => return Ok(report),
            }
        }
        if let Some(op) = client.poll_gatt() {
            let result = link.perform(&op).await;
            client.handle(result, clock.now(), entropy);
        } else if let Some(moment) = client.poll_timeout() {
            clock.sleep_until(moment).await;
            client.handle_timeout(clock.now());
        } else {
            return Err(Fault::Protocol("the dialect stopped without a report".into()));
        }
    }
}

/// Lets a device blink, unless `stop` comes first. It does so only inside a session, so its label is needed where it has
/// one. The link is given back in any case.
///
/// # Errors
/// [`Fault::BlinkUnsupported`] where it cannot; [`Fault::Downgraded`] where it offers less protection than is known of it;
/// [`Fault::Cancelled`] where it was stopped; else why there was no session.
pub async fn blink(
    radio: &dyn Radio,
    device: (&PeripheralId, DialectKind, Least),
    label: Option<Label>,
    clock: &dyn Clock,
    entropy: &mut (dyn Entropy + Send),
    stop: impl Future<Output = ()>,
) -> Result<(), Fault> {
    let (peripheral, kind, least) = device;
    tokio::pin!(stop);
    let link = tokio::select! {
        link = radio.connect(peripheral, CONNECT) => link.map_err(Fault::Link)?,
        () = &mut stop => return Err(Fault::Cancelled(None)),
    };
    let mut client = dialect::client(kind, link.table(), &Limits::default());
    let blinks = async {
        let described = talk(link.as_ref(), client.as_mut(), Command::Describe, clock, entropy).await?;
        match described {
            Report::Described(can) if can.blink => least.permit(&can)?,
            _ => return Err(Fault::BlinkUnsupported),
        }
        let (pop, username) = label.map_or((None, None), |label| (label.pop, label.username));
        let refusals = 0;
        let open = Command::Open {
            pop,
            username,
            refusals,
        };
        talk(link.as_ref(), client.as_mut(), open, clock, entropy).await?;
        talk(link.as_ref(), client.as_mut(), Command::Blink, clock, entropy).await?;
        Ok(())
    };
    let blinked = tokio::select! {
        blinked = blinks => blinked,
        () = stop => Err(Fault::Cancelled(None)),
    };
    link.disconnect().await;
    blinked
}
