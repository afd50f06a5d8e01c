//! What an operator sees of a subscription: everything but its keys.

use aka::Algorithm;

use crate::Status;
use crate::control::{Shown, ShownPrivate, ShownPublic, ShownSet};
use crate::store::Loaded;

pub(super) fn shown(loaded: &Loaded) -> Shown {
    let (subscription, state) = (&loaded.subscription, &loaded.state);
    let private = subscription.private().iter().zip(&loaded.sqns).map(|(one, sqn)| ShownPrivate {
        impi: one.impi.as_str().to_owned(),
        algorithm: match &*one.algorithm {
            Algorithm::Milenage(_) => "milenage",
            Algorithm::Tuak(_) => "tuak",
        }
        .to_owned(),
        amf: one.amf.to_string(),
        sqn: sqn.to_string(),
    });
    let public = subscription.public().iter().map(|held| ShownPublic {
        impu: held.impu.as_str().to_owned(),
        barred: held.barred,
        set: held.set,
        state: match state.status(&held.impu) {
            Status::Registered => "registered",
            Status::Unregistered => "unregistered",
            Status::NotRegistered => "not registered",
        }
        .to_owned(),
        server_name: state.server(&held.impu).map(|name| name.as_str().to_owned()),
        registered_by: state.registered_by(&held.impu).iter().map(|impi| impi.as_str().to_owned()).collect(),
        pending: held
            .held_by
            .iter()
            .filter(|impi| state.is_pending(&held.impu, impi))
            .map(|impi| impi.as_str().to_owned())
            .collect(),
    });
    let sets = subscription.profile().sets.iter().map(|set| ShownSet {
        number: set.number,
        criteria: set.filter_criteria.iter().map(|criteria| criteria.summary().to_string()).collect(),
    });
    Shown {
        private: private.collect(),
        public: public.collect(),
        sets: sets.collect(),
        anonymous: subscription.profile().anonymity.as_str().to_owned(),
        reassignment_pending: state.is_reassignment_pending(),
    }
}
