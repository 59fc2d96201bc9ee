//! The people of a generated campus: each is made of nothing but the seed and a number.

use super::places::CITIES;
use super::rng::Rng;
use crate::directory::profile::{Profile, Visibility};

/// Given and family names that occur together.
struct Names {
    given: &'static [&'static str],
    family: &'static [&'static str],
}

const NAMES: [Names; 12] = [
    Names {
        given: &["Adaeze", "Chidi", "Emeka", "Ifeoma", "Kelechi", "Ngozi", "Obinna", "Uche", "Yewande", "Zainab"],
        family: &["Adeyemi", "Bello", "Chukwu", "Eze", "Ibrahim", "Nwosu", "Obi", "Ogunleye", "Okonkwo", "Sule"],
    },
    Names {
        given: &["Aarav", "Ananya", "Deepika", "Ishaan", "Lakshmi", "Manoj", "Nikhil", "Rohan", "Sanjana", "Vikram"],
        family: &["Agarwal", "Banerjee", "Chandran", "Desai", "Gupta", "Joshi", "Krishnan", "Mehta", "Nair", "Sharma"],
    },
    Names {
        given: &["Akira", "Ayumi", "Daichi", "Haruka", "Kenji", "Naoko", "Ren", "Sakura", "Takumi", "Yuki"],
        family: &[
            "Fujimoto",
            "Hayashi",
            "Ito",
            "Kobayashi",
            "Matsuda",
            "Nakamura",
            "Ogawa",
            "Suzuki",
            "Ueda",
            "Yamada",
        ],
    },
    Names {
        given: &["Baozhai", "Fang", "Guowei", "Hui", "Jian", "Lian", "Ming", "Qing", "Xiu", "Zhen"],
        family: &["Chen", "Fu", "Gao", "Huang", "Liang", "Lin", "Sun", "Wang", "Xu", "Zhao"],
    },
    Names {
        given: &[
            "Alejandra",
            "Beatriz",
            "Camilo",
            "Diego",
            "Esperanza",
            "Joaquín",
            "Lucía",
            "Mateo",
            "Sofía",
            "Xavier",
        ],
        family: &[
            "Aguilar",
            "Castillo",
            "Domínguez",
            "Fuentes",
            "Herrera",
            "Jiménez",
            "Muñoz",
            "Ortega",
            "Rojas",
            "Vega",
        ],
    },
    Names {
        given: &["Bruno", "Catarina", "Duarte", "Helena", "Inês", "João", "Leonor", "Miguel", "Rita", "Tiago"],
        family: &[
            "Almeida",
            "Barbosa",
            "Cardoso",
            "Correia",
            "Fonseca",
            "Magalhães",
            "Pereira",
            "Ribeiro",
            "Sousa",
            "Tavares",
        ],
    },
    Names {
        given: &["Abdullah", "Aisha", "Hassan", "Khadija", "Layla", "Mustafa", "Nour", "Rania", "Samir", "Yusuf"],
        family: &["Aziz", "Bakri", "Fahmy", "Hakim", "Jaber", "Mansour", "Nasser", "Qureshi", "Saleh", "Zaki"],
    },
    Names {
        given: &["Agnieszka", "Bartosz", "Ewa", "Jakub", "Katarzyna", "Łukasz", "Magda", "Paweł", "Tomasz", "Zofia"],
        family: &[
            "Bielski",
            "Dąbrowski",
            "Jankowski",
            "Kaminski",
            "Lewandowski",
            "Mazur",
            "Nowak",
            "Pawlak",
            "Wójcik",
            "Zając",
        ],
    },
    Names {
        given: &["Anders", "Astrid", "Erik", "Freja", "Ingrid", "Lars", "Linnea", "Nils", "Signe", "Søren"],
        family: &[
            "Andersen",
            "Berg",
            "Dahl",
            "Eriksson",
            "Hansen",
            "Jørgensen",
            "Lund",
            "Nyström",
            "Olsen",
            "Sørensen",
        ],
    },
    Names {
        given: &["Anke", "Benedikt", "Claudia", "Florian", "Greta", "Henrik", "Jürgen", "Katrin", "Matthias", "Ulrike"],
        family: &[
            "Baumann",
            "Fischer",
            "Hoffmann",
            "Keller",
            "Krüger",
            "Lehmann",
            "Müller",
            "Schäfer",
            "Vogel",
            "Zimmermann",
        ],
    },
    Names {
        given: &["Alice", "Callum", "Eleanor", "Fiona", "George", "Harriet", "Isla", "Owen", "Rhys", "Thomas"],
        family: &[
            "Ashworth", "Bennett", "Campbell", "Doyle", "Evans", "Fletcher", "Hughes", "MacLeod", "O'Brien", "Whitaker",
        ],
    },
    Names {
        given: &["Abebe", "Desta", "Eyob", "Hiwot", "Jomo", "Makena", "Njeri", "Selam", "Wanjiru", "Zuberi"],
        family: &["Alemu", "Bekele", "Gichuru", "Haile", "Kamau", "Kiplagat", "Mwangi", "Otieno", "Tesfaye", "Wambui"],
    },
];

/// What people do, and the kind of place they do it at.
pub(super) const WORK: [(&str, &str); 24] = [
    ("structural engineer", "Bridgework Partners"),
    ("paediatric nurse", "St. Brigid's Hospital"),
    ("compiler engineer", "Quarry Systems"),
    ("chemistry teacher", "Northgate School"),
    ("documentary film editor", "Lantern Pictures"),
    ("patent lawyer", "Hale and Moreno"),
    ("marine biologist", "the Tidal Institute"),
    ("transport planner", "the city council"),
    ("data scientist", "Gridpoint Energy"),
    ("product designer", "Foldaway Studio"),
    ("grain trader", "Meridian Commodities"),
    ("orchestra violist", "the Philharmonic"),
    ("surgeon", "the University Hospital"),
    ("machine learning researcher", "Kestrel Labs"),
    ("brand strategist", "Oak and Anvil"),
    ("museum curator", "the Museum of Navigation"),
    ("investment analyst", "Copperfield Capital"),
    ("agronomist", "Green Terrace Farms"),
    ("embedded systems engineer", "Saltwater Robotics"),
    ("social worker", "the Harbour Trust"),
    ("architect", "Long Shadow Architects"),
    ("civil servant", "the Ministry of Health"),
    ("journalist", "the Morning Ledger"),
    ("baker and founder", "Second Rise"),
];

/// The first and the last year in which somebody left the campus.
const BATCHES: std::ops::RangeInclusive<u64> = 1985..=2025;

/// Somebody of a generated campus.
pub(super) struct Somebody {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) batch: u64,
    /// Where in [`CITIES`].
    pub(super) city: usize,
    pub(super) work: &'static str,
    pub(super) employer: &'static str,
}

/// Makes the person with that number up, in one of the first `cities`.
pub(super) fn somebody(seed: u64, number: u64, cities: usize) -> Somebody {
    let mut rng = Rng::of(seed, "person", number);
    let names = &NAMES[rng.index(NAMES.len())];
    let (given, family) = (rng.pick(names.given), rng.pick(names.family));
    let (work, employer) = WORK[rng.index(WORK.len())];
    let batch = BATCHES.start() + rng.below(BATCHES.end() - BATCHES.start() + 1);
    // One in ten lives where no chapter is.
    let places = if rng.chance(10) { CITIES.len() } else { cities };
    let city = rng.index(places);
    let id = format!("{}-{}-{}", slug(given), slug(family), number + 1);
    Somebody { id, name: format!("{given} {family}"), batch, city, work, employer }
}

impl Somebody {
    /// Everything about them. They show what most people do.
    pub(super) fn profile(self) -> Profile {
        let headline = self.headline();
        let email = format!("{}@alumni.example", self.id);
        Profile {
            id: self.id,
            name: self.name,
            headline,
            city: CITIES[self.city].to_owned(),
            employer: self.employer.to_owned(),
            batch_year: i64::try_from(self.batch).ok(),
            bio: String::new(),
            email,
            phone: String::new(),
            city_audience: Visibility::Everyone,
            employer_audience: Visibility::Everyone,
            batch_audience: Visibility::Everyone,
            bio_audience: Visibility::Everyone,
            email_audience: Visibility::Connections,
            phone_audience: Visibility::Nobody,
        }
    }

    pub(super) fn headline(&self) -> String {
        format!("Class of {}, {} at {} in {}", self.batch, self.work, self.employer, CITIES[self.city])
    }
}

/// A name in the letters of an id.
pub(super) fn slug(name: &str) -> String {
    let letter = |letter: char| match letter {
        'a'..='z' | '0'..='9' => Some(letter),
        'á' | 'ã' | 'ä' | 'ą' => Some('a'),
        'é' | 'ê' => Some('e'),
        'í' => Some('i'),
        'ñ' => Some('n'),
        'ó' | 'ö' | 'ø' => Some('o'),
        'ü' => Some('u'),
        'ł' => Some('l'),
        'ć' => Some('c'),
        ' ' | '-' => Some('-'),
        _ => None,
    };
    name.to_lowercase().chars().filter_map(letter).collect()
}
