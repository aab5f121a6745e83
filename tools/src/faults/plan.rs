//! What is broken when. An episode follows from the seed and its number alone, so that each can be played again by itself.

use std::fmt;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

/// Something that breaks. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and started again after a while. Some of its people do not come back.
    KillReplica {
        down: u64,
    },
    /// SIGSTOP for the replica that has most clients, and later SIGCONT.
    FreezeReplica {
        frozen: u64,
    },
    /// SIGTERM to one replica after the other, each started again when it is gone.
    Roll,
    RestartRedis {
        down: u64,
    },
    /// SIGSTOP, and later SIGCONT.
    FreezeRedis {
        frozen: u64,
    },
    FlushRedis,
    /// `CLIENT KILL TYPE pubsub`: replicas are deaf for a moment.
    CutListeners,
    /// `CLIENT KILL TYPE normal`: and cannot speak.
    CutSpeakers,
    /// `immediate` is a crash as far as the data is concerned.
    RestartPostgres {
        immediate: bool,
        down: u64,
    },
    FreezePostgres {
        frozen: u64,
    },
    /// `pg_terminate_backend` for every connection of the gateway.
    CutPostgres,
    /// Every third client stops reading while everybody sends much more.
    StallReaders {
        stalled: u64,
    },
    /// Every third client's connection breaks in the middle of a frame. Some do not come back.
    BreakOff,
    /// Somebody is taken out of each group and put in again, under traffic.
    Shuffle {
        out: u64,
    },
}

/// What a fault is about. Two of one kind never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Replicas,
    Redis,
    Postgres,
    Clients,
    Members,
}

/// A fault, and how long after the episode's beginning it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub after: u64,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    pub number: u64,
    pub faults: Vec<Planned>,
}

/// How many kinds there are.
const KINDS: usize = 15;

impl Episode {
    /// The kinds come in decks: so many episodes in a row have each kind once, in an order of the seed's. Every third episode has
    /// a second fault on top.
    pub fn of(seed: u64, number: u64) -> Self {
        let deck = (number - 1) / KINDS as u64;
        let mut kinds: Vec<usize> = (0..KINDS).collect();
        kinds.shuffle(&mut rng(seed, u64::MAX - deck));
        let kind = kinds[((number - 1) % KINDS as u64) as usize];
        let mut rng = rng(seed, number);
        let mut faults = vec![Planned {
            after: rng.random_range(500..1_500),
            fault: Fault::of(kind, &mut rng),
        }];
        if number.is_multiple_of(3) {
            let other = std::iter::repeat_with(|| {
                let kind = rng.random_range(0..KINDS);
                Fault::of(kind, &mut rng)
            })
            .find(|other| other.victim() != faults[0].fault.victim());
            faults.extend(other.map(|fault| Planned {
                after: faults[0].after + rng.random_range(0..1_000),
                fault,
            }));
        }
        Self { number, faults }
    }
}

fn rng(seed: u64, stream: u64) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&stream.to_le_bytes());
    StdRng::from_seed(bytes)
}

impl Fault {
    fn of(kind: usize, rng: &mut StdRng) -> Self {
        match kind {
            0 => Self::KillReplica {
                down: rng.random_range(200..3_000),
            },
            1 => Self::Roll,
            2 => Self::RestartRedis {
                down: rng.random_range(0..3_000),
            },
            3 => Self::FreezeRedis {
                frozen: rng.random_range(1_000..5_000),
            },
            4 => Self::FlushRedis,
            5 => Self::CutListeners,
            6 => Self::CutSpeakers,
            7 | 8 => Self::RestartPostgres {
                immediate: kind == 8,
                down: rng.random_range(0..2_000),
            },
            9 => Self::FreezePostgres {
                frozen: rng.random_range(1_000..4_000),
            },
            10 => Self::CutPostgres,
            11 => Self::StallReaders {
                stalled: rng.random_range(1_000..6_000),
            },
            12 => Self::BreakOff,
            13 => Self::FreezeReplica {
                frozen: rng.random_range(1_000..5_000),
            },
            _ => Self::Shuffle {
                out: rng.random_range(200..2_000),
            },
        }
    }

    fn victim(self) -> Victim {
        match self {
            Self::KillReplica { .. } | Self::FreezeReplica { .. } | Self::Roll => Victim::Replicas,
            Self::RestartRedis { .. }
            | Self::FreezeRedis { .. }
            | Self::FlushRedis
            | Self::CutListeners
            | Self::CutSpeakers => Victim::Redis,
            Self::RestartPostgres { .. } | Self::FreezePostgres { .. } | Self::CutPostgres => {
                Victim::Postgres
            }
            Self::StallReaders { .. } | Self::BreakOff => Victim::Clients,
            Self::Shuffle { .. } => Victim::Members,
        }
    }

    /// While this lasts, what is acknowledged still arrives within moments.
    pub fn is_only_redis(self) -> bool {
        self.victim() == Victim::Redis
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |millis: u64| format!("{:.1} s", millis as f64 / 1e3);
        match *self {
            Self::KillReplica { down } => write!(f, "kill -9 a replica, {} down", seconds(down)),
            Self::FreezeReplica { frozen } => write!(f, "freeze a replica {}", seconds(frozen)),
            Self::Roll => f.write_str("rolling restart"),
            Self::RestartRedis { down } => write!(f, "restart Redis, {} down", seconds(down)),
            Self::FreezeRedis { frozen } => write!(f, "freeze Redis {}", seconds(frozen)),
            Self::FlushRedis => f.write_str("FLUSHALL"),
            Self::CutListeners => f.write_str("CLIENT KILL pubsub"),
            Self::CutSpeakers => f.write_str("CLIENT KILL normal"),
            Self::RestartPostgres { immediate, down } => {
                let how = if immediate { "crash" } else { "restart" };
                write!(f, "{how} PostgreSQL, {} down", seconds(down))
            }
            Self::FreezePostgres { frozen } => write!(f, "freeze PostgreSQL {}", seconds(frozen)),
            Self::CutPostgres => f.write_str("cut PostgreSQL's connections"),
            Self::StallReaders { stalled } => write!(f, "stall readers {}", seconds(stalled)),
            Self::BreakOff => f.write_str("break off in a frame"),
            Self::Shuffle { out } => write!(f, "members out for {}", seconds(out)),
        }
    }
}

impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|planned| planned.fault.to_string())
            .collect();
        f.write_str(&faults.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_episode_follows_from_seed_and_number() {
        for number in 1..50 {
            assert_eq!(Episode::of(7, number), Episode::of(7, number));
        }
        assert_ne!(Episode::of(7, 1), Episode::of(8, 1));
    }

    #[test]
    fn a_deck_has_every_kind() {
        for seed in 0..20 {
            let first = (1..=KINDS as u64).map(|number| Episode::of(seed, number).faults[0].fault);
            let kinds = first.map(|fault| match fault {
                Fault::RestartPostgres { immediate, .. } => format!("postgres {immediate}"),
                fault => format!("{:?}", std::mem::discriminant(&fault)),
            });
            assert_eq!(kinds.collect::<HashSet<_>>().len(), KINDS);
        }
    }

    #[test]
    fn what_overlaps_has_different_victims() {
        for number in (3..300).step_by(3) {
            let faults = Episode::of(1, number).faults;
            assert_eq!(faults.len(), 2);
            assert_ne!(faults[0].fault.victim(), faults[1].fault.victim());
        }
    }
}
