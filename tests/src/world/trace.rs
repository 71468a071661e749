//! The trace of a scenario: a hash over every event in its order, so that two runs of a seed can be compared (nothing
//! but the seed may decide).

use super::{Event, World};

impl World {
    /// Adds an event that is about to be handled.
    pub(super) fn note(&mut self, event: &Event) {
        let number = |number: usize| (number as u64).to_be_bytes();
        let (kind, at, detail) = match event {
            Event::Tick(at, incarnation) => (0u8, *at, *incarnation),
            Event::Frame { to, session, .. } => (1, *to, *session),
            Event::CloseSession { at, session } => (2, *at, *session),
            Event::Dial(from, to) => (3, *from, *to as u64),
            Event::Command => (4, 0, 0),
            Event::Fault => (5, 0, 0),
            Event::Start(at) => (6, *at, 0),
            Event::Restart(at, left) => (7, *at, *left),
            Event::Member => (8, 0, 0),
        };
        self.trace.update(&self.now.to_be_bytes()).update(&[kind]).update(&number(at)).update(&detail.to_be_bytes());
        if let Event::Frame { frame, .. } = event {
            self.trace.update(frame);
        }
    }

    /// The hash of all that happened so far.
    pub fn trace(&self) -> [u8; 32] {
        *self.trace.finalize().as_bytes()
    }
}
