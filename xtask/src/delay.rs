//! `cargo xtask delay`: far away, on one machine.
//!
//! Proxies on loopback that hold every byte back for a while, in both directions, and let as much through as comes. So
//! programs that speak TCP can be measured as if they were far apart where the kernel offers no such links. Bytes are
//! handed on in order; a side that closes is seen by the other after the same while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

const USAGE: &str = "cargo xtask delay MS PORT:TO [PORT:TO ...]: connections to PORT go on to TO, MS ms later each way";

/// Read at once, and held back together.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks on their way in one direction; a sender waits when there are more.
const CHUNKS_UNDER_WAY: usize = 1 << 12;

/// What a link was given, and when it is due on the other side.
type Chunk = (Instant, Vec<u8>);

/// Serves until it is killed.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [delay, links @ ..] = arguments else { bail!("{USAGE}") };
    let delay = Duration::from_secs_f64(delay.parse::<f64>().context(USAGE)? / 1e3);
    let ports = links.iter().map(|link| parse(link)).collect::<anyhow::Result<Vec<_>>>()?;
    let listening = ports.iter().map(|(port, to)| {
        let listener =
            TcpListener::bind(("127.0.0.1", *port)).with_context(|| format!("cannot listen at port {port}"))?;
        println!("port {port}: {} ms to port {to}", delay.as_secs_f64() * 1e3);
        let to = *to;
        Ok(thread::spawn(move || serve(&listener, to, delay)))
    });
    for proxy in listening.collect::<anyhow::Result<Vec<_>>>()? {
        proxy.join().unwrap_or_else(|_| bail!("a proxy failed"))?;
    }
    Ok(())
}

fn parse(link: &str) -> anyhow::Result<(u16, u16)> {
    let (port, to) = link.split_once(':').context(USAGE)?;
    Ok((port.parse().context(USAGE)?, to.parse().context(USAGE)?))
}

fn serve(listener: &TcpListener, to: u16, delay: Duration) -> anyhow::Result<()> {
    for near in listener.incoming() {
        let near = near?;
        // Nobody is there yet: whoever called sees the connection close.
        let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        carry(near.try_clone()?, far.try_clone()?, delay);
        carry(far, near, delay);
    }
    Ok(())
}

/// One direction of one connection.
fn carry(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = sync_channel(CHUNKS_UNDER_WAY);
    thread::spawn(move || take(from, &sender, delay));
    thread::spawn(move || give(to, &receiver));
}

/// Until the end of the stream, or until nobody takes what comes.
fn take(mut from: TcpStream, chunks: &SyncSender<Chunk>, delay: Duration) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count) = from.read(&mut buffer) {
        let chunk = (Instant::now() + delay, buffer[..count].to_vec());
        if chunks.send(chunk).is_err() || count == 0 {
            return;
        }
    }
}

fn give(mut to: TcpStream, chunks: &Receiver<Chunk>) {
    while let Ok((due, bytes)) = chunks.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_later_and_in_order() -> anyhow::Result<()> {
        let far = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpListener::bind("127.0.0.1:0")?;
        let (to, port) = (far.local_addr()?.port(), near.local_addr()?.port());
        thread::spawn(move || serve(&near, to, Duration::from_millis(20)));
        let echo = thread::spawn(move || {
            let (mut connection, _) = far.accept()?;
            let mut all = Vec::new();
            connection.read_to_end(&mut all)?;
            connection.write_all(&all)
        });
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let began = Instant::now();
        connection.write_all(&sent)?;
        connection.shutdown(Shutdown::Write)?;
        let mut received = Vec::new();
        connection.read_to_end(&mut received)?;
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
        assert!(began.elapsed() >= Duration::from_millis(40), "there and back");
        echo.join().map_err(|_| anyhow::anyhow!("the echo failed"))??;
        Ok(())
    }

    #[test]
    fn a_link_is_two_ports() {
        assert_eq!(parse("7100:7200").ok(), Some((7100, 7200)));
        for wrong in ["7100", "7100:", "a:b", "70000:1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
