//! Links that go silent, break, flap or return: noticed by both sides, replaced, and never mistaken for each other.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use super::running::{Link, PATIENCE, Tunnel, lasts, wait_until};
use super::targets::{Neighbour, Target, expect_echo, expect_reset, is_served, visit};
use super::toxic::{Proxy, Toxic, Way};

/// Within this a dead link is noticed: fifteen seconds of silence, and what a busy machine adds.
const NOTICED: Duration = Duration::from_secs(20);

over_both_links!(
    a_client_that_vanished_without_a_word_is_replaced_within_seconds,
    a_short_cut_is_healed_within_a_second,
    a_link_that_flaps_is_tried_with_patience_and_leaks_nothing,
    a_link_of_a_hundred_milliseconds_is_no_dead_link,
);

/// One test, because each of these needs most of twenty seconds and none of the processor.
#[test]
fn links_that_fell_silent_are_noticed_and_links_with_nothing_to_say_live() {
    thread::scope(|scope| {
        for link in [Link::Plain, Link::Tls] {
            scope.spawn(move || a_link_that_swallows_everything_is_noticed_by_both_sides_and_replaced(link));
            scope.spawn(move || an_idle_connection_lives(link));
        }
        scope.spawn(one_direction_that_goes_silent_is_enough_to_notice);
    });
}

fn an_idle_connection_lives(link: Link) {
    let tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let mut visitor = visit(tunnel.map(echo.address));
    expect_echo(&mut visitor);
    // Longer than three pings, and than the silence after which a peer counts as dead.
    lasts(Duration::from_secs(17));
    expect_echo(&mut visitor);
    assert_eq!(tunnel.server.clients(), 1);
}

fn a_link_that_swallows_everything_is_noticed_by_both_sides_and_replaced(link: Link) {
    let tunnel = Tunnel::through_proxy(link);
    let (echo, endless) = (Target::echo(), Target::endless());
    let public = tunnel.map(echo.address);
    let (mut idle, mut busy) = (visit(public), visit(tunnel.map(endless.address)));
    expect_echo(&mut idle);
    busy.read_exact(&mut vec![0; 100_000]).expect("a part");
    tunnel.proxy().strike(Toxic::Blackhole);
    let struck = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(expect_reset(&mut idle), 0));
        scope.spawn(|| expect_reset(&mut busy));
        scope.spawn(|| wait_until("ends at the targets", NOTICED, || echo.open() + endless.open() == 0));
    });
    assert!(struck.elapsed() < NOTICED, "{:?}", struck.elapsed());
    wait_until("service again", NOTICED.saturating_sub(struck.elapsed()), || is_served(public));
}

fn a_client_that_vanished_without_a_word_is_replaced_within_seconds(link: Link) {
    let mut tunnel = Tunnel::through_proxy(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let mut visitor = visit(public);
    expect_echo(&mut visitor);
    tunnel.proxy().strike(Toxic::HalfOpen);
    tunnel.client.process.kill();
    assert_eq!(tunnel.server.clients(), 1, "the server cannot know yet");
    tunnel.client.start_again();
    wait_until("service by the client that returned", Duration::from_secs(6), || is_served(public));
    assert_eq!(expect_reset(&mut visitor), 0, "a visitor of the old client is not left hanging");
    assert_eq!(tunnel.server.clients(), 1);
}

fn a_short_cut_is_healed_within_a_second(link: Link) {
    let tunnel = Tunnel::through_proxy(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let mut visitor = visit(public);
    expect_echo(&mut visitor);
    tunnel.proxy().cut();
    let cut = Instant::now();
    assert_eq!(expect_reset(&mut visitor), 0);
    let mut refused = 0;
    wait_until("service again", PATIENCE, || {
        let served = is_served(public);
        refused += usize::from(!served);
        served
    });
    // A second, and a moment for a busy machine.
    assert!(cut.elapsed() < Duration::from_millis(1500), "{:?}, {refused} visitors in vain", cut.elapsed());
}

fn a_link_that_flaps_is_tried_with_patience_and_leaks_nothing(link: Link) {
    let mut tunnel = Tunnel::through_proxy(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    assert!(is_served(public));
    let (before, attempts) = (tunnel.descriptors(), tunnel.proxy().accepted());
    for _ in 0..6 {
        tunnel.proxy().refuse(true);
        tunnel.proxy().cut();
        lasts(Duration::from_millis(500));
        tunnel.proxy().refuse(false);
        lasts(Duration::from_millis(500));
    }
    let attempts = tunnel.proxy().accepted() - attempts;
    assert!(attempts < 60, "{attempts} attempts in six seconds");
    tunnel.server.wait_for_clients(1, PATIENCE);
    wait_until("service again", PATIENCE, || is_served(public));
    tunnel.wait_for_descriptors(before, Duration::from_secs(5));
    tunnel.expect_alive();
}

fn a_link_of_a_hundred_milliseconds_is_no_dead_link(link: Link) {
    let tunnel = Tunnel::through_proxy(link);
    let (echo, source) = (Target::echo(), Target::source(8, 8_000_000));
    let (public, large) = (tunnel.map(echo.address), tunnel.map(source.address));
    tunnel.proxy().set_both(&[Toxic::Delay(Duration::from_millis(50), Duration::ZERO)]);
    let mut visitor = visit(public);
    let started = Instant::now();
    expect_echo(&mut visitor);
    // There and back once for the stream, and never once for an answer that nobody needs.
    assert!(started.elapsed() < Duration::from_millis(350), "{:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(super::targets::read_all(&mut visit(large)).len(), 8_000_000);
    // A window of 256 KiB would carry 2.5 MB a second here.
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(tunnel.server.clients(), 1);
}

#[test]
fn a_second_client_with_the_same_token_is_refused_while_the_first_lives() {
    let mut tunnel = Tunnel::start(Link::Tls);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let neighbour = Neighbour::start(public);
    let door = Proxy::start(tunnel.server.tunnel, 1);
    let mut second = tunnel.second_client(door.address);
    wait_until("a second try of the second client", PATIENCE, || door.accepted() >= 2);
    wait_until("a word about why", PATIENCE, || second.process.log().contains("connected already"));
    assert!(second.process.is_running(), "it waits for its turn");
    assert_eq!(tunnel.server.clients(), 1);
    neighbour.expect_undisturbed(Duration::from_secs(1));
    let attempts = door.accepted();
    lasts(Duration::from_secs(1));
    assert!(door.accepted() - attempts <= 5, "it does not hammer");
    tunnel.client.process.kill();
    wait_until("service by the second client", PATIENCE, || is_served(public));
}

fn one_direction_that_goes_silent_is_enough_to_notice() {
    let tunnel = Tunnel::through_proxy(Link::Tls);
    let echo = Target::echo();
    let mut visitor = visit(tunnel.map(echo.address));
    expect_echo(&mut visitor);
    let struck = Instant::now();
    tunnel.proxy().set(Way::ToClient, &[Toxic::Stall]);
    visitor.write_all(b"into the void").expect("words are taken");
    assert_eq!(expect_reset(&mut visitor), 0);
    assert!(struck.elapsed() < NOTICED, "{:?}", struck.elapsed());
    tunnel.proxy().set(Way::ToClient, &[]);
    tunnel.server.wait_for_clients(1, PATIENCE);
}
