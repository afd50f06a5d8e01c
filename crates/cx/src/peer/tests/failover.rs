//! Losing peers, and what becomes of the requests.

use super::*;

#[test]
fn cx_12_a_lost_connection_hands_its_requests_to_the_next_peer() {
    let mut world = World::new(2);
    world.settle();
    assert_eq!(world.states(), [State::Okay, State::Okay], "both are kept connected");
    world.holds[1] = true;
    let call = world.call(0, Target::Configured);
    assert_eq!((world.served[1], world.served[2]), (1, 0), "the preferred one");
    world.kill(1);
    assert_eq!(world.reply(), Some((call, Ok(maa()))));
    let [first, second] = world.requests[..] else { panic!("{:?}", world.requests) };
    assert_eq!((first.1, second.1), (1, 2));
    assert_eq!(first.2.ids.end_to_end, second.2.ids.end_to_end);
    assert!(!first.2.retransmitted && second.2.retransmitted);
    assert_eq!(world.states(), [State::Down, State::Okay]);
}

#[test]
fn cx_12_with_one_peer_requests_wait_for_it_within_their_time() {
    let mut world = World::new(1);
    world.settle();
    world.holds[1] = true;
    let call = world.call(0, Target::Configured);
    world.kill(1);
    assert_eq!(world.reply(), None);
    assert_eq!(world.nodes[0].calls.len(), 1);
    world.call(0, Target::Configured);
    assert_eq!(world.reply(), Some((2, Err(LinkError::NotConnected))), "new ones are told at once");
    world.listens[1] = true;
    world.pass(Duration::from_secs(2));
    world.answer_held(1);
    assert_eq!(world.reply(), Some((call, Ok(maa()))));

    let call = world.call(0, Target::Configured);
    world.kill(1);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.reply(), None);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.reply(), Some((call, Err(LinkError::ConnectionLost))));
    assert_eq!(world.nodes[0].calls.len(), 0);
}

#[test]
fn cx_12_a_silent_peer_loses_its_requests_to_the_next_one_and_then_its_connection() {
    let mut world = World::new(2);
    world.settle();
    world.freeze(1, true);
    let call = world.call(0, Target::Configured);
    world.pass(Duration::from_secs(7));
    assert_eq!((world.states()[0], world.reply()), (State::Okay, None), "asked for life");
    world.pass(Duration::from_secs(6));
    assert_eq!(world.states()[0], State::Suspect);
    assert_eq!(world.reply(), Some((call, Ok(maa()))), "answered by the second");
    assert!(world.requests.last().unwrap().2.retransmitted);
    // While it is suspected, requests go to the other.
    let next = world.call(0, Target::Configured);
    assert_eq!(world.reply(), Some((next, Ok(maa()))));
    world.listens[1] = false;
    world.pass(Duration::from_secs(6));
    assert_eq!(world.states()[0], State::Down);
}

#[test]
fn cx_12_a_suspected_peer_that_speaks_answers_after_all() {
    let mut world = World::new(1);
    world.settle();
    world.holds[1] = true;
    let call = world.call(0, Target::Configured);
    world.freeze(1, true);
    world.pass(Duration::from_secs(13));
    assert_eq!(world.states(), [State::Suspect]);
    assert_eq!(world.reply(), None, "there is no other: it waits where it is");
    world.freeze(1, false);
    world.answer_held(1);
    assert_eq!(world.reply(), Some((call, Ok(maa()))));
    assert_eq!(world.states(), [State::Okay]);
}

#[test]
fn cx_12_the_preferred_peer_comes_back_after_three_answers() {
    let mut world = World::new(2);
    world.settle();
    world.kill(1);
    world.listens[1] = true;
    world.pass(Duration::from_secs(1));
    assert_eq!(world.states(), [State::Reopen, State::Okay]);
    world.call(0, Target::Configured);
    assert_eq!((world.served[1], world.served[2]), (0, 1), "not yet trusted");
    world.replies.clear();
    // It is asked at once, and twice more at intervals.
    world.pass(Duration::from_secs(14));
    assert_eq!(world.states(), [State::Okay, State::Okay]);
    world.call(0, Target::Configured);
    assert_eq!((world.served[1], world.served[2]), (1, 1));
}

#[test]
fn cx_12_a_peer_that_came_back_serves_where_there_is_no_better_one() {
    let mut world = World::new(2);
    world.settle();
    world.kill(1);
    world.listens[1] = true;
    world.pass(Duration::from_secs(1));
    world.kill(2);
    assert_eq!(world.states(), [State::Reopen, State::Down]);
    let call = world.call(0, Target::Configured);
    assert_eq!(world.reply(), Some((call, Ok(maa()))));
}

#[test]
fn cx_12_attempts_back_off_with_jitter() {
    let mut world = World::new(1);
    world.listens[1] = false;
    world.pass(Duration::from_secs(120));
    let times: Vec<_> = world.dials.iter().map(|(now, _)| now.as_secs_f64()).collect();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, expected) in pauses.iter().zip([0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]) {
        assert!((0.75 * expected..=1.25 * expected).contains(pause), "{pause} is not about {expected}");
    }
    assert!(pauses.len() > 8);
    assert!(pauses[4..].windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.01), "no jitter: {pauses:?}");
    // A connection that lasts makes the next attempt quick, one that breaks at once does not.
    world.listens[1] = true;
    world.pass(Duration::from_secs(30));
    let before = world.now;
    world.kill(1);
    world.listens[1] = true;
    world.pass(Duration::from_secs(1));
    assert!((world.dials.last().unwrap().0 - before).as_secs_f64() <= 0.625);
}

#[test]
fn cx_12_a_busy_peer_passes_requests_on() {
    let mut world = World::new(2);
    world.settle();
    (world.holds[1], world.holds[2]) = (true, true);
    for _ in 0..20 {
        world.call(0, Target::Configured);
    }
    assert_eq!((world.held[1].len(), world.held[2].len()), (10, 10), "TOO_BUSY after ten");
    assert_eq!(world.reply(), None);
    assert!(world.requests.iter().all(|(_, _, header)| !header.retransmitted), "nobody has seen them before");
    let call = world.call(0, Target::Configured);
    assert_eq!(world.reply(), Some((call, Err(LinkError::Protocol(BaseCode::TooBusy)))));
    world.answer_held(1);
    world.answer_held(2);
    assert_eq!(world.replies.len(), 20);
    world.replies.clear();
    world.holds[1] = false;
    let call = world.call(0, Target::Configured);
    assert_eq!(world.reply(), Some((call, Ok(maa()))));
}

#[test]
fn the_number_in_flight_and_the_backlog_are_bounded() {
    let mut world = World::new(1);
    world.settle();
    world.holds[1] = true;
    world.nodes[1].settings.max_in_progress = 1000;
    for _ in 0..101 {
        world.call(0, Target::Configured);
    }
    assert_eq!(world.reply(), Some((101, Err(LinkError::Busy))));
    world.answer_held(1);
    world.replies.clear();

    // A peer that takes nothing: requests are refused before memory is.
    world.nodes[0].settings.max_in_flight = 1_000_000;
    let now = world.now;
    let node = &mut world.nodes[0];
    for number in 0..10_000 {
        node.call(now, Target::Configured, mar(number), number);
    }
    let connection = node.connections.values().next().unwrap();
    assert!(connection.full());
    assert!(connection.octets() < crate::peer::connection::FULL + 2048);
    let refused = node
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::Reply { result: Err(LinkError::Busy), .. }));
    assert_eq!(refused.count() + node.calls.len(), 10_000);
}

#[test]
fn cx_1_a_node_that_stops_says_goodbye_and_ends_its_requests() {
    let mut world = World::new(2);
    world.settle();
    world.holds[1] = true;
    let call = world.call(0, Target::Configured);
    let now = world.now;
    world.nodes[0].stop(now);
    assert!(!world.nodes[0].is_over(), "DPR is on its way");
    world.settle();
    assert_eq!(world.reply(), Some((call, Err(LinkError::ConnectionLost))));
    assert!(world.nodes[0].is_over(), "with the DPAs");
    assert!(world.nodes[1].connections.is_empty());
    world.call(0, Target::Configured);
    assert_eq!(world.reply(), Some((2, Err(LinkError::NotConnected))));

    // A peer that does not say goodbye is not waited for.
    let mut world = World::new(1);
    world.settle();
    world.freeze(1, true);
    let now = world.now;
    world.nodes[0].stop(now);
    world.pass(Duration::from_millis(999));
    assert!(!world.nodes[0].is_over());
    world.pass(Duration::from_millis(1));
    assert!(world.nodes[0].is_over());
}

#[test]
fn cx_1_a_peer_that_stops_gets_no_more_and_is_tried_again() {
    let mut world = World::new(2);
    world.settle();
    world.holds[1] = true;
    let call = world.call(0, Target::Configured);
    let now = world.now;
    world.nodes[1].stop(now);
    world.settle();
    assert_eq!(world.reply(), Some((call, Ok(maa()))), "by the second peer");
    let dials = world.dials.len();
    world.pass(Duration::from_secs(1));
    assert!(world.dials.len() > dials);
}
