//! How runners learn of committed jobs before their next poll.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Source;

/// Two notifications of one process are at least so far apart: all commits in between are told with the second one.
const DEBOUNCE: Duration = Duration::from_millis(10);
/// A notification that takes longer is not worth a connection: the poll comes first.
const SEND_TIME: Duration = Duration::from_secs(5);

/// What clones of one `Jobs` share.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) called: watch::Sender<()>,
    booking: Mutex<Booking>,
}

#[derive(Debug, Default)]
struct Booking {
    /// Until when nothing is sent again.
    rests_until: Option<Instant>,
    /// Whether a notification is going to be sent then.
    is_booked: bool,
}

impl Wake {
    /// Sends a notification from a task of its own, unless one that is not sent yet tells the same.
    pub(crate) fn notify<P: Source>(self: &std::sync::Arc<Self>, source: &P) {
        let at = {
            let mut booking = self.booking.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut booking.is_booked, true) {
                return;
            }
            booking.rests_until
        };
        let (wake, source) = (self.clone(), source.clone());
        tokio::spawn(async move {
            if let Some(at) = at {
                sleep_until(at).await;
            }
            // From here on a commit may be too late for this one.
            let rests_until = Some(Instant::now() + DEBOUNCE);
            *wake.booking.lock().unwrap_or_else(PoisonError::into_inner) = Booking { rests_until, is_booked: false };
            match timeout(SEND_TIME, source.notify()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "other processes were not notified");
                }
                Err(_) => tracing::warn!("other processes were not notified in time"),
            }
        });
    }
}
