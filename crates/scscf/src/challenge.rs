//! One authentication attempt of one private identity, and the judgement on its answer.

use aka::{AuthVector, Auts, DigestAlgorithm, DigestInput, Impu, Nonce, Password, QopInput, Rand};
use sip::{Credentials, Instant};

/// How often one attempt may resynchronise: a UE answers two bad challenges in a row at most.
//= TS 24.229 5.1.1.5.3
pub(crate) const RESYNCS: u8 = 2;

/// The latest attempt. A newer REGISTER without an answer replaces it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u64,
    pub(crate) impu: Impu,
    pub(crate) call_id: String,
    pub(crate) resyncs: u8,
    pub(crate) state: State,
    /// End of reg-await-auth, or of the memory of a spent nonce.
    pub(crate) deadline: Option<Instant>,
}

#[derive(Debug)]
pub(crate) enum State {
    /// The HSS has been asked for a vector.
    Fetching,
    /// Challenged; reg-await-auth runs.
    Waiting(Challenge),
    /// Answered or timed out: an answer to it is refused, never verified again.
    Spent { nonce: String },
}

/// What the answer is verified with.
#[derive(Debug)]
pub(crate) struct Challenge {
    pub(crate) nonce: String,
    pub(crate) rand: Rand,
    password: Password,
}

impl Challenge {
    /// The vector is used up here; what is kept verifies the answer and nothing more.
    pub(crate) fn new(algorithm: DigestAlgorithm, vector: &AuthVector) -> Self {
        Self {
            nonce: Nonce::new(vector.rand, vector.autn).encode(),
            rand: vector.rand,
            password: Password::new(algorithm, &vector.xres, &vector.ik, &vector.ck),
        }
    }

    /// Whether the credentials answer this challenge rightly. `uri` is hashed as received: I-CSCFs change the
    /// Request-URI.
    pub(crate) fn verify(&self, algorithm: DigestAlgorithm, realm: &str, answer: &Credentials<'_>) -> bool {
        let same_algorithm =
            answer.algorithm.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(algorithm.as_str()));
        let input = self.input(realm, answer, "REGISTER");
        let (Some(input), Some(response)) = (input, answer.response.as_deref()) else { return false };
        same_algorithm && answer.realm == realm && input.verify(&self.password, response)
    }

    /// The value of Authentication-Info: our proof towards who has answered rightly.
    //= RFC 2617 3.2.3
    pub(crate) fn authentication_info(&self, realm: &str, answer: &Credentials<'_>) -> Option<String> {
        let input = self.input(realm, answer, "")?;
        let rspauth = input.response(&self.password);
        Some(match input.qop {
            Some(QopInput { nc, cnonce }) => {
                format!("qop=auth, rspauth=\"{rspauth}\", cnonce={}, nc={nc}", sip::text::quote(cnonce))
            }
            None => format!("rspauth=\"{rspauth}\""),
        })
    }

    /// `None` for a qop that we do not offer, or half of one.
    fn input<'a>(
        &'a self,
        realm: &'a str,
        answer: &'a Credentials<'_>,
        method: &'a str,
    ) -> Option<DigestInput<'a>> {
        let qop = match answer.qop.as_deref() {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                Some(QopInput { nc: answer.nc.as_deref()?, cnonce: answer.cnonce.as_deref()? })
            }
            Some(_) => return None,
        };
        let (username, uri) = (&answer.username, &answer.uri);
        Some(DigestInput { username, realm, nonce: &self.nonce, uri, method, qop })
    }
}

/// What a REGISTER is to a running challenge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Not an answer to it: a new beginning.
    None,
    Right,
    Wrong,
    /// MAC failure at the UE.
    Empty,
    /// Sequence number failure at the UE.
    Auts(Auts),
    AutsMalformed,
    /// Right nonce, but not over the new security associations.
    Unprotected,
    /// Right nonce and protected, but under another Call-ID.
    OtherCallId,
}

/// AUTS first, whatever the response is; then the empty response; then the response itself.
//= TS 24.229 5.4.1.2.3
pub(crate) fn judge(
    challenge: &Challenge,
    algorithm: DigestAlgorithm,
    realm: &str,
    credentials: Option<&Credentials<'_>>,
    protected: bool,
    same_call_id: bool,
) -> Answer {
    let Some(credentials) = credentials.filter(|credentials| credentials.nonce == challenge.nonce) else {
        return Answer::None;
    };
    if let Some(auts) = credentials.auts.as_deref() {
        return Auts::from_base64(auts).map_or(Answer::AutsMalformed, Answer::Auts);
    }
    if !credentials.has_response() {
        return Answer::Empty;
    }
    if !protected {
        return Answer::Unprotected;
    }
    if !same_call_id {
        return Answer::OtherCallId;
    }
    if challenge.verify(algorithm, realm, credentials) { Answer::Right } else { Answer::Wrong }
}
