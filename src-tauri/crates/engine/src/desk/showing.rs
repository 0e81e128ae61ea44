//! From what the desk knows to what a person sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commission::device::Serial;
use commission::flow::JobId;
use commission::gatt::PeripheralId;
use commission::pace::{self, Course};
use commission::policy::{IdentityPolicy, PlainDevices, Policy};
use commission::rights::May;
use commission::time::Moment;

use super::worker::PUBLISH_PACE;
use super::{
    AdapterView, BluetoothView, CloudView, DeviceView, LabelId, PersonView, ProfileView, ProgressView,
    QuitView, ReplacingView, RightView, RightsView, Settings, SignInView, View, Who, WhoseView, Worker,
};
use crate::failure::Failure;
use crate::signin;
use crate::view::{JobState, JobView, View as EngineView};

/// What is seen before anything is known.
pub(super) fn empty() -> View {
    View {
        now_ms: 0,
        now: 0,
        profiles: Vec::new(),
        profile: None,
        replacing: None,
        sign_in: SignInView::Restoring,
        rights: RightsView::default(),
        bluetooth: BluetoothView::default(),
        cloud: CloudView::default(),
        nearby: Vec::new(),
        labels: Vec::new(),
        jobs: Vec::new(),
        progress: ProgressView::default(),
        unfinished: Vec::new(),
        sites: Vec::new(),
        site: None,
        networks: Vec::new(),
        examination: None,
        journal: None,
        story: None,
        settings: Settings::default(),
        notices: Vec::new(),
        busy: false,
        quit: QuitView::No,
    }
}

impl Worker {
    /// Publishes everything as it stands.
    pub(super) fn show(&mut self) {
        let now = self.parts.clock.now();
        self.changed = false;
        self.publish_at = now + PUBLISH_PACE;
        let around = self.engine_view().unwrap_or_default();
        let (jobs, matches) = (self.jobs(&around), self.matches(&around));
        let view = View {
            now_ms: millis(now),
            now: self.parts.clock.unix().0,
            profiles: self.profiles().list().unwrap_or_default(),
            profile: self.profile_view(),
            replacing: self.replacing.as_ref().map(|candidate| ReplacingView {
                name: candidate.profile.name.clone(),
                changes: candidate.changes.clone(),
            }),
            sign_in: self.sign_in_view(),
            rights: self.rights_view(),
            bluetooth: BluetoothView {
                listening: around.listening,
                trouble: around.radio_trouble.clone(),
                paused: around.paused,
                adapters: self.adapters.iter().map(adapter).collect(),
            },
            cloud: self.cloud_view(),
            nearby: self.devices(&around, &matches),
            labels: self.label_views(&around, &matches),
            progress: progress(&jobs, self.links(), now),
            unfinished: self.open_jobs(&around),
            sites: self.site_views(),
            site: self.site().map(|site| site.name.clone()),
            networks: self.networks.clone(),
            examination: self.examination.clone(),
            journal: self.journal_view.clone(),
            story: self.story.clone(),
            settings: self.kept.settings.clone(),
            notices: self.notices.clone(),
            busy: jobs.iter().any(|job| !job.is_over()),
            jobs,
            quit: self.quit,
        };
        self.publish.send_replace(Arc::new(view));
    }

    fn jobs(&self, around: &EngineView) -> Vec<JobView> {
        let shown = around.jobs.iter().filter(|job| !self.cleared.contains(&job.id));
        shown
            .map(|job| {
                if self.focus == Some(job.id) {
                    return job.clone();
                }
                // Fifty whole stories ten times a second would be read by nobody.
                JobView {
                    id: job.id,
                    name: job.name.clone(),
                    serial: job.serial.clone(),
                    model: job.model.clone(),
                    firmware: job.firmware.clone(),
                    scheme: job.scheme.clone(),
                    peripheral: job.peripheral.clone(),
                    site: job.site.clone(),
                    network: job.network.clone(),
                    purpose: job.purpose,
                    asked: job.asked,
                    state: job.state,
                    stages: job.stages.clone(),
                    proofs: job.proofs.clone(),
                    claim: job.claim.clone(),
                    question: job.question.clone(),
                    failure: job.failure.clone(),
                    outcome: job.outcome.clone(),
                    thing: job.thing.clone(),
                    principal: job.principal.clone(),
                    networks: job.networks.clone(),
                    happenings: Vec::new(),
                }
            })
            .collect()
    }

    fn devices(&self, around: &EngineView, matches: &BTreeMap<PeripheralId, LabelId>) -> Vec<DeviceView> {
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        for name in around.nearby.iter().filter_map(|device| device.name.as_deref()) {
            *named.entry(name).or_default() += 1;
        }
        let job_of = |device: &PeripheralId| -> Option<JobId> {
            let job = around
                .jobs
                .iter()
                .rev()
                .find(|job| job.peripheral.as_ref() == Some(device) && !job.is_over())?;
            Some(job.id)
        };
        let devices = around.nearby.iter().map(|device| {
            let name = device.name.as_deref();
            let namesake = name.is_some_and(|name| named.get(name).is_some_and(|count| *count > 1));
            let shown = self
                .past
                .shown
                .get(&device.peripheral)
                .cloned()
                .unwrap_or_default();
            let label = self.label_of(device, matches);
            let printed = label.and_then(|label| label.security);
            let serial = shown
                .serial
                .as_deref()
                .or_else(|| label?.serial.as_ref().map(Serial::as_str));
            let done_at = self.past.done.get(&device.peripheral).copied();
            DeviceView {
                peripheral: device.peripheral.clone(),
                name: device.name.clone(),
                dialect: device.dialect,
                signal: device.signal,
                heard_ms: device.heard_ms,
                fading: device.fading,
                label: self.label_state(device, matches),
                job: job_of(&device.peripheral),
                done_at: done_at.or_else(|| self.past.done_serials.get(serial?).copied()),
                namesake,
                model: shown.model,
                firmware: shown.firmware,
                unencrypted: shown.scheme.is_none() && printed == Some(0),
                scheme: shown
                    .scheme
                    .or_else(|| printed.map(|scheme| format!("security {scheme}"))),
            }
        });
        devices.collect()
    }

    /// What an earlier run left and nobody has taken up.
    fn open_jobs(&self, around: &EngineView) -> Vec<super::UnfinishedView> {
        let in_work = |id: JobId| around.jobs.iter().any(|job| job.id == id && !job.is_over());
        let own = self.own();
        let open = self.past.unfinished.iter();
        open.filter(|open| !in_work(open.shown.job))
            .map(|open| super::UnfinishedView {
                whose: match &open.organisation {
                    None => WhoseView::Unknown,
                    other if *other == own => WhoseView::Own,
                    Some(other) => WhoseView::Other {
                        profile: self.profiles().name_of(other),
                        issuer: other.issuer.clone(),
                    },
                },
                ..open.shown.clone()
            })
            .collect()
    }

    fn profile_view(&self) -> Option<ProfileView> {
        let profile = self.office.as_ref()?.organisation.profile();
        Some(ProfileView {
            name: profile.name.clone(),
            issuer: profile.sign_in.issuer.clone(),
            cloud: profile.cloud.place(),
            links: profile.policy.links,
            relaxed: relaxed(&profile.policy),
        })
    }

    fn sign_in_view(&self) -> SignInView {
        match &self.who {
            Who::NoProfile => SignInView::NoProfile,
            Who::Restoring => SignInView::Restoring,
            Who::Nobody(failure) => SignInView::SignedOut {
                failure: failure.clone(),
            },
            Who::Signing(shown, _) => shown.clone(),
            Who::Leaving(_) => SignInView::Leaving,
            Who::Somebody(session) => {
                let roles = match &self.preflight {
                    Some(Ok(preflight)) => preflight.person.roles.clone(),
                    _ => session.person.roles.clone(),
                };
                SignInView::SignedIn {
                    person: PersonView {
                        subject: session.person.subject.clone(),
                        name: session.person.name.clone(),
                        email: session.person.email.clone(),
                        roles,
                        expires_ms: millis(session.expires),
                        renewed: session.kept != signin::Kept::NotRenewable,
                        kept: session.kept == signin::Kept::Keyring,
                    },
                }
            }
        }
    }

    fn rights_view(&self) -> RightsView {
        let (Who::Somebody(_), preflight) = (&self.who, &self.preflight) else {
            return RightsView::default();
        };
        let Some(Ok(preflight)) = preflight else {
            return RightsView {
                commission: RightView::Unknown,
                transfer: RightView::Unknown,
            };
        };
        RightsView {
            commission: right(preflight.may_commission()),
            transfer: right(preflight.may_transfer()),
        }
    }

    fn cloud_view(&self) -> CloudView {
        match &self.preflight {
            None => CloudView::default(),
            Some(Err(error)) => CloudView {
                failure: Some(Failure::from(error)),
                ..CloudView::default()
            },
            Some(Ok(preflight)) => CloudView {
                name: Some(preflight.cloud.clone()),
                template: Some(preflight.template.name.clone()).filter(|name| !name.is_empty()),
                claim_seconds: u32::try_from(preflight.claim_life.as_secs()).ok(),
                clock_ahead: preflight.clock_ahead,
                form: preflight.form.clone(),
                given: self.given.clone(),
                way: preflight.way,
                remarks: u32::try_from(preflight.remarks.len()).unwrap_or(u32::MAX),
                failure: None,
            },
        }
    }

    /// Links that the engine may use at once.
    fn links(&self) -> u8 {
        let of_profile = self
            .office
            .as_ref()
            .map_or(1, |office| office.organisation.profile().policy.links);
        let links = self.kept.settings.links;
        links.map_or(of_profile, |links| links.min(of_profile).max(1))
    }
}

fn right(may: May) -> RightView {
    match may {
        May::Yes => RightView::Granted,
        May::RoleLacksRight => RightView::Lacking,
        May::TemplateOff => RightView::TemplateOff,
        May::NotFromHere => RightView::NotFromHere,
    }
}

fn adapter(adapter: &crate::ports::Adapter) -> AdapterView {
    AdapterView {
        id: adapter.id.clone(),
        name: adapter.name.clone(),
        powered: adapter.powered,
    }
}

fn progress(jobs: &[JobView], links: u8, now: Moment) -> ProgressView {
    let count = |state: JobState| {
        let jobs = jobs.iter().filter(|job| job.state == state).count();
        u32::try_from(jobs).unwrap_or(u32::MAX)
    };
    let courses: Vec<Course> = jobs.iter().map(course).collect();
    ProgressView {
        all: u32::try_from(jobs.len()).unwrap_or(u32::MAX),
        waiting: count(JobState::Waiting),
        working: count(JobState::Working),
        attention: count(JobState::Attention),
        done: count(JobState::Done),
        failed: count(JobState::Failed),
        unknown: count(JobState::Unknown),
        left_ms: pace::left(&courses, links, now).map(in_millis),
    }
}

/// How far a job is, to judge by how long the rest of them take.
fn course(job: &JobView) -> Course {
    let began = job.stages.first().map(|stage| moment(stage.began_ms));
    let ended = job.stages.last().and_then(|stage| stage.ended_ms).map(moment);
    match (job.state, began, ended) {
        (JobState::Done, Some(began), Some(ended)) => Course::Done(ended.since(began)),
        _ if job.is_over() => Course::Over,
        (_, Some(began), _) => Course::Begun(began),
        (_, None, _) => Course::Waiting,
    }
}

/// What a policy allows beyond the strict side.
fn relaxed(policy: &Policy) -> Vec<String> {
    [
        ("allow-unencrypted", policy.allow_unencrypted),
        ("allow-no-pop", policy.allow_no_pop),
        ("allow-nonce-reuse", policy.allow_nonce_reuse),
        ("identity", policy.identity == IdentityPolicy::Off),
        ("plain-devices", policy.plain_devices == PlainDevices::WifiOnly),
    ]
    .into_iter()
    .filter(|(_, relaxed)| *relaxed)
    .map(|(key, _)| key.to_owned())
    .collect()
}

/// A moment as a window counts it.
pub(super) fn millis(moment: Moment) -> u64 {
    in_millis(moment.since_start())
}

fn in_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A moment as the engine's view counts it.
fn moment(millis: u64) -> Moment {
    Moment::new(Duration::from_millis(millis))
}
