//! Credit in both directions, with checked arithmetic: what may still be sent, and what a peer may still send.

use super::Fault;
use super::limits::CREDIT_MAX;

/// The part of a shared window that is worth a frame: a sixteenth.
pub(crate) const SHARES: u32 = 16;

/// What we may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendCredit(u32);

impl SendCredit {
    /// Begins with what the peer agreed to.
    pub(crate) fn new(bytes: u32) -> Self {
        Self(bytes.min(CREDIT_MAX))
    }

    /// Bytes that may be sent.
    pub(crate) const fn left(self) -> u32 {
        self.0
    }

    /// Uses credit up.
    pub(crate) fn spend(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.0, "{bytes} bytes were sent on a credit of {}", self.0);
        self.0 = self.0.saturating_sub(bytes);
    }

    /// Adds credit; true when there was none before, which is when somebody may be waiting.
    pub(crate) fn grant(&mut self, bytes: u32) -> Result<bool, Fault> {
        let was_empty = self.0 == 0;
        match self.0.checked_add(bytes) {
            Some(sum) if sum <= CREDIT_MAX => self.0 = sum,
            _ => return Err(Fault::flow("a credit above 2^31 - 1")),
        }
        Ok(was_empty && bytes > 0)
    }
}

/// What the peer may send, what of it we hold, and how large the sum may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    size: u32,
    open: u32,
    held: u32,
}

impl Window {
    /// A window that is all open.
    pub(crate) fn new(size: u32) -> Self {
        let size = size.min(CREDIT_MAX);
        Self { size, open: size, held: 0 }
    }

    /// The most bytes that are open and held together.
    pub(crate) const fn size(self) -> u32 {
        self.size
    }

    /// Bytes that the peer may still send.
    pub(crate) const fn open(self) -> u32 {
        self.open
    }

    /// Bytes that arrived and have not left our memory.
    pub(crate) const fn held(self) -> u32 {
        self.held
    }

    /// Bytes arrive.
    pub(crate) fn take(&mut self, bytes: u32) -> Result<(), Fault> {
        self.open = self.open.checked_sub(bytes).ok_or(Fault::flow("more data than there was credit for"))?;
        self.held = self.held.saturating_add(bytes);
        Ok(())
    }

    /// Bytes left our memory.
    pub(crate) fn release(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.held, "{bytes} bytes were consumed of {}", self.held);
        self.held = self.held.saturating_sub(bytes);
    }

    /// What is neither open nor held, once it is half of the window: fewer and larger credits.
    pub(crate) fn due(self) -> Option<u32> {
        self.spare().filter(|spare| *spare >= self.size / 2)
    }

    /// The same for a window that many share: half of what is not held, and at least a sixteenth of the whole. Those who
    /// hold half of it and consume nothing must not keep the rest from the others.
    pub(crate) fn due_shared(self) -> Option<u32> {
        let free = self.size.saturating_sub(self.held);
        self.spare().filter(|spare| *spare >= (free / 2).max(self.size / SHARES))
    }

    /// Whether more than three quarters are held.
    pub(crate) const fn is_pressed(self) -> bool {
        self.held > self.size - self.size / 4
    }

    fn spare(self) -> Option<u32> {
        Some(self.size.saturating_sub(self.open).saturating_sub(self.held)).filter(|spare| *spare > 0)
    }

    /// The peer is told that it may send this much more.
    pub(crate) fn grant(&mut self, bytes: u32) {
        self.open = self.open.saturating_add(bytes).min(self.size);
    }

    /// Widens the window, never narrows it.
    pub(crate) fn widen(&mut self, size: u32) {
        self.size = self.size.max(size.min(CREDIT_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::proto::GoAwayReason;

    #[test]
    fn credit_says_when_it_comes_back_from_nothing() {
        let mut credit = SendCredit::new(10);
        assert_eq!(credit.grant(5), Ok(false));
        credit.spend(15);
        assert_eq!(credit.left(), 0);
        assert_eq!(credit.grant(1), Ok(true));
    }

    #[test]
    fn credit_above_the_maximum_is_a_fault_of_flow_control() {
        let mut credit = SendCredit::new(CREDIT_MAX - 1);
        assert_eq!(credit.grant(1), Ok(false));
        assert_eq!(credit.grant(1).unwrap_err().reason, GoAwayReason::FlowControl);
        assert_eq!(credit.grant(u32::MAX).unwrap_err().reason, GoAwayReason::FlowControl);
        assert_eq!(credit.left(), CREDIT_MAX);
    }

    #[test]
    fn a_window_takes_no_byte_too_many() {
        let mut window = Window::new(100);
        assert_eq!(window.take(100), Ok(()));
        assert_eq!(window.take(1).unwrap_err().reason, GoAwayReason::FlowControl);
    }

    #[test]
    fn half_a_window_is_given_back_at_a_time() {
        let mut window = Window::new(100);
        window.take(80).unwrap();
        window.release(49);
        assert_eq!(window.due(), None);
        window.release(1);
        assert_eq!(window.due(), Some(50));
        window.grant(50);
        assert_eq!((window.open(), window.held(), window.due()), (70, 30, None));
    }

    #[test]
    fn a_shared_window_goes_on_while_somebody_holds_most_of_it() {
        let mut window = Window::new(1_600);
        window.take(1_600).unwrap();
        window.release(320);
        assert_eq!((window.due(), window.due_shared(), window.is_pressed()), (None, Some(320), true));
        window.release(80);
        assert_eq!((window.due_shared(), window.is_pressed()), (Some(400), false));
    }

    #[test]
    fn a_wider_window_gives_the_difference_too() {
        let mut window = Window::new(100);
        window.take(100).unwrap();
        window.release(100);
        window.widen(200);
        assert_eq!(window.due(), Some(200));
        window.widen(50);
        assert_eq!(window.size(), 200);
    }
}
