//! SM6 to SM7: the card answers the challenge, the kernel takes the new set, the answer leaves over it.

use aka::digest::{DigestAlgorithm, DigestInput, DigestResponse, Nonce, Password, QopInput};
use aka::{Auts, IsimFailure, IsimResponse, Rand};
use sec_agree::{Associations, End, EspKeys, SaSet, SecAgreeError, SecurityServer};
use sip::text::quote;
use sip::{Challenge, Instant, Message, Name};

use super::sets::Via;
use super::{Failure, Output, SetId, Step, Ue};

/// Challenges in a row that a UE answers although its card refuses them.
//= TS 24.229 5.1.1.5.3
const INVALID_CHALLENGES: u8 = 2;

impl Ue {
    pub(super) fn challenged(&mut self, now: Instant, response: &Message) {
        let challenge = match response.www_authenticate() {
            Some(Ok(challenge)) => challenge,
            _ => return self.fail(now, Failure::BadChallenge("it is missing or malformed")),
        };
        let algorithm =
            challenge.algorithm.as_deref().and_then(|token| token.parse::<DigestAlgorithm>().ok());
        let Some(algorithm) = algorithm else {
            return self.fail(now, Failure::BadChallenge("its algorithm is not one of AKA"));
        };
        let Ok(nonce) = Nonce::decode(&challenge.nonce) else {
            return self.fail(now, Failure::BadChallenge("its nonce holds no RAND and AUTN"));
        };
        match self.ask_card(&nonce) {
            Ok(answer) => self.accepted(now, response, &challenge, (algorithm, nonce.rand), answer),
            Err(failure) => self.refused(now, &challenge, algorithm, failure),
        }
    }

    fn accepted(
        &mut self,
        now: Instant,
        response: &Message,
        challenge: &Challenge<'_>,
        (algorithm, rand): (DigestAlgorithm, Rand),
        answer: IsimResponse,
    ) {
        if self.attempt.as_ref().is_none_or(|attempt| attempt.answering) {
            // Our answer was right, or the network would have said 403; a second challenge needs a new offer.
            return self.fail(now, Failure::BadChallenge("it answers the answer to another"));
        }
        let server = match SecurityServer::parse(response.values(Name::SecurityServer)) {
            Ok(server) => server,
            Err(error) => return self.fail(now, Failure::SecurityAgreement(error)),
        };
        let first_via = self.attempt.as_ref().map_or(Via::Clear, |attempt| attempt.first_via);
        let way = match self.way(first_via, response) {
            Ok(way) => way,
            Err(failure) => return self.fail(now, failure),
        };
        let algorithms = match server.choose_in(way.mode(), &self.config.algorithms) {
            Ok(algorithms) => algorithms,
            //= TS 33.203 Annex M: without UDP-enc-tun in the list the UE gives up
            Err(cause @ SecAgreeError::NoUdpEncTun) => {
                return self.fail(now, Failure::BehindNat { seen: way.address, cause });
            }
            Err(error) => return self.fail(now, Failure::SecurityAgreement(error)),
        };
        let password = Password::new(algorithm, &answer.res, &answer.ik, &answer.ck);
        let (authorization, rspauth) = self.authorization(challenge, algorithm, &password, None);
        if let Some(earlier) = self.sets.remove_temporary(None) {
            self.outputs.push_back(Output::RemoveSas { associations: earlier.associations });
        }
        let Some(attempt) = &mut self.attempt else { return };
        let ue = End { address: way.address, setup: attempt.offer.setup() };
        let p_cscf = End { address: self.config.p_cscf.ip(), setup: server.setup() };
        let agreed = Associations::new(&ue, &p_cscf, algorithms)
            .and_then(|plain| way.encapsulation.map_or(Ok(plain), |outer| plain.encapsulated(outer)));
        let associations = match agreed {
            Ok(associations) => associations,
            Err(error) => return self.fail(now, Failure::SecurityAgreement(error)),
        };
        attempt.authorization = Some(authorization);
        attempt.distrusted = false;
        attempt.rspauth = Some(rspauth);
        let ik = match attempt.fault {
            Some(fault) => fault.ik(answer.ik),
            None => answer.ik,
        };
        let keys = EspKeys::expand(algorithms, &answer.ck, &ik);
        let (set, lifetime) = self.sets.insert(now, associations, server);
        self.outputs.push_back(Output::InstallSas { set, sas: SaSet::new(associations, keys), lifetime });
        self.step(Step::Challenged { rand, associations: Box::new(associations) });
    }

    /// SM7 may leave.
    pub(super) fn sas_installed(&mut self, now: Instant, set: SetId) {
        let known = self.sets.get(set).is_some();
        let waiting = self.attempt.as_mut().filter(|attempt| known && !attempt.answering);
        let Some(attempt) = waiting else { return };
        let Some(mut authorization) = attempt.authorization.clone() else { return };
        attempt.via = Via::Set(set);
        attempt.answering = true;
        if let Some(fault) = attempt.fault
            && let Err(failure) = self.spoil_answer(fault, &mut authorization)
        {
            return self.fail(now, failure);
        }
        self.send_register(now, &authorization);
    }

    /// The card says no: the network hears why, with a new offer and no set (`spec/02` section 5).
    fn refused(
        &mut self,
        now: Instant,
        challenge: &Challenge<'_>,
        algorithm: DigestAlgorithm,
        failure: IsimFailure,
    ) {
        let Some(attempt) = &mut self.attempt else { return };
        attempt.refused += 1;
        let enough = attempt.refused > INVALID_CHALLENGES;
        match failure {
            IsimFailure::MacFailure if enough => self.fail(now, Failure::NetworkAuthentication),
            IsimFailure::SyncFailure(_) if enough => self.fail(now, Failure::Synchronisation),
            IsimFailure::MacFailure => {
                // The network may answer with a better challenge; else this was the reason.
                attempt.distrusted = true;
                //= TS 33.203 6.1.2.2: the network is told with an empty response
                let domain = &self.config.home_domain;
                let authorization = format!(
                    "Digest username={}, realm={}, uri=\"sip:{domain}\", nonce={}, algorithm={algorithm}, response=\"\"",
                    quote(self.config.impi.as_str()),
                    quote(&challenge.realm),
                    quote(&challenge.nonce),
                );
                self.register_again(now, &authorization);
            }
            IsimFailure::SyncFailure(auts) => {
                attempt.distrusted = false;
                self.step(Step::SynchronisationFailure);
                let (authorization, _) =
                    self.authorization(challenge, algorithm, &Password::empty(algorithm), Some(auts));
                self.register_again(now, &authorization);
            }
        }
    }

    /// The Authorization that answers `challenge`, and the rspauth a server that knows the password answers it with.
    fn authorization(
        &mut self,
        challenge: &Challenge<'_>,
        algorithm: DigestAlgorithm,
        password: &Password,
        auts: Option<Auts>,
    ) -> (Box<str>, DigestResponse) {
        // One nonce is answered once, so the count is always 1 and the cnonce need not be kept.
        let cnonce = challenge.offers_qop("auth").then(|| self.token());
        let (username, uri) = (self.config.impi.as_str(), format!("sip:{}", self.config.home_domain));
        let qop = cnonce.as_deref().map(|cnonce| QopInput { nc: "00000001", cnonce });
        let input = DigestInput {
            username,
            realm: &challenge.realm,
            nonce: &challenge.nonce,
            uri: &uri,
            method: "REGISTER",
            qop,
        };
        let response: DigestResponse = input.response(password);
        let rspauth = DigestInput { method: "", ..input }.response(password);
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, algorithm={algorithm}, response=\"{}\"",
            quote(username),
            quote(&challenge.realm),
            quote(&challenge.nonce),
            quote(&uri),
            response.as_str(),
        );
        if let Some(cnonce) = cnonce {
            value.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &challenge.opaque {
            value.push_str(&format!(", opaque={}", quote(opaque)));
        }
        if let Some(auts) = auts {
            value.push_str(&format!(", auts=\"{}\"", auts.to_base64()));
        }
        (value.into(), rspauth)
    }
}
