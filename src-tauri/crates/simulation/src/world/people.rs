//! People: what they set out to do, and what they answer.

use commission::device::DialectKind;
use commission::dialect::strength_of;
use commission::evidence::Fact;
use commission::flow::{Answer, Input, JobId, Question, QuestionId, Remains, Step};
use commission::ledger::{Ledger, Whose};
use commission::mending::{Kind, holds};
use commission::policy::Least;
use commission::secret::{Passphrase, Pop};
use uuid::Uuid;

use crate::fate::{Place, Trouble};
use crate::scene::{Given, What};

use super::device::{PASSPHRASE, SSID, called, network, pop, serial, strength};
use super::programs::{Kept, Start, job_name, of_peripheral, organisation};
use super::{At, Coming, World};

impl World {
    /// A person does what is next.
    pub(super) fn order(&mut self) {
        self.order_is_coming = false;
        self.ordered_at = self.now;
        let Some(order) = self.agenda.pop_front() else {
            return;
        };
        let program = order.program;
        if !self.programs[program].up {
            self.programs[program].up = true;
        }
        let works = matches!(
            order.what,
            What::Commission { .. } | What::Resume | What::Undo | What::ResumeStale | What::UndoStale
        );
        if works && self.is_busy(1 - program) {
            return self.tell(
                || format!("program {}", program + 1),
                || "lets the other one work, which has the lock".into(),
            );
        }
        match order.what {
            What::Commission {
                device,
                label,
                purpose,
                serial: named,
                network: given,
            } => {
                let taken = self.programs[program]
                    .posts
                    .values()
                    .any(|post| post.outcome.is_none() && post.device == device);
                if taken {
                    return;
                }
                self.press(device);
                let job = JobId(Uuid::from_u128(self.journal.len() as u128 + 1));
                self.tell(
                    || "the person".into(),
                    || {
                        format!(
                            "wants {} commissioned ({purpose:?}) with the label of {}",
                            called(device),
                            called(label)
                        )
                    },
                );
                let number = self.number();
                let kept = Kept {
                    organisation: self.programs[program].organisation,
                    purpose,
                    label,
                    number,
                    began: self.now,
                    steps: Vec::new(),
                };
                self.journal.insert(job, kept);
                let mut plan = self.plan(program, job, device, purpose);
                let labelled = &self.devices[label].spec;
                plan.least = Least {
                    strength: strength(labelled.scheme),
                    identity: false,
                };
                plan.serial = named.then(|| serial(labelled.serial));
                plan.pop = Some(Pop::new(pop(labelled.pop)));
                plan.network = match given {
                    Given::Right => network(SSID, PASSPHRASE),
                    Given::WrongPassphrase => network(SSID, "wrong-pass"),
                    Given::Unseen => network("elsewhere", PASSPHRASE),
                    Given::Not => None,
                };
                self.begin(program, plan, label, Start::Anew);
            }
            What::Resume => self.take_up(program, &self.open(program), Start::Resumed),
            What::Undo => self.take_up(program, &self.open(program), Start::Undone),
            What::ResumeStale => self.take_up(program, &self.stale.clone(), Start::Resumed),
            What::UndoStale => self.take_up(program, &self.stale.clone(), Start::Undone),
            What::SignIn(organisation, person) => {
                let called = self.clouds[organisation].called();
                self.tell(
                    || format!("person {person}"),
                    || format!("of {called} signs in in program {}", program + 1),
                );
                // Whatever ran for the one before is stopped first, and ends by name.
                if holds(Kind::OwnPerson) {
                    self.leave(program, true);
                }
                self.programs[program].organisation = organisation;
                self.programs[program].person = u64::try_from(organisation).unwrap_or_default() * 10 + person;
            }
            What::Restart(device) => {
                let works = self.devices[device]
                    .credential
                    .as_ref()
                    .is_some_and(|(cloud, id)| self.clouds[*cloud].is_online(id));
                if !works {
                    self.press(device);
                }
            }
            What::Button(device) => {
                if device < self.devices.len() {
                    self.press(device);
                }
            }
        }
        self.stale = self.open(program);
    }

    /// Whether a program runs jobs, for which it has the lock.
    fn is_busy(&self, program: usize) -> bool {
        let program = &self.programs[program];
        program.up && program.posts.values().any(|post| post.outcome.is_none())
    }

    /// The jobs that the journal shows to a program as open.
    fn open(&self, program: usize) -> Vec<JobId> {
        self.open_of(self.programs[program].organisation)
    }

    /// The jobs that the journal shows to an organisation as open.
    pub(super) fn open_of(&self, own: usize) -> Vec<JobId> {
        let own = organisation(own);
        self.ledger()
            .open()
            .filter(|open| matches!(open.record.whose(Some(&own)), Whose::Own))
            .map(|open| open.record.job)
            .collect()
    }

    /// What is left of a job.
    pub(super) fn remains(&self, job: JobId) -> Remains {
        let ledger = self.ledger();
        let open = ledger.open_job(job).map(|open| open.remains);
        open.or_else(|| self.journal.get(&job).map(Kept::remains))
            .unwrap_or_default()
    }

    /// The journal in its order.
    fn ledger(&self) -> Ledger {
        Ledger::of(self.log.iter().cloned())
    }

    fn take_up(&mut self, program: usize, jobs: &[JobId], start: Start) {
        for job in jobs {
            self.programs[program]
                .held_back
                .push((*job, start == Start::Resumed));
        }
        self.take_up_held_back(program);
    }

    /// Begins the jobs of earlier runs whose device no other job holds.
    pub(super) fn take_up_held_back(&mut self, program: usize) {
        let waiting = core::mem::take(&mut self.programs[program].held_back);
        if waiting.is_empty() {
            return;
        }
        let open = self.open(program);
        for (job, on) in waiting {
            if self.running().contains(&job) || holds(Kind::ListsReadAgain) && !open.contains(&job) {
                continue;
            }
            let Some(kept) = self.journal.get(&job) else {
                continue;
            };
            let started = kept.steps.iter().rev().find_map(|step| match step {
                Step::Started {
                    peripheral, serial, ..
                } => Some((of_peripheral(peripheral), serial.clone())),
                _ => None,
            });
            let Some((device, serial)) = started else {
                continue;
            };
            let held = self.programs[program]
                .posts
                .values()
                .any(|post| post.outcome.is_none() && post.device == device);
            if held {
                self.programs[program].held_back.push((job, on));
                continue;
            }
            let (purpose, label) = (kept.purpose, kept.label);
            let least = kept_least(kept);
            let mut plan = self.plan(program, job, device, purpose);
            plan.serial = serial;
            plan.least = least;
            let start = if on { Start::Resumed } else { Start::Undone };
            self.begin(program, plan, label, start);
        }
    }

    /// A person is asked.
    pub(super) fn asked(&mut self, at: At, id: QuestionId, question: &Question) {
        let Some(label) = self.post(at).map(|post| post.label) else {
            return;
        };
        let trouble = self.fate.at(Place::Question);
        let questions = self.post_mut(at).map_or(0, |post| {
            post.questions += 1;
            post.questions
        });
        // Whoever is asked the same again and again gives up.
        let trouble = if questions > 6 {
            Some(Trouble::Skips)
        } else {
            trouble
        };
        let right = !matches!(trouble, Some(Trouble::Mistypes));
        let answer = match (question, trouble) {
            (_, Some(Trouble::Nobody)) => None,
            (_, Some(Trouble::Skips)) => Some(Answer::Skip),
            (Question::Pop { .. }, _) => Some(Answer::Pop {
                pop: Pop::new(if right {
                    pop(self.devices[label].spec.pop)
                } else {
                    "wrong".into()
                }),
                username: None,
            }),
            (Question::Network { .. } | Question::NetworkDoubt(_), _) => {
                network(SSID, if right { PASSPHRASE } else { "wrong-pass" }).map(Answer::Network)
            }
            (Question::Passphrase { .. }, _) => Some(Answer::Passphrase(Passphrase::new(if right {
                PASSPHRASE
            } else {
                "wrong-pass"
            }))),
        };
        let wait = match trouble {
            Some(Trouble::Hesitates(seconds)) => u64::from(seconds) * 1000,
            _ => 3_000,
        };
        self.tell(
            || job_name(at.job),
            || {
                let asked = match question {
                    Question::Pop { fault, .. } => format!("the proof of possession, since {fault}"),
                    Question::Network { .. } => "the network".into(),
                    Question::NetworkDoubt(fault) => format!("what to do, since {fault}"),
                    Question::Passphrase { fault, .. } => format!("the passphrase, since {fault}"),
                };
                let answered = trouble
                    .map(|trouble| format!("  [{trouble:?}]"))
                    .unwrap_or_default();
                format!("asks for {asked}{answered}")
            },
        );
        if let Some(answer) = answer {
            self.after(wait, Coming::Input(at, None, Input::Answer(id, answer)));
        }
    }
}

/// What earlier runs learnt of how a device protects its session.
fn kept_least(kept: &Kept) -> Least {
    let proven = kept.steps.iter().filter_map(|step| match step {
        Step::Evidence { evidence } => match &evidence.fact {
            Fact::PossessionProven { scheme } => Some(strength_of(DialectKind::Espressif, scheme)),
            _ => None,
        },
        _ => None,
    });
    Least {
        strength: proven.max().unwrap_or_default(),
        identity: false,
    }
}
