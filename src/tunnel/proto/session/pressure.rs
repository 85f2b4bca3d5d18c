//! What keeps a few streams whose readers stopped from holding the whole window of the session, and all others with it.
//!
//! While more than three quarters of the window are held, the streams are looked at once a second. Those that got rid of
//! next to nothing since the last look are broken off, the fattest first, until half of the window would be free.

use super::Session;
use crate::tunnel::proto::limits::PRESSURE_PERIOD;
use crate::tunnel::proto::stream::Stream;
use crate::tunnel::proto::{Event, Reason, StreamId};

impl Session {
    /// Begins to watch when the window is pressed.
    pub(super) fn watch_pressure(&mut self) {
        if self.window.is_pressed() && self.pressure_look.is_none() {
            self.pressure_look = Some(self.now + PRESSURE_PERIOD);
            for stream in self.streams.values_mut() {
                stream.stuck();
            }
        }
    }

    /// Looks at the streams when it is time to.
    pub(super) fn relieve_pressure(&mut self) {
        if self.pressure_look.is_none_or(|look| self.now < look) {
            return;
        }
        if !self.window.is_pressed() {
            self.pressure_look = None;
            return;
        }
        self.pressure_look = Some(self.now + PRESSURE_PERIOD);
        let held = |(id, stream): (&u32, &mut Stream)| stream.stuck().map(|held| (held, *id));
        let mut stuck: Vec<(u32, u32)> = self.streams.iter_mut().filter_map(held).collect();
        stuck.sort_unstable_by_key(|(held, id)| (std::cmp::Reverse(*held), *id));
        let mut too_much = self.window.held().saturating_sub(self.window.size() / 2);
        for (held, id) in stuck {
            if too_much == 0 {
                break;
            }
            too_much = too_much.saturating_sub(held);
            let id = StreamId::new(id);
            self.reset(id, Reason::IdleTooLong);
            self.queued.push_back(Event::Reset { id, reason: Reason::IdleTooLong });
        }
    }
}
