//! One measured line.

use std::fmt;

use serde::Serialize;

/// What was measured, beside what, and whether that is good enough.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    #[serde(rename = "case")]
    name: &'static str,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Baseline>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    target: String,
    meets: bool,
    note: String,
}

#[derive(Clone, Debug, Serialize)]
struct Baseline {
    name: &'static str,
    value: f64,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Case {
    /// A figure without a baseline.
    pub(crate) fn absolute(name: &'static str, value: f64, unit: &'static str, target: Target) -> Self {
        Self {
            name,
            value,
            unit,
            baseline: None,
            ratio: None,
            target: target.to_string(),
            meets: target.is_met(value),
            note: String::new(),
        }
    }

    /// Names a figure to compare with, which the target does not speak of.
    pub(crate) fn beside(self, rival: &'static str, baseline: f64) -> Self {
        let ratio = Some(self.value / baseline);
        Self { baseline: Some(Baseline { name: rival, value: baseline }), ratio, ..self }
            .note(format!("{rival} {baseline:.1}"))
    }

    /// Two figures of the same unit; the target speaks of their ratio, which is also the value.
    pub(crate) fn ratio(
        name: &'static str,
        ours: f64,
        unit: &'static str,
        rival: &'static str,
        baseline: f64,
        target: Target,
    ) -> Self {
        let ratio = ours / baseline;
        Self {
            name,
            value: ratio,
            unit: "x",
            baseline: Some(Baseline { name: rival, value: baseline }),
            ratio: Some(ratio),
            target: target.to_string(),
            meets: target.is_met(ratio),
            note: format!("ours {ours:.4} {unit}, {rival} {baseline:.4} {unit}"),
        }
    }

    /// Two times of the same unit; the target speaks of how many times ours fits into the rival's, which is also the value.
    pub(crate) fn speedup(
        name: &'static str,
        ours: f64,
        unit: &'static str,
        rival: &'static str,
        baseline: f64,
        target: Target,
    ) -> Self {
        let speedup = baseline / ours;
        let case = Self::ratio(name, ours, unit, rival, baseline, target);
        Self { value: speedup, ratio: Some(speedup), meets: target.is_met(speedup), ..case }
    }

    /// Says under which circumstances it was measured.
    pub(crate) fn note(mut self, note: impl fmt::Display) -> Self {
        self.note = if self.note.is_empty() { note.to_string() } else { format!("{}; {note}", self.note) };
        self
    }

    /// The line as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts serialise")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.meets { "meets" } else { "MISSES" };
        write!(
            formatter,
            "{:<34} {:>12.3} {:<4} {verdict} {:<10} {}",
            self.name, self.value, self.unit, self.target, self.note
        )
    }
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(formatter, "<= {limit}"),
            Self::AtLeast(limit) => write!(formatter, ">= {limit}"),
        }
    }
}
