//! Medians and percentiles of what was timed.

use std::fmt;
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

/// What two sides came to in turns: the median over the rounds of each one's figure.
pub(crate) struct Turns {
    pub(crate) ours: f64,
    pub(crate) other: f64,
    /// The ratio of each round, sorted: the noise.
    ratios: Vec<f64>,
}

impl Turns {
    /// Takes the figures of each round, ours first.
    pub(crate) fn of(mut figures: Vec<(f64, f64)>) -> Self {
        figures.remove(0); // the first round warms up
        let mut ratios: Vec<_> = figures.iter().map(|(ours, other)| ours / other).collect();
        ratios.sort_by(f64::total_cmp);
        let (ours, other) = figures.into_iter().unzip();
        Self { ours: median(ours), other: median(other), ratios }
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.ratios[0], self.ratios[self.ratios.len() - 1]);
        write!(formatter, "rounds {least:.3} to {most:.3}")
    }
}

/// Times two calls in turns, in microseconds, call by call: what disturbs the machine meanwhile disturbs both. No two calls are given the same
/// index, so that neither finds warm what the other has just read. One round before the counted ones warms up.
pub(crate) async fn turns<C>(
    rounds: usize,
    calls: usize,
    conn: &mut C,
    mut ours: impl AsyncFnMut(&mut C, usize),
    mut other: impl AsyncFnMut(&mut C, usize),
) -> Turns {
    let mut figures = Vec::new();
    for round in 0..=rounds {
        let (mut our_times, mut other_times) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
        for call in 0..calls {
            let index = 2 * (round * calls + call);
            our_times.extend(times(1, async |_| ours(conn, index).await).await);
            other_times.extend(times(1, async |_| other(conn, index + 1).await).await);
        }
        figures.push((percentile(our_times, 50), percentile(other_times, 50)));
    }
    Turns::of(figures)
}

/// As [`turns`], but some calls of ours and then as many as ten times of the other: after a call that takes long, the machine
/// is not as warm for a short one as after others of its kind.
pub(crate) async fn blocks<C>(
    rounds: usize,
    calls: usize,
    conn: &mut C,
    mut ours: impl AsyncFnMut(&mut C, usize),
    mut other: impl AsyncFnMut(&mut C, usize),
) -> Turns {
    let mut figures = Vec::new();
    for round in 0..=rounds {
        let our_times = times(calls, async |call| ours(conn, round * calls + call).await).await;
        let other_times = times(10 * calls, async |call| other(conn, 10 * round * calls + call).await).await;
        figures.push((percentile(our_times, 50), percentile(other_times, 50)));
    }
    Turns::of(figures)
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
