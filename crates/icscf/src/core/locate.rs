//! Asking the HSS which S-CSCF serves a user.

use cx::{Answer, LinkError, LocationInfo, UserAuthorization};
use sip::Instant;

use super::read::Question;
use super::{CxId, ICscf, Output, Search, Task};
use crate::Refusal;
use crate::pool::Wanted;

impl ICscf {
    pub(super) fn locate(&mut self, now: Instant, task: Task, search: Search) {
        if self.asking.len() + self.proxy.len() >= self.config.transactions {
            return self.refuse(now, task.server, &task.request, Refusal::Overloaded);
        }
        self.next_cx += 1;
        let id = CxId(self.next_cx);
        let request = search.question.request();
        self.asking.insert(id, (task, search));
        self.outputs.push_back(Output::Cx { id, request });
    }

    pub(super) fn located(&mut self, now: Instant, id: CxId, answer: Result<Answer, LinkError>) {
        let Some((task, mut search)) = self.asking.remove(&id) else { return };
        match wanted(&search.question, answer) {
            Ok(wanted) => {
                search.wanted = Some(wanted);
                self.forward(now, task, search);
            }
            Err(refusal) => self.refuse(now, task.server, &task.request, refusal),
        }
    }
}

fn wanted(question: &Question, answer: Result<Answer, LinkError>) -> Result<Wanted, Refusal> {
    match (question, answer) {
        (Question::Authorization(_), Ok(Answer::Uaa(answer))) => match answer {
            Ok(
                UserAuthorization::Subsequent { server_name }
                | UserAuthorization::DeRegistration { server_name },
            ) => Ok(Wanted::Named(server_name)),
            Ok(
                UserAuthorization::FirstRegistration { capabilities }
                | UserAuthorization::Capabilities { capabilities },
            ) => Ok(Wanted::Capable(capabilities)),
            Err(failure) => Err(Refusal::Hss(failure)),
        },
        (Question::Location(_), Ok(Answer::Lia(answer))) => match answer {
            Ok(LocationInfo::Served { server_name }) => Ok(Wanted::Named(server_name)),
            Ok(
                LocationInfo::Capabilities { capabilities }
                | LocationInfo::UnregisteredService { capabilities },
            ) => Ok(Wanted::Capable(capabilities)),
            Err(failure) => Err(Refusal::NotLocated(failure)),
        },
        (_, Ok(_)) => Err(Refusal::WrongAnswer),
        (_, Err(error)) => Err(Refusal::Link(error)),
    }
}
