//! Two sessions joined by a pipe that delays, splits at any byte, stalls and cuts, under a seed and virtual time.
//!
//! `PORTWRIGHT_SCHEDULES` says how many schedules are tried, `SEED` names the only one. Every failure names its seed.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use crate::tunnel::proto::frame::{HEADER_BYTES, Header, kind};
use crate::tunnel::proto::stream::State;
use crate::tunnel::proto::{
    Event, Fault, GoAwayReason, Kind, Limits, Open, OpenFault, Proxy, Reason, Session, Side, StreamId,
};

/// Few enough for a test in a debug build.
const SCHEDULES: u64 = 300;

/// The length of a schedule, in steps.
const STEPS: u32 = 250;

/// Numbers that look random and are the same for the same seed: `SplitMix64`.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn size(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }

    fn length(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).unwrap()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.size(of.len())]) }
    }
}

/// The byte that a stream carries at a place.
fn byte_at(id: StreamId, from_server: bool, at: u64) -> u8 {
    let mixed = (u64::from(id.get()) * 2 + u64::from(from_server)).wrapping_mul(0x9E37_79B9).wrapping_add(at / 3);
    u8::try_from(mixed.wrapping_mul(0x85EB_CA6B) >> 24 & 0xFF).unwrap()
}

/// How one end sees one stream.
#[derive(Debug, Default, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Flow {
    udp: bool,
    answered: bool,
    lifted: bool,
    sent: u64,
    /// Where our direction ended.
    ended: Option<u64>,
    received: u64,
    their_end: bool,
    /// Delivered and not consumed.
    held: usize,
    gone: bool,
}

/// One end: a session, what its application knows, and what was read from the pipe.
struct End {
    side: Side,
    session: Session,
    flows: BTreeMap<StreamId, Flow>,
    inbox: BytesMut,
    inbox_max: usize,
    stream_credit: u32,
    tap: Tap,
    seen: BTreeSet<&'static str>,
}

/// What all schedules together must have led to.
const EVERYTHING: [&str; 16] = [
    "open",
    "opened",
    "refused",
    "data",
    "datagram",
    "finish",
    "reset",
    "sendable",
    "session sendable",
    "lift",
    "moved",
    "go away",
    "pong",
    "stuck",
    "cut",
    "grown",
];

fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::Open { .. } => "open",
        Event::Opened { .. } => "opened",
        Event::Refused { .. } => "refused",
        Event::Data { .. } => "data",
        Event::Datagram { .. } => "datagram",
        Event::Finish { .. } => "finish",
        Event::Reset { reason: Reason::IdleTooLong, .. } => "stuck",
        Event::Reset { .. } => "reset",
        Event::Sendable { .. } => "sendable",
        Event::SessionSendable => "session sendable",
        Event::Lift { .. } => "lift",
        Event::Moved { .. } => "moved",
        Event::GoAway { .. } => "go away",
        Event::Pong { .. } => "pong",
    }
}

/// One direction of the network.
#[derive(Default)]
struct Pipe {
    pieces: VecDeque<(Instant, BytesMut)>,
    stalled_until: Option<Instant>,
    in_flight: usize,
}

/// Reads along what one end sends, and checks that it keeps to the rules.
#[derive(Default)]
struct Tap {
    bytes: BytesMut,
    opened: u32,
    over: HashSet<u32>,
    gone: HashSet<u32>,
    went: bool,
}

impl Tap {
    fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(header) = Header::read(&self.bytes).unwrap() {
            let end = HEADER_BYTES + usize::try_from(header.length).unwrap();
            if self.bytes.len() < end {
                return;
            }
            let frame = self.bytes.split_to(end);
            self.frame(header.kind, &frame[HEADER_BYTES..]);
        }
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) {
        let id = payload.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
        match kind {
            kind::OPEN => {
                assert!(!self.went, "a stream is opened after go-away");
                assert_eq!(id, self.opened + 1, "ids rise by one");
                self.opened = id;
            }
            kind::DATA | kind::DATAGRAM | kind::FINISH | kind::MOVE => {
                assert!(!self.over.contains(&id), "a frame {kind:#x} after the end of stream {id}");
                assert!(!self.gone.contains(&id), "a frame {kind:#x} after the reset of stream {id}");
                if kind == kind::FINISH || kind == kind::MOVE {
                    self.over.insert(id);
                }
            }
            kind::RESET | kind::REFUSED => assert!(self.gone.insert(id), "stream {id} is reset twice"),
            kind::CREDIT | kind::LIFT | kind::OPENED => {
                assert!(id == 0 || !self.gone.contains(&id), "a frame {kind:#x} after the reset of stream {id}");
            }
            kind::GO_AWAY => self.went = true,
            kind::PING | kind::PONG => {}
            _ => panic!("a frame of type {kind:#x}"),
        }
    }
}

/// A schedule that runs.
struct Sim {
    dice: Dice,
    now: Instant,
    server: End,
    client: End,
    to_client: Pipe,
    to_server: Pipe,
    delay: Duration,
    cut: bool,
}

fn some_limits(dice: &mut Dice) -> Limits {
    let session = dice.pick(&[64, 4_000, 40_000]).unwrap();
    let stream = dice.pick(&[16, 1_000, 20_000]).unwrap();
    Limits {
        frame_bytes_max: 1_024 + dice.length(2_000),
        streams_max: 1 + dice.length(20),
        stream_credit: 1 + dice.length(stream),
        session_credit: 1 + dice.length(session),
    }
}

impl End {
    fn new(side: Side, ours: Limits, theirs: Limits, now: Instant, dice: &mut Dice) -> Self {
        let inbox_max = HEADER_BYTES + 3_024 + dice.size(4_096);
        Self {
            side,
            session: Session::new(side, ours, theirs, now),
            flows: BTreeMap::new(),
            inbox: BytesMut::new(),
            inbox_max,
            stream_credit: ours.stream_credit,
            tap: Tap::default(),
            seen: BTreeSet::new(),
        }
    }

    fn is_server(&self) -> bool {
        self.side == Side::Server
    }

    /// The streams that this end can do something with.
    fn live(&self) -> Vec<StreamId> {
        self.flows.iter().filter(|(_, flow)| !flow.gone).map(|(id, _)| *id).collect()
    }

    fn drop_stream(&mut self, id: StreamId) {
        self.flows.get_mut(&id).expect("a stream that is known").gone = true;
    }

    fn send_some(&mut self, id: StreamId, dice: &mut Dice) {
        let from_server = self.is_server();
        let sendable = self.session.sendable(id);
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.udp {
            if flow.ended.is_none() {
                self.session.datagram(id, &[7; 600][..dice.size(600)]);
            }
            return;
        }
        let wanted = dice.size(3_000).min(sendable);
        let payload: Vec<u8> = (flow.sent..).take(wanted).map(|at| byte_at(id, from_server, at)).collect();
        if dice.chance(50) {
            let slot = self.session.begin_data(id);
            self.session.out().extend_from_slice(&payload);
            self.session.commit_data(slot, payload.len());
        } else {
            self.session.send(id, &payload);
        }
        flow.sent += u64::try_from(wanted).unwrap();
    }

    fn can_end(&self, id: StreamId) -> bool {
        let flow = &self.flows[&id];
        !flow.gone && flow.ended.is_none() && (flow.answered || self.is_server())
    }

    fn finish(&mut self, id: StreamId, moved: bool) {
        if !self.can_end(id) || (moved && !self.flows[&id].lifted) {
            return;
        }
        if moved {
            self.session.moved(id);
        } else {
            self.session.finish(id);
        }
        let flow = self.flows.get_mut(&id).unwrap();
        flow.ended = Some(flow.sent);
        flow.gone = flow.their_end;
    }

    fn consume(&mut self, id: StreamId, most: usize, now: Instant) {
        let flow = self.flows.get_mut(&id).unwrap();
        let bytes = flow.held.min(most);
        flow.held -= bytes;
        self.session.consumed(id, bytes, now);
    }

    /// Does what the events say; `peer` is what the other end's application knows.
    fn on_event(&mut self, event: &Event<'_>, peer: &BTreeMap<StreamId, Flow>, dice: &mut Dice) {
        self.seen.insert(name(event));
        match event {
            Event::Open { id, open } => {
                assert_eq!(*open, some_open(id.get(), open.kind == Kind::Udp), "Open arrives as it was sent");
                let flow = Flow { udp: open.kind == Kind::Udp, ..Flow::default() };
                assert!(self.flows.insert(*id, flow).is_none(), "{id:?} is opened twice");
            }
            Event::Opened { id } => self.flow(*id).answered = true,
            Event::Refused { id, .. } | Event::Reset { id, .. } => {
                self.flow(*id);
                self.drop_stream(*id);
            }
            Event::Data { id, bytes } => {
                let from_server = !self.is_server();
                let sent = peer[id].sent;
                let flow = self.flow(*id);
                assert!(!flow.their_end, "data after the end");
                for byte in *bytes {
                    assert_eq!(*byte, byte_at(*id, from_server, flow.received), "byte {} of {id:?}", flow.received);
                    flow.received += 1;
                }
                assert!(flow.received <= sent, "more arrived than was sent");
                flow.held += bytes.len();
            }
            Event::Datagram { id, bytes } => {
                assert!(bytes.iter().all(|byte| *byte == 7) && self.flow(*id).udp);
            }
            Event::Finish { id } | Event::Moved { id } => {
                let end = peer[id].ended;
                let flow = self.flow(*id);
                assert!(!flow.their_end, "two ends of one direction");
                assert_eq!(Some(flow.received), end, "the end comes behind the last byte");
                flow.their_end = true;
                flow.gone = flow.ended.is_some();
            }
            Event::Sendable { id } => {
                self.flow(*id);
            }
            Event::Lift { id } => {
                self.flow(*id).lifted = true;
                if dice.chance(70) {
                    self.finish(*id, true);
                }
            }
            Event::GoAway { .. } | Event::SessionSendable | Event::Pong { .. } => {}
        }
    }

    /// A stream that events may still be about.
    fn flow(&mut self, id: StreamId) -> &mut Flow {
        let flow = self.flows.get_mut(&id).expect("an event of a stream that is known");
        assert!(!flow.gone, "an event of {id:?}, which is over");
        flow
    }

    fn check(&mut self) {
        self.session.audit();
        for (id, flow) in &self.flows {
            let state = self.session.state(*id);
            assert_eq!(flow.gone, state == State::Closed, "{id:?}: {flow:?} is {state:?}");
        }
        let held: usize = self.flows.values().map(|flow| flow.held).sum();
        let balance = self.session.balance();
        let grown = |id: &StreamId| self.session.stream_balance(*id).is_some_and(|it| it.window > self.stream_credit);
        if self.flows.keys().any(grown) {
            self.seen.insert("grown");
        }
        assert!(held <= usize::try_from(balance.held).unwrap(), "{held} held of {balance:?}");
    }
}

fn some_open(id: u32, udp: bool) -> Open {
    let addr = |port: u16| format!("[2001:db8::{id:x}]:{port}").parse().ok();
    Open {
        kind: if udp { Kind::Udp } else { Kind::Tcp },
        proxy: [Proxy::Off, Proxy::V1, Proxy::V2][usize::try_from(id % 3).unwrap()],
        target_port: u16::try_from(id % 60_000).unwrap(),
        host: format!("host-{id}.example"),
        visitor: if id.is_multiple_of(2) { addr(1) } else { None },
        public: if id.is_multiple_of(3) { "192.0.2.1:80".parse().ok() } else { addr(2) },
    }
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let now = Instant::now();
        let (ours, theirs) = (some_limits(&mut dice), some_limits(&mut dice));
        let server = End::new(Side::Server, ours, theirs, now, &mut dice);
        let client = End::new(Side::Client, theirs, ours, now, &mut dice);
        let delay = Duration::from_millis(dice.below(200));
        let (to_client, to_server) = (Pipe::default(), Pipe::default());
        Self { dice, now, server, client, to_client, to_server, delay, cut: false }
    }

    /// The acting end, the other one, the pipe that leads away from it, and the dice.
    fn ends(&mut self, server: bool) -> (&mut End, &mut End, &mut Pipe, &mut Dice) {
        if server {
            (&mut self.server, &mut self.client, &mut self.to_client, &mut self.dice)
        } else {
            (&mut self.client, &mut self.server, &mut self.to_server, &mut self.dice)
        }
    }

    fn step(&mut self) -> Result<(), Fault> {
        let server = self.dice.chance(50);
        match self.dice.below(100) {
            0..15 => {
                let most = if self.dice.chance(5) { 1_500_000 } else { 60_000 };
                self.now += Duration::from_micros(self.dice.below(most));
            }
            15..35 => self.write(server),
            35..60 => self.read(server)?,
            60..75 => self.consume_some(server),
            75..77 => self.trouble(server),
            77..99 => self.act(server),
            99 if self.dice.chance(30) => self.act_rarely(server),
            _ => {}
        }
        for server in [true, false] {
            let now = self.now;
            let lazy = self.dice.chance(50);
            let (end, ..) = self.ends(server);
            if end.session.deadline() <= now && !lazy {
                end.session.on_deadline(now)?;
                assert!(end.session.deadline() > now, "a deadline that is served moves on");
                self.receive(server)?;
            }
        }
        self.server.check();
        self.client.check();
        self.check_both();
        Ok(())
    }

    /// What the streams do.
    fn act(&mut self, server: bool) {
        let (now, percent) = (self.now, self.dice.below(100));
        let (end, _, _, dice) = self.ends(server);
        if server && percent < 25 {
            let id = u32::try_from(end.flows.len()).unwrap() + 1;
            let udp = dice.chance(10);
            match end.session.open(&some_open(id, udp)) {
                Ok(opened) => {
                    assert_eq!(opened.get(), id);
                    end.flows.insert(opened, Flow { udp, ..Flow::default() });
                }
                Err(OpenFault::TooManyStreams | OpenFault::Draining | OpenFault::Paced) => {}
                Err(fault) => panic!("{fault:?}"),
            }
            return;
        }
        let Some(id) = dice.pick(&end.live()) else { return };
        let answered = end.flows[&id].answered;
        if !server && !answered && percent < 60 {
            if dice.chance(80) {
                end.session.accept(id);
                end.flows.get_mut(&id).unwrap().answered = true;
            } else {
                let reasons = [Reason::DialRefused, Reason::TargetDenied];
                end.session.refuse(id, dice.pick(&reasons).unwrap());
                end.drop_stream(id);
            }
            return;
        }
        match percent {
            25..80 => end.send_some(id, dice),
            80..86 => end.finish(id, false),
            86..88 => {
                end.session.reset(id, Reason::PeerClosed);
                end.drop_stream(id);
            }
            88..92 if server && answered && !end.flows[&id].udp => {
                end.session.lift(id);
                end.flows.get_mut(&id).unwrap().lifted = true;
            }
            92..96 => end.finish(id, true),
            96..100 => end.session.ping(now),
            _ => {}
        }
    }

    fn act_rarely(&mut self, server: bool) {
        if self.dice.chance(3) {
            let (end, ..) = self.ends(server);
            end.session.go_away(GoAwayReason::ShuttingDown, "so long");
        }
    }

    fn consume_some(&mut self, server: bool) {
        let now = self.now;
        let (end, _, _, dice) = self.ends(server);
        let holders: Vec<_> = end.flows.iter().filter(|(_, flow)| flow.held > 0).map(|(id, _)| *id).collect();
        // One reader in four is slow: it seldom gets around to anything.
        if let Some(id) = dice.pick(&holders).filter(|id| !id.get().is_multiple_of(4) || dice.chance(5)) {
            let most = 1 + dice.size(4_000);
            end.consume(id, most, now);
        }
    }

    fn trouble(&mut self, server: bool) {
        let now = self.now;
        let cut = self.dice.chance(2);
        let (_, _, pipe, dice) = self.ends(server);
        if cut {
            self.cut = true;
        } else {
            pipe.stalled_until = Some(now + Duration::from_millis(dice.below(2_000)));
        }
    }

    /// Some bytes of `out` go into the pipe.
    fn write(&mut self, server: bool) {
        let (now, delay, cut) = (self.now, self.delay, self.cut);
        let (end, _, pipe, dice) = self.ends(server);
        let room = 30_000_usize.saturating_sub(pipe.in_flight);
        let most = [3, 100, 10_000][dice.size(3)];
        let bytes = end.session.out_len().min(1 + dice.size(most)).min(room);
        if bytes == 0 {
            return;
        }
        let piece = end.session.out().split_to(bytes);
        end.tap.feed(&piece);
        if !cut {
            pipe.in_flight += bytes;
            pipe.pieces.push_back((now + delay, piece));
        }
    }

    /// Some bytes come out of the pipe, and are taken in.
    fn read(&mut self, server: bool) -> Result<(), Fault> {
        let now = self.now;
        let (_, end, pipe, dice) = self.ends(!server);
        if pipe.stalled_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let mut room = end.inbox_max.saturating_sub(end.inbox.len()).min(1 + dice.size(8_000));
        while room > 0
            && let Some((at, piece)) = pipe.pieces.front_mut()
            && *at <= now
        {
            let bytes = piece.len().min(room);
            end.inbox.extend_from_slice(&piece[..bytes]);
            piece.advance(bytes);
            pipe.in_flight -= bytes;
            room -= bytes;
            if piece.is_empty() {
                pipe.pieces.pop_front();
            }
        }
        self.receive(server)
    }

    fn receive(&mut self, server: bool) -> Result<(), Fault> {
        let now = self.now;
        let (end, other, _, dice) = self.ends(server);
        let inbox = std::mem::take(&mut end.inbox);
        let mut at = 0;
        loop {
            let received = end.session.receive(&inbox[at..], now)?;
            at += received.consumed;
            match &received.event {
                Some(event) => end.on_event(event, &other.flows, dice),
                None if received.consumed == 0 => break,
                None => {}
            }
        }
        assert!(inbox.len() - at < end.inbox_max, "a full inbox that nothing is taken from");
        end.inbox.extend_from_slice(&inbox[at..]);
        Ok(())
    }

    /// What the sender may send is never more than the window that the receiver has.
    fn check_both(&self) {
        for (a, b) in [(&self.server, &self.client), (&self.client, &self.server)] {
            assert!(a.session.balance().sendable <= b.session.balance().window);
            for id in a.session.ids() {
                let (Some(a), Some(b)) = (a.session.stream_balance(id), b.session.stream_balance(id)) else { continue };
                assert!(a.sendable <= b.window, "{a:?} against {b:?}");
            }
        }
    }

    /// Everybody stops, the network is well, and what is on its way arrives.
    fn settle(&mut self) -> Result<(), Fault> {
        for id in self.client.live() {
            if self.client.session.state(id) == State::Opening {
                self.client.session.accept(id);
                self.client.flows.get_mut(&id).unwrap().answered = true;
            }
        }
        for round in 0.. {
            assert!(round < 2_000, "it never settles");
            self.now += Duration::from_millis(10);
            self.to_client.stalled_until = None;
            self.to_server.stalled_until = None;
            for server in [true, false] {
                let now = self.now;
                let (end, ..) = self.ends(server);
                for id in end.live() {
                    if end.session.state(id) == State::Opening && !end.is_server() {
                        end.session.accept(id);
                        end.flows.get_mut(&id).unwrap().answered = true;
                    }
                    end.finish(id, false);
                }
                for id in end.flows.keys().copied().collect::<Vec<_>>() {
                    end.consume(id, usize::MAX, now);
                }
                (0..40).for_each(|_| self.write(server));
                for _ in 0..20 {
                    self.read(server)?;
                }
                let (end, ..) = self.ends(server);
                end.session.on_deadline(now)?;
                self.receive(server)?;
            }
            self.server.check();
            self.client.check();
            if self.is_still() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_still(&self) -> bool {
        let still = |end: &End, pipe: &Pipe| end.session.streams() == 0 && end.idle() && pipe.pieces.is_empty();
        still(&self.server, &self.to_client) && still(&self.client, &self.to_server)
    }

    /// All that was lent is back.
    fn check_whole(&self) {
        for (a, b) in [(&self.server, &self.client), (&self.client, &self.server)] {
            let (sender, receiver) = (a.session.balance(), b.session.balance());
            assert_eq!(receiver.held, 0, "nothing is held when no stream is open");
            assert_eq!(sender.sendable, receiver.open, "both ends count the same credit");
            assert!(receiver.open > receiver.window / 2, "{receiver:?}");
        }
    }
}

impl End {
    fn idle(&self) -> bool {
        // Whoever waits does not write, but for pings.
        self.session.out_len() == 0 && self.inbox.is_empty() && self.flows.values().all(|flow| flow.held == 0)
    }
}

/// Runs one schedule, and says what it led to.
fn run(seed: u64) -> BTreeSet<&'static str> {
    let mut sim = Sim::new(seed);
    for _ in 0..STEPS {
        if let Err(fault) = sim.step() {
            assert!(sim.cut && fault.reason == GoAwayReason::DeadPeer, "honest peers had a fault: {fault:?}");
            return BTreeSet::from(["cut"]);
        }
    }
    if sim.cut {
        let faults = [true, false].map(|server| sim.silence(server));
        assert_eq!(faults, [Some(GoAwayReason::DeadPeer); 2], "both ends notice a cut");
    } else {
        sim.settle().expect("honest peers end in peace");
        sim.check_whole();
    }
    sim.server.seen.union(&sim.client.seen).copied().chain(sim.cut.then_some("cut")).collect()
}

impl Sim {
    /// How long an end takes to notice that nothing comes any more.
    fn silence(&mut self, server: bool) -> Option<GoAwayReason> {
        let (mut now, end) = (self.now, self.now + Duration::from_secs(16 + 6));
        let (it, ..) = self.ends(server);
        while now < end {
            if let Err(fault) = it.session.on_deadline(now) {
                return Some(fault.reason);
            }
            now = it.session.deadline();
        }
        None
    }
}

#[test]
fn honest_sessions_agree_whatever_the_network_does() {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PORTWRIGHT_SCHEDULES").unwrap_or(SCHEDULES),
    };
    let enough = seeds.end - seeds.start >= SCHEDULES;
    let mut seen = BTreeSet::new();
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(led_to) => seen.extend(led_to),
            Err(cause) => {
                let text = cause.downcast_ref::<String>().map(String::as_str);
                panic!("SEED={seed}: {}", text.or(cause.downcast_ref::<&str>().copied()).unwrap_or("a panic"));
            }
        }
    }
    if enough {
        let missing: Vec<_> = EVERYTHING.iter().filter(|what| !seen.contains(**what)).collect();
        assert!(missing.is_empty(), "no schedule led to {missing:?}");
    }
}
