//! Medians and percentiles of what was timed.

use std::time::{Duration, Instant};

/// Times every call.
pub(crate) async fn times(calls: usize, mut call: impl AsyncFnMut(usize)) -> Vec<Duration> {
    let mut times = Vec::with_capacity(calls);
    for index in 0..calls {
        let started = Instant::now();
        call(index).await;
        times.push(started.elapsed());
    }
    times
}

/// The given percentile, in microseconds.
pub(crate) fn percentile(mut times: Vec<Duration>, percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6
}

/// The median of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
