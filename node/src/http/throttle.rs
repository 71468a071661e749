//! Patience with wrong passwords: after a few for one login each further attempt has to wait, longer each time.
//!
//! Logins are what strangers send, so what is remembered of each has one size, and of too many the one is forgotten whose
//! last failure is the longest ago. Whoever wants one login forgotten has to fail for as many others as are remembered,
//! each time, and each of those failures takes the site as long as a password check. The one with the fewest failures
//! would be the wrong one: once all others had two, every new login would push out the one before.

use std::collections::BTreeMap;
use std::sync::Mutex;

use schema::time::Timestamp;

/// Wrong passwords for one login before waiting begins.
const FREE_ATTEMPTS: u32 = 5;
/// Longest wait, in seconds.
const MAX_WAIT: u64 = 300;
/// Logins remembered, of about 100 bytes each.
const MAX_REMEMBERED: usize = 10_000;

/// Failures by login, since the last time that its password was right.
#[derive(Debug, Default)]
pub struct LoginThrottle {
    failures: Mutex<BTreeMap<[u8; 32], Failures>>,
}

/// The failures of one login.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
    /// When the next attempt may be made.
    until: Timestamp,
}

impl LoginThrottle {
    /// Seconds to wait before the next attempt for this login; `None` if it may be made now.
    pub fn must_wait(&self, now: Timestamp, login: &str) -> Option<u64> {
        let until = self.lock().get(&key(login))?.until;
        until.0.checked_sub(now.0).filter(|left| *left > 0).map(|left| left.div_ceil(1000))
    }

    /// An attempt was made. Linear in the logins remembered, if it is a wrong one for a login that is not among them.
    pub fn attempted(&self, now: Timestamp, login: &str, right: bool) {
        let (mut failures, key) = (self.lock(), key(login));
        if right {
            failures.remove(&key);
            return;
        }
        if failures.len() >= MAX_REMEMBERED && !failures.contains_key(&key) {
            let oldest = failures.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| *key);
            oldest.and_then(|oldest| failures.remove(&oldest));
        }
        let of_login = failures.entry(key).or_insert(Failures { count: 0, last: now, until: now });
        of_login.count = of_login.count.saturating_add(1);
        of_login.last = now;
        if let Some(over) = of_login.count.checked_sub(FREE_ATTEMPTS) {
            let seconds = 1u64.checked_shl(over).unwrap_or(MAX_WAIT).min(MAX_WAIT);
            of_login.until = Timestamp(now.0 + seconds * 1000);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 32], Failures>> {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A login may be as long as a request: its hash stands for it.
fn key(login: &str) -> [u8; 32] {
    blake3::derive_key("archipel 2026-11 login throttle", login.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn after(ms: u64) -> Timestamp {
        Timestamp(NOW.0 + ms)
    }

    fn fail(throttle: &LoginThrottle, at: Timestamp, login: &str, times: u32) {
        (0..times).for_each(|_| throttle.attempted(at, login, false));
    }

    #[test]
    fn each_wrong_password_beyond_a_few_waits_twice_as_long_up_to_a_bound() {
        let throttle = LoginThrottle::default();
        fail(&throttle, NOW, "ana", FREE_ATTEMPTS - 1);
        assert_eq!(throttle.must_wait(NOW, "ana"), None, "a few mistakes cost nothing");
        let waits: Vec<Option<u64>> = (0..3)
            .map(|_| {
                throttle.attempted(NOW, "ana", false);
                throttle.must_wait(NOW, "ana")
            })
            .collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4)]);
        assert_eq!(throttle.must_wait(after(3001), "ana"), Some(1), "less than a second is said as one");
        assert_eq!(throttle.must_wait(after(4000), "ana"), None);
        assert_eq!(throttle.must_wait(NOW, "bob"), None, "and nobody else waits");
        fail(&throttle, NOW, "ana", 100);
        assert_eq!(throttle.must_wait(NOW, "ana"), Some(MAX_WAIT));
        throttle.attempted(NOW, "ana", true);
        fail(&throttle, NOW, "ana", FREE_ATTEMPTS - 1);
        assert_eq!(throttle.must_wait(NOW, "ana"), None, "the right password begins anew");
    }

    #[test]
    fn of_too_many_logins_the_one_is_forgotten_that_failed_the_longest_ago() {
        let throttle = LoginThrottle::default();
        fail(&throttle, NOW, "zoe", FREE_ATTEMPTS + 10);
        fail(&throttle, after(1), "ana", FREE_ATTEMPTS + 10);
        let others: Vec<String> = (0..MAX_REMEMBERED as u64).map(|other| format!("other{other}")).collect();
        for (other, at) in others.iter().zip(1..).skip(2) {
            fail(&throttle, after(at), other, 1);
        }
        assert_eq!(throttle.lock().len(), MAX_REMEMBERED, "all are remembered");
        fail(&throttle, after(20_000), "ana", 1);
        fail(&throttle, after(20_001), &others[0], 1);
        assert_eq!(throttle.must_wait(after(20_001), "zoe"), None, "its last failure is the oldest");
        assert!(throttle.must_wait(after(20_001), "ana").is_some(), "whatever comes first by the alphabet");
        for (other, at) in others[1..100].iter().zip(20_002..) {
            fail(&throttle, after(at), other, 1);
        }
        assert!(throttle.must_wait(after(21_000), "ana").is_some(), "what failed again a moment ago is not the oldest");
        assert_eq!(throttle.lock().len(), MAX_REMEMBERED);
    }

    #[test]
    fn a_login_takes_no_more_memory_for_being_long() {
        let throttle = LoginThrottle::default();
        let long = "a".repeat(1 << 20);
        fail(&throttle, NOW, &long, FREE_ATTEMPTS);
        assert_eq!(throttle.must_wait(NOW, &long), Some(1), "it waits like any other");
        assert_eq!(throttle.must_wait(NOW, &long[1..]), None, "and is told from others");
        let kept: usize = throttle.lock().keys().map(|key| key.len()).sum();
        assert_eq!(kept, 32);
    }
}
