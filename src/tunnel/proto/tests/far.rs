//! One stream over a long path, under virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use crate::tunnel::proto::{Event, Kind, Limits, Open, Proxy, Session, Side, StreamId};

/// The time between two looks at both ends.
const STEP: Duration = Duration::from_millis(1);

/// One direction: what is on its way, with the time of its arrival.
#[derive(Default)]
struct Way {
    under_way: VecDeque<(Instant, BytesMut)>,
    arrived: BytesMut,
}

impl Way {
    /// Takes up to `most` bytes of what `from` wrote.
    fn load(&mut self, from: &mut Session, most: usize, arrives: Instant) {
        let out = from.out();
        let piece = out.split_to(most.min(out.len()));
        if !piece.is_empty() {
            self.under_way.push_back((arrives, piece));
        }
    }

    /// Gives `to` what has arrived; the bytes of data among it are consumed at once, and counted.
    fn unload(&mut self, to: &mut Session, now: Instant) -> usize {
        while self.under_way.front().is_some_and(|(arrives, _)| *arrives <= now) {
            let (_, piece) = self.under_way.pop_front().expect("a piece");
            self.arrived.extend_from_slice(&piece);
        }
        let mut count = 0;
        loop {
            let received = to.receive(&self.arrived, now).expect("an honest peer");
            let (mut data, mut opened) = (None, None);
            match &received.event {
                Some(Event::Data { id, bytes }) => data = Some((*id, bytes.len())),
                Some(Event::Open { id, .. }) => opened = Some(*id),
                _ => {}
            }
            let (consumed, idle) = (received.consumed, received.consumed == 0 && received.event.is_none());
            self.arrived.advance(consumed);
            if idle {
                return count;
            }
            if let Some((id, bytes)) = data {
                to.consumed(id, bytes, now);
                count += bytes;
            }
            if let Some(id) = opened {
                to.accept(id);
            }
        }
    }
}

/// Returns the data that arrives within the fourth second of a stream, in bytes.
fn fourth_second(round_trip: Duration, bytes_per_step: usize, upward: bool) -> usize {
    let start = Instant::now();
    let mut server = Session::new(Side::Server, Limits::OURS, Limits::OURS, start);
    let mut client = Session::new(Side::Client, Limits::OURS, Limits::OURS, start);
    let (mut to_client, mut to_server) = (Way::default(), Way::default());
    let open =
        Open { kind: Kind::Tcp, proxy: Proxy::Off, target_port: 80, host: "a".to_owned(), visitor: None, public: None };
    let id: StreamId = server.open(&open).expect("a stream");
    let (mut now, mut counted) = (start, 0);
    while now < start + Duration::from_secs(4) {
        now += STEP;
        let sender = if upward { &mut client } else { &mut server };
        // A sender has at most a step's bytes waiting, so that it writes by credit and path alone.
        while sender.sendable(id) > 0 && sender.out_len() < bytes_per_step {
            let most = sender.sendable(id);
            sender.send(id, &vec![0; most]);
        }
        to_client.load(&mut server, bytes_per_step, now + round_trip / 2);
        to_server.load(&mut client, bytes_per_step, now + round_trip / 2);
        let arrived = to_client.unload(&mut client, now) + to_server.unload(&mut server, now);
        if now > start + Duration::from_secs(3) {
            counted += arrived;
        }
    }
    counted
}

/// 500 Mbit/s and 100 ms: 6 MiB are under way when the path is full.
#[test]
fn a_path_of_a_hundred_milliseconds_is_filled() {
    for upward in [false, true] {
        let carried = fourth_second(Duration::from_millis(100), 62_500, upward);
        assert!(carried * 100 >= 62_500_000 * 95, "{carried} bytes in a second, upward: {upward}");
    }
}

/// Frames are no halves of windows, and a round trip is never measured to the millisecond: no path may be one on which
/// a window stops to grow.
#[test]
fn every_path_that_a_window_can_fill_is_filled() {
    for round_trip_ms in [2, 7, 20, 49, 73, 110, 150, 200] {
        // What the largest window fills, less what is on its way between two credits.
        let most = (8 << 20) / round_trip_ms;
        let carried = fourth_second(Duration::from_millis(round_trip_ms as u64), most.min(62_500), false);
        let wanted = most.min(62_500) * 1000;
        assert!(carried * 100 >= wanted * 90, "{carried} of {wanted} bytes in a second at {round_trip_ms} ms");
    }
}
