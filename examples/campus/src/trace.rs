//! What a request is called in tracing systems, and how the jobs it enqueues come to know.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

tokio::task_local! {
    static CURRENT: Traceparent;
}

/// One step of a trace, as the header `traceparent` of [W3C Trace Context](https://www.w3.org/TR/trace-context/) names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traceparent {
    trace: u128,
    step: u64,
    flags: u8,
}

impl Traceparent {
    /// Begins a trace.
    pub(crate) fn random() -> Self {
        Self { trace: Uuid::new_v4().as_u128(), step: random_step(), flags: 0 }
    }

    /// The next step of the same trace.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self { step: random_step(), ..self }
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub(crate) fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl FromStr for Traceparent {
    type Err = ();

    fn from_str(header: &str) -> Result<Self, ()> {
        let mut parts = header.split('-');
        let mut part = |length: usize| {
            let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            parts.next().filter(|part| part.len() == length && part.bytes().all(is_hex)).ok_or(())
        };
        let (version, trace, step, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may say more; of this one that is all.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(());
        }
        let parsed = Self {
            trace: u128::from_str_radix(trace, 16).map_err(|_| ())?,
            step: u64::from_str_radix(step, 16).map_err(|_| ())?,
            flags: u8::from_str_radix(flags, 16).map_err(|_| ())?,
        };
        if parsed.trace == 0 || parsed.step == 0 { Err(()) } else { Ok(parsed) }
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace, self.step, self.flags)
    }
}

/// Runs a request: what it enqueues carries its trace.
pub(crate) fn within<F: Future>(trace: Traceparent, request: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(trace, request)
}

/// The trace of the request that runs, if one does: what every job is enqueued with.
pub(crate) fn current() -> Option<String> {
    CURRENT.try_with(Traceparent::to_string).ok()
}

/// Never zero, since a UUID has a variant.
fn random_step() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_reads_back_and_nonsense_does_not() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parsed: Traceparent = header.parse().unwrap();
        assert_eq!((parsed.to_string().as_str(), parsed.trace_id().as_str()), (header, &header[3..35]));
        assert_eq!(parsed.next().trace_id(), parsed.trace_id());
        assert_ne!(parsed.next(), parsed);
        assert!("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more".parse::<Traceparent>().is_ok());
        for nonsense in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert!(nonsense.parse::<Traceparent>().is_err(), "{nonsense}");
        }
    }
}
