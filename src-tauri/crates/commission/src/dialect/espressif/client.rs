//! The client's half: our side of one link to an Espressif device, as a machine over GATT operations.
//!
//! One operation at a time: a request is written, then its response is read from the same characteristic. What the
//! device already has is never written again, since its cipher has moved on; a response that was lost on the way is
//! read again. A write whose fate is unknown ends the session, which can be opened anew on the same link.
//!
//! Not in scope: whether anything may be sent on this session (policy), deadlines, and what a lost link means.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use self::opening::Opening;
use self::scanning::{Next, Scanning};
use super::cloud_cred::{self, ClaimBundle, Sender};
use super::endpoints::{self, Endpoints, Mapper};
use super::identity::{self, Collector};
use super::offer::Offer;
use super::security::Session;
use super::transcript::Transcript;
use super::wire::version::{Scheme, Version};
use super::wire::{Refusal, WireError, config, ctrl};
use super::{blink, cloud_status};
use crate::claim::Claim;
use crate::dialect::{Capabilities, Client, Command, Join, Report};
use crate::fault::Fault;
use crate::gatt::{CharacteristicId, GattOp, GattTable, LinkError};
use crate::network::Ssid;
use crate::policy::Limits;
use crate::secret::{Entropy, Pop};
use crate::time::{Moment, UnixTime};

mod description;
pub(in crate::dialect) use self::description::strength_of;
mod opening;
mod scanning;

/// How often a response is read again when reading it failed in passing.
const READ_AGAIN: u8 = 2;

/// Our side of one link.
pub struct Espressif {
    pace: Duration,
    scan_limit: Duration,
    mapper: Option<Mapper>,
    endpoints: Endpoints,
    version: Option<Version>,
    offer: Option<Offer>,
    capabilities: Capabilities,
    session: Option<Session>,
    transcript: Transcript,
    /// Refused proofs that the device counts: over this link, and over those before it.
    refusals: u8,
    /// The PoP that was refused last, to tell a repeat from another one.
    refused: Option<Pop>,
    task: Option<Task>,
    op: Option<GattOp>,
    awaiting: Option<Awaiting>,
    reports: VecDeque<Report>,
}

/// The command under way, with what it has so far.
enum Task {
    Map,
    Version,
    Open(Opening),
    Identify(Collector),
    Blink,
    Scan(Scanning),
    SetNetwork,
    SendClaim(Box<Sender>),
    AbortClaim,
    Apply,
    JoinStatus,
    EnrolStatus,
    ResetNetwork,
    LeaveNetwork,
}

/// What the operation under way is for.
enum Awaiting {
    Name,
    Written(CharacteristicId),
    Response { of: CharacteristicId, again: u8 },
}

impl Espressif {
    /// For a device that was just linked and discovered.
    pub fn new(table: &GattTable, limits: &Limits) -> Self {
        Self {
            pace: limits.scan_pace,
            scan_limit: limits.scan,
            mapper: Some(Mapper::new(table)),
            endpoints: Endpoints::default(),
            version: None,
            offer: None,
            capabilities: Capabilities::default(),
            session: None,
            transcript: Transcript::default(),
            refusals: 0,
            refused: None,
            task: None,
            op: None,
            awaiting: None,
            reports: VecDeque::new(),
        }
    }

    fn start(&mut self, command: Command, now: Moment, entropy: &mut dyn Entropy) -> Result<(), Fault> {
        match command {
            Command::Describe => self.map(),
            Command::Open {
                pop,
                username,
                refusals,
            } => {
                self.refusals = self.refusals.max(refusals);
                self.open(pop, username, entropy)
            }
            Command::Identify { challenge } => {
                let collector = Collector::new(challenge);
                let request = collector.request().encode();
                self.ask_ours(
                    endpoints::IDENTITY,
                    &request,
                    Task::Identify(collector),
                    Fault::IdentityMissing,
                )
            }
            Command::Blink => self.ask(endpoints::BLINK, &blink::request(), Task::Blink),
            Command::Scan => {
                let scanning = Scanning::new(now + self.scan_limit);
                self.ask(endpoints::PROV_SCAN, &scanning.start(), Task::Scan(scanning))
            }
            Command::SetNetwork(network) => {
                let request = config::Request::SetWifi((&network).into()).encode();
                self.ask(endpoints::PROV_CONFIG, request.reveal(), Task::SetNetwork)
            }
            Command::SendClaim { claim, now } => self.send_claim(&claim, now),
            Command::AbortClaim => {
                let request = cloud_cred::Request::Abort.encode();
                let missing = Fault::CredentialsUnsupported;
                self.ask_ours(endpoints::CLOUD_CRED, request.reveal(), Task::AbortClaim, missing)
            }
            Command::Apply => self.configure(&config::Request::ApplyWifi, Task::Apply),
            Command::JoinStatus => self.configure(&config::Request::WifiStatus, Task::JoinStatus),
            Command::EnrolStatus => self.ask(
                endpoints::CLOUD_STATUS,
                &cloud_status::request(),
                Task::EnrolStatus,
            ),
            Command::ResetNetwork => {
                let request = ctrl::Request::WifiReset.encode();
                let missing = Fault::PowerCycleNeeded;
                self.ask_ours(endpoints::PROV_CTRL, &request, Task::ResetNetwork, missing)
            }
        }
    }

    fn map(&mut self) -> Result<(), Fault> {
        self.task = Some(Task::Map);
        self.map_on()
    }

    /// Reads the next name; once all are known, asks the device what it is.
    fn map_on(&mut self) -> Result<(), Fault> {
        if let Some(op) = self.mapper.as_ref().and_then(Mapper::op) {
            self.op = Some(op);
            self.awaiting = Some(Awaiting::Name);
            return Ok(());
        }
        // Names are read once a link.
        if let Some(mapper) = self.mapper.take() {
            self.endpoints = mapper.finish()?;
        }
        let of = self.endpoints.get(endpoints::PROTO_VER)?;
        self.task = Some(Task::Version);
        self.write(of, super::wire::version::REQUEST.to_vec());
        Ok(())
    }

    fn send_claim(&mut self, claim: &Claim, now: UnixTime) -> Result<(), Fault> {
        let offer = self.offer.as_ref();
        if !offer.is_some_and(|offer| offer.claims.contains(&claim.form())) {
            return Err(Fault::CredentialsUnsupported);
        }
        let large = offer.is_some_and(|offer| offer.chunk_400);
        let bundle = ClaimBundle::try_from(claim).map_err(|error| Fault::Cloud {
            code: "unusable-claim".into(),
            message: format!("{error}"),
        })?;
        self.send_piece(Box::new(Sender::new(&bundle, large, now)))
    }

    fn send_piece(&mut self, sender: Box<Sender>) -> Result<(), Fault> {
        let request = sender.request().encode();
        self.ask_ours(
            endpoints::CLOUD_CRED,
            request.reveal(),
            Task::SendClaim(sender),
            Fault::CredentialsUnsupported,
        )
    }

    fn configure(&mut self, request: &config::Request, task: Task) -> Result<(), Fault> {
        self.ask(endpoints::PROV_CONFIG, request.encode().reveal(), task)
    }

    /// As [`Self::ask`], with a better word where the endpoint is not there.
    fn ask_ours(&mut self, endpoint: &str, plain: &[u8], task: Task, missing: Fault) -> Result<(), Fault> {
        if !self.endpoints.has(endpoint) {
            return Err(missing);
        }
        self.ask(endpoint, plain, task)
    }

    /// Seals a request, which is done once, and writes it, which is done once.
    fn ask(&mut self, endpoint: &str, plain: &[u8], task: Task) -> Result<(), Fault> {
        let of = self.endpoints.get(endpoint)?;
        let session = self
            .session
            .as_mut()
            .ok_or_else(|| Fault::Protocol("no session is open".into()))?;
        match session.seal(plain) {
            Ok(sealed) => {
                self.task = Some(task);
                self.write(of, sealed);
                Ok(())
            }
            Err(error) => {
                self.session = None;
                Err(Fault::Protocol(format!("{error}")))
            }
        }
    }

    fn write(&mut self, of: CharacteristicId, bytes: Vec<u8>) {
        self.op = Some(GattOp::Write(of, bytes));
        self.awaiting = Some(Awaiting::Written(of));
    }

    fn read(&mut self, of: CharacteristicId, again: u8) {
        self.op = Some(GattOp::Read(of));
        self.awaiting = Some(Awaiting::Response { of, again });
    }

    /// Takes the result of an operation on towards its command's end.
    fn advance(
        &mut self,
        result: Result<Vec<u8>, LinkError>,
        now: Moment,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Fault> {
        match (self.awaiting.take(), result) {
            (None, _) => Ok(()),
            (Some(Awaiting::Name), result) => {
                if let Some(mapper) = &mut self.mapper {
                    mapper.handle(result).map_err(Fault::Link)?;
                }
                self.map_on()
            }
            (Some(Awaiting::Written(of)), Ok(_)) => {
                self.read(of, READ_AGAIN);
                Ok(())
            }
            (Some(Awaiting::Written(_)), Err(error)) => self.not_written(error, entropy),
            (Some(Awaiting::Response { .. }), Ok(bytes)) => self.response(&bytes, now),
            (Some(Awaiting::Response { of, again }), Err(error)) if again > 0 && is_passing(&error) => {
                self.read(of, again - 1);
                Ok(())
            }
            (Some(Awaiting::Response { .. }), Err(error)) => {
                self.session = None;
                Err(Fault::Link(error))
            }
        }
    }

    fn not_written(&mut self, error: LinkError, entropy: &mut dyn Entropy) -> Result<(), Fault> {
        if let Some(Task::Open(opening)) = self.task.take() {
            return self.open_refused(opening, error, entropy);
        }
        // Only a handler that ran and failed leaves both ciphers in step (NimBLE says 0x04 and keeps the link).
        if error != LinkError::Att(ATT_INVALID_PDU) {
            self.session = None;
        }
        Err(Fault::Link(error))
    }

    fn response(&mut self, bytes: &[u8], now: Moment) -> Result<(), Fault> {
        let Some(task) = self.task.take() else {
            return Ok(());
        };
        let task = match task {
            Task::Map => return Ok(()),
            Task::Version => return self.described(bytes),
            Task::Open(opening) => return self.open_on(opening, bytes),
            task => task,
        };
        let session = self.session.as_mut();
        let opened = session.map(|session| (session.scheme(), session.open(bytes)));
        let (scheme, plain) = match opened {
            Some((scheme, Ok(plain))) if !bytes.is_empty() => (scheme, plain),
            Some((_, Err(error))) => {
                self.session = None;
                return Err(Fault::Protocol(format!("{error}")));
            }
            _ => {
                self.session = None;
                return Err(Fault::Protocol("the device's answer is empty".into()));
            }
        };
        match self.answered(task, plain.reveal(), now) {
            Err(Problem::Nonsense(error)) => {
                // Security 1 cannot tell a damaged message, and after one nothing can be trusted to be in step.
                if scheme == Scheme::Sec1 && is_damage(&error) {
                    self.session = None;
                }
                Err(Fault::Protocol(format!("{error}")))
            }
            Err(Problem::Fault(fault)) => Err(fault),
            Ok(()) => Ok(()),
        }
    }

    /// The answer to an encrypted request.
    fn answered(&mut self, task: Task, plain: &[u8], now: Moment) -> Result<(), Problem> {
        let report = match task {
            // Their answers are not encrypted.
            Task::Map | Task::Version | Task::Open(_) => return Ok(()),
            Task::Identify(collector) => return self.identified(collector, plain),
            Task::Scan(scanning) => return self.scanned(scanning, plain, now),
            Task::SendClaim(sender) => return self.sent(sender, plain),
            Task::Blink => {
                blink::decode_response(plain)?;
                Report::Blinked
            }
            Task::SetNetwork => {
                config::wifi_set(plain).map_err(settings_refused)?;
                Report::NetworkSet
            }
            Task::AbortClaim => match cloud_cred::decode_response(plain)? {
                Ok(cloud_cred::Answer::Aborted) => Report::ClaimAborted,
                Ok(_) => return Err(Fault::Protocol("the device answers another request".into()).into()),
                Err(refusal) => return Err(Fault::ClaimRejected(format!("{refusal}")).into()),
            },
            Task::Apply => {
                config::wifi_applied(plain).map_err(settings_refused)?;
                Report::Applied
            }
            Task::JoinStatus => Report::Join(join(config::wifi_status(plain)?)),
            Task::EnrolStatus => Report::Enrol(cloud_status::decode_response(plain)?),
            Task::ResetNetwork => match ctrl::wifi_reset(plain) {
                Ok(()) => Report::NetworkReset,
                // A reset is for failed joins only; what joins or has joined leaves where the service goes on.
                Err(WireError::Refused(Refusal::InternalError)) if self.capabilities.keep_link => {
                    let request = ctrl::Request::WifiReprov.encode();
                    return Ok(self.ask(endpoints::PROV_CTRL, &request, Task::LeaveNetwork)?);
                }
                Err(error) => return Err(settings_refused(error)),
            },
            Task::LeaveNetwork => {
                ctrl::wifi_reprov(plain).map_err(settings_refused)?;
                Report::NetworkReset
            }
        };
        self.reports.push_back(report);
        Ok(())
    }

    fn identified(&mut self, mut collector: Collector, plain: &[u8]) -> Result<(), Problem> {
        let page = match identity::decode_response(plain)? {
            Ok(page) => page,
            Err(identity::Refusal::CannotSign) => return Err(Fault::IdentityMissing.into()),
            Err(refusal) => return Err(Fault::Protocol(format!("{refusal}")).into()),
        };
        match collector.take(&page, &self.transcript.binding())? {
            Some(proof) => self.reports.push_back(Report::Identified(proof)),
            None => {
                let request = collector.request().encode();
                self.ask(endpoints::IDENTITY, &request, Task::Identify(collector))?;
            }
        }
        Ok(())
    }

    fn scanned(&mut self, mut scanning: Scanning, plain: &[u8], now: Moment) -> Result<(), Problem> {
        match scanning.handle(plain, now, self.pace)? {
            Next::Ask(request) => self.ask(endpoints::PROV_SCAN, &request, Task::Scan(scanning))?,
            Next::Wait => self.task = Some(Task::Scan(scanning)),
            Next::Done(networks) => self.reports.push_back(Report::Networks(networks)),
            Next::TooLate => return Err(Fault::ScanTimeout.into()),
        }
        Ok(())
    }

    fn sent(&mut self, mut sender: Box<Sender>, plain: &[u8]) -> Result<(), Problem> {
        match sender.handle(cloud_cred::decode_response(plain)?)? {
            cloud_cred::Progress::Committed => self.reports.push_back(Report::ClaimCommitted),
            cloud_cred::Progress::Sent(sent) => {
                let total = sender.total();
                self.reports.push_back(Report::ClaimProgress { sent, total });
                self.send_piece(sender)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, fault: Fault) {
        self.task = None;
        self.op = None;
        self.awaiting = None;
        self.reports.push_back(Report::Failed(fault));
    }
}

impl Client for Espressif {
    fn begin(&mut self, command: Command, now: Moment, entropy: &mut dyn Entropy) {
        if self.task.is_some() {
            let fault = Fault::Protocol("another command is under way".into());
            self.reports.push_back(Report::Failed(fault));
        } else if let Err(fault) = self.start(command, now, entropy) {
            self.fail(fault);
        }
    }

    fn handle(&mut self, result: Result<Vec<u8>, LinkError>, now: Moment, entropy: &mut dyn Entropy) {
        if let Err(fault) = self.advance(result, now, entropy) {
            self.fail(fault);
        }
    }

    fn handle_timeout(&mut self, now: Moment) {
        let Some(Task::Scan(scanning)) = &mut self.task else {
            return;
        };
        let outcome = match scanning.wake(now) {
            None => return,
            Some(Next::Ask(request)) => match self.task.take() {
                Some(task) => self.ask(endpoints::PROV_SCAN, &request, task),
                None => Ok(()),
            },
            Some(_) => Err(Fault::ScanTimeout),
        };
        if let Err(fault) = outcome {
            self.fail(fault);
        }
    }

    fn poll_gatt(&mut self) -> Option<GattOp> {
        self.op.take()
    }

    fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    fn poll_timeout(&self) -> Option<Moment> {
        match &self.task {
            Some(Task::Scan(scanning)) => scanning.wakes_at(),
            _ => None,
        }
    }

    fn session_stands(&self) -> bool {
        self.session.is_some()
    }
}

/// NimBLE's answer to a request whose handler failed.
const ATT_INVALID_PDU: u8 = 0x04;

/// Why an answer does not end its command well.
enum Problem {
    /// It cannot be understood.
    Nonsense(WireError),
    /// It is understood, and is bad news.
    Fault(Fault),
}

impl From<WireError> for Problem {
    fn from(error: WireError) -> Self {
        Self::Nonsense(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Errors after which reading once more may simply work.
fn is_passing(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::InProgress | LinkError::Timeout | LinkError::Other(_)
    )
}

fn is_damage(error: &WireError) -> bool {
    matches!(error, WireError::Empty { .. } | WireError::Malformed { .. })
}

fn settings_refused(error: WireError) -> Problem {
    match error {
        WireError::Refused(refusal) => Problem::Fault(Fault::SettingsRefused(refusal.code().cast_unsigned())),
        error => Problem::Nonsense(error),
    }
}

/// Failing without a reason is not the access point's refusal, so it says no more than "not connected".
fn join(state: config::JoinState) -> Join {
    use config::{FailReason, JoinState};
    match state {
        JoinState::Connecting { attempts_left } => Join::Joining { attempts_left },
        JoinState::Connected(connected) => Join::Joined {
            address: format!("{}", connected.ip),
            network: Ssid::new(connected.ssid).ok(),
        },
        JoinState::Failed(FailReason::AuthError) => Join::Refused,
        JoinState::Failed(FailReason::NetworkNotFound) => Join::NotFound,
        JoinState::Failed(_) | JoinState::Disconnected => Join::Disconnected,
    }
}

#[cfg(test)]
mod tests;
