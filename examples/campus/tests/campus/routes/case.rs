//! One request that somebody makes, and what is expected of it.

use axum::http::Method;

pub(super) const FORM: &str = "application/x-www-form-urlencoded";
pub(super) const JSON: &str = "application/json";

/// To whom an address means something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// To everybody, signed in or not.
    Public,
    /// To whoever is signed in. What is hidden from outsiders does not show.
    Open,
    /// To whoever is signed in, and who makes the request is shown what is hidden from outsiders.
    Mixed,
    /// To outsiders it does not exist.
    Hidden,
}

/// A request. Names in brackets, `{event}`, stand for what the [world](super::world) calls so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(super) gate: Gate,
    /// Who may, and does.
    pub(super) by: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// A form or, under `/api`, a JSON object.
    pub(super) body: &'static str,
    /// What its success records, if it changes something.
    pub(crate) records: Option<&'static str>,
    /// What is called by a name from then on: a field of the answer, or the end of the address that the answer leads to.
    pub(super) keeps: Option<(&'static str, &'static str)>,
    /// Whether the jobs that wait are run before.
    pub(super) is_after_work: bool,
}

const GET: Case = Case {
    gate: Gate::Hidden,
    by: "",
    method: "GET",
    path: "",
    body: "",
    records: None,
    keeps: None,
    is_after_work: false,
};

/// Reads what is there for some only.
pub(super) const fn read(by: &'static str, path: &'static str) -> Case {
    Case { by, path, ..GET }
}

/// Reads what is there for everybody who is signed in.
pub(super) const fn open(by: &'static str, path: &'static str) -> Case {
    Case { gate: Gate::Open, ..read(by, path) }
}

/// Reads what is there for everybody who is signed in, where `by` sees more.
pub(super) const fn mixed(by: &'static str, path: &'static str) -> Case {
    Case { gate: Gate::Mixed, ..read(by, path) }
}

/// Changes what some may change.
pub(super) const fn write(by: &'static str, path: &'static str, body: &'static str, action: &'static str) -> Case {
    Case { method: "POST", body, records: Some(action), ..read(by, path) }
}

/// Changes what everybody may change who is signed in.
pub(super) const fn anyone(by: &'static str, path: &'static str, body: &'static str, action: &'static str) -> Case {
    Case { gate: Gate::Open, ..write(by, path, body, action) }
}

impl Case {
    /// Nobody needs to be signed in for it.
    pub(super) const fn public(self) -> Self {
        Self { gate: Gate::Public, ..self }
    }

    /// A form that changes nothing which is recorded.
    pub(super) const fn posts(self, body: &'static str) -> Self {
        Self { method: "POST", body, ..self }
    }

    /// Calls what it made by this name.
    pub(super) const fn keeps(self, name: &'static str) -> Self {
        self.keeps_field("id", name)
    }

    /// Calls a field of the answer by this name.
    pub(super) const fn keeps_field(self, field: &'static str, name: &'static str) -> Self {
        Self { keeps: Some((field, name)), ..self }
    }

    /// Is made once all jobs that wait have been run.
    pub(super) const fn after_work(self) -> Self {
        Self { is_after_work: true, ..self }
    }

    pub(super) fn is_api(&self) -> bool {
        self.path.starts_with("/api/")
    }

    /// What a body is written in.
    pub(super) fn kind(&self) -> &'static str {
        if self.is_api() { JSON } else { FORM }
    }

    pub(super) fn is_write(&self) -> bool {
        self.method == "POST"
    }

    /// Whether it shows something to whoever is signed in: whatever the method, nothing is changed.
    pub(super) fn is_shown(&self) -> bool {
        self.gate != Gate::Public && self.records.is_none()
    }

    pub(super) fn name(&self) -> String {
        format!("{} {} by {}", self.method, self.path, self.by)
    }

    /// The route that serves it: of those that fit, the one with the fewest wildcards.
    pub(super) fn route(&self, served: &[(Method, &'static str)]) -> Option<(Method, &'static str)> {
        let path: Vec<_> = self.path.split('?').next().unwrap_or_default().split('/').collect();
        let fits = |route: &str| {
            let route: Vec<_> = route.split('/').collect();
            let mut parts = route.iter().zip(&path);
            route.len() == path.len() && parts.all(|(part, one)| part.starts_with('{') || part == one)
        };
        let fitting = served.iter().filter(|(method, route)| *method == self.method && fits(route));
        fitting.min_by_key(|(_, route)| route.matches('{').count()).cloned()
    }
}
