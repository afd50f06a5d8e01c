//! An operator's changes as a function from one profile to the next.

use aka::Impu;
use cx::{FilterCriteria, IdentityType, UserData};

use crate::control::{Change, RequestError};
use crate::store::Key;
use crate::{Edit, HeldIdentity, ImplicitSet, OperationError, Profile};

/// Reads the changes; what they mean for a profile shows when they meet it.
pub(super) fn edit(user: &Key, change: &Change) -> Result<Edit, RequestError> {
    if *change == Change::default() {
        return Err(RequestError::NoChange);
    }
    let impus = |texts: &[String]| texts.iter().map(|text| impu(text)).collect::<Result<Vec<_>, _>>();
    let read = Read {
        user: user.clone(),
        bar: impus(&change.bar)?,
        unbar: impus(&change.unbar)?,
        add: impus(&change.add)?,
        drop: impus(&change.drop)?,
        criteria: change.criteria.as_deref().map(criteria).transpose()?,
    };
    Ok(Box::new(move |profile| {
        read.apply(profile).map_err(|error| OperationError::Refused(error.to_string()))
    }))
}

fn impu(text: &str) -> Result<Impu, RequestError> {
    Impu::new(text).map_err(|_| RequestError::Impu(text.to_owned()))
}

/// Reads elements the way an S-CSCF will.
fn criteria(text: &str) -> Result<Vec<FilterCriteria>, RequestError> {
    let document = format!(
        "<IMSSubscription><PrivateID>a@b</PrivateID><ServiceProfile><PublicIdentity><Identity>sip:a@b</Identity>\
         </PublicIdentity>{text}</ServiceProfile></IMSSubscription>"
    );
    let read = UserData::from_xml(document.as_bytes()).map_err(|_| RequestError::Criteria)?;
    match <[_; 1]>::try_from(read.profiles) {
        // More than one identity: the text has ended the profile and begun another.
        Ok([profile]) if profile.identities.len() == 1 => {
            if profile.filter_criteria.is_empty() && !text.trim().is_empty() {
                return Err(RequestError::Criteria);
            }
            Ok(profile.filter_criteria)
        }
        _ => Err(RequestError::Criteria),
    }
}

struct Read {
    user: Key,
    bar: Vec<Impu>,
    unbar: Vec<Impu>,
    add: Vec<Impu>,
    drop: Vec<Impu>,
    criteria: Option<Vec<FilterCriteria>>,
}

impl Read {
    fn apply(&self, profile: &Profile) -> Result<Profile, RequestError> {
        let mut profile = profile.clone();
        // The sets of the user, of which the first takes what is added.
        let mut sets: Vec<u32> =
            profile.public.iter().filter(|held| self.is_of_user(held)).map(|held| held.set).collect();
        sets.dedup();
        let model = profile.public.iter().find(|held| self.is_of_user(held)).cloned();
        for impu in &self.drop {
            let before = profile.public.len();
            profile.public.retain(|held| held.impu != *impu);
            if profile.public.len() == before {
                return Err(unknown("drop", impu));
            }
        }
        for impu in &self.add {
            if profile.public.iter().any(|held| held.impu == *impu) {
                return Err(RequestError::Identity {
                    what: "add",
                    impu: impu.to_string(),
                    why: "the subscriber has it already",
                });
            }
            let Some(model) = &model else { return Err(RequestError::User) };
            profile.public.push(HeldIdentity {
                impu: impu.clone(),
                barred: false,
                kind: IdentityType::DistinctUser,
                ..model.clone()
            });
        }
        for (impus, barred, what) in [(&self.bar, true, "bar"), (&self.unbar, false, "unbar")] {
            for impu in impus {
                let held = profile.public.iter_mut().find(|held| held.impu == *impu);
                held.ok_or_else(|| unknown(what, impu))?.barred = barred;
            }
        }
        if let Some(criteria) = &self.criteria {
            for number in sets {
                if !profile.sets.iter().any(|set| set.number == number) {
                    profile.sets.push(ImplicitSet { number, ..ImplicitSet::default() });
                }
                let of_number = profile.sets.iter_mut().filter(|set| set.number == number);
                of_number.for_each(|set| set.filter_criteria.clone_from(criteria));
            }
        }
        Ok(profile)
    }

    fn is_of_user(&self, held: &HeldIdentity) -> bool {
        match &self.user {
            Key::Impi(impi) => held.held_by.contains(impi),
            Key::Impu(impu) => held.impu == *impu,
        }
    }
}

fn unknown(what: &'static str, impu: &Impu) -> RequestError {
    RequestError::Identity { what, impu: impu.to_string(), why: "the subscriber does not have it" }
}

#[cfg(test)]
mod tests {
    use aka::Impi;

    use super::*;

    fn held(text: &str, set: u32) -> HeldIdentity {
        HeldIdentity {
            impu: Impu::new(text).unwrap(),
            barred: false,
            kind: IdentityType::DistinctUser,
            set,
            held_by: vec![Impi::new("u@home.example").unwrap()],
        }
    }

    fn profile() -> Profile {
        Profile {
            public: vec![held("sip:a@b", 0), held("sip:c@b", 0), held("sip:d@b", 1)],
            ..Profile::default()
        }
    }

    fn edited(user: &str, change: &Change) -> Result<Profile, String> {
        let edit = edit(&crate::control::user(user).unwrap(), change).map_err(|error| error.to_string())?;
        edit(&profile()).map_err(|error| error.to_string())
    }

    const IFC: &str = "<InitialFilterCriteria><Priority>1</Priority><ApplicationServer><ServerName>sip:as@b\
                       </ServerName></ApplicationServer></InitialFilterCriteria>";

    #[test]
    fn changes_are_made_together() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let change = Change {
            bar: list(&["sip:a@b", "sip:e@b"]),
            add: list(&["sip:e@b"]),
            drop: list(&["sip:c@b"]),
            criteria: Some(format!("{IFC}\n{IFC}")),
            ..Change::default()
        };
        let after = edited("u@home.example", &change).unwrap();
        let shown: Vec<_> =
            after.public.iter().map(|held| (held.impu.as_str(), held.barred, held.set)).collect();
        assert_eq!(shown, [("sip:a@b", true, 0), ("sip:d@b", false, 1), ("sip:e@b", true, 0)]);
        let criteria: Vec<_> = after.sets.iter().map(|set| (set.number, set.filter_criteria.len())).collect();
        assert_eq!(criteria, [(0, 2), (1, 2)]);
        // By one identity, its set alone.
        let change = Change { criteria: Some(IFC.into()), ..Change::default() };
        assert_eq!(edited("sip:d@b", &change).unwrap().sets.len(), 1);
    }

    #[test]
    fn what_does_not_go_is_told() {
        let one = |text: &str| vec![text.to_owned()];
        for (change, told) in [
            (Change::default(), "no change is named"),
            (
                Change { bar: one("sip:x@b"), ..Change::default() },
                "bar sip:x@b: the subscriber does not have it",
            ),
            (Change { drop: one("sip:x@b"), ..Change::default() }, "drop sip:x@b"),
            (Change { add: one("sip:a@b"), ..Change::default() }, "has it already"),
            (Change { add: one("nobody"), ..Change::default() }, "as a public identity"),
            (Change { criteria: Some("<a/>".into()), ..Change::default() }, "InitialFilterCriteria"),
            (
                Change { criteria: Some("<InitialFilterCriteria>".into()), ..Change::default() },
                "InitialFilterCriteria",
            ),
            (
                Change {
                    criteria: Some(
                        "</ServiceProfile><ServiceProfile><PublicIdentity><Identity>sip:z@b</Identity>\
                                    </PublicIdentity>"
                            .into(),
                    ),
                    ..Change::default()
                },
                "InitialFilterCriteria",
            ),
        ] {
            let error = edited("u@home.example", &change).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
