//! Two operators with their UEs and a stranger, and what they do to each other.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::{Border, Captured, Operator, Operators, Options, Recording};
use sip::{Method, Name};
use ue::core::{
    Answer, Answering, Body, Call, CallId, CallStep, Command, EndedBy, Identity, ReceivedRequest, Request,
    Step,
};

use crate::{SESSION, Stranger, register};

/// A UE of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phone(pub Operator, pub u16);

impl Phone {
    pub fn uri(self) -> String {
        self.0.impu(self.1)
    }
}

#[derive(Debug)]
pub struct Stage {
    // Dropped in this order.
    stranger: Option<Stranger>,
    pub operators: Operators,
}

impl Stage {
    /// All four UEs are registered.
    pub fn start(borders: [Border; 2]) -> Result<Self> {
        let mut stage = Self::without_stranger(borders)?;
        stage.stranger = Some(Stranger::start(stage.operators.foreign())?);
        Ok(stage)
    }

    /// The same with nobody at the stranger's address.
    pub fn without_stranger(borders: [Border; 2]) -> Result<Self> {
        let answering = Answering { answer_after: Duration::from_millis(200), ..Answering::default() };
        let options = borders.map(|border| Options {
            ues: 2,
            border: Some(border),
            answering: answering.clone(),
            ..Options::default()
        });
        let mut operators = Operators::start(options)?;
        for operator in [Operator::FIRST, Operator::SECOND] {
            let lab = operators.lab(operator)?;
            for member in 0..2 {
                register(lab, member);
            }
        }
        Ok(Self { stranger: None, operators })
    }

    pub fn stranger(&mut self) -> Result<&mut Stranger> {
        self.stranger.as_mut().context("nobody is at the stranger's address")
    }

    fn command(&mut self, phone: Phone, command: impl Into<Command>) -> Result<Vec<Step>> {
        let lab = self.operators.lab(phone.0)?;
        Ok(lab.command(phone.1.into(), command.into())?.steps)
    }

    /// Sends a MESSAGE with this text, and the final answer.
    pub fn message(&mut self, from: Phone, to: &str, privacy: Option<&str>, text: &str) -> Result<Answer> {
        let request = Request { identity: identity(privacy), ..Request::message(to, text) };
        let steps = self.command(from, request)?;
        match steps.last() {
            Some(Step::Answered { answer, .. }) => Ok((**answer).clone()),
            _ => bail!("{text}: {steps:?}"),
        }
    }

    /// Calls; the call and its answer, which may be a refusal. The session carries `tag`.
    pub fn call(
        &mut self,
        from: Phone,
        to: &str,
        privacy: Option<&str>,
        tag: &str,
    ) -> Result<(CallId, Answer)> {
        let session = Body { content_type: "application/sdp".into(), octets: session(tag) };
        let call = Call { identity: identity(privacy), session, ..Call::to(to) };
        let steps = self.command(from, call)?;
        match steps.last() {
            Some(Step::Call { call, step: CallStep::Answered(answer) }) => {
                let rang = |step: &Step| {
                    matches!(step, Step::Call { step: CallStep::Ringing { status: 180, .. }, .. })
                };
                ensure!(steps.iter().any(rang), "{tag}: nobody heard it ring: {steps:?}");
                Ok((*call, (**answer).clone()))
            }
            Some(Step::Call { call, step: CallStep::Refused(answer) }) => Ok((*call, (**answer).clone())),
            _ => bail!("{tag}: {steps:?}"),
        }
    }

    /// Offers the session again within a call.
    pub fn reinvite(&mut self, phone: Phone, call: CallId) -> Result<()> {
        let steps = self.command(phone, Command::Reinvite { call })?;
        let accepted = |step: &Step| match step {
            Step::Call { step: CallStep::Changed { method, answer }, .. } => {
                *method == Method::Invite && answer.status == 200
            }
            _ => false,
        };
        ensure!(steps.last().is_some_and(accepted), "re-INVITE of {phone:?}: {steps:?}");
        Ok(())
    }

    /// Says something within a call: also before the ACK of the other side's last offer is there.
    pub fn inform(&mut self, phone: Phone, call: CallId) -> Result<()> {
        let steps = self.command(phone, Command::Inform { call, body: Body::text("hello") })?;
        let accepted = |step: &Step| match step {
            Step::Call { step: CallStep::Changed { answer, .. }, .. } => answer.status == 200,
            _ => false,
        };
        ensure!(steps.last().is_some_and(accepted), "INFO of {phone:?}: {steps:?}");
        Ok(())
    }

    pub fn hang_up(&mut self, phone: Phone, call: CallId) -> Result<()> {
        let steps = self.command(phone, Command::HangUp { call })?;
        let ended =
            |step: &Step| matches!(step, Step::Call { step: CallStep::Ended { by: EndedBy::Us }, .. });
        ensure!(steps.last().is_some_and(ended), "BYE of {phone:?}: {steps:?}");
        Ok(())
    }

    /// The next request of this method that comes to a UE.
    pub fn received(&mut self, phone: Phone, method: &str) -> Result<ReceivedRequest> {
        let fits = |step: &Step| matches!(step, Step::Received(request) if &*request.method == method);
        match self.operators.lab(phone.0)?.hear(phone.1.into(), fits)? {
            Step::Received(request) => Ok(*request),
            step => bail!("{step:?}"),
        }
    }

    /// Waits until a UE has the ACK of a call that it has answered.
    pub fn confirmed(&mut self, phone: Phone) -> Result<CallId> {
        let fits = |step: &Step| matches!(step, Step::Call { step: CallStep::Confirmed, .. });
        match self.operators.lab(phone.0)?.hear(phone.1.into(), fits)? {
            Step::Call { call, .. } => Ok(call),
            step => bail!("{step:?}"),
        }
    }

    /// Waits until the other side has hung up.
    pub fn left(&mut self, phone: Phone, call: CallId) -> Result<()> {
        let ended = |step: &Step| {
            let by_peer = CallStep::Ended { by: EndedBy::Peer };
            matches!(step, Step::Call { call: of, step } if *of == call && *step == by_peer)
        };
        self.operators.lab(phone.0)?.hear(phone.1.into(), ended).map(drop)
    }

    /// A whole call between UEs: answered, changed by either side, ended by the called one. What the called one got.
    pub fn whole_call(
        &mut self,
        from: Phone,
        to: Phone,
        privacy: Option<&str>,
        tag: &str,
    ) -> Result<ReceivedRequest> {
        let (call, answer) = self.call(from, &to.uri(), privacy, tag)?;
        ensure!(answer.status == 200, "{tag}: {answer:?}");
        let invite = self.received(to, "INVITE")?;
        let called = self.confirmed(to)?;
        self.reinvite(from, call)?;
        self.received(to, "INVITE").context("the re-INVITE")?;
        self.inform(to, called)?;
        self.received(from, "INFO").context("the INFO of the called one")?;
        self.hang_up(to, called)?;
        self.left(from, call)?;
        Ok(invite)
    }

    /// A whole call to the stranger, ended by the UE.
    pub fn whole_call_to_stranger(
        &mut self,
        from: Phone,
        privacy: Option<&str>,
        tag: &str,
    ) -> Result<sip::Message> {
        let (call, answer) = self.call(from, &Stranger::uri(), privacy, tag)?;
        ensure!(answer.status == 200, "{tag}: {answer:?}");
        let invite = self.stranger()?.wait_for("INVITE")?;
        self.stranger()?.wait_for("ACK")?;
        self.reinvite(from, call)?;
        self.stranger()?.wait_for("INVITE").context("the re-INVITE")?;
        self.stranger()?.wait_for("ACK")?;
        self.hang_up(from, call)?;
        self.stranger()?.wait_for("BYE")?;
        Ok(invite)
    }

    /// A whole call of the stranger, changed by it and ended by the UE. What the UE got.
    pub fn whole_call_of_stranger(
        &mut self,
        to: Phone,
        lines: &[(Name, &str)],
        tag: &str,
    ) -> Result<ReceivedRequest> {
        let border = to.0.border();
        let invite = self.stranger()?.request(Method::Invite, &to.uri(), lines, &session(tag));
        let ok = self.stranger()?.ask(&invite, border)?;
        ensure!(ok.status() == Some(200), "{tag}: {ok:?}");
        let mut dialog = sip::Dialog::uac(&invite, &ok)?;
        let ack = self.stranger()?.acknowledgement(&dialog);
        self.stranger()?.send(&ack, border)?;
        let received = self.received(to, "INVITE")?;
        let called = self.confirmed(to)?;
        let again = self.stranger()?.within(&mut dialog, Method::Invite);
        let ok = self.stranger()?.ask(&again, border)?;
        ensure!(ok.status() == Some(200), "{tag}: {ok:?}");
        let ack = self.stranger()?.acknowledgement(&dialog);
        self.stranger()?.send(&ack, border)?;
        self.received(to, "INVITE").context("the re-INVITE")?;
        self.inform(to, called)?;
        self.stranger()?.wait_for("INFO").context("the INFO of the UE")?;
        self.hang_up(to, called)?;
        self.stranger()?.wait_for("BYE")?;
        Ok(received)
    }
}

fn identity(privacy: Option<&str>) -> Identity {
    Identity { privacy: privacy.map(Into::into), ..Identity::default() }
}

/// A session that is called `tag`: nobody on the way may touch it.
pub fn session(tag: &str) -> Vec<u8> {
    SESSION.replace("s=-", &format!("s={tag}")).into_bytes()
}

/// The request with this in its body that left `from`, as the link carried it.
pub fn carried<'a>(
    recording: &'a Recording,
    from: std::net::IpAddr,
    tag: &str,
) -> impl Iterator<Item = &'a Captured> {
    let tag = tag.to_owned();
    recording.messages.iter().filter(move |seen| {
        let body = seen.message.body();
        let is_here = || body.windows(tag.len()).any(|window| window == tag.as_bytes());
        seen.from.ip() == from && seen.message.is_request() && is_here()
    })
}
