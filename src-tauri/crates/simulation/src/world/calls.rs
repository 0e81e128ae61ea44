//! Calls to the clouds: how they arrive, what they do there, how they are answered.

use commission::device::Serial;
use commission::fault::CloudError;

use commission::flow::CallId;
use commission::presence::Looks;

use crate::adapter::{Ask, Reply};
use crate::fate::{Place, Trouble};

use super::programs::{Program, job_name};
use super::{Answered, At, Coming, World};

/// How long a cloud holds a call that waits for news, in milliseconds.
const HOLD: u64 = 20_000;

/// A call on its way.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: At,
    pub(super) name: CallId,
    pub(super) cloud: usize,
    pub(super) ask: Ask,
    trouble: Option<Trouble>,
}

impl World {
    /// A job calls the cloud of the organisation that its program is signed in to.
    pub(super) fn call(&mut self, at: At, name: CallId, ask: Ask) {
        self.check_call(at, &ask);
        let trouble = self.fate.at(Place::Call(ask.call()));
        let trouble = self.apart(at, trouble);
        let cloud = self.programs[at.program].organisation;
        self.tell(
            || format!("program {}, {}", at.program + 1, job_name(at.job)),
            || {
                let wrong = trouble
                    .map(|trouble| format!("  [{trouble:?}]"))
                    .unwrap_or_default();
                let called = if cloud == 0 { "Harbour" } else { "Foreland" };
                format!("asks {called}: {}{wrong}", ask.words())
            },
        );
        let error = match trouble {
            Some(Trouble::NoRoute) => Some(CloudError::Unreachable("no route".into())),
            Some(Trouble::SignedOut) => Some(CloudError::SignedOut),
            Some(Trouble::Throttled(seconds)) => Some(CloudError::Throttled {
                retry_after: Some(seconds),
            }),
            Some(Trouble::Refused) => Some(CloudError::Refused {
                code: "internal".into(),
                message: "come back never".into(),
            }),
            _ => None,
        };
        if let Some(error) = error {
            self.tally.lost_answers += 1;
            let reply = Answered::Reply(ask.failed(error));
            let now = self.now;
            return self.after(80, Coming::Answer(at, name, reply, now));
        }
        if trouble == Some(Trouble::Unheard) {
            self.tally.lost_answers += 1;
            return;
        }
        let wait = match trouble {
            Some(Trouble::Slow(seconds)) => u64::from(seconds) * 1000,
            _ => 80,
        };
        let request = Request {
            at,
            name,
            cloud,
            ask,
            trouble,
        };
        self.after(wait, Coming::Execute(request));
    }

    /// A call reaches its cloud and is done there.
    pub(super) fn execute(&mut self, request: Request) {
        self.check_execution(&request);
        let Request { at, cloud, .. } = request;
        let now = self.now;
        let answered = match &request.ask {
            Ask::Observe(..) => {
                let number = self.number();
                if self.answer_observer(&request, false) {
                    return;
                }
                self.waiting.insert(number, (request, now));
                return self.after(HOLD, Coming::Waited(number));
            }
            Ask::Snapshot(serial) => {
                let looks = looks(&mut self.programs[at.program], cloud, serial);
                Answered::Reply(Reply::Snapshot(Ok(
                    self.clouds[cloud].snapshot(serial, looks, now)
                )))
            }

            Ask::Issue(asked) => match self.clouds[cloud].issue(asked, at.job, now) {
                Ok(number) => {
                    self.remember_claim(cloud, number);
                    Answered::Claim(cloud, number)
                }
                Err(error) => Answered::Reply(Reply::Issued(Err(error))),
            },
            Ask::Retire(cleanup) => {
                let retired = self.clouds[cloud].claims.iter_mut().position(|issued| {
                    let this = issued.cleanup == *cleanup;
                    issued.retired |= this;
                    this
                });
                if let Some(number) = retired {
                    self.news(cloud, number);
                }
                Answered::Reply(Reply::Retired(Ok(())))
            }
            Ask::Deactivate { principal, .. } => {
                let was_active = self.clouds[cloud].is_active(principal);
                let serial = self.clouds[cloud].switch_off(principal);
                if was_active {
                    self.switched_off.insert(principal.clone(), at.job);
                }
                self.note_truth();
                let thing = serial.and_then(|serial| {
                    let looks = looks(&mut self.programs[at.program], cloud, &serial);
                    self.clouds[cloud].thing(&serial, looks, now)
                });
                Answered::Reply(Reply::Deactivated(thing.ok_or_else(|| CloudError::Refused {
                    code: "principal-not-found".into(),
                    message: String::new(),
                })))
            }
            Ask::Release { thing } => {
                self.clouds[cloud].released.insert(thing.clone());
                Answered::Reply(Reply::Released(Ok(())))
            }
        };
        self.answer(&request, answered);
    }

    /// Sends an answer on its way, with what goes wrong on that.
    fn answer(&mut self, request: &Request, answered: Answered) {
        let (at, name, now) = (request.at, request.name, self.now);
        let lost = |error| Answered::Reply(request.ask.failed(error));
        if !matches!(request.trouble, None | Some(Trouble::Slow(_))) {
            self.tally.lost_answers += 1;
        }
        match request.trouble {
            Some(Trouble::Unanswered) => {}
            Some(Trouble::AnswerLost) => {
                let reply = lost(CloudError::Unreachable("reset by the other side".into()));
                self.after(60, Coming::Answer(at, name, reply, now));
            }
            Some(Trouble::Garbled) => {
                let reply = lost(CloudError::Nonsense("<html>".into()));
                self.after(60, Coming::Answer(at, name, reply, now));
            }
            Some(Trouble::Late(seconds)) => {
                self.after(u64::from(seconds) * 1000, Coming::Answer(at, name, answered, now));
            }
            Some(Trouble::Doubled(seconds)) => {
                self.after(60, Coming::Answer(at, name, answered.clone(), now));
                self.after(u64::from(seconds) * 1000, Coming::Answer(at, name, answered, now));
            }
            _ => self.after(60, Coming::Answer(at, name, answered, now)),
        }
    }

    /// Answers a call that waits for news if there is some, or if it has waited long enough; whether it did.
    pub(super) fn answer_observer(&mut self, request: &Request, waited: bool) -> bool {
        let Ask::Observe(claim, after) = &request.ask else {
            return false;
        };
        let (number, now) = (request.cloud, self.now);
        let cloud = &mut self.clouds[number];
        let serial = cloud
            .numbered(claim)
            .map(|number| cloud.claims[number].request.serial.clone());
        let mut none = Looks::default();
        let looks = match &serial {
            Some(serial) => looks(&mut self.programs[request.at.program], number, serial),
            None => &mut none,
        };
        let seen = match cloud.observe(claim, *after, looks, now) {
            Some(seen) => seen,
            None if waited => cloud.still(claim, looks, now),
            None => return false,
        };
        self.answer(request, Answered::Reply(Reply::Observed(Ok(seen))));
        true
    }

    /// There is news of a claim.
    pub(super) fn news(&mut self, cloud: usize, number: usize) {
        let id = self.clouds[cloud].claims[number].id.clone();
        let about = |request: &Request| {
            request.cloud == cloud && matches!(&request.ask, Ask::Observe(claim, _) if *claim == id)
        };
        let woken: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, (request, _))| about(request))
            .map(|(number, _)| *number)
            .collect();
        for number in woken {
            if let Some((request, since)) = self.waiting.remove(&number)
                && !self.answer_observer(&request, false)
            {
                self.waiting.insert(number, (request, since));
            }
        }
    }

    /// An answer arrives.
    pub(super) fn answered(&mut self, at: At, name: CallId, answered: Answered, told: u64) {
        let reply = match answered {
            Answered::Reply(reply) => reply,
            Answered::Claim(cloud, number) => {
                Reply::Issued(Ok(self.clouds[cloud].claim(number, told, self.now)))
            }
        };
        let Some(post) = self.post_mut(at) else {
            return;
        };
        let shows = !matches!(reply, Reply::Released(_) | Reply::Retired(_) | Reply::Issued(_));
        if shows && !post.decided {
            post.told = post.told.max(told);
        }
        post.decided |= matches!(reply, Reply::Released(Ok(())));
        self.tell(
            || format!("program {}, {}", at.program + 1, job_name(at.job)),
            || format!("is answered: {}", reply.words()),
        );
        self.feed(at, reply.input(name));
    }
}

/// What the looks of a program at a registration showed.
fn looks<'p>(program: &'p mut Program, cloud: usize, serial: &Serial) -> &'p mut Looks {
    program.looks.entry((cloud, serial.clone())).or_default()
}
