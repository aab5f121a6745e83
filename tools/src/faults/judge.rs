//! Waiting until all is quiet, and saying what is not as promised.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::{
    act::Done,
    cast::Cast,
    plan::{Episode, Fault},
    presence,
    system::System,
    truth::Known,
};
use crate::crowd::ledger::{Entry, Finding, Truth, What, check, delays, story, story_of};

/// Everybody is connected again and has all answers by then.
const QUIET: Duration = Duration::from_secs(25);
/// What is late may still arrive until then; that it was late is another matter.
const SETTLE: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(250);
/// A replica that dies between a commit and telling of it was at work so long before.
const SHADOW: Duration = Duration::from_secs(1);
/// Of each kind of trouble, so many are told in full.
const IN_FULL: usize = 4;

/// Something that is not as promised.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub kind: String,
    pub what: String,
    /// What is known of it, line by line.
    pub story: Vec<String>,
}

impl Trouble {
    pub fn new(kind: &str, what: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            what: what.into(),
            story: Vec::new(),
        }
    }
}

/// How an episode went.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub troubles: Vec<Trouble>,
    pub sent: usize,
    pub retried: usize,
    pub told: usize,
    pub reconnected: usize,
    /// The longest that a message took to somebody who was connected all the while, and what is known of it if it was long.
    pub slowest: Duration,
    pub about_the_slowest: Vec<String>,
    /// From the end of the last fault to the first answer.
    pub answered_again: Option<Duration>,
    /// When each message arrived after its answer, and how long it took, for the picture.
    pub arrivals: Vec<(Duration, Duration)>,
}

/// What an episode is judged by.
pub struct Bench<'a> {
    pub system: &'a System,
    pub cast: &'a Cast,
    /// How late may what is promised at once come?
    pub patience: Duration,
}

impl Bench<'_> {
    /// Judge an episode whose faults are over. Nobody speaks any more. `began` is when it began, by the clock of the ledger, and
    /// `stall` what this machine itself kept everybody waiting.
    pub async fn judge(
        &self,
        known: &mut Known,
        episode: &Episode,
        done: &[Done],
        began: Duration,
        stall: Duration,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let absent: Vec<usize> = done.iter().flat_map(|done| done.absent.clone()).collect();
        if !absent.is_empty() {
            // Without Redis nobody knows who is there; so the time runs from when it is back.
            let since = done.iter().map(|done| {
                if done.fault.is_only_redis() {
                    done.ended
                } else {
                    done.began
                }
            });
            let since = since.max().unwrap_or_default();
            let wrong = presence::settle(self.cast, |person| !absent.contains(&person), since).await;
            verdict.troubles.extend(told(wrong, "ghost"));
        }
        self.cast
            .devices
            .iter()
            .for_each(|device| device.stay_away(false));
        verdict.troubles.extend(self.quiet().await);
        let since = self.cast.town.ledger.age();
        let wrong = presence::settle(self.cast, |_| true, since).await;
        verdict.troubles.extend(told(wrong, "thought absent"));

        match self.settle(known).await {
            Ok((truth, findings)) => {
                let history = self.cast.town.ledger.history();
                verdict.troubles.extend(self.in_full(&history, &findings));
                self.count(&mut verdict, &history, episode, done, began, stall);
                known.learn(&truth);
            }
            Err(error) => verdict
                .troubles
                .push(Trouble::new("unreadable", format!("{error:#}"))),
        }
        let complaints = self.system.complaints().into_iter();
        verdict
            .troubles
            .extend(complaints.map(|complaint| Trouble::new("replica", complaint)));
        self.cast.town.ledger.turn_the_page();
        verdict
    }

    /// Wait until everybody is connected and has all answers. Says who is not.
    async fn quiet(&self) -> Vec<Trouble> {
        let deadline = Instant::now() + QUIET;
        loop {
            let restless: Vec<String> = self
                .cast
                .devices
                .iter()
                .filter(|device| {
                    let state = device.state();
                    state.door.is_none() || state.unanswered > 0 || state.is_behind
                })
                .map(|device| format!("{}: {:?}", self.cast.name(device.client), device.state()))
                .collect();
            if restless.is_empty() {
                return Vec::new();
            }
            if Instant::now() > deadline {
                let what = format!(
                    "{} clients are not connected and answered after {} s",
                    restless.len(),
                    QUIET.as_secs()
                );
                let mut trouble = Trouble::new("stuck", what);
                trouble.story = restless;
                return vec![trouble];
            }
            sleep(LOOK).await;
        }
    }

    /// Read the truth until nothing is found any more, or too much time has passed.
    async fn settle(&self, known: &Known) -> Result<(Truth, Vec<Finding>)> {
        let (who, deadline) = (self.cast.who(), Instant::now() + SETTLE);
        for door in (0..self.cast.town.doors().len()).cycle() {
            let read = known.read(self.cast, door).await;
            let is_late = Instant::now() > deadline;
            match read {
                Ok(truth) => {
                    let findings = check(&self.cast.town.ledger.history(), &who, &truth);
                    if findings.is_empty() || is_late {
                        return Ok((truth, findings));
                    }
                }
                Err(error) if is_late => return Err(error),
                Err(_) => {}
            }
            sleep(LOOK).await;
        }
        anyhow::bail!("there is no replica")
    }

    /// The first few of each kind with their history, the others as a number.
    fn in_full(&self, history: &[Entry], findings: &[Finding]) -> Vec<Trouble> {
        let mut kinds: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            kinds.entry(finding.breach.to_string()).or_default().push(finding);
        }
        let mut troubles = Vec::new();
        for (kind, findings) in kinds {
            for finding in findings.iter().take(IN_FULL) {
                let mut trouble = Trouble::new(&kind, self.about(finding));
                trouble.story = story(history, finding)
                    .iter()
                    .map(|entry| self.line(entry))
                    .collect();
                troubles.push(trouble);
            }
            if findings.len() > IN_FULL {
                troubles.push(Trouble::new(
                    &kind,
                    format!("and {} more of this kind", findings.len() - IN_FULL),
                ));
            }
        }
        troubles
    }

    fn about(&self, finding: &Finding) -> String {
        let whose = finding
            .client
            .map(|client| format!(" for {}", self.cast.name(client)));
        let (message, chat, detail) = (finding.message, finding.chat, &finding.detail);
        format!(
            "message {message} of chat {chat}{}: {detail}",
            whose.unwrap_or_default()
        )
    }

    fn line(&self, entry: &Entry) -> String {
        let seconds = entry.at.as_secs_f64();
        format!(
            "{seconds:10.3}  {}: {:?}",
            self.cast.name(entry.client),
            entry.what
        )
    }

    fn count(
        &self,
        verdict: &mut Verdict,
        history: &[Entry],
        episode: &Episode,
        done: &[Done],
        began: Duration,
        stall: Duration,
    ) {
        let mut internal = Vec::new();
        let mut refused = Vec::new();
        let shuffles = episode
            .faults
            .iter()
            .any(|planned| matches!(planned.fault, Fault::Shuffle { .. }));
        for entry in history.iter().filter(|entry| entry.at >= began) {
            match &entry.what {
                What::Sent { .. } => verdict.sent += 1,
                What::PutOff { why, .. } => {
                    verdict.retried += 1;
                    if why.starts_with("INTERNAL_ERROR") {
                        internal.push(self.line(entry));
                    }
                }
                What::Told { .. } => verdict.told += 1,
                What::Opened { .. } => verdict.reconnected += 1,
                // Who was taken out of a chat may not write there, and finds out by trying.
                What::Refused { why, .. } if !(shuffles && why == "FORBIDDEN") => {
                    refused.push(self.line(entry));
                }
                _ => {}
            }
        }
        verdict.sent -= verdict.retried.min(verdict.sent);
        for (lines, kind, what) in [
            (
                internal,
                "internal error",
                "sends were answered with an internal error",
            ),
            (refused, "refused", "sends were refused for no reason"),
        ] {
            if !lines.is_empty() {
                let mut trouble = Trouble::new(kind, format!("{} {what}", lines.len()));
                trouble.story = lines.into_iter().take(IN_FULL).collect();
                verdict.troubles.push(trouble);
            }
        }
        self.time(verdict, history, done, stall);
    }

    /// What is promised at once, came at once.
    fn time(&self, verdict: &mut Verdict, history: &[Entry], done: &[Done], stall: Duration) {
        let limit = self.patience + stall * 2;
        let (mut late, mut slowest) = (Vec::new(), None);
        let is_stalled = |client: usize| {
            let stalls = |done: &Done| matches!(done.fault, Fault::StallReaders { .. });
            done.iter().any(stalls) && client.is_multiple_of(3)
        };
        for delay in delays(history) {
            verdict.arrivals.push((delay.acknowledged, delay.took));
            if is_stalled(delay.client) {
                continue;
            }
            if delay.took > verdict.slowest {
                verdict.slowest = delay.took;
                slowest = Some(delay.clone());
            }
            // While something other than Redis is broken, the time runs from when it is mended.
            let shadows = done.iter().filter(|done| !done.fault.is_only_redis());
            let due = shadows
                .filter(|done| (done.began.saturating_sub(SHADOW)..=done.ended).contains(&delay.acknowledged))
                .map(|done| done.ended)
                .fold(delay.acknowledged, Duration::max);
            if delay.acknowledged + delay.took > due + limit {
                late.push(format!(
                    "{:10.3}  {}: message {} took {:.2} s on connection {}",
                    delay.acknowledged.as_secs_f64(),
                    self.cast.name(delay.client),
                    delay.message,
                    delay.took.as_secs_f64(),
                    delay.connection
                ));
            }
        }
        if !late.is_empty() {
            let what = format!(
                "{} messages took more than {:.1} s",
                late.len(),
                limit.as_secs_f64()
            );
            let mut trouble = Trouble::new("late", what);
            trouble.story = late.into_iter().take(12).collect();
            verdict.troubles.push(trouble);
        }
        if let Some(slowest) = slowest.filter(|slowest| slowest.took > self.patience) {
            let told = story_of(history, slowest.message, slowest.client);
            verdict.about_the_slowest = told.iter().map(|entry| self.line(entry)).collect();
            let faults = done.iter().map(|done| {
                let (from, to) = (done.began.as_secs_f64(), done.ended.as_secs_f64());
                format!("{from:10.3}  until {to:.3}: {}", done.fault)
            });
            verdict.about_the_slowest.extend(faults);
        }
        let mended = done.iter().map(|done| done.ended).max().unwrap_or_default();
        let answers = history
            .iter()
            .filter(|entry| matches!(entry.what, What::Acknowledged { .. }) && entry.at >= mended);
        verdict.answered_again = answers.map(|entry| entry.at - mended).min();
        if verdict.answered_again.is_none_or(|again| again > limit) {
            let what = format!(
                "no send was answered for {:?} after the fault",
                verdict.answered_again
            );
            verdict.troubles.push(Trouble::new("silent", what));
        }
    }
}

fn told(wrong: Vec<String>, kind: &str) -> Option<Trouble> {
    let first = wrong.first()?.clone();
    let mut trouble = Trouble::new(kind, format!("{} such views, the first: {first}", wrong.len()));
    trouble.story = wrong;
    Some(trouble)
}
