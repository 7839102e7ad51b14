//! A TCP proxy in front of a server, which cuts and holds back what the server says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::ledger::lock::lock;

/// What the proxy does.
#[derive(Default)]
struct Orders {
    /// After the commit of a record with this text is sent, so many octets of the reply pass, then
    /// the connection is cut.
    cut: Mutex<Option<(String, usize)>>,
    /// Nothing of what the server says passes.
    is_deaf: AtomicBool,
}

/// The proxy, on a port of loopback.
pub struct Proxy {
    port: u16,
    orders: Arc<Orders>,
}

impl Proxy {
    /// In front of the server with this socket.
    pub fn start(server: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let orders = Arc::new(Orders::default());
        let all = Arc::clone(&orders);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                let (orders, budget) = (Arc::clone(&all), Arc::new(Mutex::new(None)));
                let other = (client.try_clone(), server.try_clone());
                let (Ok(client2), Ok(server2)) = other else { continue };
                let (there, back) = (Arc::clone(&budget), budget);
                let orders2 = Arc::clone(&orders);
                std::thread::spawn(move || to_server(client, server, &orders, &there));
                std::thread::spawn(move || to_client(server2, client2, &orders2, &back));
            }
        });
        Self { port, orders }
    }

    /// A URL through it.
    pub fn url(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }

    /// The reply to the commit of a record with this text is cut after so many octets.
    pub fn cut(&self, record: &str, octets: usize) {
        *lock(&self.orders.cut) = Some((record.to_string(), octets));
    }

    /// A commit was cut since the order.
    pub fn has_cut(&self) -> bool {
        lock(&self.orders.cut).is_none()
    }

    /// From now on nothing that the server says passes, or everything.
    pub fn deaf(&self, is_deaf: bool) {
        self.orders.is_deaf.store(is_deaf, Ordering::SeqCst);
    }
}

/// How many octets may still pass to the client; None: any number.
type Budget = Mutex<Option<usize>>;

fn to_server(mut from: TcpStream, mut to: UnixStream, orders: &Orders, budget: &Budget) {
    let (mut said, mut piece) = (Vec::new(), [0; 8192]);
    while let Ok(n @ 1..) = from.read(&mut piece) {
        let Some(new) = piece.get(..n) else { break };
        said.extend_from_slice(new);
        {
            let mut cut = lock(&orders.cut);
            if let Some((record, octets)) = &*cut
                && let Some(at) = find(&said, record.as_bytes())
                && said.get(at..).is_some_and(|rest| find(rest, b"COMMIT").is_some())
            {
                *lock(budget) = Some(*octets);
                *cut = None;
            }
        }
        if to.write_all(new).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn to_client(mut from: UnixStream, mut to: TcpStream, orders: &Orders, budget: &Budget) {
    let mut piece = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        while orders.is_deaf.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let left = *lock(budget);
        let passes = left.map_or(n, |left| left.min(n));
        if to.write_all(piece.get(..passes).unwrap_or_default()).is_err() {
            break;
        }
        if let Some(left) = left {
            *lock(budget) = Some(left - passes);
            // The whole reply is not cut: then the next octet that comes is.
            if passes < n {
                break;
            }
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
