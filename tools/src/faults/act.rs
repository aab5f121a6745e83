//! Doing what the plan says, to the system and to the crowd.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use futures_util::future::{join_all, try_join_all};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{
    cast::Cast,
    plan::{Episode, Fault, Planned},
    system::System,
};
use crate::{client::Answer, crowd::ledger::What};

/// How many of those whose connection breaks do not come back, at most.
const ABSENT: usize = 3;
/// How much more is sent while some do not read.
const FLOOD: f64 = 8.0;
/// How long a change of members may be tried.
const CHANGE: Duration = Duration::from_secs(40);

/// What was done, by the clock of the ledger.
#[derive(Clone, Debug)]
pub struct Done {
    pub fault: Fault,
    pub began: Duration,
    pub ended: Duration,
    /// People who have been away since.
    pub absent: Vec<usize>,
}

/// Everything of an episode, and what could not be done of it. Each fault is gone through to its end: nothing stays frozen because
/// something else went wrong.
pub async fn carry_out(
    system: &Arc<System>,
    cast: &Cast,
    episode: &Episode,
) -> (Vec<Done>, Vec<anyhow::Error>) {
    let each = episode.faults.iter().map(|Planned { after, fault }| async move {
        sleep(Duration::from_millis(*after)).await;
        let began = cast.town.ledger.age();
        let absent = inflict(system, cast, *fault)
            .await
            .with_context(|| format!("cannot {fault}"))?;
        Ok(Done {
            fault: *fault,
            began,
            ended: cast.town.ledger.age(),
            absent,
        })
    });
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for outcome in join_all(each).await {
        match outcome {
            Ok(one) => done.push(one),
            Err(error) => failed.push(error),
        }
    }
    (done, failed)
}

/// Says who stayed away.
async fn inflict(system: &Arc<System>, cast: &Cast, fault: Fault) -> Result<Vec<usize>> {
    let wait = |millis: u64| sleep(Duration::from_millis(millis));
    match fault {
        Fault::KillReplica { down } => {
            let which = fullest(system, cast);
            let absent = stay_away(cast, |door| door == which);
            // They have heard of it before it happens.
            wait(20).await;
            on_thread(system, move |system| {
                system.kill_replica(which);
                Ok(())
            })
            .await?;
            wait(down).await;
            on_thread(system, move |system| system.start_replica(which)).await?;
            return Ok(absent);
        }
        Fault::FreezeReplica { frozen } => {
            let which = fullest(system, cast);
            system.signal_replica(which, Signal::STOP);
            wait(frozen).await;
            system.signal_replica(which, Signal::CONT);
        }
        Fault::Roll => {
            for which in 0..system.replicas() {
                on_thread(system, move |system| system.drain_replica(which)).await?;
                on_thread(system, move |system| system.start_replica(which)).await?;
            }
        }
        Fault::RestartRedis { down } => {
            on_thread(system, System::stop_redis).await?;
            wait(down).await;
            on_thread(system, System::start_redis).await?;
        }
        Fault::FreezeRedis { frozen } => {
            system.signal_redis(Signal::STOP)?;
            wait(frozen).await;
            system.signal_redis(Signal::CONT)?;
        }
        Fault::FlushRedis => say(system, "FLUSHALL").await?,
        Fault::CutListeners => say(system, "CLIENT KILL TYPE pubsub").await?,
        Fault::CutSpeakers => say(system, "CLIENT KILL TYPE normal").await?,
        Fault::RestartPostgres { immediate, down } => {
            on_thread(system, move |system| system.stop_postgres(immediate)).await?;
            wait(down).await;
            on_thread(system, System::start_postgres).await?;
        }
        Fault::FreezePostgres { frozen } => {
            on_thread(system, |system| system.signal_postgres(Signal::STOP)).await?;
            wait(frozen).await;
            on_thread(system, |system| system.signal_postgres(Signal::CONT)).await?;
        }
        Fault::CutPostgres => {
            let cut = on_thread(system, System::cut_postgres).await?;
            if cut == 0 {
                bail!("the gateway had no connection that could be cut");
            }
        }
        Fault::StallReaders { stalled } => {
            let some = || {
                cast.devices
                    .iter()
                    .filter(|device| device.client.is_multiple_of(3))
            };
            some().for_each(|device| device.reads(false));
            cast.town.tempo(FLOOD);
            wait(stalled).await;
            cast.town.tempo(1.0);
            some().for_each(|device| device.reads(true));
        }
        Fault::BreakOff => {
            let absent = stay_away(cast, |_| true);
            wait(20).await;
            let breaks = |client: usize| client.is_multiple_of(3) || absent.contains(&cast.owner(client));
            cast.devices
                .iter()
                .filter(|device| breaks(device.client))
                .for_each(crate::crowd::Device::break_off);
            return Ok(absent);
        }
        Fault::Shuffle { out } => {
            let groups = &cast.population.groups;
            try_join_all(groups.iter().enumerate().map(async |(number, group)| {
                // Each group loses another one, never its owner.
                let place = 1 + number % (group.members.len() - 1);
                shuffle(cast, group.id, group.members[0], group.members[place], out).await
            }))
            .await?;
        }
    }
    Ok(Vec::new())
}

/// The replica that has most clients.
fn fullest(system: &System, cast: &Cast) -> usize {
    let clients = |which: &usize| {
        let doors = cast.devices.iter().filter_map(|device| device.state().door);
        doors.filter(|door| door == which).count()
    };
    (0..system.replicas()).max_by_key(clients).unwrap_or_default()
}

/// Some whose only device is connected to such a door do not come back when it breaks. Says who.
fn stay_away(cast: &Cast, fits: impl Fn(usize) -> bool) -> Vec<usize> {
    let there = cast
        .only_devices()
        .filter(|(_, device)| device.state().door.is_some_and(&fits));
    let mut absent = Vec::new();
    for (person, device) in there.take(ABSENT) {
        device.stay_away(true);
        absent.push(person);
    }
    absent
}

async fn say(system: &Arc<System>, command: &'static str) -> Result<()> {
    on_thread(system, move |system| system.say_to_redis(command)).await?;
    Ok(())
}

/// Take somebody out of a group, and put them in again after a while.
async fn shuffle(cast: &Cast, chat: Uuid, owner: usize, member: usize, out: u64) -> Result<()> {
    let user = cast.population.people[member].id;
    let participants = format!("/api/chats/{chat}/participants");
    let participant = format!("{participants}/{user}");
    // Whoever asks again because the first answer was lost is told that it is done.
    insist(cast, owner, 404, async |rest| rest.delete(&participant).await).await?;
    sleep(Duration::from_millis(out)).await;
    let readmits = What::Readmits { chat, user };
    cast.town.ledger.note(cast.client_of(owner), readmits);
    insist(cast, owner, 409, async |rest| {
        rest.post(&participants, json!({"userId": user})).await
    })
    .await
}

/// Ask one replica after the other until it is done, or was done before.
async fn insist(
    cast: &Cast,
    owner: usize,
    done_before: u16,
    ask: impl AsyncFn(crate::client::Rest) -> Result<Answer>,
) -> Result<()> {
    let trying = async {
        for door in (0..cast.town.doors().len()).cycle() {
            let answer = timeout(Duration::from_secs(10), ask(cast.rest(door, owner))).await;
            match answer {
                Ok(Ok(answer)) if answer.is_success() || answer.status == done_before => return Ok(()),
                Ok(Ok(answer)) if !matches!(answer.status, 500.. | 429) => {
                    bail!(
                        "changing members was answered with {}: {}",
                        answer.status,
                        answer.text
                    )
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        Ok(())
    };
    timeout(CHANGE, trying)
        .await
        .context("nobody could change the members of a group")?
}

/// What waits, waits elsewhere.
async fn on_thread<T: Send + 'static>(
    system: &Arc<System>,
    work: impl FnOnce(&System) -> Result<T> + Send + 'static,
) -> Result<T> {
    let system = system.clone();
    tokio::task::spawn_blocking(move || work(&system)).await?
}
