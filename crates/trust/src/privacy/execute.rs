//! The privacy service: what a last-hop P-CSCF and an edge do to a message before it leaves the trust domain.

use sip::{Draft, Message, Name, NameAddr, text};

use super::{Privacy, PrivacyError, Value};

/// Where the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The P-CSCF of the UE that the message goes to: `id` is done with, and leaves the header as every value does.
    LastHop,
    /// The border towards an untrusted network: `id` stays in the header and tells the networks behind what the
    /// sender wants, as in the examples of RFC 3325.
    Edge,
}

/// What a user agent says about its user.
//= RFC 3323 5.3
const ABOUT_THE_USER: [Name; 6] =
    [Name::Subject, Name::CallInfo, Name::Organization, Name::UserAgent, Name::ReplyTo, Name::InReplyTo];

/// Carries its tag in a message where the party's name was.
pub(crate) const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

impl Privacy {
    /// Does to a request or response what its sender wants, and takes from Privacy what is done. What is neither
    /// built nor critical stays there. On an error the draft must not be sent.
    pub fn execute(&self, draft: &mut Draft<'_>, service: Service) -> Result<(), PrivacyError> {
        self.check()?;
        if self.asks(&Value::Id) {
            //= RFC 3325 7
            draft.remove(Name::PAssertedIdentity);
        }
        if self.asks(&Value::History) {
            //= RFC 7044 10.1.2
            draft.remove(Name::HistoryInfo);
        }
        if self.asks(&Value::User) {
            anonymise(draft);
        }
        self.sign_off(draft, service);
        Ok(())
    }

    /// Takes the values that are done out of the header; when it is empty, the header and its Proxy-Require go.
    //= RFC 3323 5
    fn sign_off(&self, draft: &mut Draft<'_>, service: Service) {
        let done = |word: &str| match Value::parse(word) {
            Some(value) => self.asks(&value) && value.is_built(),
            None => false,
        };
        let words =
            || draft.lines(Name::Privacy).flat_map(|line| line.split([';', ','])).map(str::trim_ascii);
        let is = |word: &str, known: &str| word.eq_ignore_ascii_case(known);
        let is_open = |word: &&str| !word.is_empty() && !is(word, "critical") && !done(word);
        let keeps_id = service == Service::Edge && self.asks(&Value::Id);
        let all_done = words().find(is_open).is_none();
        let left: Vec<_> = words().filter(|word| is_open(word) || (keeps_id && is(word, "id"))).collect();
        let left = left.join(";");
        if left.is_empty() {
            draft.remove(Name::Privacy);
        } else if draft.first(Name::Privacy).is_some_and(|line| line != left) {
            draft.set(Name::Privacy, left);
        }
        if all_done && !self.is_none() {
            drop_tag(draft, Name::ProxyRequire, "privacy");
        }
    }
}

fn anonymise(draft: &mut Draft<'_>) {
    for name in ABOUT_THE_USER {
        draft.remove(name);
    }
    if draft.is_request() {
        let anonymous = draft.first(Name::From).map(anonymous);
        if let Some(anonymous) = anonymous {
            draft.set(Name::From, anonymous);
        }
    } else {
        // From and To of a response are what its request had. Server is the User-Agent of who answers.
        draft.remove(Name::Server);
    }
}

/// The anonymous address with the tag of this one.
pub(crate) fn anonymous(address: &str) -> String {
    match NameAddr::parse(address).and_then(|address| address.tag()) {
        Some(tag) => format!("{ANONYMOUS};tag={tag}"),
        None => ANONYMOUS.into(),
    }
}

fn drop_tag(draft: &mut Draft<'_>, name: Name, tag: &str) {
    let tags: Vec<_> = draft.lines(name).flat_map(text::list).map(str::to_owned).collect();
    if tags.iter().any(|one| one.eq_ignore_ascii_case(tag)) {
        let left: Vec<_> = tags.into_iter().filter(|one| !one.eq_ignore_ascii_case(tag)).collect();
        draft.replace_values(name, (!left.is_empty()).then(|| left.join(", ")));
    }
}

/// Gives From and To of a response the values that the request had where it came in, so that nobody sees his own
/// address changed: before it had been made anonymous, or had been given back its name. The tag of To is the response's.
//= RFC 3261 8.2.6.2
pub fn answer_as_asked(request: &Message, draft: &mut Draft<'_>) {
    if let Some(from) = request.first(Name::From) {
        draft.set(Name::From, from.to_owned());
    }
    let Some(asked) = request.first(Name::To) else { return };
    let has_tag = |value: &str| NameAddr::parse(value).and_then(|to| to.tag()).is_some();
    let tag = draft.first(Name::To).and_then(NameAddr::parse).and_then(|to| to.tag()).map(str::to_owned);
    let to = match tag {
        Some(tag) if !has_tag(asked) => format!("{asked};tag={tag}"),
        _ => asked.to_owned(),
    };
    draft.set(Name::To, to);
}
