use tokio::{
    sync::mpsc,
    task::{JoinSet, yield_now},
};

use super::*;

type Doubling = Lane<u64, u64>;

/// A lane that doubles numbers, and the sizes of what was worked off together. Nothing ends before it has a permit.
struct Scene {
    lane: Arc<Doubling>,
    permits: Arc<Semaphore>,
    begun: mpsc::UnboundedReceiver<usize>,
    tasks: Tasks,
}

/// A number that nobody can double, and one that brings down whoever tries; with this one the database is away.
const ODD: u64 = 1_000;
const FATAL: u64 = 1_001;
const AWAY: u64 = 1_002;

impl Scene {
    fn new() -> Self {
        let (beginning, begun) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(0));
        let scene = Self {
            lane: Arc::new(Lane::new(Arc::new(Metrics::new(Vec::new())))),
            permits,
            begun,
            tasks: Tasks::default(),
        };
        let (lane, permits, tasks) = (scene.lane.clone(), scene.permits.clone(), scene.tasks.clone());
        scene.tasks.spawn_underneath("lane", async move {
            let work = move |numbers: Vec<u64>| {
                let (permits, beginning) = (permits.clone(), beginning.clone());
                async move {
                    let _ = beginning.send(numbers.len());
                    permits.acquire().await.unwrap().forget();
                    assert!(!numbers.contains(&FATAL), "on purpose");
                    if numbers.contains(&AWAY) {
                        return Err(Error::unavailable("away"));
                    }
                    let double = |number| match number {
                        ODD => Err(Error::NotFound("double")),
                        number => Ok(2 * number),
                    };
                    Ok(numbers.into_iter().map(double).collect())
                }
            };
            lane.run(&tasks, work).await;
        });
        scene
    }

    /// Ask for these, one after the other, without waiting for answers, while all berths are occupied.
    async fn ask(&self, numbers: impl IntoIterator<Item = u64>) -> JoinSet<(u64, Result<u64>)> {
        let mut asked = JoinSet::new();
        for number in numbers {
            let (lane, waiting) = (self.lane.clone(), self.waiting());
            asked.spawn(async move { (number, lane.ask(number, 1).await) });
            while self.waiting() == waiting {
                yield_now().await;
            }
        }
        asked
    }

    fn waiting(&self) -> usize {
        self.lane.queue().waiting.len()
    }

    /// Fill all berths with entries that are under way.
    async fn occupy(&mut self) -> JoinSet<(u64, Result<u64>)> {
        let mut all = JoinSet::new();
        for number in 0..BERTHS as u64 {
            let lane = self.lane.clone();
            all.spawn(async move { (number, lane.ask(number, 1).await) });
            assert_eq!(self.begun.recv().await, Some(1), "nobody waits for company");
        }
        all
    }
}

#[tokio::test]
async fn what_arrives_meanwhile_goes_together() {
    let mut scene = Scene::new();
    let first = scene.occupy().await;
    let others = scene.ask(10..20).await;
    assert_eq!(scene.waiting(), 10);
    scene.permits.add_permits(100);
    for (number, doubled) in first.join_all().await.into_iter().chain(others.join_all().await) {
        assert_eq!(doubled.unwrap(), 2 * number);
    }
    assert_eq!(scene.begun.recv().await, Some(10));
    assert!(scene.begun.is_empty());
}

#[tokio::test]
async fn whoever_fails_fails_alone() {
    for (bad, is_right) in [
        (
            ODD,
            (|error| matches!(error, Error::NotFound(_))) as fn(&Error) -> bool,
        ),
        (FATAL, |error| matches!(error, Error::Internal(_))),
    ] {
        let mut scene = Scene::new();
        let first = scene.occupy().await;
        let others = scene.ask([10, bad, 11]).await;
        scene.permits.add_permits(100);
        first.join_all().await;
        for (number, doubled) in others.join_all().await {
            match doubled {
                Ok(doubled) => assert_eq!(doubled, 2 * number),
                Err(error) => assert!(number == bad && is_right(&error), "{number}: {error:?}"),
            }
        }
        assert_eq!(scene.lane.ask(12, 1).await.unwrap(), 24, "the lane goes on");
    }
}

#[tokio::test]
async fn what_is_away_is_away_for_all_and_comes_back() {
    let mut scene = Scene::new();
    let first = scene.occupy().await;
    let others = scene.ask([10, AWAY, 11]).await;
    scene.permits.add_permits(100);
    first.join_all().await;
    for (_, doubled) in others.join_all().await {
        assert!(matches!(doubled, Err(Error::Unavailable(_))), "{doubled:?}");
    }
    assert_eq!(scene.lane.ask(12, 1).await.unwrap(), 24);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_once() {
    let mut scene = Scene::new();
    let first = scene.occupy().await;
    let waiting = scene.ask((0..ROOM as u64).map(|_| 5)).await;
    assert!(matches!(scene.lane.ask(5, 1).await, Err(Error::Unavailable(_))));
    scene.permits.add_permits(ROOM);
    first.join_all().await;
    assert!(
        waiting
            .join_all()
            .await
            .iter()
            .all(|(_, doubled)| doubled.is_ok())
    );
    assert_eq!(scene.lane.queue().bytes, 0);
    assert!(
        matches!(scene.lane.ask(5, BYTES + 1).await, Err(Error::Unavailable(_))),
        "too big"
    );
    assert_eq!(scene.lane.ask(5, BYTES).await.unwrap(), 10);
}

#[tokio::test]
async fn what_waits_too_long_is_refused_and_never_begins() {
    let mut scene = Scene::new();
    let first = scene.occupy().await;
    let late = scene.ask([10, 11]).await;
    for (_, doubled) in late.join_all().await {
        assert!(matches!(doubled, Err(Error::Unavailable(_))), "{doubled:?}");
    }
    scene.permits.add_permits(100);
    first.join_all().await;
    assert!(scene.begun.is_empty());
}

#[tokio::test]
async fn whoever_goes_away_has_asked_for_nothing() {
    let mut scene = Scene::new();
    let first = scene.occupy().await;
    let mut others = scene.ask([10, 11]).await;
    let gone = scene.ask([12]).await;
    drop(gone);
    while scene
        .lane
        .queue()
        .waiting
        .iter()
        .all(|entry| !entry.answer.is_closed())
    {
        yield_now().await;
    }
    scene.permits.add_permits(100);
    first.join_all().await;
    while others.join_next().await.is_some() {}
    assert_eq!(scene.begun.recv().await, Some(2));
}
