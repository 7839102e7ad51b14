//! Places for connections that mostly wait: HTTP and lookups
//! (docs/reliability.md, "Slow clients" and "Connection floods").
//!
//! A connection either waits for its client (idle, or in the middle of a request) or is being
//! answered. Who comes when all places are taken gets the place of the one that has waited longest;
//! so half-sent headers and idle connections, however many, keep nobody out, and neither do they
//! need a short deadline while there is room.
//!
//! Promises: a connection that is being answered is never sent away; the one that goes belongs to
//! the newcomer's network when that one has all it may have, else to the network with the most
//! connections; loopback and unix sockets, which all programs of this machine use, have only
//! the common limit; when nobody waits, a few more places are left for questions about health; the
//! work for one newcomer is bounded.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::Notify;

use super::admission::{Network, Peer};
use super::metrics::Refused;
use crate::ledger::lock::lock;

/// Connections that are looked at, at most, to find one that waits.
const LOOKED_AT: usize = 64;

/// States of a connection beside "waits since": milliseconds never get there.
const ANSWERED: u64 = u64::MAX;
const SENT_AWAY: u64 = u64::MAX - 1;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub most: usize,
    /// From one network that is not this machine.
    pub most_per_network: usize,
    /// Beyond `most`, for questions about health.
    pub reserved: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken, and nobody waits.
    Full,
    /// The network has all that it may have, and none of its connections waits.
    FullForNetwork,
}

impl From<NoPlace> for Refused {
    fn from(why: NoPlace) -> Self {
        match why {
            NoPlace::Full => Self::Limit,
            NoPlace::FullForNetwork => Self::LimitPerIp,
        }
    }
}

/// The places of one port.
#[derive(Debug)]
pub struct Places {
    room: Room,
    began: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    numbers: u64,
    /// None: this machine. Never holds an empty map.
    networks: HashMap<Option<Network>, Connections>,
}

/// Connections in the order in which they began to wait, as far as is known: a key is brought up
/// to date when it is met, so that a request costs no lock.
type Connections = BTreeMap<WaitOrder, Arc<PlaceState>>;

/// Since when it waits at least, and a number for those of one moment.
type WaitOrder = (u64, u64);

#[derive(Debug)]
struct PlaceState {
    /// [`ANSWERED`], [`SENT_AWAY`], or milliseconds at which it began to wait.
    since: AtomicU64,
    /// Its place in the table; changed under the lock of the table.
    key: Mutex<WaitOrder>,
    sent_away: Notify,
}

impl Places {
    /// As many as there is room for.
    pub fn new(room: Room) -> Arc<Self> {
        Arc::new(Self { room, began: Instant::now(), table: Mutex::default() })
    }

    /// Connections that have a place now.
    pub fn open(&self) -> usize {
        lock(&self.table).open
    }

    /// A place for a new connection, which waits for its client.
    pub fn take(self: &Arc<Self>, peer: &Peer) -> Result<ConnectionPlace, NoPlace> {
        let network = Network::of(peer).filter(|_| !peer.is_this_machine());
        let now = self.now();
        let mut table = lock(&self.table);
        let of_network =
            network.and_then(|_| table.networks.get(&network)).map_or(0, BTreeMap::len);
        if network.is_some() && of_network >= self.room.most_per_network {
            if !table.send_away(network, now) {
                return Err(NoPlace::FullForNetwork);
            }
        } else if table.open >= self.room.most {
            table.send_anyone_away(now);
        }
        if table.open >= self.room.most + self.room.reserved {
            return Err(NoPlace::Full);
        }
        let reserved = table.open >= self.room.most;
        table.open += 1;
        table.numbers += 1;
        let key = (now, table.numbers);
        let state = Arc::new(PlaceState {
            since: AtomicU64::new(now),
            key: Mutex::new(key),
            sent_away: Notify::new(),
        });
        table.networks.entry(network).or_default().insert(key, Arc::clone(&state));
        Ok(ConnectionPlace { places: Arc::clone(self), network, state, reserved })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(SENT_AWAY - 1)
    }
}

impl Table {
    /// Sends one away, of the network with the most connections if one of those waits.
    fn send_anyone_away(&mut self, now: u64) -> bool {
        let largest = self.networks.iter().max_by_key(|(_, open)| open.len()).map(|(key, _)| *key);
        if largest.is_some_and(|largest| self.send_away(largest, now)) {
            return true;
        }
        let others: Vec<_> = self.networks.keys().copied().take(LOOKED_AT).collect();
        others.into_iter().any(|network| self.send_away(network, now))
    }

    /// Sends the connection of a network away that has waited longest.
    fn send_away(&mut self, network: Option<Network>, now: u64) -> bool {
        let Some(connections) = self.networks.get_mut(&network) else { return false };
        for _ in 0..LOOKED_AT.min(connections.len()) {
            let Some(((known, _), state)) = connections.pop_first() else { break };
            let since = state.since.load(Ordering::Acquire);
            if since == known && state.become_sent_away(since) {
                state.sent_away.notify_one();
                self.open -= 1;
                if connections.is_empty() {
                    self.networks.remove(&network);
                }
                return true;
            }
            // It has been answered since, or is just now: it goes after those that were not.
            let known = if since == known || since == ANSWERED { now } else { since };
            self.numbers += 1;
            *lock(&state.key) = (known, self.numbers);
            connections.insert((known, self.numbers), state);
        }
        false
    }
}

impl PlaceState {
    fn become_sent_away(&self, since: u64) -> bool {
        self.since.compare_exchange(since, SENT_AWAY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// Since when a connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since(u64);

/// The place of one connection.
#[derive(Debug)]
pub struct ConnectionPlace {
    places: Arc<Places>,
    network: Option<Network>,
    state: Arc<PlaceState>,
    reserved: bool,
}

impl ConnectionPlace {
    /// Only questions about health are answered here.
    pub fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// The client has sent something. Gives since when it waited; None: the place is somebody
    /// else's already.
    pub fn answering(&self) -> Option<Since> {
        let mut since = self.state.since.load(Ordering::Acquire);
        while since != SENT_AWAY {
            match self.state.since.compare_exchange_weak(
                since,
                ANSWERED,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(since) => return Some(Since(since)),
                Err(now) => since = now,
            }
        }
        None
    }

    /// Waits for its client again: from now on, or, when nothing could be answered yet, as before.
    pub fn waiting(&self, as_before: Option<Since>) {
        let since = as_before.map_or_else(|| self.places.now(), |since| since.0);
        let since = since.min(SENT_AWAY - 1);
        let state = &self.state.since;
        let _ = state.compare_exchange(ANSWERED, since, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Comes when the place has gone to somebody else: the connection is to be closed.
    pub async fn sent_away(&self) {
        self.state.sent_away.notified().await;
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut table = lock(&self.places.table);
        let key = *lock(&self.state.key);
        let Some(connections) = table.networks.get_mut(&self.network) else { return };
        if connections.remove(&key).is_some() {
            if connections.is_empty() {
                table.networks.remove(&self.network);
            }
            table.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> Peer {
        Peer::Ip(std::net::SocketAddr::new(ip.parse().unwrap(), 4711))
    }

    fn places(most: usize, most_per_network: usize, reserved: usize) -> Arc<Places> {
        Places::new(Room { most, most_per_network, reserved })
    }

    fn is_sent_away(place: &ConnectionPlace) -> bool {
        place.state.since.load(Ordering::Acquire) == SENT_AWAY
    }

    #[test]
    fn who_waited_longest_makes_room() {
        let places = places(3, 3, 0);
        let mut kept: Vec<_> = (0..3).map(|_| places.take(&Peer::Local).unwrap()).collect();
        // The first one is being answered, so the second one goes, and after that the third.
        assert!(kept[0].answering().is_some());
        for gone in [1, 2] {
            kept.push(places.take(&Peer::Local).unwrap());
            assert!(is_sent_away(&kept[gone]) && kept[gone].answering().is_none());
            assert_eq!(places.open(), 3);
        }
        assert!(!is_sent_away(&kept[0]));
        assert!(kept[3].answering().is_some() && kept[4].answering().is_some());
        assert_eq!(places.take(&Peer::Local).unwrap_err(), NoPlace::Full);
        kept[3].waiting(None);
        kept.push(places.take(&Peer::Local).unwrap());
        assert!(is_sent_away(&kept[3]));
        kept.clear();
        assert_eq!(places.open(), 0);
        assert!(places.table.lock().unwrap().networks.is_empty());
    }

    #[test]
    fn part_of_a_request_is_no_sign_of_life() {
        let places = places(2, 2, 0);
        let (dribbles, idle) = (places.take(&Peer::Local).unwrap(), places.take(&Peer::Local));
        let waited = dribbles.answering();
        assert!(waited.is_some());
        dribbles.waiting(waited);
        let _new = places.take(&Peer::Local).unwrap();
        assert!(is_sent_away(&dribbles) && !is_sent_away(&idle.unwrap()));
    }

    #[test]
    fn a_network_makes_room_for_itself_first() {
        let places = places(10, 2, 0);
        let other = places.take(&peer("192.0.2.9")).unwrap();
        let one = places.take(&peer("192.0.2.1")).unwrap();
        let two = places.take(&peer("192.0.2.1")).unwrap();
        let three = places.take(&peer("192.0.2.1")).unwrap();
        assert!(is_sent_away(&one) && !is_sent_away(&two) && !is_sent_away(&other));
        assert!(two.answering().is_some() && three.answering().is_some());
        assert_eq!(places.take(&peer("192.0.2.1")).unwrap_err(), NoPlace::FullForNetwork);
        // Of this machine there may be as many as fit.
        let local: Vec<_> = (0..7).map(|_| places.take(&peer("127.0.0.1")).unwrap()).collect();
        assert!(local.iter().all(|place| !is_sent_away(place)) && !is_sent_away(&other));
        assert_eq!(places.open(), 10);
    }

    #[test]
    fn the_largest_network_makes_room_for_others() {
        let places = places(5, 5, 0);
        let early = places.take(&peer("192.0.2.9")).unwrap();
        let many: Vec<_> = (0..4).map(|_| places.take(&peer("192.0.2.1")).unwrap()).collect();
        let _late = places.take(&peer("2001:db8::1")).unwrap();
        assert!(is_sent_away(&many[0]) && !is_sent_away(&early));
        // When none of those waits, somebody else goes.
        assert!(many[1..].iter().all(|place| place.answering().is_some()));
        let _later = places.take(&peer("2001:db8:1::1")).unwrap();
        assert!(many[1..].iter().all(|place| !is_sent_away(place)));
        assert_eq!(places.open(), 5);
    }

    #[test]
    fn a_few_places_are_left_when_all_are_answered() {
        let places = places(2, 2, 1);
        let busy: Vec<_> = (0..2).map(|_| places.take(&Peer::Local).unwrap()).collect();
        assert!(busy.iter().all(|place| place.answering().is_some() && !place.is_reserved()));
        let health = places.take(&Peer::Local).unwrap();
        assert!(health.is_reserved() && health.answering().is_some());
        assert_eq!(places.take(&Peer::Local).unwrap_err(), NoPlace::Full);
        // The reserved one waits again: it goes, and what comes is in the reserve again.
        health.waiting(None);
        assert!(places.take(&Peer::Local).unwrap().is_reserved());
        assert!(is_sent_away(&health));
    }

    #[test]
    fn many_that_are_answered_do_not_hide_one_that_waits_for_ever() {
        let places = places(1000, 1000, 0);
        let busy: Vec<_> = (0..999).map(|_| places.take(&Peer::Local).unwrap()).collect();
        let idle = places.take(&Peer::Local).unwrap();
        assert!(busy.iter().all(|place| place.answering().is_some()));
        // Each newcomer looks at a few; those that were seen are after it then.
        let tries = (1..).find(|_| places.take(&Peer::Local).is_ok()).unwrap();
        assert!(is_sent_away(&idle) && tries <= 1000 / LOOKED_AT + 1, "{tries} tries");
    }

    #[tokio::test]
    async fn the_one_that_goes_hears_of_it() {
        let places = places(1, 1, 0);
        let first = places.take(&Peer::Local).unwrap();
        let _second = places.take(&Peer::Local).unwrap();
        first.sent_away().await;
        drop(first);
        assert_eq!(places.open(), 1, "a place is given back once");
    }
}
