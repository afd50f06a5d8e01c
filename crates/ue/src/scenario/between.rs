//! Steps between users: what they say in the file, what the UE is told, and what must come of them.

use super::{Deed, Step};
use crate::core::{Answering, Call, CallAnswer, Command, Identity, ReceivedRequest, Request};

/// A request that must come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    pub text: Option<Box<str>>,
    /// Every P-Asserted-Identity it must have; an empty list where it must have none.
    pub asserted: Option<Vec<Box<str>>>,
    pub privacy: Option<Box<str>>,
}

/// Seconds that a subscription of a scenario lasts.
const SUBSCRIBED: u32 = 3600;

impl Step {
    /// Which keys are there, and whether each means something for this deed.
    pub(super) fn fits_between(&self, deed: &Deed) -> [(&'static str, bool, bool); 10] {
        let opens = matches!(deed, Deed::Request(_) | Deed::Call(_));
        let is_message = deed.as_str() == "message" || matches!(deed, Deed::ExpectMessage(_));
        let waits = matches!(deed, Deed::ExpectMessage(_));
        [
            ("to", self.to.is_some(), opens),
            ("text", self.text.is_some(), is_message),
            ("package", self.package.is_some(), deed.as_str() == "subscribe"),
            ("from", self.from.is_some(), opens),
            ("preferred", self.preferred.is_some(), opens),
            ("asserted", self.asserted.is_some(), opens || waits),
            ("privacy", self.privacy.is_some(), opens || waits),
            ("headers", self.headers.is_some(), opens),
            ("reliable", self.reliable.is_some(), matches!(deed, Deed::Call(_))),
            ("answer", self.answer.is_some(), matches!(deed, Deed::WaitCall(_))),
        ]
    }

    /// The deed of this name; an error names the key it lacks.
    pub(super) fn deed_between(&self, name: &str) -> Option<Result<Deed, &'static str>> {
        let to = || self.to.as_deref().ok_or("to");
        Some(match name {
            "message" => to().map(|to| {
                let text = self.text.as_deref().unwrap_or_default();
                self.request(Request::message(to, text))
            }),
            "options" => to().map(|to| self.request(Request::options(to))),
            "subscribe" => to().and_then(|to| {
                let package = self.package.as_deref().ok_or("package")?;
                Ok(self.request(Request::subscribe(to, package, SUBSCRIBED)))
            }),
            "call" => to().map(|to| {
                let call = Call::to(to);
                let reliable = self.reliable.unwrap_or(call.reliable);
                let (identity, headers) = (self.identity(), self.headers());
                Deed::Call(Box::new(Call { identity, headers, reliable, ..call }))
            }),
            "hang-up" => Ok(Deed::HangUp),
            "cancel" => Ok(Deed::Cancel),
            "reinvite" => Ok(Deed::Reinvite),
            "update" => Ok(Deed::Update),
            "wait-call" => {
                Ok(Deed::WaitCall(self.answer.as_ref().and_then(|name| name.get_ref().parse().ok())))
            }
            "wait-end" => Ok(Deed::WaitEnd),
            "expect-message" => Ok(Deed::ExpectMessage(Box::new(Wanted {
                text: self.text.as_deref().map(Into::into),
                asserted: self.asserted.as_ref().map(|list| boxed(list)),
                privacy: self.privacy.as_deref().map(Into::into),
            }))),
            _ => return None,
        })
    }

    fn request(&self, request: Request) -> Deed {
        let (identity, headers) = (self.identity(), self.headers());
        Deed::Request(Box::new(Request { identity, headers, ..request }))
    }

    fn identity(&self) -> Identity {
        Identity {
            from: self.from.as_deref().map(Into::into),
            preferred: self.preferred.as_ref().map(|list| boxed(list)).unwrap_or_default(),
            asserted: self.asserted.as_ref().map(|list| boxed(list)).unwrap_or_default(),
            privacy: self.privacy.as_deref().map(Into::into),
        }
    }

    fn headers(&self) -> Vec<(Box<str>, Box<str>)> {
        let headers = self.headers.iter().flatten();
        headers.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect()
    }
}

fn boxed(list: &[String]) -> Vec<Box<str>> {
    list.iter().map(|value| value.as_str().into()).collect()
}

/// What the UE is told so that calls are answered so.
pub(super) fn answering(with: CallAnswer) -> Command {
    Command::Answer(Box::new(Answering { with, ..Answering::default() }))
}

impl Wanted {
    /// Whether this is the request that is waited for.
    pub(super) fn is(&self, request: &ReceivedRequest) -> bool {
        &*request.method == "MESSAGE"
            && self.text.as_ref().is_none_or(|text| request.text.as_ref() == Some(text))
    }

    /// What it says otherwise than it must.
    pub(super) fn fault(&self, request: &ReceivedRequest) -> Option<Box<str>> {
        if let Some(asserted) = self.asserted.as_ref().filter(|wanted| **wanted != request.asserted) {
            let (found, wanted) = (request.asserted.join(", "), asserted.join(", "));
            return Some(format!("P-Asserted-Identity is {found:?}, not {wanted:?}").into());
        }
        match &self.privacy {
            Some(wanted) if request.privacy.as_ref() != Some(wanted) => {
                let found = request.privacy.as_deref().unwrap_or_default();
                Some(format!("Privacy is {found:?}, not {wanted:?}").into())
            }
            _ => None,
        }
    }
}
