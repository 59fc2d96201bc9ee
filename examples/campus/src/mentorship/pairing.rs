//! Who fits whom: scores, and one assignment from them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Profile, SPREADS};

/// How many mentors a mentee who is left over is compared with.
const COMPARED: usize = 64;

/// Two who fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Who gives time.
    pub mentor: String,
    /// Who asks for it.
    pub mentee: String,
    /// How well they fit.
    pub score: i64,
}

/// Says how well a mentor fits a mentee; nothing without a language in common.
///
/// What the mentee wants to learn and the mentor knows counts most, then what both know or like; then languages, a mentor who is some
/// years ahead, and one who has time for several.
pub fn score(mentor: &Profile, mentee: &Profile) -> Option<i64> {
    let languages = common(&mentor.languages, &mentee.languages);
    if languages == 0 {
        return None;
    }
    let ahead = mentee.batch_year - mentor.batch_year;
    Some(
        100 * common(&mentor.skills, &mentee.interests)
            + 30 * common(&mentor.skills, &mentee.skills)
            + 20 * common(&mentor.interests, &mentee.interests)
            + 5 * languages.min(3)
            + (20 - 2 * (ahead - 7).abs()).max(0)
            + mentor.capacity.min(5),
    )
}

/// Assigns mentees to mentors who have room, from the choices of the mentees, best first.
///
/// Both sides of a pair rank it by the same score, ties by numbers of their own, so all pairs stand in one strict order. Then the one
/// stable assignment with these capacities, which deferred acceptance would find, is to take the best pair that is left again and
/// again. A prefix of the answer, once carried out, leads to the rest of it: whoever begins again ends at the same.
///
/// Mentees whose choices are all full get, in the order of their ids, the best of some mentors who still have room.
pub fn assign(
    mentors: &BTreeMap<String, Profile>,
    mentees: &BTreeMap<String, Profile>,
    choices: &[Pair],
    past: &BTreeSet<(String, String)>,
) -> Vec<Pair> {
    let mut room: BTreeMap<&str, i64> =
        mentors.iter().map(|(id, mentor)| (&**id, mentor.capacity - mentor.taken)).collect();
    let mut waiting: BTreeSet<&str> = mentees.keys().map(String::as_str).collect();
    let is_past =
        |mentor: &str, mentee: &str| !past.is_empty() && past.contains(&(mentor.to_owned(), mentee.to_owned()));

    let mut ranked: Vec<_> = choices
        .iter()
        .filter_map(|pair| {
            let (mentor, mentee) = (mentors.get(&pair.mentor)?, mentees.get(&pair.mentee)?);
            Some((-pair.score, tie(mentor, mentee), pair))
        })
        .collect();
    ranked.sort_unstable_by(|a, b| (a.0, a.1, &a.2.mentee, &a.2.mentor).cmp(&(b.0, b.1, &b.2.mentee, &b.2.mentor)));
    let mut pairs = Vec::new();
    for (_, _, pair) in ranked {
        let Some(left) = room.get_mut(&*pair.mentor).filter(|left| **left > 0) else { continue };
        if !is_past(&pair.mentor, &pair.mentee) && waiting.remove(&*pair.mentee) {
            *left -= 1;
            pairs.push(pair.clone());
        }
    }

    let mut open: Vec<&str> = room.iter().filter(|(_, left)| **left > 0).map(|(id, _)| *id).collect();
    for id in waiting {
        let mentee = &mentees[id];
        let start = usize::try_from(mentee.spread).unwrap_or_default() % open.len().max(1);
        let best = (0..open.len().min(COMPARED))
            .map(|step| (start + step) % open.len())
            .filter(|&at| !is_past(open[at], id))
            .filter_map(|at| score(&mentors[open[at]], mentee).map(|score| (score, at)))
            .max_by_key(|&(score, at)| (score, std::cmp::Reverse(at)));
        let Some((score, at)) = best else { continue };
        pairs.push(Pair { mentor: open[at].to_owned(), mentee: id.to_owned(), score });
        let left = room.entry(open[at]).or_default();
        *left -= 1;
        if *left == 0 {
            open.remove(at);
        }
    }
    pairs
}

/// Breaks ties so that not everybody prefers the same: a mentee's number turns the circle of the mentors'.
fn tie(mentor: &Profile, mentee: &Profile) -> u64 {
    (mentor.spread + mentee.spread).unsigned_abs() % SPREADS
}

/// Counts the lines that two sorted texts share.
fn common(a: &str, b: &str) -> i64 {
    let mut others = b.lines().peekable();
    let mut shared = 0;
    for line in a.lines() {
        while others.next_if(|other| *other < line).is_some() {}
        if others.next_if_eq(&line).is_some() {
            shared += 1;
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(id: &str, role: &str, terms: &str, languages: &str, capacity: i64) -> Profile {
        let (skills, interests) = if role == "mentor" { (terms, "") } else { ("", terms) };
        Profile {
            programme_id: "p".into(),
            user_id: id.into(),
            role: role.into(),
            skills: skills.into(),
            interests: interests.into(),
            languages: languages.into(),
            batch_year: if role == "mentor" { 2008 } else { 2015 },
            goals: String::new(),
            capacity,
            taken: 0,
            spread: super::super::spread(id),
        }
    }

    fn by_id(profiles: impl IntoIterator<Item = Profile>) -> BTreeMap<String, Profile> {
        profiles.into_iter().map(|profile| (profile.user_id.clone(), profile)).collect()
    }

    /// A crowd whose members share some terms, and the choices that all of them would make.
    fn crowd() -> (BTreeMap<String, Profile>, BTreeMap<String, Profile>, Vec<Pair>) {
        let terms = ["art", "boats", "chess", "dance", "energy", "film", "grain"];
        let pick = |index: usize| {
            let mut picked = vec![terms[index % 7], terms[index * 3 % 7], terms[index * 5 % 7]];
            picked.sort_unstable();
            picked.dedup();
            picked.join("\n")
        };
        let mentors = by_id((0..30).map(|index| {
            profile(
                &format!("mentor-{index:02}"),
                "mentor",
                &pick(index),
                "english",
                1 + i64::try_from(index % 3).unwrap(),
            )
        }));
        let mentees = by_id(
            (0..70).map(|index| profile(&format!("mentee-{index:02}"), "mentee", &pick(index + 2), "english", 1)),
        );
        let mut choices = Vec::new();
        for mentee in mentees.values() {
            for mentor in mentors.values() {
                let score = score(mentor, mentee).unwrap();
                if score > 130 {
                    choices.push(Pair { mentor: mentor.user_id.clone(), mentee: mentee.user_id.clone(), score });
                }
            }
        }
        (mentors, mentees, choices)
    }

    #[test]
    fn shared_lines_are_counted() {
        for (a, b, shared) in
            [("", "", 0), ("a", "", 0), ("a\nb\nd", "b\nc\nd", 2), ("a\nb", "a\nb", 2), ("b", "a\nb\nc", 1)]
        {
            assert_eq!(common(a, b), shared, "{a:?} {b:?}");
            assert_eq!(common(b, a), shared, "{b:?} {a:?}");
        }
    }

    #[test]
    fn without_a_common_language_nobody_fits() {
        let mentee = profile("b", "mentee", "rust", "english", 1);
        assert_eq!(score(&profile("a", "mentor", "rust", "hindi", 1), &mentee), None);
        let (fits, does_not) =
            (profile("a", "mentor", "rust", "english", 1), profile("a", "mentor", "law", "english", 1));
        assert!(score(&fits, &mentee) > score(&does_not, &mentee));
    }

    #[test]
    fn nobody_is_over_capacity_and_nobody_is_left_while_there_is_room() {
        let (mentors, mentees, choices) = crowd();
        let pairs = assign(&mentors, &mentees, &choices, &BTreeSet::new());
        let room: i64 = mentors.values().map(|mentor| mentor.capacity).sum();
        assert_eq!(pairs.len(), mentees.len().min(usize::try_from(room).unwrap()));
        for (id, mentor) in &mentors {
            let taken = pairs.iter().filter(|pair| pair.mentor == *id).count();
            assert!(i64::try_from(taken).unwrap() <= mentor.capacity, "{id}");
        }
        let once: BTreeSet<&str> = pairs.iter().map(|pair| &*pair.mentee).collect();
        assert_eq!(once.len(), pairs.len());
    }

    /// Nobody finds a pair that both of them would rather have.
    #[test]
    fn the_assignment_is_stable() {
        let (mentors, mentees, choices) = crowd();
        let pairs = assign(&mentors, &mentees, &choices, &BTreeSet::new());
        for choice in &choices {
            let of_mentee = pairs.iter().find(|pair| pair.mentee == choice.mentee);
            let prefers = of_mentee.is_none_or(|pair| pair.score < choice.score);
            let of_mentor: Vec<_> = pairs.iter().filter(|pair| pair.mentor == choice.mentor).collect();
            let has_room = i64::try_from(of_mentor.len()).unwrap() < mentors[&choice.mentor].capacity;
            let preferred = has_room || of_mentor.iter().any(|pair| pair.score < choice.score);
            assert!(!(prefers && preferred), "{choice:?}");
        }
    }

    #[test]
    fn whoever_begins_again_ends_at_the_same() {
        let (mentors, mentees, choices) = crowd();
        let whole = assign(&mentors, &mentees, &choices, &BTreeSet::new());
        for done in 0..whole.len() {
            let (mut mentors, mut mentees) = (mentors.clone(), mentees.clone());
            for pair in &whole[..done] {
                let mentor = mentors.get_mut(&pair.mentor).unwrap();
                mentor.taken += 1;
                if mentor.taken == mentor.capacity {
                    mentors.remove(&pair.mentor);
                }
                mentees.remove(&pair.mentee);
            }
            assert_eq!(assign(&mentors, &mentees, &choices, &BTreeSet::new()), whole[done..], "after {done}");
        }
    }

    #[test]
    fn whoever_parted_is_not_paired_again() {
        let (mentors, mentees, choices) = crowd();
        let first = assign(&mentors, &mentees, &choices, &BTreeSet::new());
        let past = first.iter().map(|pair| (pair.mentor.clone(), pair.mentee.clone())).collect();
        let second = assign(&mentors, &mentees, &choices, &past);
        assert!(!second.is_empty() && second.iter().all(|pair| !first.contains(pair)));
    }
}
