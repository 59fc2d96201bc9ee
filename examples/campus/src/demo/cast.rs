//! Who of a generated campus is in which group: what happens there is done by them.

use super::load::Plan;
use super::rng::Rng;
use super::topics::BY_HAND;

/// So many members of a group plan, come and look at things. The others only are there.
const LIVELY: usize = 40;

/// The lively members of every group.
pub(super) struct Cast {
    /// The first two members of every group that is generated, by their numbers: its owner and its admin.
    pub(super) owners: Vec<Vec<u64>>,
    /// The ids of some active members of every group, the owner first.
    pub(super) members: Vec<Vec<String>>,
}

impl Cast {
    /// Looks at as many people as it takes, always in the same order.
    pub(super) fn of(plan: &Plan) -> Self {
        let groups = plan.groups();
        let mut owners = vec![Vec::new(); groups.len()];
        let mut numbers: Vec<Vec<u64>> = vec![Vec::new(); groups.len()];
        let mut missing = groups.len();
        for number in 0..plan.generated() {
            if missing == 0 {
                break;
            }
            for group in groups.of(plan.seed, number, &plan.somebody(number)) {
                let leads = group >= BY_HAND && owners[group].len() < 2;
                if leads {
                    owners[group].push(number);
                }
                if numbers[group].len() < LIVELY && (leads || standing(plan, number, group) == Standing::Active) {
                    numbers[group].push(number);
                    missing -= usize::from(numbers[group].len() == LIVELY);
                }
            }
        }
        // A group that nobody cares about belongs to somebody all the same.
        for (group, owners) in owners.iter_mut().enumerate().skip(BY_HAND) {
            if owners.is_empty() {
                owners.push(Rng::of(plan.seed, "owner", group as u64).below(plan.generated().max(1)));
                numbers[group].push(owners[0]);
            }
        }
        let mut members: Vec<Vec<String>> = Vec::with_capacity(numbers.len());
        for (group, numbers) in numbers.into_iter().enumerate() {
            let by_hand = if group < BY_HAND { super::members_by_hand(group) } else { Vec::new() };
            let ids = by_hand.into_iter().map(|person| person.id);
            members.push(ids.chain(numbers.into_iter().map(|number| plan.somebody(number).id)).collect());
        }
        Self { owners, members }
    }

    /// Whoever runs a group.
    pub(super) fn owner(&self, group: usize) -> &str {
        &self.members[group][0]
    }

    /// Some lively members of a group, each once: at most so many.
    pub(super) fn some(&self, rng: &mut Rng, group: usize, most: u64) -> Vec<&str> {
        let members = &self.members[group];
        let (first, count) = (rng.index(members.len()), rng.below(most + 1).min(members.len() as u64));
        members
            .iter()
            .cycle()
            .skip(first)
            .take(usize::try_from(count).unwrap_or_default())
            .map(String::as_str)
            .collect()
    }
}

/// How somebody stands to a group they care about, unless they run it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Active,
    Left,
    Banned,
}

pub(super) fn standing(plan: &Plan, number: u64, group: usize) -> Standing {
    match Rng::of(plan.seed, "standing", number ^ ((group as u64) << 32)).below(200) {
        0..=3 => Standing::Left,
        4 => Standing::Banned,
        _ => Standing::Active,
    }
}
