//! A member in hostile hands that visits a replica.

use schema::id::SiteId;
use schema::time::Hlc;
use sync::replica::{Alarm, Output, Replica};

use super::Fleet;
pub use super::raw::{End, Member};

impl Member {
    /// The site with this number of the fleet, in other hands.
    pub fn of(fleet: &Fleet, site: usize) -> Self {
        let policy = fleet.sites[0].policy().unwrap();
        Self::new(super::key(site), policy.org, fleet.scope(), policy.pin, Hlc::at(fleet.now))
    }

    /// Visits a replica, says hello, and sends these frames. Answers with the alarms it raised and why it ended the
    /// session, if it did.
    pub fn visit(
        &mut self,
        replica: &mut Replica,
        now: schema::time::Timestamp,
        frames: &[Vec<u8>],
    ) -> (Vec<Alarm>, Option<&'static str>) {
        self.sessions += 1;
        let session = self.sessions;
        let me: SiteId = self.key.public();
        let mut outputs = replica.connected(now, session, me).unwrap();
        let (mut alarms, mut closed) = (Vec::new(), None);
        for frame in self.opening().iter().chain(frames) {
            if closed.is_none() {
                outputs.extend(replica.received(now, session, frame).unwrap());
            }
            for output in outputs.drain(..) {
                match output {
                    Output::Alarm(alarm) => alarms.push(alarm),
                    Output::Close(_, code) => closed = Some(code),
                    Output::Send(..) | Output::Authority => {}
                }
            }
        }
        replica.closed(now, session).unwrap();
        while replica.catch_up(now).unwrap() {}
        (alarms, closed)
    }
}
