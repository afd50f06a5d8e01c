//! A Cx request on its way through the HSS: whom it is about, then what is decided.

use aka::{Impi, Impu, Sqn};
use cx::{Answer, BaseCode, CxFailure, ExperimentalCode, Origin, Request};
use rand_chacha::ChaCha20Rng;

use super::authenticate::Vectors;
use super::procedure::{Given, Procedure, Step};
use super::termination::Notice;
use crate::store::{Change, Key, Loaded, SqnTake};
use crate::{State, StoreError, Subscription};

/// An answer, and whom it leaves to be told.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) notices: Vec<Notice>,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self { answer, notices: Vec::new() }
    }
}

/// What a decision finds, and may change.
pub(super) struct View<'a> {
    pub(super) subscription: &'a Subscription,
    pub(super) state: State,
    pub(super) given: &'a Given<'a>,
    pub(super) from: &'a Origin,
    pub(super) notices: Vec<Notice>,
}

/// What is to be answered once the change is written.
pub(super) enum Decision {
    Answer(Answer),
    Vectors(Vectors, SqnTake),
}

pub(super) struct Asked {
    from: Origin,
    request: Request,
    /// A subscription was found, but not with this identity: whether anybody has it decides the answer.
    foreign: Option<Impu>,
    waiting: Option<(Decision, Vec<Notice>)>,
}

impl Asked {
    /// Fails with the answer when it is not for an HSS, or says nothing about whom it is.
    pub(super) fn new(from: &Origin, request: Request) -> Result<Self, Answer> {
        let asked = Self { from: from.clone(), request, foreign: None, waiting: None };
        match (&asked.request, asked.key()) {
            (Request::Rtr(_) | Request::Ppr(_), _) => {
                Err(asked.request.refused(BaseCode::CommandUnsupported))
            }
            (_, None) => Err(asked.request.refused(BaseCode::MissingAvp)),
            _ => Ok(asked),
        }
    }

    fn key(&self) -> Option<Key> {
        match &self.request {
            Request::Uar(uar) => Some(Key::Impi(uar.impi.clone())),
            Request::Mar(mar) => Some(Key::Impi(mar.impi.clone())),
            Request::Lir(lir) => Some(Key::Impu(lir.impu.clone())),
            Request::Sar(sar) => {
                let impi = sar.impi.clone().map(Key::Impi);
                impi.or_else(|| sar.impus.first().cloned().map(Key::Impu))
            }
            Request::Rtr(_) | Request::Ppr(_) => None,
        }
    }

    /// The public identities named in it, with the private one that must hold them.
    fn named(&self) -> (Option<&Impi>, &[Impu]) {
        match &self.request {
            Request::Uar(uar) => (Some(&uar.impi), std::slice::from_ref(&uar.impu)),
            Request::Mar(mar) => (Some(&mar.impi), std::slice::from_ref(&mar.impu)),
            Request::Sar(sar) => (sar.impi.as_ref(), &sar.impus),
            Request::Lir(_) | Request::Rtr(_) | Request::Ppr(_) => (None, &[]),
        }
    }

    fn refuse(&self, failure: impl Into<CxFailure>) -> Step<Outcome> {
        Step::Done(self.request.refused(failure).into())
    }

    fn decide(&self, view: &mut View<'_>) -> Decision {
        match &self.request {
            Request::Uar(uar) => Decision::Answer(Answer::Uaa(view.authorize(uar))),
            Request::Sar(sar) => Decision::Answer(Answer::Saa(view.assign(sar))),
            Request::Lir(lir) => Decision::Answer(Answer::Lia(view.locate(lir))),
            Request::Mar(mar) => match view.authenticate(mar) {
                Ok((vectors, take)) => Decision::Vectors(vectors, take),
                Err(failure) => Decision::Answer(Answer::Maa(Err(failure))),
            },
            Request::Rtr(_) | Request::Ppr(_) => {
                Decision::Answer(self.request.refused(BaseCode::CommandUnsupported))
            }
        }
    }
}

impl Procedure for Asked {
    type Outcome = Outcome;

    fn start(&mut self) -> Step<Outcome> {
        self.foreign = None;
        match self.key() {
            Some(key) => Step::Load(key),
            None => self.refuse(BaseCode::MissingAvp),
        }
    }

    fn loaded(&mut self, loaded: Option<Loaded>, given: &Given<'_>) -> Step<Outcome> {
        if self.foreign.take().is_some() {
            return match loaded {
                Some(_) => self.refuse(ExperimentalCode::IdentitiesDontMatch),
                None => self.refuse(ExperimentalCode::UserUnknown),
            };
        }
        let Some(loaded) = loaded else { return self.refuse(ExperimentalCode::UserUnknown) };
        let subscription = &loaded.subscription;
        let (impi, impus) = self.named();
        if let Some(foreign) = impus.iter().find(|impu| subscription.held(impu).is_none()).cloned() {
            self.foreign = Some(foreign.clone());
            return Step::Load(Key::Impu(foreign));
        }
        let held_by =
            |impi: &Impi, impu| subscription.held(impu).is_some_and(|held| held.held_by.contains(impi));
        if impi.is_some_and(|impi| !impus.iter().all(|impu| held_by(impi, impu))) {
            return self.refuse(ExperimentalCode::IdentitiesDontMatch);
        }

        let mut state = State::clone(&loaded.state);
        state.expire(given.now, given.policy.pending_lifetime);
        let mut view = View { subscription, state, given, from: &self.from, notices: Vec::new() };
        let decision = self.decide(&mut view);
        let View { state, notices, .. } = view;
        let refused = matches!(&decision, Decision::Answer(answer) if answer.failure().is_some());
        // A refusal changes nothing.
        let state = (!refused && state != *loaded.state).then_some(state);
        let take = match &decision {
            Decision::Vectors(_, take) => Some(take.clone()),
            Decision::Answer(_) => None,
        };
        match decision {
            Decision::Answer(answer) if state.is_none() => Step::Done(answer.into()),
            decision => {
                self.waiting = Some((decision, notices));
                Step::Commit(Change { id: loaded.id, revision: loaded.revision, state, take })
            }
        }
    }

    fn written(&mut self, sqns: Vec<Sqn>, random: &mut ChaCha20Rng) -> Outcome {
        match self.waiting.take() {
            Some((Decision::Answer(answer), notices)) => Outcome { answer, notices },
            Some((Decision::Vectors(vectors, _), notices)) => {
                Outcome { answer: Answer::Maa(Ok(vectors.make(&sqns, random))), notices }
            }
            None => self.request.refused(BaseCode::UnableToComply).into(),
        }
    }

    fn failed(&mut self, error: StoreError) -> Outcome {
        let code = match &error {
            StoreError::Busy | StoreError::Contended => BaseCode::TooBusy,
            _ => BaseCode::UnableToComply,
        };
        let (request, impi) = (self.request.name(), self.named().0);
        tracing::warn!(request, impi = impi.map(Impi::as_str), %error, "no answer but an error");
        self.request.refused(code).into()
    }
}
