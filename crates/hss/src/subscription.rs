//! An IMS subscription: the unit that is stored, and changed, as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use aka::{Algorithm, Amf, Impi, Impu, Sqn};
use cx::{
    Anonymity, FilterCriteria, IdentityType, PublicIdentity, ServerCapabilities, ServiceProfile, UserData,
    VisitedNetwork,
};

use crate::csv::Imported;

/// The private identities of one user, and the public ones they share. Identities of two subscriptions never touch.
//= TS 23.228 4.3.3.4
#[derive(Debug, Clone)]
pub struct Subscription {
    private: Vec<PrivateIdentity>,
    profile: Profile,
}

/// A private identity and what the AuC needs of it, but for its sequence number, which only the store knows.
#[derive(Debug, Clone)]
pub struct PrivateIdentity {
    pub impi: Impi,
    pub algorithm: Arc<Algorithm>,
    pub amf: Amf,
}

/// Everything about a subscription that is neither a key nor a state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// In order: of an implicit set, the first distinct one that is not barred is the default.
    pub public: Vec<HeldIdentity>,
    /// The implicit registration sets that have something of their own; others have no filter criteria.
    pub sets: Vec<ImplicitSet>,
    /// What an S-CSCF must and should have; none: what the operator wants for all.
    pub capabilities: Option<ServerCapabilities>,
    /// Networks the user may register from; none: what the operator allows all.
    pub visited_networks: Option<Vec<VisitedNetwork>>,
    /// What the S-CSCF adds to the Privacy of the user's requests.
    pub anonymity: Anonymity,
}

/// A public identity of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldIdentity {
    pub impu: Impu,
    pub barred: bool,
    pub kind: IdentityType,
    /// The number of its implicit registration set within the subscription.
    pub set: u32,
    /// The private identities that may register it.
    pub held_by: Vec<Impi>,
}

/// What the identities of an implicit registration set share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImplicitSet {
    pub number: u32,
    pub filter_criteria: Vec<FilterCriteria>,
    /// Whether somebody is to be asked about requests for the user while he is not registered.
    pub unregistered_services: bool,
}

/// A subscription for the store, with the last sequence number of each private identity that was used elsewhere.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    pub subscription: Subscription,
    /// In the order of the private identities; the store counts on from there.
    pub sqns: Vec<Sqn>,
}

/// Why something is no subscription. The texts fit after "failed to …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    #[error("make a subscription: 1 to {} private identities wanted", Subscription::MOST_PRIVATE)]
    PrivateIdentities,
    #[error("make a subscription: 1 to {} public identities wanted", Subscription::MOST_PUBLIC)]
    PublicIdentities,
    #[error("make a subscription: the private identity {0} stands in it twice")]
    RepeatedPrivate(Impi),
    #[error("make a subscription: the public identity {0} stands in it twice")]
    RepeatedPublic(Impu),
    #[error("make a subscription: {0} is held by no private identity, or by one that is not in it")]
    Holder(Impu),
    #[error("make a subscription: {0} has no public identity; a user registers with one")]
    NoPublic(Impi),
    #[error("make a subscription: the set {0} has no identity or stands in it twice")]
    Set(u32),
    #[error("make a subscription: the filter criteria of set {0} are not InitialFilterCriteria elements")]
    FilterCriteria(u32),
    #[error("make a subscription: the profile of {0} is larger than a Cx message can carry")]
    TooLarge(Impi),
    #[error("make a subscription: more than {} capabilities or visited networks", Subscription::MOST_LISTED)]
    TooManyListed,
}

impl Subscription {
    pub const MOST_PRIVATE: usize = 32;
    pub const MOST_PUBLIC: usize = 128;
    pub const MOST_LISTED: usize = 64;
    /// In one call of a store.
    pub const MOST_AT_ONCE: usize = 1000;

    /// What an operator gives: everything is checked, the filter criteria included.
    pub fn new(private: Vec<PrivateIdentity>, profile: Profile) -> Result<Self, ProfileError> {
        let subscription = Self::stored(private, profile)?;
        for set in &subscription.profile.sets {
            subscription.check_filter_criteria(set)?;
        }
        Ok(subscription)
    }

    /// What a store has kept: checked for everything the decisions rely on.
    pub fn stored(private: Vec<PrivateIdentity>, profile: Profile) -> Result<Self, ProfileError> {
        if !(1..=Self::MOST_PRIVATE).contains(&private.len()) {
            return Err(ProfileError::PrivateIdentities);
        }
        if !(1..=Self::MOST_PUBLIC).contains(&profile.public.len()) {
            return Err(ProfileError::PublicIdentities);
        }
        for (at, one) in private.iter().enumerate() {
            if private.iter().take(at).any(|other| other.impi == one.impi) {
                return Err(ProfileError::RepeatedPrivate(one.impi.clone()));
            }
            if !profile.public.iter().any(|held| held.held_by.contains(&one.impi)) {
                return Err(ProfileError::NoPublic(one.impi.clone()));
            }
        }
        for (at, held) in profile.public.iter().enumerate() {
            if profile.public.iter().take(at).any(|other| other.impu == held.impu) {
                return Err(ProfileError::RepeatedPublic(held.impu.clone()));
            }
            let known = |impi: &Impi| private.iter().any(|one| one.impi == *impi);
            if held.held_by.is_empty()
                || held.held_by.len() > Self::MOST_PRIVATE
                || !held.held_by.iter().all(known)
            {
                return Err(ProfileError::Holder(held.impu.clone()));
            }
        }
        for (at, set) in profile.sets.iter().enumerate() {
            let repeated = profile.sets.iter().take(at).any(|other| other.number == set.number);
            if repeated || !profile.public.iter().any(|held| held.set == set.number) {
                return Err(ProfileError::Set(set.number));
            }
        }
        let capabilities = profile.capabilities.as_ref();
        let listed = [
            capabilities.map_or(0, |listed| listed.mandatory.len()),
            capabilities.map_or(0, |listed| listed.optional.len()),
            capabilities.map_or(0, |listed| listed.server_names.len()),
            profile.visited_networks.as_ref().map_or(0, Vec::len),
        ];
        if listed.into_iter().any(|count| count > Self::MOST_LISTED) {
            return Err(ProfileError::TooManyListed);
        }
        Ok(Self { private, profile })
    }

    /// They are sent as they are, so what an S-CSCF would read must be what is meant.
    fn check_filter_criteria(&self, set: &ImplicitSet) -> Result<(), ProfileError> {
        for one in &self.private {
            let data = self.user_data(&one.impi, set.number);
            if data.profiles.iter().all(|profile| profile.identities.is_empty()) {
                continue;
            }
            let xml = data.to_xml();
            if xml.len() > UserData::LARGEST {
                return Err(ProfileError::TooLarge(one.impi.clone()));
            }
            if UserData::from_xml(&xml).ok().as_ref() != Some(&data) {
                return Err(ProfileError::FilterCriteria(set.number));
            }
        }
        Ok(())
    }

    pub fn private(&self) -> &[PrivateIdentity] {
        &self.private
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    pub fn public(&self) -> &[HeldIdentity] {
        &self.profile.public
    }

    pub(crate) fn private_identity(&self, impi: &Impi) -> Option<&PrivateIdentity> {
        self.private.iter().find(|one| one.impi == *impi)
    }

    pub(crate) fn held(&self, impu: &Impu) -> Option<&HeldIdentity> {
        self.profile.public.iter().find(|held| held.impu == *impu)
    }

    /// The implicit set of `impu` as one private identity sees it: what it may register of it.
    pub(crate) fn set_of<'a>(
        &'a self,
        impu: &Impu,
        impi: &'a Impi,
    ) -> impl Iterator<Item = &'a HeldIdentity> + Clone {
        let number = self.held(impu).map(|held| held.set);
        self.profile.public.iter().filter(move |held| Some(held.set) == number && held.held_by.contains(impi))
    }

    pub(crate) fn has_unregistered_services(&self, number: u32) -> bool {
        self.profile.sets.iter().any(|set| set.number == number && set.unregistered_services)
    }

    /// The profile of one set that an S-CSCF downloads.
    //= TS 29.228 6.6
    pub(crate) fn user_data(&self, impi: &Impi, number: u32) -> UserData {
        let set = self.profile.sets.iter().find(|set| set.number == number);
        let held = self.profile.public.iter();
        let identities = held.filter(|held| held.set == number && held.held_by.contains(impi));
        let identities = identities.map(|held| PublicIdentity {
            identity: held.impu.clone(),
            barred: held.barred,
            kind: held.kind,
        });
        UserData {
            private_id: impi.clone(),
            profiles: vec![ServiceProfile {
                identities: identities.collect(),
                filter_criteria: set.map(|set| set.filter_criteria.clone()).unwrap_or_default(),
                anonymity: self.profile.anonymity,
                ..ServiceProfile::default()
            }],
        }
    }
}

/// Makes subscriptions of rows: those that share a public identity belong together, and form one implicit set.
pub fn subscriptions(rows: Vec<Imported>) -> Result<Vec<NewSubscription>, ProfileError> {
    let mut groups: Vec<Vec<Imported>> = Vec::new();
    for (group, row) in group_numbers(&rows).into_iter().zip(rows) {
        if groups.len() <= group {
            groups.resize_with(group + 1, Vec::new);
        }
        if let Some(group) = groups.get_mut(group) {
            group.push(row);
        }
    }
    groups.into_iter().filter(|group| !group.is_empty()).map(one_subscription).collect()
}

/// For each row the number of the first row it is connected with.
fn group_numbers(rows: &[Imported]) -> Vec<usize> {
    let mut leader: Vec<usize> = (0..rows.len()).collect();
    let mut first_with: HashMap<&Impu, usize> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        for held in &row.subscriber.impus {
            let other = *first_with.entry(&held.impu).or_insert(at);
            let (one, other) = (leader_of(&leader, at), leader_of(&leader, other));
            if let Some(slot) = leader.get_mut(one.max(other)) {
                *slot = one.min(other);
            }
        }
    }
    (0..rows.len()).map(|at| leader_of(&leader, at)).collect()
}

/// A leader stands before its followers, so this ends.
fn leader_of(leader: &[usize], mut at: usize) -> usize {
    while let Some(next) = leader.get(at).copied().filter(|next| *next < at) {
        at = next;
    }
    at
}

fn one_subscription(rows: Vec<Imported>) -> Result<NewSubscription, ProfileError> {
    let (mut private, mut sqns) = (Vec::new(), Vec::new());
    let mut public: Vec<HeldIdentity> = Vec::new();
    let mut anonymity = Anonymity::default();
    for Imported { subscriber, sqn } in rows {
        anonymity = anonymity.or(subscriber.anonymity);
        for listed in subscriber.impus {
            match public.iter_mut().find(|held| held.impu == listed.impu) {
                Some(held) => {
                    held.held_by.push(subscriber.impi.clone());
                    // Two rows that disagree: the careful reading counts.
                    held.barred |= listed.barred;
                }
                None => public.push(HeldIdentity {
                    impu: listed.impu,
                    barred: listed.barred,
                    kind: IdentityType::DistinctUser,
                    set: 0,
                    held_by: vec![subscriber.impi.clone()],
                }),
            }
        }
        private.push(PrivateIdentity {
            impi: subscriber.impi,
            algorithm: Arc::new(subscriber.algorithm),
            amf: subscriber.amf,
        });
        sqns.push(sqn);
    }
    let profile = Profile { public, anonymity, ..Profile::default() };
    Ok(NewSubscription { subscription: Subscription::new(private, profile)?, sqns })
}

#[cfg(test)]
mod tests {
    use aka::{K, Opc};

    use super::*;
    use crate::{Subscriber, SubscriberImpu};

    fn row(user: &str, impus: &[&str]) -> Imported {
        let impus = impus.iter().map(|text| SubscriberImpu {
            impu: Impu::new(&format!("sip:{text}@home.example")).unwrap(),
            barred: false,
        });
        let subscriber = Subscriber {
            impi: Impi::new(&format!("{user}@home.example")).unwrap(),
            algorithm: Algorithm::milenage(K::from_bytes([1; 16]), Opc::from_bytes([2; 16])),
            amf: Amf::from_bytes([0, 0]),
            impus: impus.collect(),
            anonymity: Anonymity::default(),
        };
        Imported { subscriber, sqn: Sqn::default() }
    }

    fn users(made: &[NewSubscription]) -> Vec<Vec<&str>> {
        let users = made.iter().map(|new| new.subscription.private.iter().map(|one| one.impi.as_str()));
        users.map(|names| names.map(|name| name.split('@').next().unwrap()).collect()).collect()
    }

    #[test]
    fn rows_that_share_an_identity_are_one_subscription() {
        // a and c are connected through b, which comes last.
        let rows = vec![row("a", &["x"]), row("n", &["n"]), row("c", &["y"]), row("b", &["x", "y"])];
        let made = subscriptions(rows).unwrap();
        assert_eq!(users(&made), [vec!["a", "c", "b"], vec!["n"]]);
        let shared = made[0].subscription.held(&Impu::new("sip:x@home.example").unwrap()).unwrap();
        assert_eq!(shared.held_by.len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_identity_is_in_two_subscriptions(rows in proptest::collection::vec(
            proptest::collection::btree_set(0u8..12, 1..4), 1..20,
        )) {
            let rows: Vec<_> = rows.iter().enumerate().map(|(n, held)| {
                let names: Vec<String> = held.iter().map(|n| format!("p{n}")).collect();
                row(&format!("u{n}"), &names.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            let count = rows.len();
            let made = subscriptions(rows).unwrap();
            proptest::prop_assert_eq!(made.iter().map(|new| new.sqns.len()).sum::<usize>(), count);
            let mut seen = std::collections::HashSet::new();
            for held in made.iter().flat_map(|new| new.subscription.public()) {
                proptest::prop_assert!(seen.insert(held.impu.clone()), "{} twice", held.impu);
            }
        }
    }

    #[test]
    fn what_is_no_subscription_is_refused() {
        let good = subscriptions(vec![row("a", &["a", "b"])]).unwrap().remove(0).subscription;
        let with = |change: &dyn Fn(&mut Profile)| {
            let mut profile = good.profile.clone();
            change(&mut profile);
            Subscription::new(good.private.clone(), profile).map(drop)
        };
        assert_eq!(with(&|_| ()), Ok(()));
        assert_eq!(with(&|profile| profile.public.clear()), Err(ProfileError::PublicIdentities));
        let b = good.public()[1].impu.clone();
        assert_eq!(
            with(&|profile| profile.public[0].impu = b.clone()),
            Err(ProfileError::RepeatedPublic(b.clone()))
        );
        assert_eq!(with(&|profile| profile.public[1].held_by.clear()), Err(ProfileError::Holder(b.clone())));
        let set = |number, xml: &str| ImplicitSet {
            number,
            filter_criteria: vec![FilterCriteria { xml: xml.into() }],
            unregistered_services: false,
        };
        let fine = "<InitialFilterCriteria><Priority>0</Priority></InitialFilterCriteria>";
        assert_eq!(with(&|profile| profile.sets = vec![set(0, fine)]), Ok(()));
        assert_eq!(with(&|profile| profile.sets = vec![set(1, fine)]), Err(ProfileError::Set(1)));
        assert_eq!(with(&|profile| profile.sets = vec![set(0, fine); 2]), Err(ProfileError::Set(0)));
        for wrong in ["", "text", "<a/>", "<InitialFilterCriteria>", "</ServiceProfile><ServiceProfile>"] {
            let refused = with(&|profile| profile.sets = vec![set(0, wrong)]);
            assert_eq!(refused, Err(ProfileError::FilterCriteria(0)), "{wrong:?}");
        }
        let large =
            format!("<InitialFilterCriteria>{}</InitialFilterCriteria>", "x".repeat(UserData::LARGEST));
        assert!(matches!(
            with(&|profile| profile.sets = vec![set(0, &large)]),
            Err(ProfileError::TooLarge(_))
        ));
    }
}
