//! The pure parts of a message's way: what is done for each message, and what for each of those who hear it.
//!
//!     cargo bench --workspace --bench hot_path
//!
//! Nothing here waits for anybody, so what these say about a change holds on another machine as well.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use chrono::DateTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gateway::{
    bus::{Envelope, wire},
    doors::{
        socketio::{
            names,
            packet::{self, Packet},
            split,
        },
        websocket::{self, Frames, Message},
    },
    fanout::{Delivery, Outlet, bench::Audience},
};
use serde_json::json;
use shared::{ChatId, disconnect::Disconnect, event::Kind, topic::Topic};
use uuid::Uuid;

const TOPIC: Topic = Topic::Chat(ChatId(Uuid::from_u128(1)));

/// A message as it is told, about as long as people write.
fn envelope(seq: i64) -> Envelope {
    let id = Uuid::from_u128(7);
    let sender = json!({"id": id, "username": "alice", "displayName": "Alice", "avatarUrl": null});
    let body = json!({
        "id": id, "chatId": id, "senderId": id, "sender": sender, "content": "what people say ".repeat(7), "contentType": "text",
        "metadata": {}, "replyToId": null, "replyTo": null, "isEdited": false, "editedAt": null, "isDeleted": false,
        "deletedAt": null, "createdAt": "2026-11-21T12:00:00.000000Z", "reactions": [], "deliveryStatus": "sent",
        "readCount": {"total": 49, "read": 0}, "attachments": [], "seq": seq,
    });
    Envelope {
        topic: TOPIC,
        seq,
        kind: Kind::MessageSent.name().into(),
        held_for: None,
        at: DateTime::UNIX_EPOCH,
        cause: None,
        body: Bytes::from(body.to_string()),
    }
}

fn delivery(seq: i64) -> Arc<Delivery> {
    Arc::new(Delivery::new(Arc::new(envelope(seq))).expect("JSON"))
}

fn render(criterion: &mut Criterion) {
    let delivery = delivery(1);
    criterion.bench_function("render: an event into a frame", |bencher| {
        bencher.iter(|| packet::event("message:new", black_box(delivery.json())));
    });
    let envelope = Arc::new(envelope(1));
    criterion.bench_function("render: an envelope into what the hub tells", |bencher| {
        bencher.iter(|| Delivery::new(black_box(envelope.clone())));
    });
}

/// A connection that takes everything and does nothing.
#[derive(Default)]
struct Deaf(AtomicUsize);

impl Outlet for Deaf {
    fn offer(&self, _: &Arc<Delivery>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self, _: Disconnect) {}
}

fn dispatch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub: an event to all who listen");
    for size in [1, 10, 50, 300] {
        group.throughput(Throughput::Elements(size));
        group.bench_with_input(BenchmarkId::from_parameter(size), &size, |bencher, size| {
            let deaf = Arc::new(Deaf::default());
            let outlet: Arc<dyn Outlet> = deaf.clone();
            let mut audience = Audience::new(TOPIC, u128::from(*size), &outlet);
            let mut seq = 0;
            let next = || {
                seq += 1;
                delivery(seq)
            };
            let mut told = 0;
            bencher.iter_batched(
                next,
                |delivery| told += audience.accept(delivery),
                BatchSize::SmallInput,
            );
            // Or it would measure how fast nobody is told.
            assert_eq!(deaf.0.load(Ordering::Relaxed) as u64, told * size);
        });
    }
    group.finish();
}

/// A frame as a client writes it.
fn masked(text: &str) -> Vec<u8> {
    const KEY: [u8; 4] = [0x12, 0xff, 0x00, 0x77];
    let mut bytes = websocket::frame(websocket::Kind::Text, &[text.as_bytes()]);
    let payload = bytes.split_off(bytes.len() - text.len());
    bytes[1] |= 0x80;
    bytes.extend(KEY);
    bytes.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

fn decode(criterion: &mut Criterion) {
    let origin = Uuid::from_u128(9);
    let envelope = envelope(1);
    criterion.bench_function("wire: pack an envelope", |bencher| {
        bencher.iter(|| wire::pack(origin, black_box(&envelope)));
    });
    let packed = Bytes::from(wire::pack(origin, &envelope));
    criterion.bench_function("wire: unpack an envelope", |bencher| {
        bencher.iter(|| wire::unpack(black_box(packed.clone())).expect("ours"));
    });
    let ask = json!({"chatId": Uuid::from_u128(1), "content": "what people say ".repeat(7), "clientMessageId": "0123456789ab-4711-42"});
    let text = json!(["message:send", ask]).to_string();
    let sent = masked(&format!("4217{text}"));
    criterion.bench_function("wire: a socket's bytes into a packet", |bencher| {
        let mut frames = Frames::new(sent.len());
        bencher.iter(|| {
            frames.put(black_box(&sent));
            let Ok(Some(Message::Text(text))) = frames.message() else {
                panic!("a whole frame");
            };
            assert!(matches!(
                Packet::read(&text),
                Some(Packet::Event { ack: Some(17), .. })
            ));
        });
    });
    criterion.bench_function("wire: a socket's event into a command", |bencher| {
        bencher.iter(|| {
            let (name, payload) = split(black_box(&text));
            names::asked(&name, &payload).expect("known").expect("right")
        });
    });
}

criterion_group!(benches, render, dispatch, decode);
criterion_main!(benches);
