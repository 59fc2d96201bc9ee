//! One turn of a loop in the database: what it sets out to do, and what came of it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gethostname::gethostname;
use tokio::time::Instant;

use crate::{
    Claim, ClaimRequest, Durability, Heartbeat, Kind, Orphans, Queue, Report, Rescued, Result, Signal, Since, Source,
    Store, Token, Turned, WorkerId,
};

/// How many jobs one turn rescues, and how many it gives up as expired.
const SWEEP_LIMIT: u32 = 1000;

/// What people know this process by.
static PROCESS: LazyLock<String> =
    LazyLock::new(|| format!("{}:{}", gethostname().to_string_lossy(), std::process::id()));

/// What all turns of a loop share.
pub(super) struct Ground<S, P> {
    pub(super) store: S,
    pub(super) source: P,
    pub(super) queue: Queue,
    pub(super) kinds: Vec<Kind>,
    pub(super) worker: WorkerId,
    pub(super) lease: Duration,
}

/// What a turn is to do. The order in which it does so matters: what waits for locks comes before what skips them, and nobody
/// rescues a job whose outcome is in its own hands.
#[derive(Clone, Default)]
pub(super) struct Plan {
    pub(super) beat: Option<Beat>,
    /// Claims whose answers never came; a beat gives them back.
    pub(super) abandon: Vec<Token>,
    pub(super) notes: Vec<(Claim, String)>,
    pub(super) watch: Vec<Claim>,
    pub(super) reports: Arc<Vec<Report>>,
    /// Whether they let a job run that nobody could claim before, for its order or a limit.
    pub(super) frees_others: bool,
    pub(super) claim: Option<Hunt>,
}

#[derive(Clone, Copy)]
pub(super) struct Beat {
    /// A beat after this moment does not rescue: whatever held it up may have held up other loops too, and they shall beat first.
    pub(super) rescue_by: Option<Instant>,
    pub(super) orphans: Orphans,
}

#[derive(Clone, Copy)]
pub(super) struct Hunt {
    pub(super) limit: usize,
    pub(super) token: Token,
    /// `None`: looks everywhere.
    pub(super) since: Option<Since>,
    /// Whether to look ahead if there is nothing to claim.
    pub(super) looks_ahead: bool,
}

/// What came of a turn that was committed.
#[derive(Default)]
pub(super) struct Landing {
    pub(super) signals: Vec<Signal>,
    pub(super) turned: Turned,
    pub(super) rescued: Rescued,
    pub(super) expired: u32,
    pub(super) next_due: Option<Duration>,
    pub(super) took: Duration,
}

/// Flies: in one transaction if there is a beat or the source wants one, otherwise in as few round trips as can be, each call by
/// itself.
pub(super) async fn fly<S: Store, P: Source<Connection = S::Connection>>(
    ground: Arc<Ground<S, P>>,
    plan: Plan,
) -> Result<Landing> {
    let started = Instant::now();
    let source = &ground.source;
    let mut landing = if let Some(beat) = plan.beat {
        let mut tx = source.begin().await?;
        let landing = beat_and_turn(&ground, &mut tx, &plan, beat).await?;
        source.commit(tx).await?;
        landing
    } else if let Some(mut tx) = source.begin_turn().await? {
        let mut landing = turn(&ground, &mut tx, &plan).await?;
        landing.next_due = look_ahead(&ground, &mut tx, &plan, &landing.turned).await?;
        source.commit(tx).await?;
        landing
    } else {
        let mut conn = source.acquire().await?;
        let mut landing = turn(&ground, &mut conn, &plan).await?;
        // The rest is committed, whatever becomes of this.
        landing.next_due = look_ahead(&ground, &mut conn, &plan, &landing.turned).await.unwrap_or_default();
        landing
    };
    landing.took = started.elapsed();
    Ok(landing)
}

impl Plan {
    /// A claim that a crash of the database takes back is made again, under another token; its worker finds out by its own.
    fn durability(&self) -> Durability {
        if self.reports.is_empty() { Durability::Volatile } else { Durability::Durable }
    }
}

async fn beat_and_turn<S: Store, P>(
    ground: &Ground<S, P>,
    conn: &mut S::Connection,
    plan: &Plan,
    beat: Beat,
) -> Result<Landing> {
    let store = &ground.store;
    store.beat(conn, ground.heartbeat()).await?;
    let mut landing = Landing { signals: watch(store, conn, plan).await?, ..Landing::default() };
    if !plan.reports.is_empty() {
        landing.turned.reported = store.turn(conn, &plan.reports, None).await?.reported;
    }
    if !plan.abandon.is_empty() {
        store.abandon(conn, ground.worker, &plan.abandon).await?;
    }
    if beat.rescue_by.is_none_or(|by| Instant::now() <= by) {
        landing.rescued = store.rescue(conn, SWEEP_LIMIT, beat.orphans).await?;
    }
    landing.expired = store.expire(conn, SWEEP_LIMIT).await?;
    if let Some(hunt) = plan.claim {
        let Turned { claimed, opens_in, .. } = store.turn(conn, &[], Some(&ground.request(hunt))).await?;
        landing.turned = Turned { claimed, opens_in, ..landing.turned };
    }
    landing.next_due = look_ahead(ground, conn, plan, &landing.turned).await?;
    Ok(landing)
}

async fn turn<S: Store, P>(ground: &Ground<S, P>, conn: &mut S::Connection, plan: &Plan) -> Result<Landing> {
    let mut landing = Landing { signals: watch(&ground.store, conn, plan).await?, ..Landing::default() };
    let request = plan.claim.map(|hunt| ClaimRequest { durability: plan.durability(), ..ground.request(hunt) });
    if request.is_some() || !plan.reports.is_empty() {
        landing.turned = ground.store.turn(conn, &plan.reports, request.as_ref()).await?;
    }
    Ok(landing)
}

async fn watch<S: Store>(store: &S, conn: &mut S::Connection, plan: &Plan) -> Result<Vec<Signal>> {
    for (claim, progress) in &plan.notes {
        store.progress(conn, *claim, progress).await?;
    }
    if plan.watch.is_empty() { Ok(Vec::new()) } else { store.watch(conn, &plan.watch).await }
}

async fn look_ahead<S: Store, P>(
    ground: &Ground<S, P>,
    conn: &mut S::Connection,
    plan: &Plan,
    turned: &Turned,
) -> Result<Option<Duration>> {
    if plan.claim.is_some_and(|hunt| hunt.looks_ahead) && turned.claimed.is_empty() {
        ground.store.next_due(conn, &ground.queue, &ground.kinds).await
    } else {
        Ok(None)
    }
}

impl<S, P> Ground<S, P> {
    fn heartbeat(&self) -> Heartbeat<'_> {
        Heartbeat { worker: self.worker, queue: &self.queue, process: &PROCESS, lease: self.lease }
    }

    fn request(&self, hunt: Hunt) -> ClaimRequest<'_> {
        ClaimRequest {
            queue: &self.queue,
            kinds: &self.kinds,
            limit: u32::try_from(hunt.limit).unwrap_or(u32::MAX),
            token: hunt.token,
            worker: self.worker,
            since: hunt.since,
            durability: Durability::Durable,
        }
    }
}
