//! Measures the round trip of a frame over one long-lived stream on loopback, per transport.
//!
//! Both nodes have a runtime of their own, as two processes would.

use std::error::Error;
use std::time::{Duration, Instant};

use neuro_network::frames::{FrameReader, FrameWriter};
use neuro_network::{PeerToPeer, StreamKind};
use neuro_primitives::NodeKey;

const LIMIT: usize = 1 << 24;
const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];

/// Frame lengths in bytes, and how often each is sent.
const CASES: [(usize, usize); 3] = [(4 << 10, 5_000), (64 << 10, 1_000), (1 << 20, 100)];

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    for listen in LISTEN {
        let echo = runtime()?;
        let caller = runtime()?;
        let worker = NodeKey::generate()?;
        let peer = worker.node_id();
        let (node, mut incoming) = echo.block_on(PeerToPeer::start(&worker, &[listen.to_owned()]))?;
        let addresses = node.addresses();
        echo.spawn(async move {
            let (_, _, stream) = incoming.streams.recv().await?;
            let (read, write) = tokio::io::split(stream);
            let (mut read, mut write) = (FrameReader::new(read, LIMIT), FrameWriter::new(write, LIMIT));
            while let Ok(Some(frame)) = read.read().await {
                write.write(&frame).await.ok()?;
            }
            Some(())
        });
        caller.block_on(async {
            let (caller, _incoming) = PeerToPeer::start(&NodeKey::generate()?, &[]).await?;
            caller.dial(peer, &addresses).await?;
            let (read, write) = tokio::io::split(caller.open(peer, StreamKind::Experts).await?);
            let (mut read, mut write) = (FrameReader::new(read, LIMIT), FrameWriter::new(write, LIMIT));
            for (length, count) in CASES {
                let (frame, mut times) = (vec![7; length], Vec::with_capacity(count));
                for _ in 0..count {
                    let began = Instant::now();
                    write.write(&frame).await?;
                    read.read().await?;
                    times.push(began.elapsed());
                }
                report(listen, length, times);
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        })?;
        drop(node);
        caller.shutdown_background();
        echo.shutdown_background();
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

fn report(listen: &str, length: usize, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    println!("{listen}: {length} bytes, p50 {} µs, p99 {} µs", at(50), at(99));
}
